"""What a run tells its user: the data before, the metrics, some lists and the files after."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from recsys_lightning.data.holdout import Split
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import InputError

NUM_EXAMPLES = 3
NUM_WATCHED = 5


class Example(NamedTuple):
    """What a user consumed last, and what is recommended to the user.

    Attributes:
        user: original id.
        num_watched: the length of the whole history.
        watched: titles, or ids where there are none; the latest first.
        recommended: the same, best first.
    """

    user: str
    num_watched: int
    watched: list[str]
    recommended: list[str]

    def pairs(self) -> list[tuple[str, str]]:
        """Watched and recommended side by side; the shorter of the two is filled up with ""."""
        return list(zip_longest(self.watched, self.recommended, fillvalue=""))


def positions_of(interactions: Interactions, ids: Sequence[Any]) -> NDArray[np.int64]:
    """The positions of some original user ids, or of a few examples if none are given.

    Raises:
        InputError: an id is not in the data.
    """
    if not ids:
        active = np.flatnonzero(interactions.lengths)
        return active[np.linspace(0, len(active) - 1, min(NUM_EXAMPLES, len(active))).astype(int)]
    names = {str(name): position for position, name in enumerate(interactions.users.tolist())}
    unknown = [name for name in ids if str(name) not in names]
    if unknown:
        some = ", ".join(list(names)[:3])
        raise InputError(
            f"recommend.users={unknown}: not in the data, whose {len(names)} users are {some}, ..."
        )
    return np.array([names[str(name)] for name in ids])


def examples_of(
    interactions: Interactions, shown: NDArray[np.int64], lists: NDArray[np.integer]
) -> list[Example]:
    """The latest items of some users beside what is recommended to them.

    Args:
        interactions: has the titles and histories.
        shown: positions of the users.
        lists: (U, k) ranked item positions; -1 where a user has none left.
    """
    examples = []
    for user in shown:
        start, end = interactions.indptr[user], interactions.indptr[user + 1]
        latest = interactions.indices[start:end][::-1][:NUM_WATCHED]
        watched = _names(interactions, latest)
        recommended = _names(interactions, lists[user][lists[user] >= 0])
        name = str(interactions.users[user])
        examples.append(Example(name, int(end - start), watched, recommended))
    return examples


def describe(console: Console, title: str, split: Split) -> None:
    """One line on the data, one on the holdout, and one on each pair of files joined by ids."""
    x = split.interactions
    console.print(
        f"[bold]{title}[/]: {x.num_users:,} users x {x.num_items:,} items, "
        f"{x.num_interactions:,} interactions",
        soft_wrap=True,
    )
    parts = f"{split.train.num_interactions:,} to train on"
    for name, part in (("valid", split.valid), ("test", split.test)):
        if part.num_interactions:
            users = np.count_nonzero(part.lengths)
            parts += f", {name} {part.num_interactions:,} of {users:,} users"
    if split.num_too_short:
        parts += f"; {split.num_too_short:,} users too short to be evaluated, trained on"
    console.print(parts, soft_wrap=True)
    for join in x.joins:
        style = "bold yellow" if join.is_low else None
        console.print(str(join), style=style, markup=False, highlight=False, soft_wrap=True)


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
        headline: the metric whose standard error is shown, without its stage.
        examples: users and their lists.
        seconds: by stage.
        files: what was written.
    """
    if metrics:
        console.print(_metrics_table(metrics, standard_errors, headline))
    for example in examples:
        console.print(_lists_table(example))
    stages = "  ".join(f"{stage} {value:.1f}" for stage, value in seconds.items())
    console.print(
        f"[bold]seconds[/]  {stages}  [bold]total {sum(seconds.values()):.1f}[/]", soft_wrap=True
    )
    for file in files:
        console.print(str(file), highlight=False, soft_wrap=True)


def _metrics_table(
    metrics: Mapping[str, float], standard_errors: Mapping[str, float], headline: str
) -> Table:
    """A row a metric, a column a stage and cut-off; the headline with its standard error."""
    headline_name = headline.partition("@")[0]
    names = list(dict.fromkeys(key.partition("/")[2].partition("@")[0] for key in metrics))
    names.sort(key=lambda name: name != headline_name)
    columns = sorted(
        {(key.partition("/")[0], int(key.partition("@")[2])) for key in metrics},
        key=lambda column: (column[0] != "val", column[1]),
    )
    table = Table("metric")
    for stage, k in columns:
        table.add_column(f"{stage} @{k}", justify="right")
    for name in names:
        cells = []
        for stage, k in columns:
            key = f"{stage}/{name}@{k}"
            error = standard_errors.get(key) if f"{name}@{k}" == headline else None
            cells.append(f"{metrics[key]:.4f}" + (f" ± {error:.4f}" if error is not None else ""))
        table.add_row(name, *cells, style="bold" if name == headline_name else "")
    return table


def _lists_table(example: Example) -> Table:
    """What a user consumed last, beside what is recommended."""
    table = Table(title=f"user {example.user}", title_justify="left")
    table.add_column(f"last watched of {example.num_watched}", overflow="fold")
    table.add_column("recommended", overflow="fold")
    for row in example.pairs():
        table.add_row(*row)
    return table


def _names(interactions: Interactions, items: NDArray[np.integer]) -> list[str]:
    names = interactions.items if interactions.titles is None else interactions.titles
    return [str(name) for name in names[items]]
