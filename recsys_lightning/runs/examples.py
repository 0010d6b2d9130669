"""Some users' latest items beside what is recommended to them."""

from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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


def positions_of(interactions: Interactions, ids: Any) -> NDArray[np.int64]:
    """The positions of some original user ids, or of a few examples if none are given.

    Raises:
        InputError: no list of ids, or an id is not in the data.
    """
    if ids is not None and not isinstance(ids, list):
        raise InputError(f"recommend.users={ids}: expected a list, such as [{ids}]")
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


def _names(interactions: Interactions, items: NDArray[np.integer]) -> list[str]:
    ids, titles = interactions.items[items], interactions.titles
    if titles is None:
        return [str(name) for name in ids]
    return [str(title) or str(name) for title, name in zip(titles[items], ids, strict=True)]
