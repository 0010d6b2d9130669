"""A signal at any stage: status failed, a word on what is kept, the exit code of the signal."""

import json
import os
import signal
import threading
import time
from contextlib import suppress
from importlib import import_module

import psutil
import pytest

from recsys_lightning.errors import Interrupted
from recsys_lightning.functional.kernels import kernel
from recsys_lightning.interruption import SIGNALS, signals_kill, signals_raise, signals_wait
from tests.forked import forked_python
from tests.test_run import SMALL
from tests.tracking.logs import environment, wandb_runs


@pytest.mark.usefixtures("obeyed")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_raises_inside_and_is_given_back_after(number):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as interruption, signals_raise():
        os.kill(os.getpid(), number)
    assert interruption.value.code == 128 + number
    assert signal.getsignal(number) == before


def test_an_ignored_signal_stays_ignored():
    """As nohup sets SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_raise():
            os.kill(os.getpid(), signal.SIGHUP)
            signals_kill()
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_waits_until_what_must_be_whole_is_written():
    written = []

    def write():
        with signals_wait():
            os.kill(os.getpid(), signal.SIGTERM)
            written.extend(["header", "lines"])
        written.append("after")

    with pytest.raises(Interrupted) as interruption, signals_raise():
        write()
    assert written == ["header", "lines"]
    assert interruption.value.code == 143


def test_a_signal_that_a_library_has_lost_is_raised_in_the_end():
    done = []

    def lose():
        with suppress(Interrupted):  # as Arrow does where it tries to import pandas
            os.kill(os.getpid(), signal.SIGTERM)
        done.append("the rest")

    with pytest.raises(Interrupted) as interruption, signals_raise():
        lose()
    assert interruption.value.code == 143
    assert done
    with signals_raise():
        pass  # once


def test_a_signal_waits_until_a_kernel_is_compiled():
    """It was lost where LLVM calls back: the command went on to its end."""
    names = {}
    exec("def doubled(x): return 2 * x", names)  # of no file, so that no earlier run has kept it
    doubled = kernel()(names["doubled"])
    strike = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGTERM))

    def compile_under_fire():
        strike.start()
        doubled(1)
        time.sleep(10)

    with pytest.raises(Interrupted), signals_raise():
        compile_under_fire()
    assert doubled.signatures


# The real command; what begins a stage sends the signal to the process.
STRIKE = """
import os, runpy, sys
from importlib import import_module
module, place, name, number = "{module}", "{place}", "{name}", {number}
owner = import_module(module)
owner = getattr(owner, place) if place else owner
def strike(*arguments, **options):
    os.kill(os.getpid(), number)
setattr(owner, name, strike)
sys.argv[0] = "run.py"
runpy.run_path("run.py", run_name="__main__")
"""


def strike(*overrides, folder, multirun=False, env=None, **where):
    command = ["-c", STRIKE.format(**where), *SMALL, *overrides]
    command += [f"hydra.{'sweep' if multirun else 'run'}.dir={folder}"]
    command += [f"split_dir={folder.parent}/s", f"data.cache_dir={folder.parent}/c"]
    command += ["-m"] if multirun else []
    done = forked_python(*command, env=env)
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize(
    ("stage", "number", "where", "kept"),
    [
        (
            "load",
            signal.SIGHUP,
            {"module": "recsys_lightning.data.sources.base", "place": "Source", "name": "load"},
            "nothing is kept",
        ),
        (
            "refit",
            signal.SIGTERM,
            {"module": "recsys_lightning.fitting", "place": "StopAfter", "name": "__init__"},
            "a run evaluates the best epoch and recommends from it",
        ),
        (
            "write",
            signal.SIGINT,
            {"module": "recsys_lightning.experiment", "place": "", "name": "write_submission"},
            "a run evaluates it and recommends from ",
        ),
    ],
)
def test_a_signal_ends_a_run_at_any_stage(stage, number, where, kept, tmp_path):
    folder = tmp_path / "run"
    done = strike(folder=folder, number=int(number), **where)
    result = json.loads((folder / "result.json").read_text())
    assert done.returncode == 128 + number
    assert result["status"] == "failed"
    assert result["error"].startswith(f"interrupted by {number.name} during {stage}: ")
    assert kept in result["error"]
    assert result["error"] in done.stderr
    assert not (folder / "submission.csv").exists()


# where each stage of a gradient model's run is struck, and what it is called in messages
STAGES = {
    "load": ("load", "recsys_lightning.data.sources.base", "Source", "load"),
    "split": ("split", "recsys_lightning.data.split", "Split", "write"),
    "fit": ("fit", "recsys_lightning.recommender", "Recommender", "on_train_batch_start"),
    "validation": ("fit", "recsys_lightning.recommender", "Recommender", "validation_step"),
    "test": ("test", "recsys_lightning.recommender", "Recommender", "test_step"),
    "refit": ("refit", "recsys_lightning.fitting", "StopAfter", "__init__"),
    "recommend": ("recommend", "recsys_lightning.recommender", "Recommender", "predict_step"),
    "write": ("write", "recsys_lightning.experiment", "", "write_submission"),
}
FIT = ("model=multi_dae", "max_epochs=2", "view.batch_size=100", "refit=true", "logger=csv")


DDP = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")


@pytest.mark.slow
@pytest.mark.parametrize("multirun", [False, True], ids=["run", "sweep"])
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("stage", STAGES)
def test_each_signal_at_each_stage_and_the_hint_that_follows(stage, number, multirun, tmp_path):
    interrupt_and_follow_the_hint(stage, number, FIT, tmp_path, multirun=multirun)


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("stage", ["split", "fit", "validation", "refit", "recommend"])
def test_each_signal_with_two_devices(stage, number, tmp_path):
    interrupt_and_follow_the_hint(stage, number, (*FIT, *DDP), tmp_path)
    ours = [p.cmdline() for p in psutil.process_iter() if p.status() != psutil.STATUS_ZOMBIE]
    assert not [command for command in ours if f"hydra.run.dir={tmp_path}/out" in command]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["fit", "test", "refit", "write"])
def test_each_tracker_is_told_of_an_interruption(stage, tmp_path):
    from mlflow import MlflowClient

    folder, database = tmp_path / "out", f"sqlite:///{tmp_path}/mlflow.db"
    trackers = ("logger=[csv,mlflow,wandb,tensorboard]", f"logger.mlflow.tracking_uri={database}")
    _, module, place, name = STAGES[stage]
    where = {"module": module, "place": place, "name": name, "env": environment(tmp_path)}
    strike(*FIT[:-1], *trackers, folder=folder, number=int(signal.SIGTERM), **where)
    client = MlflowClient(database)
    [run] = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert run.info.status == "FAILED"
    assert run.data.tags["status"] == "failed"
    [logged] = wandb_runs(folder)
    assert logged.exit_code == 1
    assert logged.summary["error"].startswith("interrupted by SIGTERM during ")


def interrupt_and_follow_the_hint(stage, number, overrides, tmp_path, multirun=False):
    """What a signal leaves, and that the command which is advised then brings it to its end."""
    called, module, place, name = STAGES[stage]
    folder = tmp_path / "out"
    where = {"module": module, "place": place, "name": name}
    done = strike(*overrides, folder=folder, multirun=multirun, number=int(number), **where)
    run = folder / "0_multi_dae" if multirun else folder
    result = json.loads((run / "result.json").read_text())
    assert done.returncode == 128 + number
    assert result["status"] == "failed"
    assert result["error"].startswith(f"interrupted by {number.name} during {called}: ")
    assert result["error"].partition(": ")[0] in done.stderr
    assert not (run / "submission.csv").exists()
    assert not list(tmp_path.rglob(".*.tmp"))
    again = [*SMALL, *overrides, f"hydra.{'sweep' if multirun else 'run'}.dir={folder}"]
    again += [f"split_dir={tmp_path}/s", f"data.cache_dir={tmp_path}/c"]
    if multirun:
        assert "skips the jobs that are done" in done.stderr
        again.append("-m")
    elif "ckpt_path=last" in done.stderr:
        again.append("ckpt_path=last")
    elif f"with ckpt_path={folder}" in done.stderr:
        fitted_again = (folder / "checkpoints/final.ckpt").exists()
        assert ("with refit=true" in done.stderr) != fitted_again
        again = [f"ckpt_path={folder}", "refit=true", f"hydra.run.dir={(run := tmp_path / 'b')}"]
        again += [option for option in overrides if option.startswith("trainer")]
    else:
        assert not (run / "checkpoints").exists() or not any((run / "checkpoints").iterdir())
    finished = forked_python("run.py", *again)
    assert finished.returncode == 0, finished.stderr
    result = json.loads((run / "result.json").read_text())
    assert result["status"] == "done"
    assert any((one / "checkpoints/final.ckpt").exists() for one in (run, folder))


def test_a_signal_ends_a_sweep_and_the_hint_is_for_the_sweep(tmp_path):
    folder = tmp_path / "sweep"
    done = strike(
        "model=popularity,ease",
        folder=folder,
        multirun=True,
        number=int(signal.SIGTERM),
        module="recsys_lightning.families.closed_form",
        place="ClosedForm",
        name="on_train_start",
    )
    assert done.returncode == 143
    assert f"hydra.sweep.dir={folder} skips the jobs that are done" in done.stderr
    assert "ckpt_path" not in done.stderr
    assert [path.parent.name for path in folder.glob("*/result.json")] == ["0_popularity"]


@pytest.mark.parametrize(
    ("command", "module", "name"),
    [
        ("recsys_lightning.ensemble.__main__", "recsys_lightning.ensemble.build", "find_members"),
        ("recsys_lightning.report", "recsys_lightning.reports.writing", "runs_table"),
    ],
)
def test_a_signal_ends_a_command_in_one_line(command, module, name, tmp_path, monkeypatch, capsys):
    def strike(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(import_module(module), name, strike)
    assert import_module(command).main([str(tmp_path), "--out", str(tmp_path / "out")]) == 143
    assert capsys.readouterr().err == (
        "error: interrupted by SIGTERM: the same command starts again\n"
    )
    if "ensemble" in command:
        result = json.loads((tmp_path / "out" / "ensemble.json").read_text())
        assert result["status"] == "failed"
        assert "SIGTERM" in result["error"]


def test_a_signal_after_the_last_stage_loses_no_result(tmp_path):
    where = {"module": "recsys_lightning.job", "place": "", "name": "versions"}
    folder = tmp_path / "out"
    done = strike("model=popularity", folder=folder, number=int(signal.SIGINT), **where)
    assert done.returncode == 130
    assert json.loads((folder / "result.json").read_text())["status"] == "done"
