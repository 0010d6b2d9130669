"""Lists of jobs that are no grid: which jobs they are, what is refused, and the real command."""

import json

import pandas as pd
import pytest
import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from hydra.utils import instantiate

from recsys_lightning.sweeps.jobs import results
from tests.forked import forked_python
from tests.sweeps.test_sweep import SMALL, sweep, times
from tests.test_configs import CONF


class Launcher:
    """Keeps what it is to launch."""

    def __init__(self):
        self.batches = {}

    def launch(self, batch, initial_job_idx):
        self.batches[initial_job_idx] = [list(job) for job in batch]
        return [JobReturn(_return_value=0.5, status=JobStatus.COMPLETED) for _ in batch]


@pytest.fixture
def launched(tmp_path):
    """Starts a multirun of a list in an experiment file; returns the batches by their first job."""

    def start(jobs, *overrides):
        path = tmp_path / "conf" / "experiment" / "own.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# @package _global_\n" + yaml.safe_dump({"jobs": jobs}))
        folder = tmp_path / "sweep"
        folder.mkdir(exist_ok=True)  # the callback of a multirun has made it
        given = [f"hydra.searchpath=[file://{tmp_path}/conf]", "experiment=own", *overrides]
        given += [f"hydra.sweep.dir={folder}", "hydra.mode=MULTIRUN"]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            hydra = GlobalHydra.instance().hydra
            config = hydra.compose_config(
                "config", given, run_mode=RunMode.MULTIRUN, validate_sweep_overrides=False
            )
            sweeper = instantiate(config.hydra.sweeper)
            sweeper.config, sweeper.launcher = config, Launcher()
            sweeper.hydra_context = HydraContext(hydra.config_loader, None)
            try:
                sweeper.sweep(list(config.hydra.overrides.task))
            except HydraException:
                assert sweeper.launcher.batches == {}
                assert not list(folder.iterdir())
                raise
        assert (folder / "multirun.yaml").is_file()
        return sweeper.launcher.batches

    return start


def jobs_of(batches):
    """All jobs as sets of overrides, without what every job of a list has."""
    common = {"experiment=own", "jobs=null"}
    jobs = [set(job) for batch in batches.values() for job in batch]
    assert all(common <= job for job in jobs)
    return [job - common for job in jobs]


def test_a_line_is_a_job_or_a_grid_of_its_own(launched):
    lines = ["model=ease", "model=multi_vae seed=1,2 holdout=hybrid", "'recommend.users=[7, 30]'"]
    assert jobs_of(launched(lines)) == [
        {"model=ease"},
        {"model=multi_vae", "seed=1", "holdout=hybrid"},
        {"model=multi_vae", "seed=2", "holdout=hybrid"},
        {"recommend.users=[7,30]"},
    ]


def test_the_command_line_goes_for_every_line_and_wins(launched):
    lines = ["model=ease +trainer.profiler=simple", "model=multi_vae seed=1,2,3"]
    assert jobs_of(launched(lines, "seed=5,6", "++trainer.profiler=null")) == [
        {f"model={model}", f"seed={seed}", "++trainer.profiler=null"}
        for model in ("ease", "multi_vae")
        for seed in (5, 6)
    ]


def test_a_list_on_the_command_line_is_one_too(launched):
    assert jobs_of(launched(["model=ease"], "jobs=['seed=1,2']")) == [{"seed=1"}, {"seed=2"}]


def test_batches_bound_how_many_start_at_once(launched):
    batches = launched(["model=ease seed=1,2", "seed=3"], "hydra.sweeper.max_batch_size=2")
    assert {first: len(batch) for first, batch in batches.items()} == {0: 2, 2: 1}


def test_without_a_list_it_is_a_grid(launched):
    batches = launched(None, "model=ease", "refit=true,false", "sweep=seeds")
    assert batches == {
        0: [
            [f"seed={seed}", "experiment=own", "model=ease", f"refit={refit}", "sweep=seeds"]
            for seed in range(1, 6)
            for refit in (True, False)
        ]
    }


LINE = "jobs, line 2"


@pytest.mark.parametrize(
    ("jobs", "overrides", "said"),
    [
        ([], (), "jobs: []: expected a list of lines such as 'model=ease model.l2=300'"),
        ("model=ease", (), "jobs: 'model=ease': expected a list"),
        ({"a": "model=ease"}, (), "jobs: {'a': 'model=ease'}: expected a list"),
        (["seed=1", {"model": "ease"}], (), f"{LINE} ({{'model': 'ease'}}): expected text such as"),
        (["seed=1", None], (), f"{LINE} (None): expected text"),
        (["seed=1", " "], (), f"{LINE} ( ): expected text"),
        (["seed=1", "model"], (), f"{LINE} (model): "),
        (["seed=1", "model.l2=[3"], (), f"{LINE} (model.l2=[3): "),
        (["seed=1", "model='ease"], (), f"{LINE} (model='ease): No closing quotation"),
        (["seed=1", "model=eese"], (), f"{LINE} (model=eese): model=eese: expected one of"),
        (["seed=1", "model.l22=3"], (), "model.l22: no such key; model has dropout, l2, "),
        (["seed=1", "model.l2=interval(1,2)"], (), "does not support sweep type : INTERVAL"),
        (["seed=1", "hydra/launcher=joblib"], (), "hydra/launcher belongs to all jobs"),
        (["seed=1", "jobs=null"], (), f"{LINE} (jobs=null): jobs belongs to all jobs"),
        (["seed=1", "model=popularity"], ("model.l2=3",), f"{LINE} (model=popularity): "),
        (["seed=1"], ("sweep=seeds",), "hydra.sweeper.params (seed) are two ways"),
        (["seed=1"], ("sweep=ease",), "jobs: a list leaves nothing to search"),
        (["seed=1"], ("hydra/sweeper=optuna",), "jobs: a list leaves nothing to search"),
        (["seed=1"], ("sweep.keep=-1",), "sweep.keep=-1: expected a whole number in [0, inf)"),
        (None, ("sweep.keep=1.5",), "sweep.keep=1.5: expected a whole number"),
        (None, ("sweep.keep=-1", "sweep=ease"), "sweep.keep=-1: expected a whole number"),
    ],
    ids=str,
)
def test_a_bad_list_is_refused_before_the_first_job(jobs, overrides, said, launched):
    with pytest.raises(HydraException) as caught:
        launched(jobs, *overrides)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def run_py(folder, *arguments, code=0):
    """The real command, with a search path in which the sweep's folder stands."""
    given = [*SMALL, f"split_dir={folder}/splits", f"data.cache_dir={folder}/cache"]
    done = forked_python("run.py", "--config-dir", str(folder / "sweep"), *arguments, *given)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def test_a_job_of_a_list_of_a_grid_and_alone_are_the_same(tmp_path):
    experiment = {
        "defaults": [{"override /ensemble": "rank"}],
        "jobs": ["model=popularity", "model=ease model.l2=3,30"],
        "hydra": {"mode": "MULTIRUN"},
    }
    path = tmp_path / "sweep" / "experiment" / "lineup.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("# @package _global_\n" + yaml.safe_dump(experiment))
    listed = ("experiment=lineup", f"hydra.sweep.dir={tmp_path}/sweep")
    run_py(tmp_path, *listed)
    found = {run.name: result for run, result in results(tmp_path / "sweep")}
    assert list(found) == ["0_popularity", "1_ease", "2_ease"]
    assert [result.config["jobs"] for result in found.values()] == [None] * 3
    assert sorted(pd.read_csv(tmp_path / "sweep/leaderboard.csv").model) == [
        *("ease", "ease", "ensemble", "popularity"),
    ]
    before = times(tmp_path)

    assert run_py(tmp_path, *listed).stdout.count("done already") == 3
    grid = sweep(tmp_path, "model=ease", "model.l2=3,30")
    assert grid.stdout.count("done already") == 2
    assert times(tmp_path) == before

    alone = tmp_path / "alone"
    run_py(tmp_path, "+best=ease", f"hydra.run.dir={alone}")
    job = json.loads((alone / "result.json").read_text())["job"]
    assert job in (found["1_ease"].job, found["2_ease"].job)

    experiment.pop("hydra")
    path.write_text("# @package _global_\n" + yaml.safe_dump(experiment))
    done = run_py(tmp_path, "experiment=lineup", f"hydra.run.dir={alone}", code=2)
    assert "error: jobs: a list of several runs: give -m" in done.stderr
