"""What a run takes: seconds by stage, and memory."""

import gc
import platform
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


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
    """Let the peak start anew, where the system can (Linux): a job's, not that of earlier ones.

    These are freed before: a model and its trainer name each other, so Python by itself would keep
    their memory through some jobs more.
    """
    gc.collect()
    gc.freeze()  # modules, most of what is left: the next collection need not look at them
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
