"""Numba kernels behind `sparse`, which states what they compute; CPU only."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from recsys_lightning.functional.kernels import kernel

_TILE = 512  # columns of the weights that all rows pass before the next: 14 MB at 6,807 items


@kernel()
def by_item(
    items: NDArray[np.int32], offsets: NDArray[np.int64], num_items: int
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Transpose ragged rows twice: who has an item, and the rows sorted by item.

    Args:
        items: (N,) item positions, in any order within a row.
        offsets: (B+1,).
        num_items: I.

    Returns:
        sorted_items (N,): the rows with ascending items; starts (I+1,) of each item in the next
        two; owners (N,): the rows that hold the item; ends (N,): where the item ends in the
        owner's sorted row, so that `sorted_items[offsets[owner]:end]` are the items up to it.
    """
    starts = np.zeros(num_items + 1, np.int64)
    for item in items:
        starts[item + 1] += 1
    starts = np.cumsum(starts)

    owners = np.empty(len(items), np.int32)
    place = starts[:-1].copy()
    for row in range(len(offsets) - 1):
        for item in items[offsets[row] : offsets[row + 1]]:
            owners[place[item]] = row
            place[item] += 1

    sorted_items = np.empty(len(items), np.int32)
    ends = np.empty(len(items), np.int64)
    place = offsets[:-1].copy()
    for item in range(num_items):
        for k in range(starts[item], starts[item + 1]):
            row = owners[k]
            sorted_items[place[row]] = item
            place[row] += 1
            ends[k] = place[row]
    return sorted_items, starts, owners, ends


@kernel(parallel=True)
def add_gram(
    sorted_items: NDArray[np.int32],
    offsets: NDArray[np.int64],
    starts: NDArray[np.int64],
    owners: NDArray[np.int32],
    ends: NDArray[np.int64],
    out: NDArray[np.floating],
    num_threads: int,
) -> None:
    """Add the lower triangle of X^T X to `out` (I, I); one row of it stays in the L1 cache."""
    num_items = len(out)
    for thread in prange(num_threads):
        for item in range(thread, num_items, num_threads):  # interleaved: equal shares of work
            row = out[item]
            for k in range(starts[item], starts[item + 1]):
                for q in range(offsets[owners[k]], ends[k]):
                    row[sorted_items[q]] += 1


@kernel(parallel=True)
def sum_rows(
    items: NDArray[np.int32],
    offsets: NDArray[np.int64],
    weight: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    """Write the sums of weight rows to `out` (B, D), eight rows at a time."""
    num_columns = weight.shape[1]
    for first in range(0, num_columns, _TILE):
        last = min(first + _TILE, num_columns)
        for row in prange(len(offsets) - 1):
            total = out[row, first:last]
            total[:] = 0
            k, end = offsets[row], offsets[row + 1]
            while k + 8 <= end:
                a = weight[items[k], first:last]
                b = weight[items[k + 1], first:last]
                c = weight[items[k + 2], first:last]
                d = weight[items[k + 3], first:last]
                e = weight[items[k + 4], first:last]
                f = weight[items[k + 5], first:last]
                g = weight[items[k + 6], first:last]
                h = weight[items[k + 7], first:last]
                for j in range(last - first):
                    total[j] += ((a[j] + b[j]) + (c[j] + d[j])) + ((e[j] + f[j]) + (g[j] + h[j]))
                k += 8
            while k < end:
                a = weight[items[k], first:last]
                for j in range(last - first):
                    total[j] += a[j]
                k += 1


@kernel(parallel=True)
def sum_weighted_rows(
    items: NDArray[np.int32],
    offsets: NDArray[np.int64],
    factors: NDArray[np.floating],
    weight: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    """Write the sums of weight rows, each times its factor (N,), to `out`, four rows at a time."""
    num_columns = weight.shape[1]
    for first in range(0, num_columns, _TILE):
        last = min(first + _TILE, num_columns)
        for row in prange(len(offsets) - 1):
            total = out[row, first:last]
            total[:] = 0
            k, end = offsets[row], offsets[row + 1]
            while k + 4 <= end:
                a, by_a = weight[items[k], first:last], factors[k]
                b, by_b = weight[items[k + 1], first:last], factors[k + 1]
                c, by_c = weight[items[k + 2], first:last], factors[k + 2]
                d, by_d = weight[items[k + 3], first:last], factors[k + 3]
                for j in range(last - first):
                    total[j] += (by_a * a[j] + by_b * b[j]) + (by_c * c[j] + by_d * d[j])
                k += 4
            while k < end:
                a, by_a = weight[items[k], first:last], factors[k]
                for j in range(last - first):
                    total[j] += by_a * a[j]
                k += 1
