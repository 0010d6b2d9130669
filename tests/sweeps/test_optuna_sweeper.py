"""What a search refuses before its first trial, and when it gives up; its jobs are made up."""

import json
import os
import time

import optuna
import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from hydra.utils import instantiate

from hydra_plugins.optuna_sweeper import MAX_FAILURES
from recsys_lightning.callbacks.pruning import open_storage
from tests.runs.test_parameters import write_ratings
from tests.sweeps.test_large_sweeps import files_read
from tests.test_configs import CONF

EASE = ("hydra/sweeper=optuna", "model=ease", "model.l2=interval(1.0,9.0)")
MONITOR = "val/recall@10"


class Launcher:
    """Each job writes the value that `job` gives for its number; it fails where that is None."""

    def __init__(self, folder, job):
        self.folder, self.job, self.launched = folder, job, []

    def launch(self, overrides, initial_job_idx):
        self.launched += overrides
        return [
            self._run(number, of_job)
            for number, of_job in enumerate(overrides, start=initial_job_idx)
        ]

    def _run(self, number, overrides):
        value = self.job(number)
        given = OverridesParser.create().parse_overrides(overrides)
        [study] = [str(o.value()) for o in given if o.key_or_group == "sweep.study"]
        result = {
            "status": "failed" if value is None else "done",
            "metrics": {} if value is None else {MONITOR: value},
            "overrides": list(overrides),
            "config": {"monitor": MONITOR, "sweep": {"trial": number, "study": study}},
            "finished": f"{time.time_ns()}",
        }
        run = self.folder / f"{study}-{number}"
        run.mkdir(parents=True)
        (run / "result.json").write_text(json.dumps(result))
        return JobReturn(_return_value=value, status=JobStatus.COMPLETED)


class Search:
    """Runs of the sweeper in one folder."""

    def __init__(self, path, name="sweep"):
        self.folder, self.ratings, self.cache = path / name, path / "ratings.csv", path / "cache"
        write_ratings(self.ratings, length=45)
        self.launched = []

    def __call__(self, *overrides, job=lambda number: number / 100):
        given = ["data=files", f"data.path={self.ratings}", f"data.cache_dir={self.cache}"]
        folder = QuotedString(str(self.folder), Quote.single).with_quotes()
        given += [f"hydra.sweep.dir={folder}", "hydra.mode=MULTIRUN", *overrides]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            hydra = GlobalHydra.instance().hydra
            config = hydra.compose_config(
                "config", given, run_mode=RunMode.MULTIRUN, validate_sweep_overrides=False
            )
            sweeper = instantiate(config.hydra.sweeper)
            sweeper.config, sweeper.launcher = config, Launcher(self.folder, job)
            sweeper.hydra_context = HydraContext(hydra.config_loader, None)
            self.launched = sweeper.launcher.launched
            sweeper.sweep(list(config.hydra.overrides.task))

    def refused(self, *overrides):
        """What it says, before any trial and with nothing written."""
        before = {path: path.stat().st_mtime_ns for path in self.folder.rglob("*")}
        with pytest.raises(HydraException) as caught:
            self(*overrides)
        assert self.launched == []
        assert {path: path.stat().st_mtime_ns for path in self.folder.rglob("*")} == before
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def trials(self, study="sweep"):
        storage = open_storage(str(self.folder / "study.journal"))
        found = optuna.load_study(study_name=study, storage=storage).trials
        return [(trial.state.name, trial.value) for trial in found]


@pytest.fixture
def search(tmp_path):
    return Search(tmp_path)


@pytest.mark.parametrize("key", ["n_jobs", "n_trials"])
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "null", "true"])
def test_a_count_below_one_is_refused(key, value, search):
    said = search.refused(*EASE, f"hydra.sweeper.{key}={value}")
    assert said.startswith(f"hydra.sweeper.{key}=")
    assert "expected a whole number in [1, inf)" in said


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("holdout=none", "the holdout has no validation part"),
        ("holdout.valid_items=0", "the holdout has no validation part"),
        ("monitor=val/reccall@10", "expected one of val/coverage@10, "),
        ("monitor=val/recall@5", "expected one of "),
        ("monitor=test/recall@10", "expected one of "),
    ],
)
def test_a_search_by_a_metric_that_no_job_has_is_refused(override, expected, search):
    said = search.refused(*EASE, override)
    assert said.startswith("monitor=")
    assert expected in said


def test_a_search_without_its_data_or_with_a_bad_holdout_is_refused(search):
    assert "holdout.valid_items=-2" in search.refused(*EASE, "holdout.valid_items=-2")
    search.ratings.unlink()
    assert "ratings.csv" in search.refused(*EASE)


def test_a_search_that_varies_the_holdout_is_not_judged_by_one_of_them(search):
    search(*EASE, "holdout.valid_items=choice(0,10)", "hydra.sweeper.n_trials=2")
    assert len(search.launched) == 2


def test_a_study_goes_on_with_the_search_that_it_knows(search):
    search(*EASE, "hydra.sweeper.n_trials=2")
    search(
        *(*EASE, "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2", "eval_batch_size=7"),
        *("hydra/sweeper/sampler=random", "hydra/sweeper/pruner=median", "logger=none"),
    )
    assert search.trials() == [("COMPLETE", n / 100) for n in range(4)]


def test_a_study_and_a_folder_whose_names_need_quoting(tmp_path):
    search = Search(tmp_path, "it's, a=b")
    search(*EASE, "hydra.sweeper.n_trials=2", r"hydra.sweeper.study_name='it\'s, a=b'")
    assert search.trials("it's, a=b") == [("COMPLETE", n / 100) for n in range(2)]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("model=admm_slim",), "model was ease and is admm_slim"),
        (("model.l2=interval(1.0,8.0)",), "space.model.l2 was FloatDistribution(high=9.0"),
        (("model.dropout=0.5",), "model.dropout was 0.0 and is 0.5"),
        (("model.dropout=interval(0.0,0.5)",), "space.model.dropout was not given and is Float"),
        (("seed=1",), "seed was 42 and is 1"),
        (("holdout.seed=1",), "options.seed was 0 and is 1"),
        (("monitor=val/ndcg@10",), "monitor was val/recall@10 and is val/ndcg@10"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_another_search_is_refused_in_its_storage(overrides, told, search):
    search(*EASE, "hydra.sweeper.n_trials=2")
    said = search.refused(*EASE, *overrides)
    assert told in said
    assert "study sweep in " in said
    assert "hydra.sweeper.study_name=" in said
    assert len(search.trials()) == 2


def test_a_search_of_changed_data_is_refused_in_its_storage(search):
    search(*EASE, "hydra.sweeper.n_trials=2")
    os.utime(search.ratings, (0, 0))  # the same data
    search(*EASE, "hydra.sweeper.n_trials=3")
    write_ratings(search.ratings, length=45, shift=1)
    said = search.refused(*EASE)
    assert "data.files.data.path was " in said
    assert "split was " in said


def test_a_study_of_which_nobody_knows_what_it_searched_is_refused(search):
    search.folder.mkdir()
    storage = open_storage(str(search.folder / "study.journal"))
    study = optuna.create_study(storage=storage, study_name="sweep", direction="maximize")
    study.add_trial(optuna.trial.create_trial(value=0.5))
    assert "nothing in it says of which model" in search.refused(*EASE)


def test_two_studies_in_a_folder_know_their_own_trials(search):
    search(*EASE, "hydra.sweeper.n_trials=2", job=lambda number: 0.1)
    storage = open_storage(str(search.folder / "study.journal"))
    optuna.load_study(study_name="sweep", storage=storage).ask()  # a trial that was killed
    another = ("hydra.sweeper.study_name=another", "model=ease", "model.dropout=interval(0.0,0.5)")
    search(*EASE[:1], *another, "hydra.sweeper.n_trials=3", job=lambda number: 0.2)
    assert search.trials("another") == [("COMPLETE", 0.2)] * 3
    search(*EASE, "hydra.sweeper.n_trials=3", job=lambda number: 0.1)
    assert search.trials() == [("COMPLETE", 0.1)] * 2 + [("FAIL", None), ("COMPLETE", 0.1)]


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_search_gives_up_where_every_trial_fails(at_once, search):
    options = ("hydra.sweeper.n_trials=1000", f"hydra.sweeper.n_jobs={at_once}")
    with pytest.raises(RuntimeError, match="trials in a row failed, so the search has ended"):
        search(*EASE, *options, job=lambda number: None)
    assert MAX_FAILURES <= len(search.launched) < MAX_FAILURES + at_once
    assert {state for state, _ in search.trials()} == {"FAIL"}


def test_failures_between_successes_end_no_search(search):
    search(*EASE, "hydra.sweeper.n_trials=30", job=lambda n: None if n % 3 else 0.1)
    assert len(search.launched) == 30


def test_a_trial_without_the_monitored_metric_has_failed(search):
    def without_a_value(self, number, overrides):
        done = run(self, number, overrides)
        path = self.folder / f"sweep-{number}" / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"metrics": {}}))
        return done

    run, Launcher._run = Launcher._run, without_a_value
    try:
        search(*EASE, "hydra.sweeper.n_trials=3")
    finally:
        Launcher._run = run
    assert [state for state, _ in search.trials()] == ["FAIL"] * 3


def test_results_of_a_study_that_is_gone_are_not_those_of_its_namesake(search, monkeypatch):
    """Its trials are done already, by runs of other numbers, and write no result."""
    search(*EASE, "hydra.sweeper.n_trials=3")
    (search.folder / "study.journal").unlink()
    monkeypatch.setattr(
        Launcher,
        "_run",
        lambda self, number, _: JobReturn(_return_value=10.0 + number, status=JobStatus.COMPLETED),
    )
    search(*EASE, "hydra.sweeper.n_trials=3", "hydra.sweeper.sampler.seed=7")
    assert [value for _, value in search.trials()] == [10.0, 11.0, 12.0]


def test_a_search_reads_every_result_once(search, monkeypatch):
    with files_read(monkeypatch) as read:
        search(*EASE, "hydra.sweeper.n_trials=12")
    assert len(read) == 12
