"""What the jobs of a multirun share: its folder. Nothing else outlives a kill or reaches a worker.

A job is known by its hash (see `runs.parameters`): started again in the same folder, a sweep skips
what is done and runs what failed or is missing.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from recsys_lightning.runs.deaths import KILLED, dead_run
from recsys_lightning.runs.folder import ENSEMBLE, RESULT, UNFINISHED, RunFolder, relative
from recsys_lightning.runs.record import EnsembleResult, Result, RunResult, read_result
from recsys_lightning.sweeps.locks import also_done_by, job_locks, runs_of
from recsys_lightning.writing import clear_left

OF_HYDRA = (".hydra", "run.log")  # which Hydra writes into a run's folder before the job begins

STARTED = "multirun.yaml"  # written by a sweep at every start
RUNNING = ".running"  # folder of a file for each job at work, or whose process died
FAILURE = ".failure"  # touched whenever a job fails
KEPT = ".kept"  # see `sweeps.keep`


Known = dict[tuple[Path, int], RunResult]  # by file, and when it was written


def results(folder: Path, known: Known | None = None) -> Iterator[tuple[Path, RunResult]]:
    """The runs below a folder, each with its result, in the order of their names.

    A run that died by a signal has the result that `deaths.dead_run` gives; one that is running
    is not among them.

    Args:
        folder: where to look.
        known: those that were read before; they are not read again, and those that are read join.
    """
    known = {} if known is None else known
    files = [*folder.rglob(RESULT), *folder.rglob(UNFINISHED)]
    for path in sorted(files, key=natural_order):
        if path.name == UNFINISHED:
            whole = RunFolder(path.parent).result.exists()
            if not whole and (died := dead_run(path.parent)):
                yield path.parent, died
            continue
        with suppress(FileNotFoundError):  # made room in the meantime
            key = path, path.stat().st_mtime_ns
            if key not in known:
                known[key] = RunResult.read(path)
            yield path.parent, known[key]


def ensembles(folder: Path) -> Iterator[tuple[Path, EnsembleResult]]:
    """The ensembles in and below a folder, each with the content of its ensemble.json."""
    for path in sorted(folder.rglob(ENSEMBLE), key=natural_order):
        yield path.parent, EnsembleResult.read(path)


Run = tuple[Path, RunResult]  # its folder, and what it says of itself


class Runs:
    """Runs on disk, each read once: what the end of a sweep hands to all who look at its runs."""

    def __init__(self) -> None:
        self._below: dict[Path, list[Run]] = {}
        self._of: dict[Path, Result] = {}

    def below(self, folder: Path) -> list[Run]:
        """As `results`."""
        if folder not in self._below:
            self._below[folder] = list(results(folder))
            self._of |= {run.resolve(): result for run, result in self._below[folder]}
        return self._below[folder]

    def of(self, folder: Path) -> Result:
        """What the run in a folder says of itself, or the ensemble; see `runs.record`."""
        return self._of.get(folder.resolve()) or read_result(folder)


def begin(folder: Path) -> None:
    """What a start of a sweep does once, so that none of its jobs has to look at all the others."""
    for run, result in dead_runs(folder):
        print(f"in an earlier start: {run}: {result.error}", file=sys.stderr)
        clear_left(run, "**/.*.tmp")
    shutil.rmtree(folder / RUNNING, ignore_errors=True)
    forget_kept(folder)
    name_runs(folder)


def name_runs(folder: Path) -> None:
    """Let the locks of jobs name all runs that have done them, so that a job looks there alone.

    They do, unless an earlier version made the sweep, or a job was killed as it moved a run: only
    results that no lock names are read.
    """
    named = {os.path.abspath(run) for lock in job_locks(folder) for run in runs_of(folder, lock)}
    for path in sorted(folder.rglob(RESULT), key=natural_order):
        if os.path.abspath(path.parent) not in named:
            with suppress(FileNotFoundError):
                result = RunResult.read(path)
                if result.job and result.status == "done":
                    also_done_by(folder, result.job, path.parent)


def find_done(
    runs: Sequence[Path], job: str, split: Callable[[], str]
) -> tuple[Path, RunResult] | None:
    """The run of a sweep that has done the job already, on the split that it would have now.

    Args:
        runs: those that the job's lock names.
        job: its hash.
        split: returns the SHA-256 of the split; called only where a run has done the job.
    """
    done: list[Run] = []
    for run in reversed(runs):
        with suppress(FileNotFoundError):
            result = RunResult.read(RunFolder(run).result)
            if result.job == job and result.status == "done":
                if result.split == split():
                    return run, result
                done.append((run, result))
    for run, result in done:
        there, here = str(result.split)[:16], split()[:16]
        print(f"done with another split ({there}, and now it is {here}), so run again: {run}")
    return None


def make_room(folder: Path, run: Path) -> None:
    """Move what a job did in a run's folder beside it, before another is done there.

    A changed grid renumbers its jobs; changed data makes others of them.

    Args:
        folder: the sweep's.
        run: the folder of a run.
    """
    files = RunFolder(run)
    if files.result.exists() and (earlier := RunResult.read(files.result)).status == "done":
        aside = run.with_name(f"{run.name}-{earlier.job}-{str(earlier.split)[:8]}")
        run.rename(aside)  # at once: a kill leaves the one or the other
        run.mkdir()
        for name in OF_HYDRA:  # of the job that begins
            with suppress(FileNotFoundError):
                (aside / name).rename(run / name)
        also_done_by(folder, str(earlier.job), aside)
        forget_kept(folder)


def take_over(earlier: Path, run: Path) -> None:
    """Let a run have what the fit of an earlier one, in another folder, has left to resume from.

    A search gives a trial that was killed another number, as a changed grid does with its jobs.

    Args:
        earlier: the folder of the fit that a signal has ended.
        run: that of the run which resumes it.
    """
    if earlier == run:
        return
    old, new = RunFolder(earlier), RunFolder(run)
    shutil.rmtree(new.tensorboard, ignore_errors=True)
    with suppress(FileNotFoundError):
        shutil.copytree(old.tensorboard, new.tensorboard)
    new.metrics.unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        shutil.copy(old.metrics, new.metrics)
    shutil.rmtree(new.checkpoints, ignore_errors=True)
    old.checkpoints.rename(new.checkpoints)  # at last: until then the earlier one can be resumed


def splits(runs: Sequence[Run]) -> dict[str, list[Path]]:
    """The splits of a sweep's finished runs, each with the runs on it, the latest finished last."""
    done = [(run, result) for run, result in runs if result.status == "done"]
    found: dict[str, list[Path]] = {}
    for run, result in sorted(done, key=lambda of_run: of_run[1].finished or ""):
        found.setdefault(str(result.split), []).append(run)
    return found


def forget_kept(folder: Path) -> None:
    """Let the next job that ends look at all runs again for the best: see `sweeps.keep`."""
    shutil.rmtree(folder / KEPT, ignore_errors=True)


@contextmanager
def running(folder: Path, job: str, run: Path) -> Iterator[None]:
    """Within it, a job is at work; if its process dies, `has_failed` knows until the next start."""
    note = folder / RUNNING / job
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(relative(run, folder))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def mark_failed(folder: Path) -> None:
    """Note that a job of this sweep has failed."""
    (folder / FAILURE).touch()


def has_failed(folder: Path) -> bool:
    """Whether a job of this sweep has failed since it was started (and not in an earlier start)."""
    started = (folder / STARTED).stat().st_mtime_ns
    failure = folder / FAILURE
    if failure.exists() and failure.stat().st_mtime_ns >= started:
        return True
    for note in (folder / RUNNING).glob("*"):
        with suppress(FileNotFoundError):  # it has ended meanwhile
            if dead_run(folder / note.read_text()):
                return True
    return False


def dead_runs(folder: Path) -> list[Run]:
    """The runs of a sweep whose process died."""
    paths = sorted(folder.rglob(UNFINISHED), key=natural_order)
    runs = [path.parent for path in paths if not RunFolder(path.parent).result.exists()]
    return [(run, result) for run in runs if (result := dead_run(run))]


def failures(folder: Path, runs: Sequence[Run]) -> list[tuple[Path, str]]:
    """The runs of a sweep that failed, each with its error, unless another has done the job since.

    A job whose process died is one of them.

    Args:
        folder: the sweep's.
        runs: those below it.
    """
    ended_well = {result.job for _, result in runs if result.status != "failed"}
    failed = [
        (run, str(result.error))
        for run, result in runs
        if result.status == "failed" and result.job not in ended_well
    ]
    ended = {result.job for _, result in runs}
    for lock in job_locks(folder):
        started_now = lock.stat().st_mtime_ns >= (folder / STARTED).stat().st_mtime_ns
        if started_now and lock.name not in ended and (named := runs_of(folder, lock)):
            failed.append((named[-1], f"no result: {KILLED}"))
    return failed


def natural_order(path: Path) -> list[tuple[int, str]]:
    """A key that puts 10_ease after 9_ease."""
    parts = [(part.partition("_")[0], part) for part in path.parts]
    return [(int(number) if number.isdigit() else -1, part) for number, part in parts]
