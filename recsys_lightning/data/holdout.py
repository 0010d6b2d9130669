"""Holdouts: which interactions are hidden for validation and for test.

Each holdout is a pure, seeded, vectorised function of the data. Users are drawn independently of
one another, from one generator (one seeded anew for each user would hide the same positions of
equally long histories), and from a separate seed, so that models of different seeds share a split.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.split import TEST, TEST_KNOWN, TRAIN, VALID, VALID_KNOWN, Split
from recsys_lightning.errors import InputError, check_range

log = logging.getLogger(__name__)

Clock = Callable[[str], AbstractContextManager[None]]


class Source(Protocol):
    """Whatever reads a dataset; `sources` has them all."""

    name: str

    def load(self) -> Interactions:
        """Read and encode the data."""
        ...

    def identity(self) -> dict[str, Any]:
        """What the data is, in plain values that JSON can hold."""
        ...


class Holdout:
    """Puts every interaction in a part of a `Split`: train, valid or test, most often."""

    def __call__(self, source: Source, clock: Clock = lambda stage: nullcontext()) -> Split:
        """Load the data and split it.

        Args:
            source: where the data comes from.
            clock: a context manager that times the stages `load` and `split`.

        Raises:
            InputError: the source cannot be read, or no history is long enough to be evaluated.
        """
        with clock("load"):
            interactions = source.load()
        with clock("split"):
            return self.split(interactions)

    def identity(self, source: Source) -> dict[str, Any]:
        """What the split is made of, wherever the files stand: equal for equal options and files.

        Returns:
            plain values that JSON can hold: the holdout, its options, and the data's identity.

        Raises:
            InputError: it cannot be said what the data is.
        """
        options = {key: value for key, value in vars(self).items() if value is not None}
        return {"holdout": type(self).__name__, "options": options, "data": source.identity()}

    def split(self, interactions: Interactions) -> Split:
        """Split interactions that are already loaded."""
        raise NotImplementedError


class NoHoldout(Holdout):
    """Everything is train: the final fit."""

    @override
    def split(self, interactions: Interactions) -> Split:
        return Split(interactions, np.zeros(interactions.num_interactions, dtype=np.int8))


class RandomHoldout(Holdout):
    """Random interactions of a user for validation and others for test: so many, or a share.

    `valid_items` and `test_items`, each 10 where no share is given: a user keeps at least half of
    the history, or is not evaluated. `valid_share` and `test_share` in their place, 0 where only
    the other is given: rounded by `share_counts`, and a user keeps at least one interaction.

    >>> toy = Interactions(
    ...     users=np.array([7]), items=np.arange(6), indptr=np.array([0, 6]),
    ...     indices=np.arange(6, dtype=np.int32), times=None, titles=None, features={},
    ...     submission_users=np.array([7]))
    >>> RandomHoldout(valid_items=2, test_items=1, seed=0).split(toy).part
    array([2, 1, 0, 1, 0, 0], dtype=int8)
    >>> RandomHoldout(valid_share=0.4, test_share=0.2, seed=0).split(toy).part
    array([0, 1, 1, 2, 0, 0], dtype=int8)
    """

    def __init__(
        self,
        valid_items: int | None = None,
        test_items: int | None = None,
        seed: int = 0,
        valid_share: float | None = None,
        test_share: float | None = None,
    ) -> None:
        self.valid_items, self.test_items = valid_items, test_items
        self.valid_share, self.test_share = valid_share, test_share
        if valid_share is None and test_share is None:
            self.valid_items = 10 if valid_items is None else valid_items
            self.test_items = 10 if test_items is None else test_items
            _check_counts(self.valid_items, self.test_items)
        else:
            if valid_items is not None or test_items is not None:
                raise InputError(f"{_as_keys(vars(self))}: expected numbers of items, or shares")
            _check_shares(valid_share=valid_share, test_share=test_share)
            self.valid_share, self.test_share = float(valid_share or 0), float(test_share or 0)
        check_range("holdout.seed", seed, low=0, whole=True)
        self.seed = seed

    @override
    def split(self, interactions: Interactions) -> Split:
        if self.valid_share is not None and self.test_share is not None:
            return _hold_out_shares(interactions, self.valid_share, self.test_share, self.seed)
        wanted = np.full((interactions.num_users, 2), (self.valid_items, self.test_items))
        return hold_out(interactions, np.zeros_like(wanted), wanted, self.seed)


class LastHoldout(Holdout):
    """The latest `test_items` of a user for test, the `valid_items` before them for validation."""

    def __init__(self, valid_items: int = 10, test_items: int = 10) -> None:
        _check_counts(valid_items, test_items)
        self.valid_items, self.test_items = valid_items, test_items

    @override
    def split(self, interactions: Interactions) -> Split:
        wanted = np.full((interactions.num_users, 2), (self.valid_items, self.test_items))
        return hold_out(interactions, wanted, np.zeros_like(wanted), seed=0)


class HybridHoldout(Holdout):
    """A share of the history, part of it the latest and the rest random.

    `min(share * history, valid_items)` interactions a user for validation and as many (by
    `test_items`) for test; `latest_share` of them are the latest. With 12.5 %, 10 and 40 % it
    followed the original contest's leaderboard best of all splits.
    """

    def __init__(
        self,
        valid_items: int = 10,
        test_items: int = 10,
        share: float = 0.125,
        latest_share: float = 0.4,
        seed: int = 0,
    ) -> None:
        _check_counts(valid_items, test_items, seed)
        check_range("holdout.share", share, low=0, high=0.5, open_low=True)
        check_range("holdout.latest_share", latest_share, low=0, high=1)
        self.valid_items, self.test_items, self.seed = valid_items, test_items, seed
        self.share, self.latest_share = share, latest_share

    @override
    def split(self, interactions: Interactions) -> Split:
        shares = np.floor(self.share * interactions.lengths).astype(np.int64)
        wanted = np.minimum(shares[:, None], (self.valid_items, self.test_items))  # (U, 2)
        latest = np.rint(self.latest_share * wanted).astype(np.int64)
        return hold_out(interactions, latest, wanted - latest, self.seed)


class TimeHoldout(Holdout):
    """One moment for all users: models learn from what comes before it, and are asked what follows.

    The latest `test_share` of all interactions are for test, the `valid_share` before them for
    validation; those of one moment stay together, in the later part. A user with nothing before
    both is not asked for, and known for the final lists alone. An item with nothing before them
    stays to be found, though no model of ids can.

    >>> toy = Interactions(
    ...     users=np.array([7, 8]), items=np.arange(5), indptr=np.array([0, 3, 5]),
    ...     indices=np.arange(5, dtype=np.int32), times=np.array([1, 3, 5, 2, 4]), titles=None,
    ...     features={}, submission_users=np.array([7, 8]))
    >>> TimeHoldout(valid_share=0.2, test_share=0.2).split(toy).part
    array([0, 0, 2, 0, 1], dtype=int8)
    """

    def __init__(self, valid_share: float = 0.1, test_share: float = 0.1) -> None:
        _check_shares(valid_share=valid_share, test_share=test_share)
        self.valid_share, self.test_share = float(valid_share or 0), float(test_share or 0)

    @override
    def split(self, interactions: Interactions) -> Split:
        times, rows = interactions.times, interactions.rows
        if times is None:
            raise InputError("holdout=time: the data has no times; choose random, or give them")
        part = np.full(len(times), TRAIN, np.int8)
        for name, share in (VALID, self.valid_share + self.test_share), (TEST, self.test_share):
            if held := round(share * len(times)):
                part[times >= np.partition(times, -held)[-held]] = name
        begins_late = np.bincount(rows[part == TRAIN], minlength=interactions.num_users) == 0
        part[begins_late[rows]] = TEST_KNOWN
        for name, share in (VALID, self.valid_share), (TEST, self.test_share):
            if share and not (part == name).any():
                raise InputError(
                    f"{_as_keys(vars(self))}: nobody with earlier interactions has any in one of "
                    "these; hold out other shares, or choose another holdout"
                )
        log.info("%d users begin too late to be trained on", begins_late.sum())
        return Split(interactions, part)


class UserHoldout(Holdout):
    """Users whom no model learns from (strong generalisation), asked for a share of their history.

    Liang, Krishnan, Hoffman and Jebara, Variational autoencoders for collaborative filtering, WWW
    2018. Of `valid_users` and of `test_users` of all users, drawn, int(share n) of the n
    interactions are asked for, drawn too, and the rest is known. Who has too few for one is trained
    on. An item that no other user has stays to be found; the authors leave it out.

    >>> toy = Interactions(
    ...     users=np.array([7, 8]), items=np.arange(4), indptr=np.array([0, 4, 8]),
    ...     indices=np.arange(8, dtype=np.int32) % 4, times=None, titles=None,
    ...     features={}, submission_users=np.array([7, 8]))
    >>> UserHoldout(valid_users=0, test_users=0.5, share=0.25).split(toy).part
    array([4, 4, 2, 4, 0, 0, 0, 0], dtype=int8)
    """

    def __init__(
        self,
        valid_users: float = 0.1,
        test_users: float = 0.1,
        share: float = 0.2,
        seed: int = 0,
    ) -> None:
        _check_shares(valid_users=valid_users, test_users=test_users)
        check_range("holdout.share", share, low=0, high=0.5, open_low=True)
        check_range("holdout.seed", seed, low=0, whole=True)
        self.valid_users, self.test_users = float(valid_users or 0), float(test_users or 0)
        self.share, self.seed = share, seed

    @override
    def split(self, interactions: Interactions) -> Split:
        users, lengths = interactions.num_users, interactions.lengths
        drawn = np.random.default_rng((self.seed, 1)).permutation(users)  # hold_out draws by seed
        ends = np.rint(np.cumsum([self.valid_users, self.test_users]) * users)
        group = np.searchsorted(ends, drawn, side="right")  # 0 valid, 1 test, 2 to train on
        asked = np.floor(self.share * lengths).astype(np.int64)
        wanted = asked[:, None] * (group[:, None] == [0, 1])
        for number, share in enumerate((self.valid_users, self.test_users)):
            if share and not wanted[:, number].any():
                raise InputError(
                    f"{_as_keys(vars(self))}: no user who is drawn for one of these has a history "
                    f"of {int(np.ceil(1 / self.share))} interactions; hold out other shares, or "
                    "choose another holdout"
                )
        part = hold_out(interactions, np.zeros_like(wanted), wanted, self.seed).part
        rest = np.array([VALID_KNOWN, TEST_KNOWN, TRAIN], np.int8)[np.where(asked > 0, group, 2)]
        part = np.where(part == TRAIN, rest[interactions.rows], part)
        return Split(interactions, part, num_too_short=int(((group < 2) & (asked == 0)).sum()))


class FilesHoldout(Holdout):
    """The user's own train, valid and test files; together they are all the data.

    Of users whom no model learns from (strong generalisation) the files of what is asked for are
    `valid` and `test`, those of the histories that are known `valid_known` and `test_known`.
    """

    def __init__(
        self,
        train: str,
        valid: str | None = None,
        test: str | None = None,
        valid_known: str | None = None,
        test_known: str | None = None,
    ) -> None:
        if train is None:
            raise InputError("holdout.train=null: expected a file; only the others may be null")
        files = (train, valid, test, valid_known, test_known)
        self.files = tuple(None if path is None else str(path) for path in files)

    def __call__(self, source: Source, clock: Clock = lambda stage: nullcontext()) -> Split:
        """Load the files with the columns and the item table of `data=files`."""
        if not hasattr(source, "load_parts"):
            raise InputError("holdout=files reads its files by data=files: choose no other data")
        with clock("load"):
            interactions, part = source.load_parts(*self.files)
        with clock("split"):
            return Split(interactions, part)

    def identity(self, source: Source) -> dict[str, Any]:
        """The files in place of the source's own."""
        if not hasattr(source, "parts_identity"):
            raise InputError("holdout=files reads its files by data=files: choose no other data")
        data = source.parts_identity(*self.files)
        return {"holdout": type(self).__name__, "options": {}, "data": data}


def _as_keys(options: Mapping[str, Any]) -> str:
    given = (f"holdout.{key}={value}" for key, value in options.items() if value is not None)
    return ", ".join(given)


def _check_shares(**shares: float | None) -> None:
    for key, share in shares.items():
        check_range(f"holdout.{key}", share, low=0, high=1, open_high=True, or_null=True)
    if round(sum(share or 0 for share in shares.values()), 9) >= 1:
        raise InputError(
            f"{_as_keys(shares)}: expected less than 1 together; the rest is to train on"
        )


def _check_counts(valid_items: int, test_items: int, seed: int = 0) -> None:
    check_range("holdout.seed", seed, low=0, whole=True)
    check_range("holdout.valid_items", valid_items, low=0, whole=True)
    check_range("holdout.test_items", test_items, low=0, whole=True)


def hold_out(
    interactions: Interactions,
    latest: NDArray[np.int64],
    drawn: NDArray[np.int64],
    seed: int,
) -> Split:
    """Hide the latest and some random interactions of every user whose history is long enough.

    Args:
        interactions: all of them, rows in time order.
        latest: (U, 2) how many of the latest go to valid and to test; test takes the very latest.
        drawn: (U, 2) how many of the others go to valid and to test, at random.
        seed: of the draw.
    """
    lengths = interactions.lengths
    held = (latest + drawn).sum(axis=1)
    long_enough = (held > 0) & (2 * held <= lengths)  # a user keeps at least half
    if held.any() and not long_enough.any():
        raise InputError(
            f"no history is long enough for the holdout: the longest has {lengths.max()} "
            "interactions, and a user keeps at least half. Hold out fewer "
            "(holdout.valid_items, holdout.test_items), or use holdout=none"
        )
    latest, drawn = latest * long_enough[:, None], drawn * long_enough[:, None]
    if latest.any() and interactions.times is None:
        log.warning("the data has no times: the order of the file stands for the order in time")

    part = np.zeros(interactions.num_interactions, dtype=np.int8)
    ends = interactions.indptr[1:]
    latest_in_all = latest.sum(axis=1)
    for back in range(1, latest_in_all.max(initial=0) + 1):  # 1 is the very latest
        users = np.flatnonzero(back <= latest_in_all)
        part[ends[users] - back] = np.where(back <= latest[users, 1], TEST, VALID)

    drawn_in_all = drawn.sum(axis=1)
    positions = draw_distinct(
        lengths - latest_in_all, drawn_in_all.max(initial=0), np.random.default_rng(seed)
    )
    for number, position in enumerate(positions.T):
        users = np.flatnonzero(number < drawn_in_all)
        number_part = np.where(number < drawn[users, 0], VALID, TEST)
        part[interactions.indptr[users] + position[users]] = number_part
    return Split(interactions, part, num_too_short=int((~long_enough).sum()))


def share_counts(
    lengths: NDArray[np.int64], valid_share: float, test_share: float
) -> NDArray[np.int64]:
    """How many interactions go to validation and to test, as RecBole splits by ratio.

    Each share is rounded down; then test, and after it validation, takes one where its share is
    less than one interaction, as long as one more stays to train on. So published tables of 8:1:1
    have equally many (`RS: [0.8, 0.1, 0.1]`, `group_by: user`; RecBole, data/dataset.py).

    Args:
        lengths: (U,) of the histories.
        valid_share: of a history.
        test_share: of a history; both together are less than 1.

    Returns:
        (U, 2) for validation and for test.

    >>> share_counts(np.array([1, 2, 3, 9, 10, 19, 20]), 0.1, 0.1).T
    array([[0, 0, 1, 1, 1, 1, 2],
           [0, 1, 1, 1, 1, 1, 2]])
    """
    exact = lengths[:, None] * np.array([valid_share, test_share])
    counts = np.floor(exact).astype(np.int64)
    for part in (1, 0):
        left = lengths - counts.sum(axis=1)
        counts[:, part] += (exact[:, part] > 0) & (exact[:, part] < 1) & (left > 1)
    return counts


def _hold_out_shares(
    interactions: Interactions, valid_share: float, test_share: float, seed: int
) -> Split:
    """Shuffle every history; the first interactions are test's, the next validation's."""
    lengths, rows = interactions.lengths, interactions.rows
    counts = share_counts(lengths, valid_share, test_share)
    held = counts.sum(axis=1)
    if valid_share + test_share > 0 and not held.any():
        raise InputError(
            f"holdout.valid_share={valid_share}, holdout.test_share={test_share}: no history is "
            f"long enough: the longest has {lengths.max(initial=0)} interactions, and one is kept "
            "to train on. Use holdout=none"
        )
    # a stable sort of row + random number shuffles within the rows: rounding mixes no two of them
    order = np.argsort(rows + np.random.default_rng(seed).random(len(rows)), kind="stable")
    place = np.arange(len(order)) - interactions.indptr[rows]  # in the user's shuffled history
    part = np.zeros(len(order), dtype=np.int8)
    part[order[place < held[rows]]] = VALID
    part[order[place < counts[rows, 1]]] = TEST
    return Split(interactions, part, num_too_short=int((held == 0).sum()))


def draw_distinct(
    sizes: NDArray[np.int64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """`count` distinct positions of `range(size)` for every size, uniformly, in random order.

    Draw r among the positions that are left, then step over the taken ones in ascending order.

    Args:
        sizes: (U,) sizes; rows of a size below `count` are valid in their first `size` columns.
        count: positions a row.
        rng: source of randomness.

    Returns:
        (U, count) positions.

    >>> draw_distinct(np.array([3, 5]), 3, np.random.default_rng(0))
    array([[1, 0, 2],
           [1, 0, 4]])
    """
    positions = np.empty((len(sizes), count), dtype=np.int64)
    for j in range(count):
        left = np.maximum(sizes - j, 1)
        position = (rng.random(len(sizes)) * left).astype(np.int64)
        for taken in np.sort(positions[:, :j], axis=1).T:
            position += position >= taken
        positions[:, j] = position
    return positions
