"""Does validation follow a leaderboard? Runs whose public scores are known, by their holdout."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from recsys_lightning.data.sources.tables import read_table
from recsys_lightning.errors import InputError
from recsys_lightning.functional.correlation import rank_correlation
from recsys_lightning.metrics.names import FILES, MetricName
from recsys_lightning.runs.parameters import TARGET, differing, flat
from recsys_lightning.runs.record import RunResult
from recsys_lightning.sweeps.jobs import Runs

AT_LEAST = 5  # runs: of four, one order in twelve is the same or its reverse by chance


def agreement(
    scores: Path,
    runs: pd.DataFrame,
    base: Path,
    sources: Sequence[Path],
    monitor: str,
    known: Runs | None = None,
) -> pd.DataFrame:
    """The rank correlation of each holdout's metrics with the scores.

    Args:
        scores: a file of columns `run` (a folder from here, from `base` or from one of the sources)
            and `score` (the higher the better).
        runs: as `leaderboard.runs_table` returns it.
        base: what its column `run` is relative to.
        sources: where the runs were found.
        monitor: the metric that decides; NDCG, and both on the test set, are correlated, too.
        known: runs that were read already.

    Returns:
        A row per metric and split with `AT_LEAST` scored runs or more, the highest first by metric:
        `metric`, `holdout`, `split`, `runs`, Kendall's `tau`, and its 95 % interval `low` to
        `high`; nan where all values or all scores are equal.

    Raises:
        InputError: the file cannot be read, names an unknown run or one twice, or no split has
            enough runs.
    """
    done = runs[runs.status == "done"].set_index("run")
    if done.empty:
        raise InputError(f"{scores}: no run is done, so there is nothing to correlate")
    done["score"] = _read(scores, list(map(str, done.index)), base, sources)
    done = done[done.score.notna()]
    main = MetricName.parse(monitor)
    metrics = [
        str(replace(main, name=name).at(stage))
        for stage in FILES
        for name in dict.fromkeys((main.name, "ndcg"))
    ]
    holdouts = _holdouts(done, base, known or Runs())
    rows: list[list[object]] = []
    for metric in (name for name in metrics if name in done):
        for split, group in done[done[metric].notna()].groupby("split", sort=False):
            if len(group) >= AT_LEAST:
                found = rank_correlation(group[metric].to_numpy(), group.score.to_numpy())
                rows.append([metric, holdouts.get(str(split), ""), split, len(group), *found])
    if not rows:
        raise InputError(
            f"{scores}: no split has {AT_LEAST} runs with a score; with fewer, any order may be "
            "chance"
        )
    columns = ["metric", "holdout", "split", "runs", "tau", "low", "high"]
    table = pd.DataFrame(rows, columns=columns)
    order = np.lexsort((-table.tau, table.metric.map(metrics.index)))
    return table.iloc[order].reset_index(drop=True)


def _read(path: Path, runs: Sequence[str], base: Path, sources: Sequence[Path]) -> pd.Series:
    """The scores by run."""
    table = read_table(path, texts=("run", "score"))
    numbers = table.numbers("score")
    by_folder = {(base / run).resolve(): run for run in runs}
    found: dict[str, float] = {}
    for row, name in enumerate(table.texts("run")):
        places = [(folder / name).resolve() for folder in (Path(), base, *sources)]
        run = next((by_folder[place] for place in places if place in by_folder), None)
        if run is None:
            raise InputError(
                f"{table.where(row)}: {name!r} is not one of the {len(runs)} runs that are done, "
                f"such as {runs[0]}"
            )
        if run in found:
            raise InputError(f"{table.where(row)}: {name!r} has a score already")
        if not np.isfinite(numbers[row]):
            raise InputError(
                f"{table.where(row)}: a score of {numbers[row]}; expected a finite number"
            )
        found[run] = float(numbers[row])
    return pd.Series(found)


def _holdouts(runs: pd.DataFrame, base: Path, known: Runs) -> dict[str, str]:
    """What each split was made by: the holdout's choice, and its options where these differ."""
    choices: dict[str, str] = {}
    options: dict[str, dict[str, object]] = {}
    for run, split in zip(map(str, runs.index), map(str, runs.split), strict=True):
        result = known.of(base / run)
        if isinstance(result, RunResult):
            choices[split] = result.choices.get("holdout", "")
            options[split] = flat(result.config.get("holdout", {}))
    keys = [key for key in differing(list(options.values())) if TARGET not in key]
    return {
        split: " ".join(
            [
                choices[split],
                *(f"{key}={of_split[key]}" for key in keys if of_split.get(key) is not None),
            ]
        )
        for split, of_split in options.items()
    }
