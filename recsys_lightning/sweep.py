"""What the jobs of a multirun share: its folder. Nothing else outlives a kill or reaches a worker.

A job is known by the hash of its resolved configuration: started again in the same folder, a sweep
skips what is done and runs what failed or is missing.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

STARTED = "RECSYS_LIGHTNING_SWEEP_STARTED"  # environment: seconds since the epoch, for all workers

# where things are written and how they are shown: a job is the same without them
_NOT_THE_JOB = {"logger", "callbacks", "sweep", "split_dir"}


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
    kept = {key: config[key] for key in config.keys() - _NOT_THE_JOB - {without}}
    if "data" in kept:
        kept["data"] = {key: value for key, value in kept["data"].items() if key != "cache_dir"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:16]


def results(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The runs below a folder that wrote a result, each with it, in the order of their names."""
    for path in sorted(folder.rglob("result.json"), key=_natural):
        yield path.parent, json.loads(path.read_text())


def find_done(folder: Path, job: str) -> tuple[Path, dict[str, Any]] | None:
    """The run of a sweep that has done the job already."""
    for run, result in results(folder):
        if result.get("job") == job and result["status"] == "done":
            return run, result
    return None


def has_failed(folder: Path) -> bool:
    """Whether a job of this sweep has failed since it was started (and not in an earlier start)."""
    started = float(os.environ[STARTED])
    return any(
        result["status"] == "failed" and (run / "result.json").stat().st_mtime >= started
        for run, result in results(folder)
    )


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key that puts 10_ease after 9_ease."""
    parts = [(part.partition("_")[0], part) for part in path.parts]
    return [(int(number) if number.isdigit() else -1, part) for number, part in parts]
