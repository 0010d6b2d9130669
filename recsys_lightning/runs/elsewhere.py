"""Ranked lists that other programs wrote: a table of user, item, and rank or score.

A folder of lists holds valid.csv, test.csv and final.csv: what to recommend where train alone is
known, train and validation, and everything.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.sources.tables import Table, column_names, format_of, read_table
from recsys_lightning.errors import InputError
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.lists import Lists
from recsys_lightning.runs.submission import find

NEEDED = ("valid", "final")  # of the files in a folder of lists; test.csv where there is a test set
PAIRS = 1 << 25  # of a user and an item, looked up at once: 32 MB


def lists_file(folder: Path, stage: str) -> Path:
    """Where the lists of a stage stand in a folder of lists."""
    return folder / f"{stage}.csv"


def holds_lists(folder: Path) -> bool:
    """Whether a folder is one of lists: it has some of their files, and is no run's."""
    is_run = RunFolder(folder).result.is_file()
    return not is_run and any(lists_file(folder, stage).is_file() for stage in NEEDED)


def read_elsewhere(path: Path, history: Interactions) -> tuple[Lists, int]:
    """The lists of a file, without items that the user already has: those after them move up.

    A column `rank` orders a user's items, the lowest first; without one, `score` does, the highest
    first and equal ones in the order of the file. Without scores, an item's is the number of ranks
    from its own to the end of the longest list.

    Args:
        path: a CSV file with a header (or TSV, or Parquet), its rows in any order; original ids.
        history: what the users already have, of all the users and items that may be named.

    Returns:
        the lists, as long as the longest of the file, where a user without one has a row of -1; and
        how many items the users already had.

    Raises:
        InputError: the file cannot be read, names an unknown user or item, gives a user an item or
            a rank twice, or has a score of inf or scores that rise along the ranks.
    """
    names = column_names(path, format_of(path))
    by = [name for name in ("rank", "score") if name in names]
    if not by:
        there = ", ".join(f"'{name}'" for name in names)
        raise InputError(f"{path} has no column 'rank' or 'score': its columns are {there}")
    table = read_table(path, ids=("user", "item"), texts=by)
    user = _positions(table, "user", history.users)
    item = _positions(table, "item", history.items)
    rank, score = (table.numbers(name) if name in by else None for name in ("rank", "score"))

    def refuse(rows: NDArray[np.int64], what: Callable[[int], str]) -> None:
        if len(rows):
            row = int(rows.min())
            raise InputError(f"{table.where(row)}: user {history.users[user[row]]} {what(row)}")

    repeated = _repeated(user * np.int64(history.num_items) + item)
    refuse(repeated, lambda row: f"has item {history.items[item[row]]} twice")
    key = rank if rank is not None else -score  # type: ignore[operator]
    order = np.lexsort((key, user))
    same = user[order[1:]] == user[order[:-1]]
    before, again = order[:-1][same], order[1:][same]  # two rows of a user, one after the other
    if rank is not None:
        refuse(again[rank[again] == rank[before]], lambda row: f"has rank {rank[row]:g} twice")
    if score is not None:
        refuse(np.flatnonzero(score == np.inf), lambda row: "has a score of inf")
    if rank is not None and score is not None:
        higher = again[score[again] > score[before]]
        refuse(higher, lambda row: f"has a score at rank {rank[row]:g} above that of a better rank")

    user, item = user[order], item[order]
    length = int(np.bincount(user).max())
    given = length - _places(user) if score is None else score[order]
    if score is not None:  # from each user's best: float32 tells no large numbers apart
        best = np.full(history.num_users, -np.inf)
        np.maximum.at(best, user, given)
        given = given - np.where(np.isfinite(best), best, 0)[user]
    unseen = ~_are_in(history, user, item)
    user, item, given = user[unseen], item[unseen], given[unseen]
    lists = Lists(
        np.full((history.num_users, length), -1, dtype=np.int32),
        np.full((history.num_users, length), -np.inf, dtype=np.float32),
    )
    lists.items[user, _places(user)] = item
    lists.scores[user, _places(user)] = given
    return lists, int(np.count_nonzero(~unseen))


def _positions(table: Table, name: str, ids: NDArray[Any]) -> NDArray[np.int64]:
    """(N,) where each id of a column stands among `ids`."""
    column = table.ids(name)
    place, known = find(np.array(column.values), ids.astype(np.str_))
    unknown = ~known[column.codes]
    if unknown.any():
        row = int(np.argmax(unknown))
        raise InputError(
            f"{table.where(row)}: {name} {column.at(row)!r} is not in the split "
            f"({len(np.unique(column.codes[unknown]))} such {name}s in all)"
        )
    return place[column.codes]


def _repeated(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The positions of values that stand before them, too."""
    order = np.argsort(values, kind="stable")
    return order[1:][values[order[1:]] == values[order[:-1]]]


def _places(user: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) the place from 0 of every row among those of its user, by whom the rows are sorted."""
    starts = np.concatenate([[0], np.cumsum(np.bincount(user))])
    return np.arange(len(user)) - starts[user]


def _are_in(
    history: Interactions, user: NDArray[np.int64], item: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """(N,) which pairs, sorted by user, stand in the history."""
    found = np.zeros(len(user), dtype=np.bool_)
    block = max(1, PAIRS // history.num_items)
    for first in range(0, history.num_users, block):
        users = np.arange(first, min(first + block, history.num_users))
        items, offsets = history.gather(users)
        has = np.zeros((len(users), history.num_items), dtype=np.bool_)
        has[np.repeat(users - first, np.diff(offsets)), items] = True
        rows = slice(*np.searchsorted(user, (first, users[-1] + 1)))
        found[rows] = has[user[rows] - first, item[rows]]
    return found
