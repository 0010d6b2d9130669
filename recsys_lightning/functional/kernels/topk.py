"""The k best unseen items of many users on a CPU: one pass over the scores, a heap of k keys."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from recsys_lightning.functional.kernels import kernel

_LOWEST = np.int64(-(1 << 63))  # below every key: an unfilled place of the heap
_HIGHEST = np.int64((1 << 63) - 1)
_LOW_BITS = np.int64((1 << 32) - 1)


@kernel(parallel=True)
def best_unseen(
    scores: NDArray[np.float32],
    seen_items: NDArray[np.int32],
    seen_offsets: NDArray[np.int64],
    k: int,
    priority: NDArray[np.int64],
    by_priority: NDArray[np.int64],
    by_popularity: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The kernel of `ranking.rank_items`, which states the rules.

    Args:
        scores: (B, I) without NaN, C order.
        seen_items: (N,) ragged rows of items to leave out.
        seen_offsets: (B+1,).
        k: length of a list, at least 1.
        priority: (I,) a permutation; of equal scores the higher priority comes first.
        by_priority: (I,) items by ascending priority.
        by_popularity: (I,) items by ascending popularity; the last fills up first.

    Returns:
        (B, k) items, -1 where none is left.
    """
    num_users, num_items = scores.shape
    bits = scores.view(np.int32)
    lists = np.full((num_users, k), -1, np.int64)
    for user in prange(num_users):
        first, last = seen_offsets[user], seen_offsets[user + 1]
        is_empty = first == last
        seen = np.zeros(num_items, np.bool_)
        for position in range(first, last):
            seen[seen_items[position]] = True

        heap = np.full(k, _LOWEST)
        threshold = np.float32(-np.inf)  # the k-th best score so far
        for item in range(0 if is_empty else num_items):
            score = scores[user, item]
            if score < threshold or score == -np.inf or seen[item]:
                continue
            key = _ordered(bits[user, item]) << 32 | priority[item]
            if key > heap[0]:
                _replace_smallest(heap, key)
                if heap[0] != _LOWEST:
                    threshold = scores[user, by_priority[heap[0] & _LOW_BITS]]

        size = k
        for position in range(k - 1, -1, -1):  # the worst first
            key = heap[0]
            if key == _LOWEST:
                size = position
            else:
                lists[user, position] = by_priority[key & _LOW_BITS]
            _replace_smallest(heap, _HIGHEST)

        for item in by_popularity[::-1]:
            if size == k:
                break
            if not seen[item] and (is_empty or scores[user, item] == -np.inf):
                lists[user, size] = item
                size += 1
    return lists


@kernel()
def _ordered(bits: np.int32) -> np.int64:
    """Float32 bits (sign and magnitude) as an integer of the same order; 0.0 and -0.0 are one."""
    wide = np.int64(bits)
    return wide if wide >= 0 else np.int64(-(1 << 31)) - wide


@kernel()
def _replace_smallest(heap: NDArray[np.int64], key: np.int64) -> None:
    """Drop the root of a binary min-heap and sift `key` down from there."""
    size = len(heap)
    node, child = 0, 1
    while child < size:
        child += child + 1 < size and heap[child + 1] < heap[child]  # the smaller, no branch
        if heap[child] >= key:
            break
        heap[node] = heap[child]
        node, child = child, 2 * child + 1
    heap[node] = key
