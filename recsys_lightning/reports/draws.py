"""Draws of the holdout, taken together as seeds are: how far apart the same model's figures lie."""

from pathlib import Path
from typing import Any

import pandas as pd

from recsys_lightning.metrics.names import FILES, MetricName
from recsys_lightning.runs.parameters import across_draws
from recsys_lightning.runs.record import RunResult
from recsys_lightning.sweeps.jobs import Runs

SEED = "holdout.seed"
COLUMNS = [
    *("metric", "model", "options", "draws", "seeds"),
    *("mean", "between_draws", "between_seeds"),
]


def draws(runs: pd.DataFrame, base: Path, monitor: str, known: Runs | None = None) -> pd.DataFrame:
    """One row per metric and configuration that was run on several draws of its holdout.

    Of a draw and seed that was run twice, the run that finished last counts.

    Args:
        runs: as `leaderboard.runs_table` returns it.
        base: what its column `run` is relative to.
        monitor: the metric that decides; the same one on the test set is given, too.
        known: runs that were read already.

    Returns:
        Columns `metric`, `model`, `options`, `draws` and `seeds` (how many different ones),
        `mean` (over draws, of the means over their seeds), `between_draws` (the standard deviation
        of these means), `between_seeds` (that of a draw's seeds, as a root mean square over draws;
        nan for one seed), the highest mean of each metric first.
    """
    known = known or Runs()
    rows = []
    for row in runs[runs.status == "done"].to_dict("records"):
        result = known.of(base / row["run"])
        if isinstance(result, RunResult) and "seed" in (result.config.get("holdout") or {}):
            configuration = across_draws(result.config, result.choices, result.overrides)
            sizes = tuple(sorted(result.sizes.items()))  # data may change under its path
            drawn = {"configuration": (configuration, sizes)}
            rows.append(row | drawn | {"draw": result.config["holdout"]["seed"]})
    if not rows:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.DataFrame(rows).drop_duplicates(["configuration", "draw", "seed"], keep="last")
    found: list[list[Any]] = []
    for metric in (str(MetricName.parse(monitor).at(stage)) for stage in FILES):
        measured = table[table[metric].notna()] if metric in table else table[:0]
        for _, group in measured.groupby("configuration", sort=False):
            by_draw = group.groupby("draw")[metric]
            if len(by_draw) > 1:
                first = group.iloc[0]
                options = [text for text in first.options.split() if not text.startswith(SEED)]
                seeds = [first.model, " ".join(options), len(by_draw), group.seed.nunique()]
                means, within = by_draw.mean(), (by_draw.var().mean()) ** 0.5
                found.append([metric, *seeds, means.mean(), means.std(), within])
    found.sort(key=lambda row: -row[5])
    return pd.DataFrame(sorted(found, key=lambda row: row[0] != monitor), columns=COLUMNS)
