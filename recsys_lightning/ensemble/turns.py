"""Numba kernels behind `fusion.quota` and `fusion.Interleave`: lists that give items in turn."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from recsys_lightning.functional.kernels import kernel


@kernel()
def _whose_turn(
    weights: NDArray[np.float32], goes_on: NDArray[np.bool_], credit: NDArray[np.float64]
) -> int:
    """Which of the members that go on gives the next item, -1 if none does; updates `credit`.

    Each has turns as often as its weight says, evenly spread: smooth weighted round robin.
    """
    total, chosen = 0.0, -1
    for member in range(len(weights)):
        if goes_on[member]:
            credit[member] += weights[member]
            total += weights[member]
            if chosen < 0 or credit[member] > credit[chosen] + 1e-9:
                chosen = member
    if chosen >= 0:
        credit[chosen] -= total
    return chosen


@kernel()
def _turns(weights: NDArray[np.float32], length: int) -> NDArray[np.int64]:
    """(length,) which member gives an item at each turn, as long as all lists go on."""
    turns = np.empty(length, np.int64)
    credit, goes_on = np.zeros(len(weights)), weights > 0
    for turn in range(length):
        turns[turn] = _whose_turn(weights, goes_on, credit)
    return turns


@kernel()
def _next(items: NDArray[np.int32], place: int, taken: NDArray[np.bool_]) -> int:
    """The first place from `place` on of an item that is not taken; the length if there is none."""
    while place < len(items) and items[place] >= 0 and taken[items[place]]:
        place += 1
    return place if place < len(items) and items[place] >= 0 else len(items)


@kernel()
def _shared(
    lists: NDArray[np.int32],
    user: int,
    weights: NDArray[np.float32],
    head: int,
    out: NDArray[np.int32],
) -> int:
    """Write what stands in the heads of all lists, by the sum of its ranks; how many these are."""
    num_members, _, length = lists.shape
    head = min(head, length)
    supporters, lead = 0, -1
    for member in range(num_members):
        if weights[member] > 0:
            supporters += 1
            if lead < 0:
                lead = member
    if supporters < 2 or head == 0:
        return 0
    sums, shared = np.empty(head, np.int64), np.empty(head, np.int32)
    size = 0
    for place in range(head):
        item = lists[lead, user, place]
        if item < 0:
            break
        total, found = place, 1
        for member in range(lead + 1, num_members):
            if weights[member] > 0:
                before = found
                for other in range(head):
                    if lists[member, user, other] == item:
                        total += other
                        found += 1
                        break
                if found == before:  # one lacks it, so the others do not matter
                    break
        if found == supporters:
            at = size  # the first member's order decides ties
            while at > 0 and sums[at - 1] > total:
                sums[at], shared[at] = sums[at - 1], shared[at - 1]
                at -= 1
            sums[at], shared[at] = total, item
            size += 1
    size = min(size, len(out))
    out[:size] = shared[:size]
    return size


@kernel()
def _interleave(
    lists: NDArray[np.int32],
    user: int,
    weights: NDArray[np.float32],
    turns: NDArray[np.int64],
    head: int,
    taken: NDArray[np.bool_],
    out: NDArray[np.int32],
) -> None:
    """Write a user's list; `turns` are of `_turns`; `taken` (I,) is all False before and after."""
    num_members, _, length = lists.shape
    out[:] = -1
    size = _shared(lists, user, weights, head, out)
    for i in range(size):
        taken[out[i]] = True
    following = np.zeros(num_members, np.int64)
    go_on = length >= len(out)  # a list with as many items never runs out
    for member in range(num_members):
        if go_on and weights[member] > 0:
            go_on = lists[member, user, len(out) - 1] >= 0
    credit, still = np.zeros(num_members), np.zeros(num_members, np.bool_)
    for turn in range(len(out) - size):
        if go_on:
            chosen = turns[turn]
        else:  # those that have ended leave their turns to the others
            for member in range(num_members):
                if weights[member] > 0:
                    following[member] = _next(lists[member, user], following[member], taken)
                    still[member] = following[member] < length
            chosen = _whose_turn(weights, still, credit)
        if chosen < 0:
            break
        place = _next(lists[chosen, user], following[chosen], taken)
        out[size] = lists[chosen, user, place]
        taken[out[size]] = True
        following[chosen] = place + 1
        size += 1
    for i in range(size):
        taken[out[i]] = False


@kernel(parallel=True)
def interleave_values(
    users: NDArray[np.int64],
    lists: NDArray[np.int32],
    head: int,
    target_starts: NDArray[np.int64],
    targets: NDArray[np.int32],
    num_items: int,
    gains: NDArray[np.float64],
    weights: NDArray[np.float32],
) -> NDArray[np.float64]:
    """(len(users), G) summed gains of the relevant items among the first, by (G, M) weights."""
    k = len(gains)
    values = np.zeros((len(users), len(weights)))
    turns = np.empty((len(weights), k), np.int64)
    for g in range(len(weights)):
        turns[g] = _turns(weights[g], k)
    for n in prange(len(users)):
        user = users[n]
        taken, wanted = np.zeros(num_items, np.bool_), np.zeros(num_items, np.bool_)
        for i in range(target_starts[user], target_starts[user + 1]):
            wanted[targets[i]] = True
        can_gain = False  # what comes among the first k stands there in a list, or is shared
        for member in range(len(lists)):
            for item in lists[member, user, : max(k, head)]:
                can_gain = can_gain or (item >= 0 and wanted[item])
        if not can_gain:
            continue
        out = np.empty(k, np.int32)
        for g in range(len(weights)):
            _interleave(lists, user, weights[g], turns[g], head, taken, out)
            for place in range(k):
                if out[place] >= 0 and wanted[out[place]]:
                    values[n, g] += gains[place]
    return values


@kernel(parallel=True)
def interleave_lists(
    lists: NDArray[np.int32],
    head: int,
    num_items: int,
    weights: NDArray[np.float32],
    group: NDArray[np.int64],
    length: int,
) -> NDArray[np.int32]:
    """(U, length) items by the weights (G, M) of each user's group (U,); -1 where none is left."""
    num_users = lists.shape[1]
    out = np.empty((num_users, length), np.int32)
    for user in prange(num_users):
        taken = np.zeros(num_items, np.bool_)
        own = weights[group[user]]
        _interleave(lists, user, own, _turns(own, length), head, taken, out[user])
    return out
