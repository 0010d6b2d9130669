"""What the jobs of a multirun share: its folder. Nothing else outlives a kill or reaches a worker.

A job is known by the hash of its resolved configuration: started again in the same folder, a sweep
skips what is done and runs what failed or is missing.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

STARTED = "multirun.yaml"  # written by a sweep at every start
LOCKS = (
    ".locks"  # folder of a file for each job that was started, named by its hash, and the sweep's
)

ENSEMBLE_FILE = "ensemble.json"  # in the folder of an ensemble: a sweep's, or another
KEPT_OF_THE_BEST = ("candidates", "checkpoints", "submission.csv")  # the large ones

# where things are written and how they are shown: a job is the same without them
NOT_THE_JOB = {"logger", "callbacks", "sweep", "ensemble", "split_dir"}


def job_hash(config: Mapping[str, Any], *, without: str | None = None) -> str:
    """The identity of a job, from its resolved configuration.

    Args:
        config: plain Python.
        without: one more key to leave out: `seed` gives what repeated runs have in common.

    >>> job_hash({"seed": 1, "split_dir": "a"}) == job_hash({"split_dir": "b", "seed": 1})
    True
    >>> job_hash({"seed": 1}) == job_hash({"seed": 2})
    False
    """
    kept = {key: config[key] for key in config.keys() - NOT_THE_JOB - {without}}
    if "data" in kept:
        kept["data"] = {key: value for key, value in kept["data"].items() if key != "cache_dir"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:16]


def results(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The runs below a folder that wrote a result, each with it, in the order of their names."""
    for path in sorted(folder.rglob("result.json"), key=_natural):
        with suppress(FileNotFoundError):  # made room in the meantime
            yield path.parent, read_json(path)


def ensembles(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The ensembles in and below a folder, each with the content of its ensemble.json."""
    for path in sorted(folder.rglob(ENSEMBLE_FILE), key=_natural):
        yield path.parent, read_json(path)


def read_json(path: Path) -> dict[str, Any]:
    """The content of a result.json or ensemble.json."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def find_done(folder: Path, job: str) -> tuple[Path, dict[str, Any]] | None:
    """The run of a sweep that has done the job already."""
    for run, result in results(folder):
        if result.get("job") == job and result["status"] == "done":
            return run, result
    return None


def make_room(run: Path, job: str) -> None:
    """Move what another job left in a run's folder beside it: a changed grid renumbers its jobs."""
    path = run / "result.json"
    if not path.exists() or (earlier := read_json(path))["job"] == job:
        return
    if earlier["status"] == "done":
        aside = run.with_name(f"{run.name}-{earlier['job']}")
        aside.mkdir()
        for name in (*KEPT_OF_THE_BEST, "metrics.csv", "tensorboard", "result.json"):
            with suppress(FileNotFoundError):
                (run / name).rename(aside / name)


def drop_all_but_best(folder: Path, model: str, monitor: str, keep: int) -> None:
    """Delete lists and weights of a sweep's runs of a model, except those of the best."""
    runs = [(run, result) for run, result in results(folder) if result["model"] == model]
    done = [(run, result) for run, result in runs if monitor in result["metrics"]]
    done.sort(key=lambda told: told[1]["metrics"][monitor], reverse=True)
    pruned = [(run, result) for run, result in runs if result["status"] == "pruned"]
    for run, _ in done[keep:] + pruned:
        for name in KEPT_OF_THE_BEST:
            if (run / name).is_dir():
                shutil.rmtree(run / name, ignore_errors=True)
            else:
                (run / name).unlink(missing_ok=True)


def has_failed(folder: Path) -> bool:
    """Whether a job of this sweep has failed since it was started (and not in an earlier start)."""
    started = (folder / STARTED).stat().st_mtime_ns
    return any(
        result["status"] == "failed" and (run / "result.json").stat().st_mtime_ns >= started
        for run, result in results(folder)
    )


def failures(folder: Path) -> list[tuple[Path, str]]:
    """The runs of a sweep that failed, each with its error, unless another has done the job since.

    A job that was started and left no result is one of them: its process was killed.
    """
    found = list(results(folder))
    ended_well = {result.get("job") for _, result in found if result["status"] != "failed"}
    failed = [
        (run, result["error"])
        for run, result in found
        if result["status"] == "failed" and result.get("job") not in ended_well
    ]
    ended = {result.get("job") for _, result in found}
    for lock in _job_locks(folder):
        started_now = lock.stat().st_mtime_ns >= (folder / STARTED).stat().st_mtime_ns
        if started_now and lock.name not in ended:
            run = Path(lock.read_text().splitlines()[0])
            failed.append((run, "no result: its process was killed, for its memory perhaps"))
    return failed


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
    for lock in _job_locks(folder):
        _take(lock, None).close()


def _job_locks(folder: Path) -> list[Path]:
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


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key that puts 10_ease after 9_ease."""
    parts = [(part.partition("_")[0], part) for part in path.parts]
    return [(int(number) if number.isdigit() else -1, part) for number, part in parts]
