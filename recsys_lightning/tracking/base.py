"""Where a run is logged, beside its folder: a CSV file, W&B, MLflow, TensorBoard, any at once.

A tracker of `conf/logger/` begins before the data is read, so that a missing package or server is
reported at once; it gives Lightning the logger for the metrics of every epoch; and it ends with
what `result.json` says, however the run ended. A tracker that fails mid-run logs a warning: the
run's folder has everything, and no run is lost because of a tracker.

Their packages, and Lightning, are imported where they are used.
"""

import importlib.util
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recsys_lightning.errors import InputError
from recsys_lightning.runs.examples import Example
from recsys_lightning.runs.parameters import flat
from recsys_lightning.runs.record import Result, RunResult

log = logging.getLogger(__name__)
EXAMPLE_COLUMNS = ["user", "rank", "last_watched", "recommended"]


class Tracker:
    """What all have in common; see `begin` and `end` below for when each method is called."""

    def begin(self, folder: Path, sweep: Path | None, parameters: Mapping[str, Any]) -> None:
        """Start the record of a run.

        Args:
            folder: the run's.
            sweep: the folder of the sweep that it is a job of.
            parameters: scalars by dotted name.

        Raises:
            InputError: a package is missing, or a server does not answer.
        """
        raise NotImplementedError

    def logger(self, first_epoch: int) -> Any:
        """The Lightning logger that the run's Trainer is given.

        Args:
            first_epoch: from 0; what the record has of earlier ones, of a resumed run, stays.
        """
        raise NotImplementedError

    def log_examples(self, examples: Sequence[Example]) -> None:
        """Some users' latest items beside what is recommended to them."""

    def end(self, result: Result) -> None:
        """Complete the record with what the run, or an ensemble, says of itself."""
        raise NotImplementedError


def begin(
    trackers: Iterable[Tracker],
    begun: list[Tracker],
    folder: Path,
    sweep: Path | None,
    result: RunResult,
) -> None:
    """Begin trackers one by one.

    Args:
        trackers: those of the configuration.
        begun: takes those that began, also where a later one raises.
        folder: the run's.
        sweep: the sweep's, of a job of one.
        result: what result.json will say, as far as it is known.

    Raises:
        InputError: a package is missing, or a server does not answer.
    """
    for tracker in trackers:
        tracker.begin(folder, sweep, parameters_of(result))
        begun.append(tracker)


def log_examples(begun: Iterable[Tracker], examples: Sequence[Example]) -> None:
    """Log them to every tracker, whatever one of them says."""
    for tracker in begun:
        try:
            tracker.log_examples(examples)
        except Exception as error:
            warn(tracker, error)


def end(begun: Iterable[Tracker], result: Result) -> None:
    """End every tracker, whatever one of them says."""
    for tracker in begun:
        try:
            tracker.end(result)
        except Exception as error:
            warn(tracker, error)


def parameters_of(result: RunResult) -> dict[str, Any]:
    """The resolved configuration as scalars by dotted name, with model, data, job and commit.

    >>> config = {"seed": 1, "model": {"l2": 3.0, "hidden_dims": [600]}, "logger": {"csv": {}}}
    >>> result = RunResult(config=config, model="ease", data="files", job="a")
    >>> parameters_of(result)  # doctest: +NORMALIZE_WHITESPACE
    {'model': 'ease', 'data': 'files', 'job': 'a', 'git_commit': None, 'seed': 1, 'model.l2': 3.0,
     'model.hidden_dims': '[600]'}
    """
    named = {
        "model": result.model,
        "data": result.data,
        "job": result.job,
        "git_commit": result.git_commit,
    }
    config = {k: value for k, value in result.config.items() if k not in ("logger", "sweep")}
    return named | flat(config)


def numbers(result: Result) -> dict[str, float]:
    """The final metrics under their names, and what the run took."""
    seconds = {f"seconds/{stage}": value for stage, value in result.seconds.items()}
    counts = {"peak_rss_mb": result.peak_rss_mb}
    if isinstance(result, RunResult):
        counts |= {"best_epoch": result.best_epoch, "parameters": result.parameters}
    known = {name: value for name, value in counts.items() if value is not None}
    return {**result.metrics, **seconds, **known}


def succeeded(result: Result) -> bool:
    """Whether a run ended as it should; being pruned is no failure."""
    return result.status in ("done", "pruned")


def example_rows(examples: Sequence[Example]) -> list[list[Any]]:
    """Columns as in `EXAMPLE_COLUMNS`."""
    return [
        [example.user, rank, watched, recommended]
        for example in examples
        for rank, (watched, recommended) in enumerate(example.pairs(), start=1)
    ]


def run_name(folder: Path) -> str:
    """What trackers call a run: the last two parts of its folder."""
    return "/".join(folder.parts[-2:])


def warn(tracker: Tracker, error: Exception) -> None:
    """Log the first line of what a tracker raised."""
    [line, *_] = str(error).splitlines() or [""]
    log.warning("%s: %s: %s", type(tracker).__name__, type(error).__name__, line)


def require(package: str) -> None:
    """Refuse a tracker whose package is not installed."""
    if importlib.util.find_spec(package) is None:
        raise InputError(f"logger={package} needs {package}: pip install -e '.[{package}]'")
