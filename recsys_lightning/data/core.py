"""k-core: users and items with too few interactions leave, until all that stay have enough."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Size(NamedTuple):
    """How many there are."""

    interactions: int
    users: int
    items: int


class Core(NamedTuple):
    """What a k-core has left of the data.

    Attributes:
        min_user: interactions that a user has at least.
        min_item: interactions that an item has at least.
        before: the data.
        after: what stayed of it.
        rounds: how often some left; 0 if all had enough.
    """

    min_user: int
    min_item: int
    before: Size
    after: Size
    rounds: int

    def __str__(self) -> str:
        counts = ", ".join(
            f"{after:,} of {before:,} {what}"
            for what, before, after in zip(Size._fields, self.before, self.after, strict=True)
        )
        return (
            f"k-core (at least {self.min_user} interactions a user, {self.min_item} an item): "
            f"{counts} stay (rounds: {self.rounds})"
        )


def k_core(
    users: NDArray[np.integer], items: NDArray[np.integer], min_user: int, min_item: int
) -> tuple[NDArray[np.bool_], int]:
    """The largest set of interactions in which every user and every item has enough of them.

    In each round all users and items that are short leave at once, with their interactions; the
    set does not depend on that order.

    Args:
        users: (N,) the position of each interaction's user.
        items: (N,) the position of its item.
        min_user: interactions a user must have.
        min_item: interactions an item must have.

    Returns:
        (N,) which interactions stay, and the number of rounds in which some left.

    >>> k_core(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 1]), 2, 2)
    (array([ True,  True,  True,  True, False]), 1)
    """
    stay = np.ones(len(users), dtype=np.bool_)
    positions = np.arange(len(users))
    rounds = 0
    while True:
        enough = (np.bincount(users) >= min_user)[users] & (np.bincount(items) >= min_item)[items]
        if enough.all():
            return stay, rounds
        stay[positions[~enough]] = False
        users, items, positions = users[enough], items[enough], positions[enough]
        rounds += 1
