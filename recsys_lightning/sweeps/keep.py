"""The best runs of a sweep keep their lists and weights; the others' are deleted as they end.

Who is among the best stands in a file for each model and split, so that the end of a job looks at
no other run. It is made by a scan where it is missing: at the first end after each start, so that
nothing that a kill left is forgotten.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from recsys_lightning.errors import InputError
from recsys_lightning.runs.folder import RunFolder, relative
from recsys_lightning.runs.record import RunResult
from recsys_lightning.sweeps.jobs import KEPT, natural_order, results


def drop_all_but_best(
    folder: Path, run: Path, ended: RunResult, monitor: str, keep: int, *, minimize: bool = False
) -> None:
    """Delete lists and weights of a sweep's runs of a model on a split, except those of the best.

    Args:
        folder: the sweep's.
        run: the folder of the run that has ended.
        ended: what it says of itself: its model and split are looked at.
        monitor: the metric that decides.
        keep: how many.
        minimize: whether lower values are better.
    """
    if ended.status == "pruned":
        _delete_large([run])
    key = json.dumps([ended.model, ended.split, monitor])
    path = folder / KEPT / hashlib.sha256(key.encode()).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        try:
            values: dict[str, float] = json.loads(file.read())
        except ValueError:  # a new file, or a killed job's
            values = _scan(folder, ended, monitor)
        if monitor in ended.metrics:
            values[relative(run, folder)] = ended.metrics[monitor]
        sign = 1 if minimize else -1
        ranked = sorted(values, key=lambda name: (sign * values[name], natural_order(Path(name))))
        dropped = [name for name in ranked[keep:] if _is_still(folder / name, ended, monitor)]
        _delete_large(folder / name for name in dropped)
        file.truncate(0)
        file.write(json.dumps({name: values[name] for name in ranked[:keep]}))


def _scan(folder: Path, ended: RunResult, monitor: str) -> dict[str, float]:
    """The metric of all runs of the model on the split; what pruned ones have kept is deleted."""
    of_model = [(run, result) for run, result in results(folder) if result.model == ended.model]
    _delete_large(run for run, result in of_model if result.status == "pruned")
    return {
        relative(run, folder): result.metrics[monitor]
        for run, result in of_model
        if monitor in result.metrics and result.split == ended.split
    }


def _is_still(run: Path, ended: RunResult, monitor: str) -> bool:
    """Whether a run's folder holds what it held: another job may have got the folder since."""
    try:
        result = RunResult.read(RunFolder(run).result)
    except (OSError, InputError):
        return False
    same = (result.model, result.split) == (ended.model, ended.split)
    return same and monitor in result.metrics


def _delete_large(runs: Iterable[Path]) -> None:
    for run in runs:
        for path in RunFolder(run).large:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(FileNotFoundError):
                    path.unlink()
