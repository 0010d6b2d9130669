"""Lists of any program on one of our splits: all metrics, and the difference from our runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from recsys_lightning.data.split import Split
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.functional.bootstrap import paired_bootstrap
from recsys_lightning.metrics.names import FILES, MetricName
from recsys_lightning.metrics.of_lists import measure, user_values
from recsys_lightning.runs.console import metrics_table
from recsys_lightning.runs.elsewhere import read_elsewhere
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.lists import read_lists, read_split
from recsys_lightning.runs.record import config_of, read_result


@dataclass(frozen=True)
class Comparison:
    """The lists against those of a run.

    Attributes:
        run: its folder.
        metric: such as `val/recall@10`.
        here: value of the lists.
        there: value of the run.
        mean: of here minus there; with the next three by the paired bootstrap over users.
        low: where its 95 % interval starts.
        high: where it ends.
        p: two-sided.
    """

    run: str
    metric: str
    here: float
    there: float
    mean: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Evaluation:
    """What lists are worth.

    Attributes:
        metrics: by name, such as `val/recall@10`; a user without a list counts as a miss.
        standard_errors: over users, of the same names where there is one.
        users: who are asked for.
        without: how many of them have no list.
        had: how many items were left out, since the user already has them.
        against: our runs, metric by metric.
        headline: the metric to show first.
    """

    metrics: dict[str, float]
    standard_errors: dict[str, float]
    users: int
    without: int
    had: int
    against: list[Comparison]
    headline: str


def evaluate(
    path: Path,
    folder: Path,
    stage: str = "val",
    cutoffs: Sequence[int] = (10, 20),
    runs: Sequence[Path] = (),
    compared: Sequence[str] | None = None,
) -> Evaluation:
    """Measure the lists of a file.

    Args:
        path: as `runs.elsewhere.read_elsewhere` reads it.
        folder: of the split's files.
        stage: `val` or `test`.
        cutoffs: of the metrics.
        runs: folders of runs, or of ensembles, on the same split, to compare with.
        compared: by these metrics, such as `ndcg@10`; None: recall and NDCG at the first cut-off.

    Raises:
        InputError: a file is missing or damaged, the split holds nothing out at this stage, a list
            is too short for a cut-off, or a run is of another split.
    """
    for k in cutoffs:
        check_range("--k", k, low=1, whole=True)
    split = read_split(folder)
    names = [MetricName.parse(name).at(stage) for name in compared or ()]
    names = names or [MetricName(name, cutoffs[0], stage) for name in ("recall", "ndcg")]
    _, known, held_out = split.question(FILES[stage])
    assert held_out is not None
    if not held_out.num_interactions:
        raise InputError(f"{folder}: the split has no {FILES[stage]} items: choose another --stage")
    for run in runs:
        _check_run(run, split, stage)
    lists, had = read_elsewhere(path, known)
    asked = {f"--k {max(cutoffs)}": max(cutoffs)} | {f"--metric {m}": m.k for m in names}
    for option, k in asked.items():
        if k > lists.items.shape[1]:
            raise InputError(
                f"{option}: the longest list of {path} has {lists.items.shape[1]} items; choose "
                "cut-offs that the lists reach"
            )
    items = lists.items[:, : max(asked.values())]
    metrics, errors = measure(stage, items, held_out, split, cutoffs)
    ours = {name: user_values(name, items, held_out) for name in names}
    against = []
    for run in runs:
        file = RunFolder(run).candidates(FILES[stage])
        of_run = read_lists(file, held_out.users, held_out.items).items
        for name, values in ours.items():
            try:
                theirs = user_values(name, of_run, held_out)
            except InputError as error:
                raise InputError(f"{file}: {error}") from None
            means = float(np.nanmean(values)), float(np.nanmean(theirs))
            difference = paired_bootstrap(values, theirs)
            against.append(Comparison(str(run), str(name), *means, *difference))
    due = held_out.lengths > 0
    without = np.count_nonzero(due & (items[:, 0] < 0))
    return Evaluation(metrics, errors, int(due.sum()), int(without), had, against, str(names[0]))


def _check_run(run: Path, split: Split, stage: str) -> None:
    """Refuse a run whose lists answer another question."""
    result = read_result(run)
    if result.split != split.sha256:
        raise InputError(
            f"{run}: its split is {str(result.split)[:16]}, and the lists are measured on "
            f"{split.sha256[:16]}: figures of different splits cannot be compared"
        )
    config = config_of(run)
    if stage == "test" and config.get("test_history", "train_valid") != "train_valid":
        raise InputError(
            f"{run}: its test_history={config['test_history']}, and here validation items are "
            "known at test time: figures cannot be compared"
        )


def show(console: Console, found: Evaluation) -> None:
    """Print what was found."""
    console.print(metrics_table(found.metrics, found.standard_errors, found.headline))
    console.print(
        f"{found.users:,} users; {found.without:,} without a list count as misses; "
        f"{found.had:,} items that the user already has were left out",
        highlight=False,
        soft_wrap=True,
    )
    if not found.against:
        return
    table = Table(Column("run", overflow="fold"), Column("metric", no_wrap=True), box=SIMPLE_HEAD)
    for title in ("lists", "run's", "difference", "p"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in found.against:
        table.add_row(
            each.run,
            each.metric,
            f"{each.here:.4f}",
            f"{each.there:.4f}",
            f"{each.mean:+.4f} [{each.low:+.4f}, {each.high:+.4f}]",
            f"{each.p:.2g}",
            style="bold" if each.low > 0 or each.high < 0 else "",
        )
    console.print(table)
