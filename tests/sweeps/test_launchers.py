"""Jobs in processes of their own: joblib, submitit, Ray; and what a kill leaves."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import optuna
import pytest

from recsys_lightning.sweeps.jobs import results
from tests.command import ROOT
from tests.sweeps.test_sweep import SMALL, SPACE, kill_after, sweep, times, trials
from tests.test_configs import composed

JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
CORES = len(os.sched_getaffinity(0))


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "it ended before"
        assert time.monotonic() < end, "too late"
        time.sleep(0.02)


def jobs_of(folder):
    return [result.job for _, result in results(folder / "sweep")]


def test_joblib_shares_out_the_threads_and_a_failure_is_told(tmp_path):
    done = sweep(tmp_path, *JOBLIB, "jobs=['model=ease model.l2=1,-2','model=ease']", code=1)
    found = {run.name: result for run, result in results(tmp_path / "sweep")}
    assert [found[f"{number}_ease"].status for number in range(3)] == ["done", "failed", "done"]
    share = max(1, CORES // 2)
    assert found["0_ease"].threads["torch"] <= share
    assert found["0_ease"].threads["numba"] <= share
    assert "failed: " in done.stderr
    assert "model.l2=-2" in done.stderr
    assert (tmp_path / "sweep/report.html").exists()


@pytest.mark.parametrize(
    ("launcher", "pruner"),
    [
        (("hydra.sweeper.n_jobs=2", *JOBLIB), ("median", "n_startup_trials=1", "n_warmup_steps=0")),
        ((), ("hyperband", "min_resource=1", "max_resource=4")),
    ],
    ids=["median, in workers", "hyperband"],
)
def test_trials_report_to_a_study_in_a_database_and_are_pruned(launcher, pruner, tmp_path):
    name, *settings = pruner
    storage = f"sqlite:///{tmp_path}/study.db"
    options = (
        *("hydra/sweeper=optuna", f"hydra/sweeper/pruner={name}", "hydra/sweeper/sampler=random"),
        *(f"hydra.sweeper.pruner.{setting}" for setting in settings),
        *("hydra.sweeper.n_trials=6", *launcher),
        f"hydra.sweeper.storage='{storage}'",
        *("model=multi_dae", "max_epochs=4", "view.batch_size=20"),
        "model.lr=tag(log,interval(0.00000001,0.1))",
    )
    sweep(tmp_path, *options)
    study = optuna.load_study(study_name="sweep", storage=storage)
    states = [trial.state.name.replace("COMPLETE", "DONE").lower() for trial in study.trials]
    statuses = [result.status for _, result in results(tmp_path / "sweep")]
    assert statuses == states
    assert set(states) == {"done", "pruned"}
    assert all(trial.intermediate_values for trial in study.trials)


@pytest.mark.slow  # beside the search below, which is killed so, too
def test_killed_with_its_workers_a_sweep_goes_on_where_it_was(tmp_path):
    overrides = (*JOBLIB, "model=ease", "model.l2=1,2,3,4")
    kill_after(1, tmp_path, *overrides, kill=os.killpg)
    before = times(tmp_path)
    sweep(tmp_path, *overrides[len(JOBLIB) :])  # one by one, which starts no more workers
    after = times(tmp_path)
    assert len(after) == 4
    assert all(after[name] == when for name, when in before.items())
    assert len(set(jobs_of(tmp_path))) == 4


def test_workers_that_outlive_their_sweep_do_nothing_twice(tmp_path):
    overrides = (*JOBLIB, "model=multi_dae", "max_epochs=3", "model.dropout=0.1,0.2,0.3,0.4")
    killed = kill_after(1, tmp_path, *overrides)
    before = times(tmp_path)
    sweep(tmp_path, *overrides[len(JOBLIB) :])  # one by one: beside those workers it is enough
    with suppress(ProcessLookupError):
        os.killpg(killed, signal.SIGKILL)  # idle by now, and some would stay
    after = times(tmp_path)
    assert len(after) == 4
    assert all(after[name] == when for name, when in before.items())
    assert len(set(jobs_of(tmp_path))) == 4


def test_optuna_completes_its_total_after_a_kill_under_joblib(tmp_path):
    """One by one: the killed workers left what it must know."""
    options = (
        *SPACE,
        "hydra/launcher=joblib",
        "hydra.sweeper.n_jobs=2",
        "hydra.sweeper.n_trials=6",
    )
    kill_after(2, tmp_path, *options, kill=os.killpg)
    before = times(tmp_path)
    sweep(tmp_path, *options, "hydra/launcher=basic")
    after = times(tmp_path)
    assert all(after[name] == when for name, when in before.items())
    assert [state for state, _ in trials(tmp_path)].count("COMPLETE") == 6
    assert len(set(jobs_of(tmp_path))) == len(after) == 6


def test_submitit_starts_a_process_a_job(tmp_path):
    sweep(tmp_path, "hydra/launcher=local", "model=ease,popularity")
    assert sorted(times(tmp_path)) == ["0_ease", "1_popularity"]
    for _, result in results(tmp_path / "sweep"):
        assert result.threads == {"torch": 1, "numba": 1}
    assert list((tmp_path / "sweep/.submitit").iterdir())


@pytest.mark.skipif(
    importlib.util.find_spec("hydra_plugins.hydra_ray_launcher") is None,
    reason="needs the extra ray in an environment of its own",
)
def test_ray_starts_a_worker_a_job(tmp_path):
    sweep(tmp_path, "hydra/launcher=ray", "model=ease,popularity")
    assert sorted(times(tmp_path)) == ["0_ease", "1_popularity"]


def test_slurm_is_asked_for_what_the_configuration_says():
    config = composed("hydra/launcher=slurm", "hydra.launcher.partition=cpu")
    launcher = config.hydra.launcher
    assert (launcher.partition, launcher.cpus_per_task, launcher.mem_gb) == ("cpu", 4, 16)
    assert config.hydra.job.env_set == {"OMP_NUM_THREADS": "4"}


@pytest.mark.skipif(
    importlib.util.find_spec("hydra_plugins.hydra_ray_launcher") is not None,
    reason="the extra ray is installed here",
)
def test_a_launcher_that_is_not_installed_is_named(tmp_path):
    done = sweep(tmp_path, "hydra/launcher=ray", "model=popularity", code=2)
    assert "error: hydra/launcher=ray: expected one of basic, joblib, local, " in done.stderr
    assert "Traceback" not in done.stderr


def make(*arguments):
    return ["make", "-o", "install", f"BIN={Path(sys.executable).parent}", *arguments]


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_sweep_goes_through_the_models_and_tells_a_failure(tmp_path):
    args = " ".join(
        (
            *SMALL,
            "max_epochs=1",
            "hydra.sweeper.n_trials=1",
            f"split_dir={tmp_path}/splits",
            f"data.cache_dir={tmp_path}/cache",
        )
    )
    target = make("sweep", f"SWEEP={tmp_path}", f"ARGS={args}")
    done = subprocess.run(
        [*target, "MODELS=nosuch multi_ease"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "nosuch" in done.stderr
    assert len(list((tmp_path / "multi_ease").glob("*/result.json"))) == 1
    assert not subprocess.run([*target, "MODELS=multi_ease"], cwd=ROOT).returncode


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_the_dashboard_shows_the_study(tmp_path):
    sweep(tmp_path, *SPACE, "hydra.sweeper.n_trials=1")
    target = make("dashboard", f"SWEEP={tmp_path}/sweep", "ARGS=--port 18173")
    with subprocess.Popen(target, cwd=ROOT, start_new_session=True) as server:
        try:
            url = "http://127.0.0.1:18173/api/studies"
            answer = []
            wait_for(lambda: answer or _fetch(url, answer), server, seconds=60)
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
    assert '"sweep"' in answer[0]


def _fetch(url, answer):
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            answer.append(page.read().decode())
    except OSError:
        return False
    return True
