"""Locks of a sweep and its jobs: files that outlive a kill, and locks that do not."""

import fcntl
import os
import platform
from pathlib import Path
from typing import TextIO

LOCKS = (
    ".locks"  # folder of a file for each job that was started, named by its hash, and the sweep's
)


def take_job(folder: Path, job: str, run: Path) -> TextIO:
    """The lock of a job, which a worker that outlived an earlier start may still be at.

    Args:
        folder: the sweep's.
        job: its hash.
        run: the run's folder.

    Returns:
        An open file; closing it gives the lock back.
    """
    return _take(folder / LOCKS / job, run)


def take_sweep(folder: Path) -> TextIO:
    """The lock of a sweep, once nothing of an earlier start is running any more."""
    lock = _take(folder / LOCKS / "sweep", folder)
    wait_for_jobs(folder)
    return lock


def wait_for_jobs(folder: Path) -> None:
    """Return when no job of a sweep is running, in whatever process."""
    for lock in job_locks(folder):
        _take(lock, None).close()


def job_locks(folder: Path) -> list[Path]:
    """The locks of all jobs that were ever started in a sweep."""
    return sorted(path for path in (folder / LOCKS).glob("*") if path.name != "sweep")


def _take(path: Path, place: Path | None) -> TextIO:
    """Lock a file, waiting for the process that has it; the end of a process frees its locks.

    Args:
        path: the file.
        place: where the work is done; None to leave the file as it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        print("waiting for", *file.read().splitlines(), flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
    if place is not None:
        file.truncate(0)
        file.write(f"{place}\nin process {os.getpid()} on {platform.node()}\n")
        file.flush()
    return file
