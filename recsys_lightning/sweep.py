"""What the jobs of a multirun share: its folder. Nothing else outlives a kill or reaches a worker.

A job is known by the hash of its resolved configuration: started again in the same folder, a sweep
skips what is done and runs what failed or is missing.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

STARTED = "RECSYS_LIGHTNING_SWEEP_STARTED"  # environment: seconds since the epoch, for all workers

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


def read_json(path: Path) -> dict[str, Any]:
    """The content of a run's result.json."""
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
    started = float(os.environ[STARTED])
    return any(
        result["status"] == "failed" and (run / "result.json").stat().st_mtime >= started
        for run, result in results(folder)
    )


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key that puts 10_ease after 9_ease."""
    parts = [(part.partition("_")[0], part) for part in path.parts]
    return [(int(number) if number.isdigit() else -1, part) for number, part in parts]
