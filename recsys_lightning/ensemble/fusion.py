"""Fusion: the lists of M members become one list a user.

Let r_m(i) be the rank of item i in member m's list, from 1, s_m(i) its score there, w_m >= 0 the
member's weight and K the depth, how many first items of a list count. An item scores
sum_m w_m c_m(i), where c_m(i) is

    rank             1 / log2(r + 1)         the contest team's; as the discount of NDCG
    reciprocal_rank  1 / (k0 + r)            Cormack, Clarke and Buettcher, SIGIR 2009
    borda            (K - r + 1) / K         Aslam and Montague, SIGIR 2001
    combsum_minmax   (s - low) / (high - low)  of the user's list; Fox and Shaw, TREC-2, 1994
    combsum_zscore   (s - low) / std         so that it is not negative, as a plain z-score would be
    combmnz          combsum_minmax, the sum times the number of lists (w > 0) that hold the item
    vote             1 if r <= k, plus (K - r + 1) / 2^p: hard voting by the first k of each list

and 0 where the list does not hold the item: never a value that depends on other users or members.
The last item of a list still comes before one in no list. Ties go to the more popular item.

The second term of `vote` decides between items of equal votes, by the sum of their ranks; in a
list that lacks an item its rank is K + 1. With p = 10 + ceil(log2 K) it stays below a thousandth
of the weights; at equal weights the sums of 127 members are exact to a depth of 128, of 15 members
to 1,024: beyond, equal votes may be decided by rounding.

`interleave` takes the items that stand among the first of all members' lists, by the sum of their
ranks, and then the members' next items in turn, each member as often as its weight says: what won
the contest with two members and 7 : 3.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.ensemble import kernels, turns
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.runs.lists import Lists

# c_m by the ranks r (K,) alone, with the depth K, k0 and the k of vote
BY_RANK: dict[str, Callable[[NDArray[np.int64], int, float, int], NDArray[Any]]] = {
    "rank": lambda r, depth, k0, head: 1 / np.log2(r + 1),
    "reciprocal_rank": lambda r, depth, k0, head: 1 / (k0 + r),
    "borda": lambda r, depth, k0, head: (depth - r + 1) / depth,
    "vote": lambda r, depth, k0, head: (
        (r <= head) + (depth - r + 1) / 2 ** (10 + np.ceil(np.log2(depth)))
    ),
}
SUMS = (*BY_RANK, "combsum_minmax", "combsum_zscore", "combmnz")
RULES = (*SUMS, "interleave")
_TINY = np.float32(1e-6)  # of the last in a list, which is not as bad as none

Evaluate = Callable[
    [NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]], NDArray[np.float64]
]
"""(G, M) weights, of each of which P variants have more for one member: which, (P,), and how much
more, (P,); to (n, G, P) sums of the gains at the ranks of the hits."""


class Fusion(Protocol):
    """The lists of M members, ready to be fused by any weights."""

    def lists(
        self, weights: NDArray[np.floating], length: int, group: NDArray[np.int64] | None = None
    ) -> NDArray[np.int32]:
        """Fuse.

        Args:
            weights: (G, M) not negative.
            length: of the lists.
            group: (U,) which of the G weights are a user's; None: the first.

        Returns:
            (U, length) item positions, best first; -1 where no member has any more.
        """
        ...

    def evaluator(
        self, users: NDArray[np.int64], held_out: Interactions, gains: NDArray[np.float64]
    ) -> Evaluate:
        """How good many weights are, without making the lists.

        Args:
            users: (n,) whom to look at.
            held_out: the items that are hits.
            gains: (k,) what a hit is worth at each rank.
        """
        ...


class Sum(Fusion):
    """Sums of weighted contributions.

    Holds the union of the members' lists: N entries, the users' one after the other, in tie order.

    Args:
        members: the lists of each, (U, K).
        tie_order: (I,) items, the preferred first.
        rule: one of `SUMS`.
        depth: how many first items of each list count: the K above.
        k0: of `reciprocal_rank`.
        head: the k of `vote`.
    """

    def __init__(
        self,
        members: Sequence[Lists],
        tie_order: NDArray[np.integer],
        rule: str,
        *,
        depth: int,
        k0: float = 60,
        head: int = 10,
    ) -> None:
        members = [Lists(lists.items[:, :depth], lists.scores[:, :depth]) for lists in members]
        lists = _stack(members)
        by_tie_rank = tie_order.astype(np.int32)
        tie_rank = np.argsort(by_tie_rank).astype(np.int32)
        sizes = kernels.union_sizes(lists, len(tie_order))
        self.starts = np.concatenate([[0], np.cumsum(sizes)])
        self.items = np.empty(self.starts[-1], dtype=np.int32)
        self.ranks = np.zeros((len(members), self.starts[-1]), dtype=np.int16)
        kernels.fill_union(lists, tie_rank, by_tie_rank, self.starts, self.items, self.ranks)

        length = lists.shape[2]
        self.times_lists = rule == "combmnz"
        self.contributions = np.empty(self.ranks.shape, dtype=np.float32)
        if rule in BY_RANK:
            by_rank = BY_RANK[rule](np.arange(1, length + 1), depth, k0, head)
            table = np.concatenate([[0], by_rank]).astype(np.float32)
            kernels.look_up(table, self.ranks, self.contributions)
            return
        first_of_user = np.repeat(np.arange(len(sizes)) * (length + 1), sizes)
        normalise = standardised if rule == "combsum_zscore" else min_max
        for row, (ranks, member) in enumerate(zip(self.ranks, members, strict=True)):
            scores = np.zeros((len(sizes), length + 1), dtype=np.float32)
            scores[:, 1 : member.scores.shape[1] + 1] = normalise(member)
            self.contributions[row] = scores.ravel()[first_of_user + ranks]

    @override
    def lists(
        self, weights: NDArray[np.floating], length: int, group: NDArray[np.int64] | None = None
    ) -> NDArray[np.int32]:
        if group is None:
            group = np.zeros(len(self.starts) - 1, dtype=np.int64)
        made: NDArray[np.int32] = kernels.sum_lists(
            self.starts,
            self.items,
            self.contributions,
            self.ranks,
            self.times_lists,
            weights.astype(np.float32),
            group,
            length,
        )
        return made

    @override
    def evaluator(
        self, users: NDArray[np.int64], held_out: Interactions, gains: NDArray[np.float64]
    ) -> Evaluate:
        starts, items, contributions, ranks = self._contenders(len(gains))
        targets = held_out.indptr, held_out.indices
        relevant = kernels.mark(starts, items, *targets, held_out.num_items)

        def evaluate(
            weights: NDArray[np.float32],
            which: NDArray[np.int64],
            more: NDArray[np.float32],
        ) -> NDArray[np.float64]:
            values: NDArray[np.float64] = kernels.sum_values(
                users,
                starts,
                contributions,
                ranks,
                self.times_lists,
                relevant,
                gains,
                weights,
                which,
                more,
            )
            return values

        return evaluate

    def _contenders(self, k: int) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Starts, items, contributions and ranks of what some weights bring to the first k."""
        length = int(self.ranks.max(initial=0))
        kept = kernels.contenders(self.starts, self.contributions, self.ranks, length, k)
        starts = np.concatenate([[0], np.cumsum(kept)])[self.starts]
        return starts, self.items[kept], self.contributions[:, kept], self.ranks[:, kept]


class Interleave(Fusion):
    """Quota interleaving.

    Args:
        members: the lists of each, (U, K).
        num_items: I.
        depth: how many first items of each list count.
        head: among how many first items one must stand in all lists to come first; 0: none does.
    """

    def __init__(self, members: Sequence[Lists], num_items: int, *, depth: int, head: int) -> None:
        self.members = np.ascontiguousarray(_stack(members)[:, :, :depth])
        self.num_items, self.head = num_items, head

    @override
    def lists(
        self, weights: NDArray[np.floating], length: int, group: NDArray[np.int64] | None = None
    ) -> NDArray[np.int32]:
        if group is None:
            group = np.zeros(self.members.shape[1], dtype=np.int64)
        return quota(self.members, weights[group], length, self.num_items, self.head)

    @override
    def evaluator(
        self, users: NDArray[np.int64], held_out: Interactions, gains: NDArray[np.float64]
    ) -> Evaluate:
        def evaluate(
            weights: NDArray[np.float32],
            which: NDArray[np.int64],
            more: NDArray[np.float32],
        ) -> NDArray[np.float64]:
            variants = np.repeat(weights[:, None], len(which), axis=1)  # (G, P, M)
            variants[:, np.arange(len(which)), which] += more
            values: NDArray[np.float64] = turns.interleave_values(
                users,
                self.members,
                self.head,
                held_out.indptr,
                held_out.indices,
                self.num_items,
                gains,
                variants.reshape(-1, variants.shape[2]),
            )
            return values.reshape(len(users), *variants.shape[:2])

        return evaluate


def quota(
    lists: NDArray[np.int32], sizes: NDArray[np.number], length: int, num_items: int, head: int = 0
) -> NDArray[np.int32]:
    """(U, length) lists to which each member gives as many items as its size says.

    What stands among the first `head` of all lists that have a size comes first, by the sum of its
    ranks. Then the members give their next items in turn, evenly spread: of sizes 7 and 3 one has
    seven of ten ranks. An item counts for who gives it first; a list that ends leaves its ranks
    to the others.

    Args:
        lists: (M, U, K) items, best first; -1: no item.
        sizes: (U, M) not negative, for each user.
        length: of the lists made.
        num_items: I.
        head: 0: sizes alone decide.

    >>> lists = np.int32([[[0, 1, 2, 3]], [[3, 4, 5, 6]]])
    >>> quota(lists, np.array([[3, 1]]), 4, num_items=7)
    array([[0, 1, 3, 2]], dtype=int32)
    >>> quota(lists, np.array([[3, 1]]), 4, num_items=7, head=4)
    array([[3, 0, 1, 4]], dtype=int32)
    """
    users = np.arange(lists.shape[1])
    made: NDArray[np.int32] = turns.interleave_lists(
        lists, head, num_items, sizes.astype(np.float32), users, length
    )
    return made


def min_max(lists: Lists) -> NDArray[np.float32]:
    """(U, K) scores of every list from just above 0 to 1; all 1 if equal; 0 where there is none.

    An item without a score (-inf: the model had no opinion) counts as the lowest, and beside equal
    scores as less than they.

    >>> lists = Lists(np.int32([[4, 2, 3, -1]]), np.float32([[5, 2, 1, -np.inf]]))
    >>> min_max(lists).round(3)
    array([[1.  , 0.25, 0.  , 0.  ]], dtype=float32)
    """
    shifted, scored = _shifted(lists)
    span = shifted.max(axis=1, keepdims=True, initial=0)
    scaled = np.where(span > 0, shifted / np.where(span > 0, span, 1), scored)
    return np.where(lists.items >= 0, np.maximum(scaled, _TINY), 0).astype(np.float32)


def standardised(lists: Lists) -> NDArray[np.float32]:
    """(U, K) scores of every list in standard deviations above its lowest; all 1 if equal.

    >>> lists = Lists(np.int32([[4, 2, 3, -1]]), np.float32([[5, 3, 1, -np.inf]]))
    >>> standardised(lists).round(3)
    array([[2.449, 1.225, 0.   , 0.   ]], dtype=float32)
    """
    shifted, scored = _shifted(lists)
    there = lists.items >= 0
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    mean = np.where(there, shifted, 0).sum(axis=1, keepdims=True) / count
    std = np.sqrt((np.where(there, shifted - mean, 0) ** 2).sum(axis=1, keepdims=True) / count)
    scaled = np.where(std > 0, shifted / np.where(std > 0, std, 1), scored)
    return np.where(there, np.maximum(scaled, _TINY), 0).astype(np.float32)


def average(runs: Sequence[Lists], tie_order: NDArray[np.integer]) -> Lists:
    """One list a user of runs that differ in seed alone, by the mean of `standardised` scores.

    An item that a run's list lacks has the lowest score of that list there, 0: the run would have
    put it lower still, and by how much is not known. Items are those of all lists, as many a user
    as the longest holds; ties go to the preferred item.

    Args:
        runs: the lists of each, (U, K).
        tie_order: (I,) items, the preferred first.

    >>> one = Lists(np.int32([[0, 1, 2]]), np.float32([[9, 6, 3]]))
    >>> two = Lists(np.int32([[1, 3, 2]]), np.float32([[0.9, 0.5, 0.4]]))
    >>> items, scores = average([one, two], np.arange(4))
    >>> items, scores.round(2)
    (array([[1, 0, 3]], dtype=int32), array([[1.77, 1.22, 0.23]], dtype=float32))
    """
    length = max(run.items.shape[1] for run in runs)
    union = Sum(runs, tie_order, "combsum_zscore", depth=length)
    sizes = np.diff(union.starts)
    there = np.arange(max(sizes.max(initial=0), length)) < sizes[:, None]  # (U, width)
    items = np.full(there.shape, -1, dtype=np.int32)
    scores = np.full(there.shape, -np.inf, dtype=np.float32)
    items[there], scores[there] = union.items, union.contributions.mean(axis=0)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :length]
    return Lists(np.take_along_axis(items, best, axis=1), np.take_along_axis(scores, best, axis=1))


def _shifted(lists: Lists) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(U, K) scores above the lowest of the list, and which items have one: all where none has."""
    scores = lists.scores.astype(np.float64)
    known = (lists.items >= 0) & np.isfinite(scores)
    low = np.where(known, scores, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    none = ~np.isfinite(low)
    return np.where(known, scores - np.where(none, 0, low), 0), known | none


def _stack(members: Sequence[Lists]) -> NDArray[np.int32]:
    """(M, U, K) with the longest's K."""
    length = max(member.items.shape[1] for member in members)
    stacked = np.full((len(members), len(members[0].items), length), -1, dtype=np.int32)
    for row, member in zip(stacked, members, strict=True):
        row[:, : member.items.shape[1]] = member.items
    return stacked


def check_rule(rule: str, depth: int, k0: float) -> None:
    """Refuse what `make_fusion` cannot make.

    Raises:
        InputError: names the key.
    """
    if rule not in RULES:
        raise InputError(
            f"ensemble.fusion={rule}: expected one of {', '.join(RULES)}; a list, such as "
            "[rank, interleave], is not for a bag"
        )
    check_range("ensemble.depth", depth, low=1, high=2**15 - 1, whole=True)
    check_range("ensemble.k0", k0, low=0)


def make_fusion(
    rule: str,
    members: Sequence[Lists],
    tie_order: NDArray[np.integer],
    *,
    k0: float,
    depth: int,
    head: int,
) -> Fusion:
    """The fusion of a name.

    Args:
        rule: one of `RULES`.
        members: the lists of each, (U, K).
        tie_order: (I,) items, the preferred first.
        k0: of `reciprocal_rank`.
        depth: how many first items of each list count.
        head: see `Interleave`; and the k of `vote`.

    >>> ease = Lists(np.int32([[0, 1, 2]]), np.float32([[9, 8, 7]]))
    >>> recvae = Lists(np.int32([[3, 1, 0]]), np.float32([[.5, .4, .3]]))
    >>> settings = {"k0": 60, "depth": 3, "head": 2}
    >>> make_fusion("rank", [ease, recvae], np.arange(4), **settings).lists(np.ones((1, 2)), 3)
    array([[0, 1, 3]], dtype=int32)
    >>> make_fusion("vote", [ease, recvae], np.arange(4), **settings).lists(np.ones((1, 2)), 3)
    array([[1, 0, 3]], dtype=int32)
    >>> make_fusion("interleave", [ease, recvae], np.arange(4), **settings).lists(
    ...     np.array([[2.0, 1.0]]), 4)
    array([[1, 0, 3, 2]], dtype=int32)
    """
    if rule == "interleave":
        return Interleave(members, len(tie_order), depth=depth, head=head)
    return Sum(members, tie_order, rule, depth=depth, k0=k0, head=head)
