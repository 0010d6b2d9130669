"""Numba kernels behind `pairs`, which states what they compute; CPU only."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from recsys_lightning.functional.kernels import kernel


@kernel(parallel=True, fastmath={"reassoc", "contract"})
def products(
    users: NDArray[np.floating],
    items: NDArray[np.floating],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    out: NDArray[np.floating],
    norms: NDArray[np.floating],
) -> None:
    """Write `<users[rows[b]], items[columns[b, n]]>` to `out` (B, n).

    And half the sum of the squares of the rows that b reads to `norms` (B,), if it is not empty.
    """
    zero, half = out.dtype.type(0), out.dtype.type(0.5)
    for b in prange(len(rows)):
        user = users[rows[b]]
        squares = zero
        for n in range(columns.shape[1]):
            item = items[columns[b, n]]
            total = zero
            for d in range(len(user)):
                total += user[d] * item[d]
            out[b, n] = total
            if len(norms):
                for d in range(len(user)):
                    squares += item[d] * item[d]
        if len(norms):
            for d in range(len(user)):
                squares += user[d] * user[d]
            norms[b] = half * squares


@kernel(parallel=True, fastmath={"contract"})
def add_gradients_of_products(
    users: NDArray[np.floating],
    items: NDArray[np.floating],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    gradient: NDArray[np.floating],
    of_norms: NDArray[np.floating],
    of_users: NDArray[np.floating],
    of_items: NDArray[np.floating],
) -> None:
    """Add to the tables' gradients, given those of the products (B, n) and the norms (B,) or (0,).

    One thread a table, so that the sums have one order whatever the number of threads.
    """
    for side in prange(2):
        for b in range(len(rows)):
            user, of_user = users[rows[b]], of_users[rows[b]]
            weight = of_norms[b] if len(of_norms) else gradient.dtype.type(0)
            if side == 0 and weight != 0:
                for d in range(len(user)):
                    of_user[d] += weight * user[d]
            for n in range(columns.shape[1]):
                g, item = gradient[b, n], items[columns[b, n]]
                if side == 0:
                    for d in range(len(user)):
                        of_user[d] += g * item[d]
                else:
                    of_item = of_items[columns[b, n]]
                    for d in range(len(user)):
                        of_item[d] += g * user[d] + weight * item[d]


@kernel(parallel=True)
def sums(
    users: NDArray[np.floating],
    items: NDArray[np.floating],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    out: NDArray[np.floating],
) -> None:
    """Write `users[rows[b]] + items[columns[b, n]]` to `out` (B, n, D)."""
    for b in prange(len(rows)):
        user = users[rows[b]]
        for n in range(columns.shape[1]):
            item, total = items[columns[b, n]], out[b, n]
            for d in range(len(user)):
                total[d] = user[d] + item[d]


@kernel(parallel=True)
def add_gradients_of_sums(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    gradient: NDArray[np.floating],
    of_users: NDArray[np.floating],
    of_items: NDArray[np.floating],
) -> None:
    """Add the gradients of the sums to the tables', given that of the sums (B, n, D)."""
    for side in prange(2):
        for b in range(len(rows)):
            for n in range(columns.shape[1]):
                g = gradient[b, n]
                of = of_users[rows[b]] if side == 0 else of_items[columns[b, n]]
                for d in range(len(g)):
                    of[d] += g[d]
