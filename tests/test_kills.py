"""kill -9 at random moments and inside every write, or a file cut; then the same command again.

Nothing may be lost, nothing done twice, no half file stand under its name, and after the next start
no temporary file; a file that was cut is made again or named. `python -m pytest
tests/test_kills.py -s` prints the counts.
"""

import csv
import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyarrow import parquet

from recsys_lightning.callbacks.pruning import open_storage
from recsys_lightning.checkpoints import open_checkpoint
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.sweeps.jobs import failures, results
from tests.forked import forked_python, start_forked
from tests.sweeps.test_sweep import SMALL

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("KILLS", 100))  # at random moments, over all commands
TRIALS = 4
FIT = ("model=multi_dae", "max_epochs=3", "view.batch_size=20", "callbacks=default", "logger=csv")
JOBS = ('"model=ease model.l2=3,5"', f'"{" ".join(FIT)}"', '"model=popularity"')
SEARCH = ("hydra/sweeper=optuna", "model=ease", "model.l2=tag(log,interval(1.0,100.0))")
SEARCH += ("hydra/sweeper/sampler=random", f"hydra.sweeper.n_trials={TRIALS}")
WORKERS = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2")


@dataclass(frozen=True)
class Command:
    """One that can be killed.

    Attributes:
        arguments: of Python; {out} is the folder it writes, {runs} that of a finished sweep.
        jobs: how many it runs.
        same: whether a kill may not change what it finds.
    """

    arguments: tuple[str, ...]
    jobs: int = 0
    same: bool = True

    def start(self, folder: Path) -> list[str]:
        """What a user types; a single run resumes where there is something to resume from."""
        out = folder / "out"
        made = [part.format(out=out, runs=folder / "runs") for part in self.arguments]
        if made[0] == "run.py":
            made += [f"split_dir={folder / 'splits'}", f"data.cache_dir={folder / 'cache'}"]
        if f"hydra.run.dir={out}" in made and RunFolder(out).last.exists():
            made.append("ckpt_path=last")
        return made


def multirun(*overrides: str) -> tuple[str, ...]:
    return ("run.py", "-m", *SMALL, *overrides, "hydra.sweep.dir={out}")


COMMANDS = {
    "run": Command(("run.py", *SMALL, *FIT, "refit=true", "hydra.run.dir={out}"), 1),
    "grid": Command(multirun("model=popularity,ease", "seed=1,2"), 4),
    "jobs": Command(multirun(f"jobs=[{','.join(JOBS)}]"), 4),
    "search": Command(multirun(*SEARCH), TRIALS, same=False),
    "workers": Command(multirun(*SEARCH, *WORKERS), TRIALS, same=False),
    "sweep and ensemble": Command(multirun("model=popularity,ease", "ensemble=rank"), 2),
    "ensemble": Command(("-m", "recsys_lightning.ensemble", "{runs}", "--out", "{out}")),
    "report": Command(("-m", "recsys_lightning.report", "{runs}", "--out", "{out}", "--latex")),
}


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A finished sweep, its split and cache: what a command finds that is not the first one."""
    folder = tmp_path_factory.mktemp("ready")
    done = forked_python(*Command(multirun("model=popularity,ease,easer"), 3).start(folder))
    assert done.returncode == 0, done.stderr
    (folder / "out").rename(folder / "runs")
    return folder


def copy(ready: Path, folder: Path) -> Path:
    """All but its split and cache, which the runs in it name by their own path."""
    return shutil.copytree(ready, folder, ignore=shutil.ignore_patterns("splits", "cache"))


def check_files(folder: Path) -> None:
    """Whatever stands under its name is whole; what is appended to is looked at by its reader."""
    for path in folder.rglob("*"):
        unfinished = any(part.endswith(".tmp") for part in path.relative_to(folder).parts)
        if unfinished or path.name == RunFolder(path).unfinished.name:
            continue
        if path.suffix == ".json" and ".locks" not in path.parts and path.name != "best.json":
            json.loads(path.read_text())
        elif path.suffix == ".parquet":
            parquet.read_table(path)
        elif path.suffix == ".ckpt":
            open_checkpoint(path)
        elif path.suffix == ".csv" and path.name != RunFolder(path).metrics.name:
            with path.open(newline="") as file:
                assert len({len(row) for row in csv.reader(file)}) == 1, path
            assert path.read_bytes().endswith(b"\n"), path


def found(command: Command, folder: Path) -> object:
    """What a command found, without its times; checks that no job was lost or done twice."""
    out = folder / "out"
    done = {run.name: result for run, result in results(out) if result.status == "done"}
    assert len(done) == len({result.job for result in done.values()}) == command.jobs
    assert not failures(out, list(results(out)))  # a killed trial is another's now
    if "hydra/sweeper=optuna" in command.arguments:
        import optuna

        storage = open_storage(str(out / "study.journal"))
        trials = optuna.load_study(study_name="sweep", storage=storage).trials
        values = sorted(trial.value for trial in trials if trial.state.name == "COMPLETE")
        assert values == sorted(result.metrics["val/recall@10"] for result in done.values())
    if not command.same:
        return None
    lists = {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.name in ("submission.csv", "report.tex")
    }
    assert lists or command.jobs == 0
    return {name: result.metrics for name, result in done.items()}, lists


def finish(command: Command, folder: Path) -> object:
    """Start again after a kill, and look at all that is there then."""
    check_files(folder)
    arguments = command.start(folder)
    done = forked_python(*arguments)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    check_files(folder)
    assert not list(folder.rglob(".*.tmp")), "a temporary file"
    return found(command, folder)


@pytest.fixture(scope="module", params=COMMANDS)
def reference(request, ready, tmp_path_factory):
    """A command, what it finds undisturbed, and its seconds."""
    command = COMMANDS[request.param]
    folder = copy(ready, tmp_path_factory.mktemp("reference") / "a")
    begun = time.monotonic()
    expected = finish(command, folder)
    return request.param, command, expected, time.monotonic() - begun


def test_kills_at_random_moments(reference, ready, tmp_path, capsys):
    name, command, expected, seconds = reference
    moments = random.Random(name)
    ends = Counter[str]()
    for number in range(-(-KILLS // len(COMMANDS))):
        folder = copy(ready, tmp_path / str(number))
        job = start_forked(*command.start(folder))
        job.join(moments.uniform(0, seconds))
        ends["killed" if job.is_alive() else "had ended"] += 1
        if job.is_alive():
            os.killpg(job.pid, signal.SIGKILL) if _leads(job.pid) else job.kill()
        job.join()
        assert finish(command, folder) == expected
        shutil.rmtree(folder)
    with capsys.disabled():
        print(f"\n{name}: {dict(ends)} in {seconds:.1f} s; all whole, and the same after a restart")


def _leads(pid: int) -> bool:
    """Whether a fork leads its group yet, with whoever it starts."""
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


# the real command; the n-th file that is to take its place is cut in half, and the process killed
IN_A_WRITE = """
import os, runpy, sys
number, replace = int(sys.argv[1]), os.replace
def strike(source, target):
    global number
    number -= 1
    if number < 0:
        os.truncate(source, os.path.getsize(source) // 2)
        os.kill(os.getpid(), 9)
    replace(source, target)
os.replace = strike
sys.argv[:] = sys.argv[2:]
if sys.argv[0] == "-m":
    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
else:
    runpy.run_path("run.py", run_name="__main__")
"""


def test_kills_inside_each_write(reference, ready, tmp_path, capsys):
    name, command, expected, _ = reference
    if name == "workers":
        pytest.skip("its files are written by other processes, which are as those of `search`")
    number = 0
    while True:
        folder = copy(ready, tmp_path / str(number))
        done = forked_python("-c", IN_A_WRITE, str(number), *command.start(folder))
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert finish(command, folder) == expected, number
        shutil.rmtree(folder)
        number += 1
    assert number
    with capsys.disabled():
        print(f"\n{name}: killed inside each of {number} writes")


def interrupted_run(folder):
    """A run that was killed when it could be resumed."""
    job = start_forked(*COMMANDS["run"].start(folder))
    end = time.monotonic() + 120
    while not RunFolder(folder / "out").last.exists():
        assert job.is_alive(), "it ended before"
        assert time.monotonic() < end, "too late"
        time.sleep(0.001)
    os.killpg(job.pid, signal.SIGKILL)
    job.join()


def finished(name):
    def make(folder):
        done = forked_python(*COMMANDS[name].start(folder))
        assert done.returncode == 0, done.stderr

    return make


STARTS = {
    "run": interrupted_run,
    "sweep and ensemble": finished("sweep and ensemble"),
    "search": finished("search"),
    "ensemble": finished("ensemble"),
    "report": finished("report"),
}
# what nobody reads: logs and pages; what Python itself makes
IGNORED = (".log", ".png", ".html", ".md", ".tex", ".pyc")


@pytest.mark.parametrize("name", STARTS)
def test_a_file_that_was_cut_is_made_again_or_named(name, ready, tmp_path, capsys):
    command = COMMANDS[name]
    made = copy(ready, tmp_path / "made")
    expected = found(command, made) if name == "report" else None
    STARTS[name](made)
    if name != "run":
        expected = found(command, made)
    else:
        whole = shutil.copytree(made, tmp_path / "whole")
        finished(name)(whole)
        expected = found(command, whole)
    files = [
        path.relative_to(made)
        for path in sorted(made.rglob("*"))
        if path.is_file() and path.stat().st_size and path.suffix not in IGNORED
    ]
    ends = Counter()
    wrong = []
    for file in files:
        for tenth in range(10):
            folder = shutil.copytree(made, tmp_path / "cut")
            os.truncate(folder / file, os.path.getsize(folder / file) * tenth // 10)
            done = forked_python(*command.start(folder))
            try:
                if done.returncode:
                    assert done.returncode in (1, 2), done.returncode
                    assert "Traceback" not in done.stderr
                    assert file.name in done.stderr
                    ends["named"] += 1
                else:
                    assert found(command, folder) == expected
                    ends["as if it were whole"] += 1
            except (AssertionError, ValueError, OSError) as error:
                wrong.append(f"{file} at {tenth}/10: {error!r}"[:300] + done.stderr[-500:])
            shutil.rmtree(folder)
    with capsys.disabled():
        print(f"\n{name}: {len(files)} files, each cut at ten places: {dict(ends)}")
    assert not wrong, "\n".join(wrong)
