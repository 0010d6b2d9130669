"""What a run leaves behind: result.json, submission.csv, and the way files are written."""

import csv
import json
import os
import platform
import resource
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.interactions import Interactions


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place only if all goes well.

    So a reader, or a rerun after a kill, never sees half a file.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield scratch
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def relative(path: Path, base: Path) -> str:
    """A path as told in a file in `base`: from there, or absolute if it is not below.

    >>> relative(Path("multirun/a/0_ease"), Path("multirun/a"))
    '0_ease'
    """
    path, base = path.resolve(), base.resolve()
    return str(path.relative_to(base) if path.is_relative_to(base) else path)


def members_in_words(members: Iterable[Mapping[str, Any]]) -> str:
    """The members of an ensemble, as ensemble.json has them, with their weights.

    >>> members_in_words([{"name": "ease", "weight": 1.0}, {"name": "recvae", "weight": 0.7778}])
    'ease 1, recvae 0.78'
    """
    return ", ".join(
        member["name"] + ("" if member["weight"] is None else f" {member['weight']:.2g}")
        for member in members
    )


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON (no NaN) atomically."""
    with replacing(path) as scratch:
        scratch.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def is_first_process() -> bool:
    """Whether this is the one of several processes that evaluates and writes."""
    return int(os.environ.get("LOCAL_RANK", 0)) == 0 and int(os.environ.get("NODE_RANK", 0)) == 0


class Stopwatch:
    """Seconds by stage.

    >>> watch = Stopwatch()
    >>> with watch("load"):
    ...     pass
    >>> list(watch.seconds)
    ['load']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.stage = "start"  # the latest that has begun

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        self.stage = stage
        start = time.perf_counter()
        try:
            yield
        finally:
            passed = time.perf_counter() - start
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + passed, 3)


def forget_peak_rss() -> None:
    """Let the peak start anew, where the system can (Linux): a job's, not that of earlier ones."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_rss_mb() -> float:
    """The process's peak resident memory, in MiB, as the operating system counts it."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB; bytes on macOS
    return round(peak / (1024 * 1024 if platform.system() == "Darwin" else 1024), 1)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in ("recsys-lightning", "torch", "pytorch-lightning", "numpy", "scipy", "numba"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_commit(folder: Path) -> str | None:
    """The commit checked out in `folder`, `-dirty` after it if changed; None elsewhere."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        told = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip() or None if told.returncode == 0 else None


def write_submission(
    path: Path,
    interactions: Interactions,
    items: NDArray[np.integer],
    fallback: NDArray[np.integer],
    k: int,
) -> tuple[int, int]:
    """Write `user,item`: k rows a user, best first, original ids, in the submission's user order.

    Args:
        path: the CSV file.
        interactions: has the original ids, and the users to recommend to.
        items: (U, K) ranked positions for every user, K >= k; -1 where a user has none left.
        fallback: (k,) positions for users the data does not know: the most popular.
        k: items a user.

    Returns:
        How many users were unknown, and how many got fewer than k items.
    """
    known, wanted = interactions.users, interactions.submission_users
    position = np.searchsorted(known, wanted).clip(max=len(known) - 1)
    unknown = known[position] != wanted
    lists = np.where(unknown[:, None], fallback[:k], items[position, :k])  # (n, k)
    there = lists >= 0
    user_column = np.repeat(wanted, there.sum(axis=1)).tolist()
    item_column = interactions.items[lists[there]].tolist()
    with replacing(path) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("user", "item"))
        writer.writerows(zip(user_column, item_column, strict=True))
    return int(unknown.sum()), int((~there.all(axis=1)).sum())
