"""A run that dies by a signal is named with it: in a process, in a sweep, in its report."""

import os
import signal
import subprocess
import sys

import pytest

from recsys_lightning.report import main
from recsys_lightning.runs.deaths import dead_run, leaving_word
from recsys_lightning.runs.record import RunResult
from recsys_lightning.sweeps.jobs import failures, results
from tests.command import run
from tests.forked import ROOT, forked_python
from tests.sweeps.test_sweep import SMALL, arguments, sweep

DIES = """
import os, pathlib, sys
from recsys_lightning.runs.deaths import leaving_word
from recsys_lightning.runs.record import RunResult
with leaving_word(pathlib.Path(sys.argv[1]), RunResult(model="ease")):
    print("begun", flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), int(sys.argv[2]))
"""


def start_to_die(folder, number):
    return subprocess.Popen(
        [sys.executable, "-c", DIES, str(folder), str(int(number))],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGKILL"])
def test_the_signal_is_named_once_the_process_is_dead(name, tmp_path):
    number = getattr(signal, name)
    with start_to_die(tmp_path, number) as process:
        assert process.stdout.readline() == "begun\n"
        assert dead_run(tmp_path) is None  # it lives
        assert list(results(tmp_path)) == []
        process.stdin.write("\n")
    assert process.returncode == -number
    [(run, result)] = results(tmp_path)
    assert (run, result.model, result.status) == (tmp_path, "ease", "failed")
    expected = "SIGKILL: by the system because memory ran out" if name == "SIGKILL" else name
    assert expected in result.error
    if name != "SIGKILL":
        assert " at <string>, line 8, in <module>; see " in result.error


def test_a_result_stands_for_itself_and_an_end_leaves_nothing(tmp_path):
    with leaving_word(tmp_path, RunResult(model="a")):
        assert {"unfinished.json", "fault.log"} <= set(os.listdir(tmp_path))
    assert os.listdir(tmp_path) == []
    with pytest.raises(ValueError, match="a mistake"), leaving_word(tmp_path, RunResult(model="a")):
        raise ValueError("a mistake")
    assert os.listdir(tmp_path) == []
    (tmp_path / "unfinished.json").write_text('{"model": "a"}')
    (tmp_path / "result.json").write_text('{"status": "done"}')
    assert [result.status for _, result in results(tmp_path)] == ["done"]
    (tmp_path / "result.json").unlink()
    (tmp_path / "unfinished.json").write_text('{"model": ')  # it died as it wrote
    assert list(results(tmp_path)) == []


def test_a_second_run_in_a_folder_is_refused_and_the_first_one_ends_well(tmp_path):
    with start_to_die(tmp_path, 0) as process:  # signal 0 kills nobody
        assert process.stdout.readline() == "begun\n"
        done = run("model=popularity", *SMALL, folder=tmp_path, code=2)
        assert f"{tmp_path}: another run is at work in this folder" in done.err
        assert "Traceback" not in done.err
        assert (tmp_path / "unfinished.json").exists()
        process.stdin.write("\n")
    assert process.returncode == 0
    assert run("model=popularity", *SMALL, folder=tmp_path).result["status"] == "done"


def crashing(tmp_path, *overrides):
    """Three jobs; the second dies by a segmentation fault."""
    callback = ("+callbacks.x._target_=tests.runs.crash.Crash", "+callbacks.x.signal=0,11,0")
    return forked_python(*arguments(tmp_path, "model=popularity", *callback, *overrides))


def dead(told):
    """The lines that name the job, each up to its name."""
    lines = [line for line in told.splitlines() if "1_popularity: no result: died by" in line]
    for line in lines:
        assert "SIGSEGV (segmentation fault)" in line
        assert "crash.py, line 14, in on_fit_start" in line
    return [line.partition(": ")[0] for line in lines]


def test_a_sweep_that_dies_with_its_job_names_it_when_started_or_reported_again(tmp_path, capsys):
    folder = tmp_path / "sweep"
    assert crashing(tmp_path).returncode == -signal.SIGSEGV
    [(run, error)] = failures(folder, list(results(folder)))
    assert run == folder / "1_popularity"
    assert "died by SIGSEGV" in error
    assert main([str(folder)]) == 0
    capsys.readouterr()
    text = (folder / "report.md").read_text()
    assert "2 runs: 1 done, 1 failed" in text or "2 runs: 1 failed, 1 done" in text
    assert "| 1_popularity | popularity | no result: died by SIGSEGV" in text

    # without the job that dies: it stays a failure
    again = sweep(tmp_path, "model=popularity", "seed=1", code=1)
    assert dead(again.stderr) == ["in an earlier start", "failed"]


def test_a_worker_that_dies_is_named_with_its_signal(tmp_path):
    done = crashing(tmp_path, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert done.returncode == 1
    assert "SIGSEGV(-11)" in done.stderr
    assert dead(done.stderr) == ["failed"]
    text = (tmp_path / "sweep/report.md").read_text()
    assert "| 1_popularity | popularity | no result: died by SIGSEGV" in text
