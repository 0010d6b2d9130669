"""Ids become positions, and rows in any order become `Interactions`."""

import logging
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.sources.values import Times
from recsys_lightning.errors import InputError, check_range

log = logging.getLogger(__name__)


MISSING = frozenset({"", "nan", "NaN", "null", "NULL", "None"})
"""What stands for no value."""

INTEGER = re.compile(r"(0|-?[1-9][0-9]*)(\.0+)?")


def plain(ids: Sequence[str]) -> list[str]:
    """A column of ids as they are compared with those of other files.

    Blanks around an id are not part of it. Where every id is a whole number, written as an integer
    or a float, all are integers: pandas writes `12.0` beside a missing value. Else the text stays.

    >>> plain(["12.0", "7", ""]), plain([" 12.0", "1.5"]), plain(["007.0", "7"])
    (['12', '7', ''], ['12.0', '1.5'], ['007.0', '7'])
    """
    stripped = [value.strip() for value in ids]
    if not any("." in value for value in stripped):
        return stripped
    if not all(INTEGER.fullmatch(value) or value in MISSING for value in stripped):
        return stripped
    return [value.partition(".")[0] for value in stripped]


class Ids(NamedTuple):
    """A column of ids, kept as text (`plain`).

    Attributes:
        codes: (N,) int32 positions in `values`.
        values: (V,) the distinct ids in order of first appearance; some may be unused.
    """

    codes: NDArray[np.int32]
    values: list[str]

    @classmethod
    def of(cls, ids: Sequence[str]) -> "Ids":
        """A column as it was read.

        >>> Ids.of(["b", " a", "b"])
        Ids(codes=array([0, 1, 0], dtype=int32), values=['b', 'a'])
        """
        lookup: dict[str, int] = {}
        codes = [lookup.setdefault(value, len(lookup)) for value in plain(ids)]
        return cls(np.array(codes, dtype=np.int32), list(lookup))

    def where(self, mask: NDArray[np.bool_]) -> "Ids":
        """The rows where `mask` (N,) holds; the values stay."""
        return Ids(self.codes[mask], self.values)

    def used(self) -> list[str]:
        """The distinct ids of the rows, in the order of `values`."""
        return [self.values[code] for code in np.flatnonzero(np.bincount(self.codes))]

    def at(self, row: int) -> str:
        """The id of one row."""
        return self.values[self.codes[row]]


def concatenate(columns: Sequence[Ids]) -> Ids:
    """Columns one below the other, as one column.

    >>> concatenate([Ids(np.int32([0, 1]), ["a", "b"]), Ids(np.int32([0, 1]), ["c", "a"])])
    Ids(codes=array([0, 1, 2, 0], dtype=int32), values=['a', 'b', 'c'])
    """
    if len(columns) == 1:
        return columns[0]
    lookup: dict[str, int] = {}
    codes = []
    for column in columns:
        merged = [lookup.setdefault(value, len(lookup)) for value in column.values]
        codes.append(np.array(merged, dtype=np.int32)[column.codes])
    return Ids(np.concatenate(codes), list(lookup))


def at_least(ratings: NDArray[np.float64], min_rating: float) -> NDArray[np.bool_]:
    """(N,) which ratings are high enough to be an interaction.

    Raises:
        InputError: no rating is, or `min_rating` is not a number.
    """
    check_range("data.min_rating", min_rating)
    keep = ratings >= min_rating
    if not keep.any():
        raise InputError(
            f"data.min_rating={min_rating}: no interactions left; "
            f"the ratings run from {ratings.min():g} to {ratings.max():g}"
        )
    return keep


def typed(ids: Iterable[str]) -> NDArray:
    """Ids as int64 if every one is a canonical integer, so `007` and `7` stay apart; else text.

    >>> typed(["7", "-1"])
    array([ 7, -1])
    >>> typed(["7", "007"])
    array(['7', '007'], dtype='<U3')
    """
    texts = np.array(list(ids), dtype=np.str_)
    try:
        numbers = texts.astype(np.int64)
    except (ValueError, OverflowError):
        return texts
    return numbers if np.array_equal(numbers.astype(texts.dtype), texts) else texts


def as_ids(texts: Sequence[str], vocabulary: NDArray) -> NDArray:
    """Ids that may be of a vocabulary: numbers where it has numbers and all are some, else text."""
    is_number = vocabulary.dtype == np.int64
    return typed(texts) if is_number else np.array(texts, dtype=np.str_)


def encode(
    users: Ids,
    items: Ids,
    times: Times | None,
    submission: Sequence[str] | None = None,
) -> tuple[Interactions, NDArray[np.intp]]:
    """Rows in file order to users × items in time order, without titles and features.

    Duplicate (user, item) rows merge: the first in time is kept, and their number logged.

    Args:
        users: N ids.
        items: N ids.
        times: N times, or None: the file's order is the order in time.
        submission: the users to recommend to, in order; None: every user, by first appearance. They
            have no say in what the ids are, on whose order a draw of the holdout depends: one who
            is text beside users who are numbers makes the whole of `submission_users` text.

    Returns:
        the interactions, and (n,) the row each was read from, aligned with their `indices`.

    Raises:
        InputError: there is no row.
    """
    if not len(users.codes):
        raise InputError("no interactions: the ratings hold no row to learn from")
    user_ids, user_rank, appeared = _vocabulary(users)
    item_ids, item_rank, _ = _vocabulary(items)
    row, column = user_rank[users.codes], item_rank[items.codes]

    order = time_order(row, *(times[:2] if times else (None,)))
    if order is not None:
        row, column = row[order], column[order]
    keep = _first_of_each(row, column, len(user_ids), len(item_ids))
    if keep is not None:
        log.warning(
            "%s duplicate (user, item) rows merged: the first in time is kept",
            f"{len(keep) - np.count_nonzero(keep):,}",
        )
        row, column = row[keep], column[keep]
    source = np.arange(len(users.codes)) if order is None else order
    source = source if keep is None else source[keep]

    interactions = Interactions(
        users=user_ids,
        items=item_ids,
        indptr=_starts(row, len(user_ids)),
        indices=column,
        times=None if times is None else times.seconds[source],
        titles=None,
        features={},
        submission_users=appeared if submission is None else as_ids(submission, user_ids),
    )
    return interactions, source


def _vocabulary(ids: Ids) -> tuple[NDArray, NDArray[np.int32], NDArray]:
    """The used ids sorted; (V,) the position of every value; the used ids by first appearance."""
    used = np.bincount(ids.codes, minlength=len(ids.values)) > 0
    kept = [value for value, is_used in zip(ids.values, used, strict=True) if is_used]
    appeared = typed(kept)
    order = np.argsort(appeared, kind="stable")
    rank = np.full(len(ids.values), -1, dtype=np.int32)
    rank[np.flatnonzero(used)[order]] = np.arange(len(kept), dtype=np.int32)
    return appeared[order], rank, appeared


def has_name_first(ids: Ids) -> bool:
    """Whether all are whole numbers but the first, which is a column's name, most likely."""
    first, *others = ids.values or [""]
    return bool(others) and not INTEGER.fullmatch(first) and all(map(INTEGER.fullmatch, others))


def time_order(
    row: NDArray[np.int32],
    times: NDArray[np.int64] | None,
    fractions: NDArray[np.float64] | None = None,
) -> NDArray[np.intp] | None:
    """The stable order by user, then time; None where the rows are in it already."""
    if times is not None and fractions is not None:
        return np.lexsort((fractions, times, row))
    ahead = row[1:] > row[:-1]
    level = row[1:] == row[:-1]
    if times is None:
        return None if np.all(ahead | level) else np.argsort(row, kind="stable")
    if np.all(ahead | (level & (times[1:] >= times[:-1]))):
        return None
    first, last = int(times.min()), int(times.max())
    if (last - first + 1) * (int(row.max()) + 1) > np.iinfo(np.int64).max:
        return np.lexsort((times, row))
    # one key is twice as fast as lexsort
    key = row * np.int64(last - first + 1) + (times - first)
    return np.argsort(key, kind="stable")


def _first_of_each(
    row: NDArray[np.int32], column: NDArray[np.int32], num_users: int, num_items: int
) -> NDArray[np.bool_] | None:
    """(N,) False for all but the first of a pair's rows, `row` being sorted; None: no duplicates.

    Transposing a CSR is a stable counting sort, five times faster than sorting the pairs: it
    leaves the rows of a pair side by side, in order.
    """
    positions = np.arange(len(row), dtype=np.int32 if len(row) < 2**31 else np.int64)
    by_item = csr_array(
        (positions, column, _starts(row, num_users)), shape=(num_users, num_items)
    ).tocsc()
    repeats = by_item.indices[1:] == by_item.indices[:-1]
    edges = by_item.indptr[1:-1]
    repeats[edges[(edges > 0) & (edges < len(row))] - 1] = False
    if not repeats.any():
        return None
    keep = np.ones(len(row), dtype=np.bool_)
    keep[by_item.data[1:][repeats]] = False
    return keep


def _starts(row: NDArray[np.int32], num_users: int) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.bincount(row, minlength=num_users))])
