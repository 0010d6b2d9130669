"""The best configurations of a sweep keep the lists and weights of their runs; others lose them.

A configuration is the runs that differ in seed alone. Its value is the mean over those that have
ended, so it may change with every seed, while files that were deleted do not come back:

- A run that ends costs its own configuration no files, so seeds that run one after the other are
  judged together. Others lose theirs as soon as `keep` are better: where the seeds of a
  configuration are spread over a sweep, or a worker still runs one, it may lose the files of early
  seeds and be among the best in the end. A larger `keep` leaves room for that.
- Until the sweep ends there may be files of more configurations than `keep`: `settle` deletes them.
- A sweep started again judges by all its runs, with the `keep` that it has then, where it has more
  to run.

The end of a job looks at no other run: the values of a configuration stand in a file, and those of
the best in another, for each model and split. They are made by a scan where they are missing: at
the first end after each start, so that nothing that a kill left is forgotten.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean

import portalocker
from portalocker import LockFlags

from recsys_lightning.errors import InputError
from recsys_lightning.runs.folder import RunFolder, relative, write_json
from recsys_lightning.runs.record import RunResult
from recsys_lightning.sweeps.jobs import KEPT, Run, natural_order, results

Values = dict[str, float]  # of a configuration's runs, by their folders, relative to the sweep's
Configurations = dict[str, Values]  # by `RunResult.configuration`

BEST = "best.json"  # beside a file for each configuration


def drop_all_but_best(folder: Path, run: Path, ended: RunResult, monitor: str, keep: int) -> None:
    """Delete what the runs of a model on a split hold, except the best configurations' runs.

    Args:
        folder: the sweep's.
        run: the folder of the run that has ended.
        ended: what it says of itself: its model and split are looked at.
        monitor: the metric that decides.
        keep: how many configurations, beside that of the run.
    """
    if ended.status == "pruned":
        _delete_large([run])
    state = _state(folder, ended.model, ended.split, monitor)
    state.mkdir(parents=True, exist_ok=True)
    own = ended.configuration
    with (state / BEST).open("a+") as file:
        portalocker.lock(file, LockFlags.EXCLUSIVE)
        file.seek(0)
        try:
            best: Configurations = json.loads(file.read())
        except ValueError:  # a new file, or a killed job's
            best = _scan(folder, ended, monitor)
            for configuration, values in best.items():
                write_json(state / configuration, values)
        if monitor in ended.metrics:
            best[own] = _read(state / own) | {relative(run, folder): ended.metrics[monitor]}
            write_json(state / own, best[own])
        ranked = _ranked(best)
        stay = {own, *ranked[:keep]}
        for configuration in ranked:
            if configuration not in stay:
                runs = [folder / name for name in best.pop(configuration)]
                _delete_large(run for run in runs if _is_still(run, ended, configuration))
        file.truncate(0)
        file.write(json.dumps(best))


def settle(folder: Path, runs: Sequence[Run], keep: int) -> None:
    """Delete what all but the best configurations' runs hold, when all jobs have ended.

    Models and splits of which no job has ended since the start are left alone: they are what an
    earlier start made, of other jobs and maybe with a larger `keep`.

    Args:
        folder: the sweep's.
        runs: those below it.
        keep: how many configurations of each model on a split, by what each run monitored.
    """
    _delete_large(run for run, result in runs if result.status == "pruned")
    groups: dict[tuple[str, str | None, str], list[Run]] = {}
    for run, result in runs:
        monitor = str(result.config.get("monitor"))
        groups.setdefault((result.model, result.split, monitor), []).append((run, result))
    for (model, split, monitor), of_group in groups.items():
        if not _state(folder, model, split, monitor).exists():
            continue
        found = _by_configuration(folder, of_group, monitor)
        for configuration in _ranked(found)[keep:]:
            _delete_large(folder / name for name in found[configuration])


def _state(folder: Path, model: str, split: str | None, monitor: str) -> Path:
    """Where it stands who is among the best; missing until a job has ended."""
    key = json.dumps([model, split, monitor])
    return folder / KEPT / hashlib.sha256(key.encode()).hexdigest()[:16]


def _ranked(found: Mapping[str, Values]) -> list[str]:
    """The configurations, the best first."""
    return sorted(
        found,
        key=lambda one: (
            -fmean(found[one].values()),
            min(natural_order(Path(name)) for name in found[one]),
        ),
    )


def _scan(folder: Path, ended: RunResult, monitor: str) -> Configurations:
    """The values of all runs of the model on the split; what pruned ones have kept is deleted."""
    of_model = [(run, result) for run, result in results(folder) if result.model == ended.model]
    _delete_large(run for run, result in of_model if result.status == "pruned")
    on_split = [(run, result) for run, result in of_model if result.split == ended.split]
    return _by_configuration(folder, on_split, monitor)


def _by_configuration(folder: Path, runs: Iterable[Run], monitor: str) -> Configurations:
    """The values of the runs that have the metric."""
    found: Configurations = {}
    for run, result in runs:
        if monitor in result.metrics:
            of_one = found.setdefault(result.configuration, {})
            of_one[relative(run, folder)] = result.metrics[monitor]
    return found


def _read(path: Path) -> Values:
    """A configuration's values; none where no run of it has ended."""
    return json.loads(path.read_text()) if path.exists() else {}


def _is_still(run: Path, ended: RunResult, configuration: str) -> bool:
    """Whether a run's folder holds what it held: another job may have got the folder since."""
    try:
        result = RunResult.read(RunFolder(run).result)
    except (OSError, InputError):
        return False
    return (result.split, result.configuration) == (ended.split, configuration)


def _delete_large(runs: Iterable[Path]) -> None:
    for run in runs:
        for path in RunFolder(run).large:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(FileNotFoundError):
                    path.unlink()
