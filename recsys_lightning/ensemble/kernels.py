"""Numba kernels behind `fusion`, which states what they compute."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from recsys_lightning.functional.kernels import kernel


@kernel(parallel=True)
def union_sizes(lists: NDArray[np.int32], num_items: int) -> NDArray[np.int64]:
    """(U,) distinct items in the lists (M, U, K) of a user; -1: no item."""
    num_members, num_users, length = lists.shape
    sizes = np.zeros(num_users, np.int64)
    for user in prange(num_users):
        met = np.zeros(num_items, np.bool_)
        size = 0
        for member in range(num_members):
            for place in range(length):
                item = lists[member, user, place]
                if item >= 0 and not met[item]:
                    met[item] = True
                    size += 1
        sizes[user] = size
    return sizes


@kernel(parallel=True)
def fill_union(
    lists: NDArray[np.int32],
    tie_rank: NDArray[np.int32],
    by_tie_rank: NDArray[np.int32],
    starts: NDArray[np.int64],
    items: NDArray[np.int32],
    ranks: NDArray[np.int16],
) -> None:
    """Write every user's distinct items, in tie order, and their rank in each member's list.

    Args:
        lists: (M, U, K), -1: no item.
        tie_rank: (I,) the lower comes first.
        by_tie_rank: (I,) its inverse.
        starts: (U+1,) where a user's entries start.
        items: (N,) written.
        ranks: (M, N) of zeros; written: from 1.
    """
    num_members, num_users, length = lists.shape
    num_items = len(tie_rank)
    for user in prange(num_users):
        first, last = starts[user], starts[user + 1]
        met = np.zeros(num_items, np.bool_)
        tied = np.empty(last - first, np.int32)
        size = 0
        for member in range(num_members):
            for place in range(length):
                item = lists[member, user, place]
                if item >= 0 and not met[item]:
                    met[item] = True
                    tied[size] = tie_rank[item]
                    size += 1
        tied.sort()
        entry_of = np.empty(num_items, np.int64)
        for i in range(size):
            item = by_tie_rank[tied[i]]
            items[first + i] = item
            entry_of[item] = first + i
        for member in range(num_members):
            for place in range(length):
                item = lists[member, user, place]
                if item >= 0:
                    ranks[member, entry_of[item]] = place + 1


@kernel(parallel=True)
def look_up(
    table: NDArray[np.float32], ranks: NDArray[np.int16], values: NDArray[np.float32]
) -> None:
    """Write what each of the ranks (M, N) is worth, table[rank], to `values`."""
    for i in prange(ranks.shape[1]):
        for member in range(len(ranks)):
            values[member, i] = table[ranks[member, i]]


@kernel(parallel=True)
def mark(
    starts: NDArray[np.int64],
    items: NDArray[np.int32],
    target_starts: NDArray[np.int64],
    targets: NDArray[np.int32],
    num_items: int,
) -> NDArray[np.bool_]:
    """(N,) which entries of ragged rows stand in the same row of `targets`."""
    marked = np.zeros(len(items), np.bool_)
    for user in prange(len(starts) - 1):
        wanted = np.zeros(num_items, np.bool_)
        for i in range(target_starts[user], target_starts[user + 1]):
            wanted[targets[i]] = True
        for i in range(starts[user], starts[user + 1]):
            marked[i] = wanted[items[i]]
    return marked


@kernel(parallel=True)
def contenders(
    starts: NDArray[np.int64],
    contributions: NDArray[np.float32],
    ranks: NDArray[np.int16],
    length: int,
    k: int,
) -> NDArray[np.bool_]:
    """(N,) which entries can be among the first k by any weights.

    An item cannot if k others beat it in every list that holds it: whatever the weights, they have
    higher sums (and stand in as many lists). All of them precede it in each of its lists, so the
    list that holds it first names them.

    Args:
        starts: (U+1,) where a user's entries start.
        contributions: (M, N) positive where a list holds the entry, else 0.
        ranks: (M, N) from 1; 0 where a list does not hold the entry.
        length: of the longest list.
        k: at least 1.
    """
    num_members = len(ranks)
    kept = np.ones(ranks.shape[1], np.bool_)
    for user in prange(len(starts) - 1):
        first, last = starts[user], starts[user + 1]
        at = np.empty((num_members, length + 1), np.int64)  # the entry at a rank
        for member in range(num_members):
            for i in range(first, last):
                at[member, ranks[member, i]] = i
        for i in range(first, last):
            lead = -1
            for member in range(num_members):
                place = ranks[member, i]
                if place > 0 and (lead < 0 or place < ranks[lead, i]):
                    lead = member
            before = 0
            if ranks[lead, i] > k:
                for place in range(1, ranks[lead, i]):
                    other = at[lead, place]
                    is_before = True
                    for member in range(num_members):
                        mine = contributions[member, i]
                        if mine > 0 and contributions[member, other] <= mine:
                            is_before = False
                            break
                    before += is_before
                    if before == k:
                        break
            kept[i] = before < k
    return kept


@kernel()
def _add_up(
    contributions: NDArray[np.float32],
    weights: NDArray[np.float32],
    first: int,
    last: int,
    scores: NDArray[np.float32],
) -> None:
    """Write a user's weighted sums to the head of `scores`; member by member, in their order."""
    size = last - first
    scores[:size] = 0
    for member in range(len(weights)):
        weight = weights[member]
        if weight > 0:
            row = contributions[member, first:last]
            for i in range(size):
                scores[i] += weight * row[i]


@kernel()
def _count_lists(
    ranks: NDArray[np.int16],
    weights: NDArray[np.float32],
    first: int,
    last: int,
    counts: NDArray[np.float32],
) -> None:
    """Write to the head of `counts` how many lists with a weight hold each item of a user."""
    size = last - first
    counts[:size] = 0
    for member in range(len(weights)):
        if weights[member] > 0:
            there = ranks[member, first:last]
            for i in range(size):
                counts[i] += there[i] > 0


@kernel()
def _select(
    scores: NDArray[np.float32],
    size: int,
    best: NDArray[np.float32],
    chosen: NDArray[np.int64],
) -> None:
    """Write the best of the first `size` scores, descending, and where they stand (-1: none).

    Only scores above 0 count; of equal ones the first comes first.
    """
    length = len(best)
    best[:] = 0
    chosen[:] = -1
    for i in range(size):
        score = scores[i]
        if score > best[length - 1]:
            place = length - 1
            while place > 0 and score > best[place - 1]:
                best[place], chosen[place] = best[place - 1], chosen[place - 1]
                place -= 1
            best[place], chosen[place] = score, i


@kernel(fastmath={"reassoc"})
def _before(scores: NDArray[np.float32], size: int, target: int, k: int) -> int:
    """How many of the first `size` scores stand before one of them; exact below k.

    Counted in float32, as wide as what is compared, so that the loops become vector instructions.
    """
    score = scores[target]
    before = np.float32(0)
    for i in range(size):
        before += np.float32(scores[i] > score)
    if before < k:  # of equal ones the first comes first
        for i in range(target):
            before += np.float32(scores[i] == score)
    return int(before)


@kernel(parallel=True)
def sum_values(
    users: NDArray[np.int64],
    starts: NDArray[np.int64],
    contributions: NDArray[np.float32],
    ranks: NDArray[np.int16],
    times_lists: bool,
    relevant: NDArray[np.bool_],
    gains: NDArray[np.float64],
    weights: NDArray[np.float32],
    members: NDArray[np.int64],
    more: NDArray[np.float32],
) -> NDArray[np.float64]:
    """(len(users), G, P) summed gains of the relevant items among the first.

    By (G, M) weights, of each of which P variants have `more` (P,) weight for one of the `members`
    (P,): what is common to the variants is added up once. No list is made: the rank of a relevant
    entry is the number of those before it.
    """
    longest = 0
    for user in users:
        longest = max(longest, starts[user + 1] - starts[user])
    values = np.zeros((len(users), len(weights), len(members)))
    for n in prange(len(users)):
        first, last = starts[users[n]], starts[users[n] + 1]
        size = last - first
        targets = np.flatnonzero(relevant[first:last])
        if not len(targets):
            continue
        common, scores = np.empty(longest, np.float32), np.empty(longest, np.float32)
        counts = np.empty(longest, np.float32)
        for g in range(len(weights)):
            _add_up(contributions, weights[g], first, last, common)
            if times_lists:
                _count_lists(ranks, weights[g], first, last, counts)
            for p in range(len(members)):
                row, by = contributions[members[p], first:last], more[p]
                for i in range(size):
                    scores[i] = common[i] + by * row[i]
                if times_lists:
                    is_new = by > 0 and weights[g, members[p]] == 0
                    for i in range(size):
                        scores[i] *= counts[i] + (is_new and row[i] > 0)
                for target in targets:
                    before = _before(scores, size, int(target), len(gains))
                    if scores[target] > 0 and before < len(gains):
                        values[n, g, p] += gains[before]
    return values


@kernel(parallel=True)
def sum_lists(
    starts: NDArray[np.int64],
    items: NDArray[np.int32],
    contributions: NDArray[np.float32],
    ranks: NDArray[np.int16],
    times_lists: bool,
    weights: NDArray[np.float32],
    group: NDArray[np.int64],
    length: int,
) -> NDArray[np.int32]:
    """(U, length) items by the weights (G, M) of each user's group (U,); -1 where none is left."""
    num_users = len(starts) - 1
    lists = np.full((num_users, length), -1, np.int32)
    for user in prange(num_users):
        first, last = starts[user], starts[user + 1]
        scores, counts = np.empty(last - first, np.float32), np.empty(last - first, np.float32)
        best, chosen = np.empty(length, np.float32), np.empty(length, np.int64)
        _add_up(contributions, weights[group[user]], first, last, scores)
        if times_lists:
            _count_lists(ranks, weights[group[user]], first, last, counts)
            for i in range(last - first):
                scores[i] *= counts[i]
        _select(scores, last - first, best, chosen)
        for place in range(length):
            if chosen[place] >= 0:
                lists[user, place] = items[first + chosen[place]]
    return lists
