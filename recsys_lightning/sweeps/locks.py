"""Locks of a sweep and its jobs: files that outlive a kill, and locks that do not.

The file of a job is named by its hash, and names the runs that have done it, so that a job started
again looks at these alone. They are paths from the sweep's folder: it may be moved.
"""

import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import portalocker
from portalocker import AlreadyLocked, LockFlags

from recsys_lightning.runs.folder import relative

LOCKS = ".locks"  # folder of a file for each job that was started, and of the sweep's own
HELD_BY = "in process "  # begins the line that says who took a lock last


class JobLock:
    """The lock of a job, held until it is closed.

    Args:
        folder: the sweep's.
        job: the job's hash.
    """

    def __init__(self, folder: Path, job: str) -> None:
        self.folder = folder
        self._file = _take(folder, job)

    def __enter__(self) -> "JobLock":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def runs(self) -> list[Path]:
        """Folders of the runs that were started for the job, the latest last."""
        self._file.seek(0)
        return _runs(self.folder, self._file.read())

    def name(self, run: Path) -> None:
        """Write down that a run does the job now."""
        _write(self._file, self.folder, [*self.runs, run])


def take_sweep(folder: Path) -> TextIO:
    """The lock of a sweep, once nothing of an earlier start is running any more."""
    lock = _take(folder, "sweep")
    _write(lock, folder, [folder])
    wait_for_jobs(folder)
    return lock


def wait_for_jobs(folder: Path) -> None:
    """Return when no job of a sweep is running, in whatever process."""
    for lock in job_locks(folder):
        _take(folder, lock.name).close()


def job_locks(folder: Path) -> list[Path]:
    """The locks of all jobs that were ever started in a sweep, each named by the job's hash."""
    return sorted(path for path in (folder / LOCKS).glob("*") if path.name != "sweep")


def runs_of(folder: Path, lock: Path) -> list[Path]:
    """The runs that a job's lock names, the latest last."""
    return _runs(folder, lock.read_text())


def also_done_by(folder: Path, job: str, run: Path) -> None:
    """Let the lock of a job name one more run: one that was moved, or that an earlier version left.

    Whoever holds the lock may overwrite this; the next start of the sweep writes it again.
    """
    path = folder / LOCKS / job
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(f"\n{relative(run, folder)}\n")  # the line before may have been cut


def _runs(folder: Path, text: str) -> list[Path]:
    names = [Path(line) for line in text.split("\n") if line and not line.startswith(HELD_BY)]
    # an absolute path was written by an earlier version, maybe before the sweep was moved
    return list(dict.fromkeys(folder / (n.name if n.is_absolute() else n) for n in names))


def _write(file: TextIO, folder: Path, runs: Iterable[Path]) -> None:
    names = [relative(run, folder) for run in runs]
    latest_last = list(dict.fromkeys(reversed(names)))[::-1]
    held_by = f"{HELD_BY}{os.getpid()} on {platform.node()}"
    file.truncate(0)
    file.write("\n".join([*latest_last, held_by]) + "\n")
    file.flush()


def _take(folder: Path, name: str) -> TextIO:
    """Lock a file, waiting for the process that has it; the end of a process frees its locks."""
    path = folder / LOCKS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    try:
        portalocker.lock(file, LockFlags.EXCLUSIVE | LockFlags.NON_BLOCKING)
    except AlreadyLocked:
        file.seek(0)
        text = file.read()
        held_by = [line for line in text.splitlines() if line.startswith(HELD_BY)]
        print("waiting for", *_runs(folder, text)[-1:], *held_by[-1:], flush=True)
        portalocker.lock(file, LockFlags.EXCLUSIVE)
    return file
