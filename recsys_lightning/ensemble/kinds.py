"""Kinds of users: thirds of them, by what is known of their histories."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import InputError

KINDS = 3
FEWEST = 50  # evaluated users of a kind; weights fitted to fewer are chance
DAY = 86_400  # seconds


def length(history: Interactions) -> NDArray[np.float64]:
    """(U,) items of each history."""
    return history.lengths.astype(float)


def span(history: Interactions) -> NDArray[np.float64]:
    """(U,) days from a user's first interaction to the last; 0 without one."""
    first, last = ends(history)
    return (last - first) / DAY


def recency(history: Interactions) -> NDArray[np.float64]:
    """(U,) days from a user's last interaction, else from the first of all, to the last of all."""
    _, last = ends(history)
    return (last.max(initial=0) - last) / DAY


PROPERTIES: dict[str, Callable[[Interactions], NDArray[np.float64]]] = {
    "length": length,
    "span": span,
    "recency": recency,
}


class Kinds(NamedTuple):
    """Users grouped by one property.

    Attributes:
        by: one of `PROPERTIES`.
        cuts: (B - 1,) ascending; kind b has values from cut b - 1 on, and below cut b.
    """

    by: str
    cuts: NDArray[np.float64]

    @property
    def number(self) -> int:
        """B."""
        return len(self.cuts) + 1

    def described(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"by": self.by, "cuts": self.cuts.tolist()}

    def of(self, history: Interactions) -> NDArray[np.int64]:
        """(U,) the kind of every user by what is known of them, from 0."""
        return np.searchsorted(self.cuts, PROPERTIES[self.by](history), side="right")


def find_kinds(by: str, history: Interactions, evaluated: NDArray[np.bool_]) -> Kinds:
    """Cut the evaluated users (U,) into thirds; fewer kinds where many have the same value.

    The cuts are found once, on validation, and hold at every stage.

    Raises:
        InputError: a kind would have too few users, all are of one kind, or there are no times.
    """
    values = PROPERTIES[by](history)[evaluated]
    cuts = np.unique(np.quantile(values, np.arange(1, KINDS) / KINDS, method="higher"))
    kinds = Kinds(by, cuts[cuts > values.min()])
    if kinds.number == 1:
        raise InputError(
            f"ensemble.by={by}: two thirds of the users have the same value, {values.min():g}, so "
            "there are no kinds to tell apart: leave it out"
        )
    sizes = np.bincount(np.searchsorted(kinds.cuts, values, side="right"))
    if sizes.min() < FEWEST:
        raise InputError(
            f"ensemble.by={by}: a kind has {sizes.min()} users with validation items; separate "
            f"weights need {FEWEST}"
        )
    return kinds


def ends(history: Interactions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(U,) times of the first and the last interaction; those of the earliest without one."""
    if history.times is None:
        raise InputError("ensemble.by: the data has no times; only length is known")
    start = history.times.min(initial=np.iinfo(np.int64).max)
    some = history.lengths > 0
    first, last = np.full(len(some), start), np.full(len(some), start)
    first[some] = history.times[history.indptr[:-1][some]]  # rows are in time order
    last[some] = history.times[history.indptr[1:][some] - 1]
    return first, last
