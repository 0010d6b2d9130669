"""What the jobs of a multirun share: its folder. Nothing else outlives a kill or reaches a worker.

A job is known by its hash (see `runs.parameters`): started again in the same folder, a sweep skips
what is done and runs what failed or is missing.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from recsys_lightning.runs.deaths import KILLED, dead_run
from recsys_lightning.runs.folder import ENSEMBLE, RESULT, UNFINISHED, RunFolder
from recsys_lightning.runs.record import EnsembleResult, RunResult
from recsys_lightning.sweeps.locks import job_locks

STARTED = "multirun.yaml"  # written by a sweep at every start


def results(folder: Path) -> Iterator[tuple[Path, RunResult]]:
    """The runs below a folder, each with its result, in the order of their names.

    A run that died by a signal has the result that `deaths.dead_run` gives; one that is running
    is not among them.
    """
    files = [*folder.rglob(RESULT), *folder.rglob(UNFINISHED)]
    for path in sorted(files, key=_natural):
        if path.name == UNFINISHED:
            whole = RunFolder(path.parent).result.exists()
            if not whole and (died := dead_run(path.parent)):
                yield path.parent, died
            continue
        with suppress(FileNotFoundError):  # made room in the meantime
            yield path.parent, RunResult.read(path)


def ensembles(folder: Path) -> Iterator[tuple[Path, EnsembleResult]]:
    """The ensembles in and below a folder, each with the content of its ensemble.json."""
    for path in sorted(folder.rglob(ENSEMBLE), key=_natural):
        yield path.parent, EnsembleResult.read(path)


def find_done(folder: Path, job: str, split: Callable[[], str]) -> tuple[Path, RunResult] | None:
    """The run of a sweep that has done the job already, on the split that it would have now.

    Args:
        folder: the sweep's.
        job: its hash.
        split: returns the SHA-256 of the split; called only where a run has done the job.
    """
    done = [
        (run, result)
        for run, result in results(folder)
        if result.job == job and result.status == "done"
    ]
    for run, result in done:
        if result.split == split():
            return run, result
    for run, result in done:
        there, here = str(result.split)[:16], split()[:16]
        print(f"done with another split ({there}, and now it is {here}), so run again: {run}")
    return None


def make_room(run: Path) -> None:
    """Move what a job did in a run's folder beside it, before another is done there.

    A changed grid renumbers its jobs; changed data makes others of them.
    """
    files = RunFolder(run)
    if files.result.exists() and (earlier := RunResult.read(files.result)).status == "done":
        aside = run.with_name(f"{run.name}-{earlier.job}-{str(earlier.split)[:8]}")
        aside.mkdir()
        for path in (*files.large, files.metrics, files.tensorboard, files.result):
            with suppress(FileNotFoundError):
                path.rename(aside / path.name)


def drop_all_but_best(
    folder: Path, ended: RunResult, monitor: str, keep: int, *, minimize: bool = False
) -> None:
    """Delete lists and weights of a sweep's runs of a model on a split, except those of the best.

    Args:
        folder: the sweep's.
        ended: the result of the run that has ended: its model and split are looked at.
        monitor: the metric that decides.
        keep: how many.
        minimize: whether lower values are better.
    """
    runs = [(run, result) for run, result in results(folder) if result.model == ended.model]
    done = [
        (run, result)
        for run, result in runs
        if monitor in result.metrics and result.split == ended.split
    ]
    done.sort(key=lambda of_run: of_run[1].metrics[monitor], reverse=not minimize)
    pruned = [(run, result) for run, result in runs if result.status == "pruned"]
    for run, _ in done[keep:] + pruned:
        for path in RunFolder(run).large:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def splits(folder: Path) -> dict[str, list[Path]]:
    """The splits of a sweep's finished runs, each with the runs on it, the latest finished last."""
    done = [(run, result) for run, result in results(folder) if result.status == "done"]
    found: dict[str, list[Path]] = {}
    for run, result in sorted(done, key=lambda of_run: of_run[1].finished or ""):
        found.setdefault(str(result.split), []).append(run)
    return found


def has_failed(folder: Path) -> bool:
    """Whether a job of this sweep has failed since it was started (and not in an earlier start)."""
    started = (folder / STARTED).stat().st_mtime_ns
    return any(
        result.status == "failed" and _written(run) >= started for run, result in results(folder)
    )


def failures(folder: Path) -> list[tuple[Path, str]]:
    """The runs of a sweep that failed, each with its error, unless another has done the job since.

    A job whose process died is one of them.
    """
    found = list(results(folder))
    ended_well = {result.job for _, result in found if result.status != "failed"}
    failed = [
        (run, str(result.error))
        for run, result in found
        if result.status == "failed" and result.job not in ended_well
    ]
    ended = {result.job for _, result in found}
    for lock in job_locks(folder):
        started_now = lock.stat().st_mtime_ns >= (folder / STARTED).stat().st_mtime_ns
        if started_now and lock.name not in ended:
            run = Path(lock.read_text().splitlines()[0])
            failed.append((run, f"no result: {KILLED}"))
    return failed


def _written(run: Path) -> int:
    """When a run wrote its result, or, if it died, what it is; in nanoseconds."""
    files = (RunFolder(run).result, RunFolder(run).unfinished)
    return max((file.stat().st_mtime_ns for file in files if file.exists()), default=0)


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key that puts 10_ease after 9_ease."""
    parts = [(part.partition("_")[0], part) for part in path.parts]
    return [(int(number) if number.isdigit() else -1, part) for number, part in parts]
