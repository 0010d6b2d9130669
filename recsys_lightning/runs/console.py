"""What a run shows: the data before, the metrics, some lists and the files after."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys_lightning.data.holdout import Split
from recsys_lightning.metrics.names import MetricName
from recsys_lightning.runs.examples import Example


def describe(console: Console, title: str, split: Split) -> None:
    """A line on the data, its k-core, the holdout, and each pair of files joined by ids."""
    x = split.interactions
    order = "" if x.times is not None else ", no times: they are in the order of the file"
    console.print(
        Text(title, "bold"),
        f": {x.num_users:,} users x {x.num_items:,} items, {x.num_interactions:,} interactions",
        order,
        sep="",
        soft_wrap=True,
    )
    if x.core is not None:
        console.print(str(x.core), highlight=False, soft_wrap=True)
    parts = f"{split.train.num_interactions:,} to train on"
    for name, part in (("valid", split.valid), ("test", split.test)):
        if part.num_interactions:
            users = np.count_nonzero(part.lengths)
            parts += f", {name} {part.num_interactions:,} of {users:,} users"
    if split.num_too_short:
        parts += (
            f"; {split.num_too_short:,} users with too short a history: trained on, not evaluated"
        )
    console.print(parts, soft_wrap=True)
    for join in x.joins:
        style = "bold yellow" if join.is_low else None
        console.print(str(join), style=style, highlight=False, soft_wrap=True)


def summarise(
    console: Console,
    *,
    metrics: Mapping[str, float],
    standard_errors: Mapping[str, float],
    headline: str,
    examples: Sequence[Example],
    seconds: Mapping[str, float],
    files: Sequence[Path],
) -> None:
    """The metrics, the examples' histories and lists, the seconds, the files.

    Args:
        console: where to.
        metrics: by name, such as `val/recall@10`.
        standard_errors: by the same names.
        headline: the metric whose standard error is shown, at any stage.
        examples: users and their lists.
        seconds: by stage.
        files: what was written.
    """
    if metrics:
        console.print(metrics_table(metrics, standard_errors, headline))
    for example in examples:
        console.print(_lists_table(example))
    stages = "  ".join(f"{stage} {value:.1f}" for stage, value in seconds.items())
    total = Text(f"total {sum(seconds.values()):.1f}", "bold")
    console.print(Text("seconds", "bold"), stages, total, sep="  ", soft_wrap=True)
    for file in files:
        console.print(str(file), highlight=False, soft_wrap=True)


def metrics_table(
    metrics: Mapping[str, float], standard_errors: Mapping[str, float], headline: str
) -> Table:
    """One row per metric, a column per stage and cut-off; the headline with its standard error."""
    main = MetricName.parse(headline)
    parsed = [MetricName.parse(key) for key in metrics]
    names = sorted(dict.fromkeys(each.name for each in parsed), key=lambda name: name != main.name)
    columns = sorted(
        {(str(each.stage), each.k) for each in parsed},
        key=lambda column: (column[0] != "val", column[1]),
    )
    table = Table("metric")
    for stage, k in columns:
        table.add_column(f"{stage} @{k}", justify="right")
    for name in names:
        cells = []
        for stage, k in columns:
            metric = MetricName(name, k, stage)
            key = str(metric)
            error = standard_errors.get(key) if metric.plain == main.plain else None
            cells.append(f"{metrics[key]:.4f}" + (f" ± {error:.4f}" if error is not None else ""))
        table.add_row(name, *cells, style="bold" if name == main.name else "")
    return table


def _lists_table(example: Example) -> Table:
    """What a user consumed last, beside what is recommended."""
    table = Table(title=f"user {example.user}", title_justify="left")
    table.add_column(f"last watched of {example.num_watched}", overflow="fold")
    table.add_column("recommended", overflow="fold")
    for row in example.pairs():
        table.add_row(*row)
    return table
