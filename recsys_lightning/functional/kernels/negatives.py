"""Numba kernels behind `negatives`, which states what they compute."""

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.functional.kernels import kernel

_ATTEMPTS = 100  # rejections before one pass over all items


@kernel()
def alias_table(probability: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Walker's table by Vose's method: column j keeps j with `keep[j]`, else gives `alias[j]`."""
    num_items = len(probability)
    keep = probability * num_items
    alias = np.arange(num_items).astype(np.int32)
    small = [item for item in range(num_items) if keep[item] < 1]
    large = [item for item in range(num_items) if keep[item] >= 1]
    while small and large:
        item, donor = small.pop(), large[-1]
        alias[item] = donor
        keep[donor] -= 1 - keep[item]
        if keep[donor] < 1:
            small.append(large.pop())
    for item in small:  # 1 but for rounding
        keep[item] = 1
    return keep, alias


@kernel()
def pack(items: NDArray[np.int32], offsets: NDArray[np.int64], num_items: int) -> NDArray[np.uint8]:
    """(U, ceil(I / 8)): bit i of row u, from the lowest of the first byte, is set if u has i."""
    bits = np.zeros((len(offsets) - 1, (num_items + 7) // 8), np.uint8)
    for user in range(len(offsets) - 1):
        for item in items[offsets[user] : offsets[user + 1]]:
            bits[user, item >> 3] |= np.uint8(1 << (item & 7))
    return bits


@kernel()
def draw(
    users: NDArray[np.int64],
    bitmap: NDArray[np.uint8],
    sorted_items: NDArray[np.int32],
    offsets: NDArray[np.int64],
    probability: NDArray[np.float64],
    keep: NDArray[np.float64],
    alias: NDArray[np.int32],
    rng: np.random.Generator,
    out: NDArray[np.int32],
) -> None:
    """Write items that each user has not to `out` (n, m); each user must have one to be drawn.

    Args:
        users: (n,).
        bitmap: of `pack`; or (U, 0), then the ascending rows are searched.
        sorted_items: (N,) ascending within a row; (0,) where there is a bitmap.
        offsets: (U+1,).
        probability: (I,).
        keep: (I,) of `alias_table`.
        alias: (I,) of `alias_table`.
        rng: advanced by what was drawn.
        out: (n, m).
    """
    num_items = len(keep)
    for row in range(len(users)):
        user = users[row]
        bits = bitmap[user]
        items = sorted_items[:0] if len(bits) else sorted_items[offsets[user] : offsets[user + 1]]
        for column in range(out.shape[1]):
            for _ in range(_ATTEMPTS):
                place = rng.random() * num_items  # its fraction has at least 22 random bits
                item = int(place)
                if place - item >= keep[item]:
                    item = alias[item]
                if not _has(item, bits, items):
                    break
            else:
                item = _draw_in_one_pass(bits, items, probability, rng)
            out[row, column] = item


@kernel(inline="always")  # as a call it halves the speed
def _has(item: int, bits: NDArray[np.uint8], items: NDArray[np.int32]) -> bool:
    if len(bits):
        return (bits[item >> 3] >> (item & 7)) & 1 == 1
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) >> 1
        if items[middle] < item:
            low = middle + 1
        else:
            high = middle
    return low < len(items) and items[low] == item


@kernel()
def _draw_in_one_pass(
    bits: NDArray[np.uint8],
    items: NDArray[np.int32],
    probability: NDArray[np.float64],
    rng: np.random.Generator,
) -> int:
    """From the same distribution: every unseen item replaces the one kept with its share so far."""
    total, kept = 0.0, -1
    for item in range(len(probability)):
        if probability[item] > 0 and not _has(item, bits, items):
            total += probability[item]
            if rng.random() * total < probability[item]:
                kept = item
    return kept
