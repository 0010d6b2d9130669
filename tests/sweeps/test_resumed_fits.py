"""A fit that a signal has ended in a sweep: the same command resumes it."""

import json
import signal
from shutil import copytree

import pandas as pd
import pytest

from recsys_lightning.runs.record import RunResult
from tests.forked import start_forked
from tests.sweeps.test_sweep import arguments, study_of, sweep, wait_for

EPOCHS = 40
FIT = ("model=multi_dae", "model.hidden_dims=[40]", f"max_epochs={EPOCHS}", "patience=null")
OPTIONS = (*FIT, "refit=false", "logger=csv")
RUN = "sweep/0_multi_dae"


def stop(folder, how, *options):
    """Start the sweep, and end it by a signal some epochs into its fit; returns how many."""
    job = start_forked(*arguments(folder, *OPTIONS, *options))
    wait_for(lambda: epochs(folder) > 3, job)
    (job.terminate if how == signal.SIGTERM else job.kill)()
    job.join()
    return epochs(folder)


def epochs(folder, run=RUN):
    file = folder / run / "metrics.csv"
    try:
        return pd.read_csv(file)["train/loss"].count()
    except (OSError, KeyError, pd.errors.EmptyDataError):
        return 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    sweep(folder, *OPTIONS)
    return RunResult.read(folder / RUN / "result.json")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_is_resumed_and_ends_as_if_nothing_had_happened(how, undisturbed, tmp_path):
    assert 3 < stop(tmp_path, how) < EPOCHS
    file = tmp_path / RUN / "metrics.csv"
    marked = pd.read_csv(file)
    marked.loc[marked["train/loss"].first_valid_index(), "train/loss"] = 12345
    marked.to_csv(file, index=False)
    done = sweep(tmp_path, *OPTIONS)
    assert f"resumes its fit: {tmp_path / RUN}" in done.stdout
    result = RunResult.read(tmp_path / RUN / "result.json")
    assert result.metrics == undisturbed.metrics
    assert (result.steps, result.job) == (undisturbed.steps, undisturbed.job)
    assert result.config["ckpt_path"] is None
    assert epochs(tmp_path) == EPOCHS
    assert pd.read_csv(file)["train/loss"].max() == 12345  # of an epoch that is not fitted again


def test_a_job_with_another_number_resumes_it(undisturbed, tmp_path):
    stop(tmp_path, signal.SIGKILL)
    jobs = f"jobs=['model=popularity','{FIT[0]} {FIT[1]}']"
    done = sweep(tmp_path, jobs, *OPTIONS[2:])
    assert f"resumes its fit: {tmp_path / RUN}" in done.stdout
    result = RunResult.read(tmp_path / "sweep/1_multi_dae/result.json")
    assert (result.metrics, result.steps) == (undisturbed.metrics, undisturbed.steps)
    assert epochs(tmp_path, "sweep/1_multi_dae") == EPOCHS


def test_a_search_resumes_a_killed_trial_as_another_one(tmp_path):
    search = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=1", "hydra/sweeper/pruner=median")
    space = "model.lr=interval(0.001,0.002)"
    sweep(tmp_path / "undisturbed", *OPTIONS, *search, space)
    stop(tmp_path, signal.SIGKILL, *search, space)
    done = sweep(tmp_path, *OPTIONS, *search, space)
    assert f"resumes its fit: {tmp_path / RUN}" in done.stdout
    [undisturbed] = study_of(tmp_path / "undisturbed").trials
    killed, resumed = study_of(tmp_path).trials
    assert (killed.state.name, resumed.state.name) == ("FAIL", "COMPLETE")
    assert (resumed.params, resumed.value) == (undisturbed.params, undisturbed.value)
    assert resumed.intermediate_values == undisturbed.intermediate_values
    assert len(resumed.intermediate_values) == EPOCHS
    assert epochs(tmp_path, "sweep/1_multi_dae") == EPOCHS
    report = (tmp_path / "sweep/report.md").read_text()
    assert "1 run: 1 done. " in report
    assert "Failed" not in report


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopped")
    stop(folder, signal.SIGTERM)
    return folder


def changed(file, **fields):
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def an_error(run):
    changed(run / "result.json", error="ValueError: NaN")


def another_job(run):
    changed(run / "result.json", job="another")


def other_code(run):
    changed(run / "result.json", code="another")


def damage(run):
    content = (run / "checkpoints/last.ckpt").read_bytes()
    (run / "checkpoints/last.ckpt").write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("since", "word"),
    [
        (an_error, None),
        (another_job, None),
        (other_code, "the file of its model has changed"),
        (damage, "last.ckpt is not a checkpoint"),
    ],
)
def test_it_begins_anew_where_it_cannot_be_resumed(since, word, undisturbed, stopped, tmp_path):
    folder = copytree(stopped, tmp_path, dirs_exist_ok=True)
    since(folder / RUN)
    done = sweep(folder, *OPTIONS)
    assert "resumes" not in done.stdout
    assert ("fitted from the start: " in done.stdout) == (word is not None)
    assert (word or "") in done.stdout
    result = RunResult.read(folder / RUN / "result.json")
    assert result.metrics == undisturbed.metrics
