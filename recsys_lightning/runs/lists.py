"""What runs leave on disk as arrays: the split and ranked lists; by numpy and pyarrow alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.sources.encoding import time_order
from recsys_lightning.data.split import ALWAYS_WRITTEN, PARTS, Split
from recsys_lightning.errors import InputError
from recsys_lightning.interruption import import_pandas
from recsys_lightning.writing import replacing


class Lists(NamedTuple):
    """Ranked lists of all users, best first.

    Attributes:
        items: (U, K) int32 item positions, -1 where a list has ended.
        scores: (U, K) float32, -inf where the item is -1.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]


class _Column(NamedTuple):
    """A column of ids: `values[codes]`."""

    codes: NDArray[np.integer]
    values: NDArray[Any]


def read_split(folder: Path, sha256: str | None = None) -> Split:
    """The split that `Split.write` wrote, with the same positions and the same hash.

    Its files do not hold titles, features, the order of the submission, or the order of
    interactions at the same second in different parts.

    Args:
        folder: of train, valid and test.parquet; `split_files` in result.json.
        sha256: of the split, as result.json has it; None: not checked.

    Raises:
        InputError: a file is missing, unreadable, not of a split, or of another split.
    """
    names = [
        name for name in PARTS if name in ALWAYS_WRITTEN or (folder / f"{name}.parquet").exists()
    ]
    tables = [_read(folder / f"{name}.parquet", ("user", "item")) for name in names]
    columns = {name: [_ids(table[name]) for table in tables] for name in ("user", "item")}
    # every id stands in an interaction, so these are all of them
    users, items = (_union(columns[name]) for name in columns)
    row, column = (
        np.concatenate([_positions(folder, name, part, ids) for part in columns[name]])
        for name, ids in (("user", users), ("item", items))
    )
    numbers = np.array([PARTS.index(name) for name in names], dtype=np.int8)
    part = np.repeat(numbers, [len(table) for table in tables])
    times = None
    if all("time" in table.column_names for table in tables):
        times = np.concatenate([table["time"].to_numpy() for table in tables])
    order = time_order(row.astype(np.int32), times)
    if order is not None:
        column, part = column[order], part[order]
        times = None if times is None else times[order]
    starts = np.zeros(len(users) + 1, dtype=np.int64)
    np.cumsum(np.bincount(row, minlength=len(users)), out=starts[1:])
    interactions = Interactions(
        users=users,
        items=items,
        indptr=starts,
        indices=column.astype(np.int32),
        times=times,
        titles=None,
        features={},
        submission_users=users,
    )
    split = Split(interactions, part)
    if sha256 is not None and split.sha256 != sha256:
        raise InputError(
            f"{folder}: its files are not the split that was asked for: SHA-256 "
            f"{split.sha256[:16]}, expected {sha256[:16]}; a run on the same data and holdout "
            "writes it anew"
        )
    return split


def read_lists(path: Path, users: NDArray[Any], items: NDArray[Any]) -> Lists:
    """The lists of a `candidates/<stage>.parquet`, in whatever order its rows stand.

    Args:
        path: a file of columns user, item, rank and score, as `write_lists` writes it.
        users: (U,) original ids, sorted; one that the file lacks has a row of -1.
        items: (I,) original ids, sorted.

    Raises:
        InputError: the file is missing, unreadable, of other data, or holds no ranked lists.
    """
    table = _read(path, ("user", "item", "rank", "score"))
    row, item = (
        _positions(path, name, _ids(table[name]), ids)
        for name, ids in (("user", users), ("item", items))
    )
    rank = table["rank"].to_numpy()
    length = int(rank.max(initial=0))
    lists = np.full((len(users), length), -1, dtype=np.int32)
    scores = np.full((len(users), length), -np.inf, dtype=np.float32)
    if len(rank):
        if rank.min() < 1:
            raise InputError(f"{path}: rank {rank.min()}; expected ranks from 1")
        place = row * np.int64(length) + (rank - 1)
        lists.ravel()[place] = item
        scores.ravel()[place] = table["score"].to_numpy()
    there = lists >= 0
    if np.count_nonzero(there) < len(rank) or (there[:, 1:] & ~there[:, :-1]).any():
        raise InputError(f"{path}: expected the ranks 1, 2, 3, ... of every user, each once")
    return Lists(lists, scores)


def write_lists(
    path: Path,
    interactions: Interactions,
    users: NDArray[np.int64],
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> None:
    """Write ranked lists as rows of (user, item, rank, score): what `read_lists` reads.

    Args:
        path: the parquet file.
        interactions: has the original ids.
        users: (n,) positions.
        items: (n, K) positions, best first; -1 is left out.
        scores: (n, K).
    """
    from pyarrow import DictionaryArray, array, parquet, table

    there = items >= 0
    ranks = np.broadcast_to(np.arange(1, items.shape[1] + 1, dtype=np.int16), items.shape)
    user_of_each = np.broadcast_to(users[:, None].astype(np.int32), items.shape)
    columns = {
        "user": DictionaryArray.from_arrays(user_of_each[there], array(interactions.users)),
        "item": DictionaryArray.from_arrays(items[there], array(interactions.items)),
        "rank": array(ranks[there]),
        "score": array(scores[there]),
    }
    with replacing(path) as scratch:
        parquet.write_table(table(columns), scratch)


def _union(columns: Sequence[_Column]) -> NDArray[Any]:
    """All ids, sorted; the type of an empty column says nothing."""
    return np.unique(np.concatenate([column.values for column in columns if len(column.values)]))


def _read(path: Path, names: tuple[str, ...]) -> Any:
    """A parquet file that must have some columns."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    import_pandas()
    try:  # not read_table, which takes a folder called a=b for a column
        with ParquetFile(path) as file:
            table = file.read()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read as parquet: {error}") from error
    if missing := [name for name in names if name not in table.column_names]:
        raise InputError(f"{path}: no column {missing[0]}; it has {', '.join(table.column_names)}")
    if empty := [name for name in names if table[name].null_count]:
        raise InputError(f"{path}: column {empty[0]} has empty cells")
    return table


def _ids(column: Any) -> _Column:
    """An Arrow column of whole numbers or text; hashing a value once is faster than sorting all."""
    from pyarrow import types

    if not types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries().combine_chunks()
    values = column.dictionary.to_numpy(zero_copy_only=False)
    if values.dtype == object:
        values = values.astype(np.str_)
    return _Column(column.indices.to_numpy(), values)


def _positions(path: Path, name: str, column: _Column, ids: NDArray[Any]) -> NDArray[np.int64]:
    """(N,) where each of a column's ids stands among the sorted `ids`."""
    if not len(column.codes):
        return np.empty(0, dtype=np.int64)
    is_text = column.values.dtype.kind == "U"
    if is_text != (ids.dtype.kind == "U"):
        kinds = ("text", "numbers") if is_text else ("numbers", "text")
        raise InputError(f"{path}: {name} ids are {kinds[0]}, in the split {kinds[1]}: other data")
    place = np.searchsorted(ids, column.values).clip(max=len(ids) - 1)
    unknown = ids[place] != column.values
    if unknown.any():
        raise InputError(
            f"{path}: {name} {column.values[unknown][0]} is not in the split "
            f"({np.count_nonzero(unknown)} such {name}s in all): candidates of other data"
        )
    return place[column.codes]
