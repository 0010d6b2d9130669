"""Numba kernels behind `tale`, which states what they compute; CPU only."""

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from recsys_lightning.functional.kernels import kernel


@kernel()
def add_prefix_grams(
    items: NDArray[np.int32],
    times: NDArray[np.float64],
    offsets: NDArray[np.int64],
    tau: float,
    floor: float,
    sources: NDArray[np.float64],
    targets: NDArray[np.float64],
    num_threads: int,
) -> None:
    """Add the weights' products of all prefixes: S^T S to `sources`, S^T T to `targets`, (I, I).

    Of items a before b in a row `sources[a, b]` alone is written, not [b, a].

    A target that comes after both sees them by w_a w_b, w = max(exp(-dt / tau), floor). In time
    order the targets fall in three parts: up to `last[a]` both are above the floor, up to `last[b]`
    b alone, then neither. What a part sums to follows from sums over all later targets, which are
    made from the end: `squares[k]` of exp(-2 dt / tau) and `simple[k]` of exp(-dt / tau), dt from k
    on. So a row of n costs n² / 2 steps, not n³ / 6.
    """
    step, simple, squares = np.zeros(len(items)), np.zeros(len(items)), np.zeros(len(items))
    beyond = np.zeros(len(items))  # of the simple sum of k what lies beyond last[k]
    last, ends = np.zeros(len(items), np.int64), np.zeros(len(items), np.int64)
    span = math.inf if floor == 0 else -tau * math.log(floor)  # the floor from then on
    for row in range(len(offsets) - 1):
        first, final = offsets[row], offsets[row + 1] - 1
        for k in range(final, first, -1):
            step[k] = math.exp(-(times[k] - times[k - 1]) / tau)  # from k - 1 to k
            simple[k - 1] = step[k] * (1 + simple[k])
            squares[k - 1] = step[k] ** 2 * (1 + squares[k])
        reached = first
        for k in range(first, final + 1):
            reached = max(reached, k)
            while reached < final and times[reached + 1] - times[k] <= span:
                reached += 1
            last[k], ends[k] = reached, final
            beyond[k] = math.exp(-(times[reached] - times[k]) / tau) * simple[reached]
    _add_by_item(
        items,
        times,
        tau,
        floor,
        (step, simple, squares, beyond),
        (last, ends),
        sources,
        targets,
        num_threads,
    )


@kernel(parallel=True)
def _add_by_item(
    items: NDArray[np.int32],
    times: NDArray[np.float64],
    tau: float,
    floor: float,
    sums: tuple,
    places: tuple,
    sources: NDArray[np.float64],
    targets: NDArray[np.float64],
    num_threads: int,
) -> None:
    """One row of each matrix stays in the cache; each sum has one order, whatever the threads."""
    step, simple, squares, beyond = sums
    last, ends = places
    order = np.argsort(items, kind="mergesort")
    starts = np.zeros(len(sources) + 1, np.int64)
    for item in items:
        starts[item + 1] += 1
    starts = np.cumsum(starts)
    for thread in prange(num_threads):
        for item in range(thread, len(sources), num_threads):
            source, target = sources[item], targets[item]
            for a in order[starts[item] : starts[item + 1]]:
                decay = math.exp(-(times[last[a]] - times[a]) / tau)
                squares_beyond = decay * decay * squares[last[a]]
                weight = 1.0  # of a, seen from b
                for b in range(a, last[a] + 1):
                    if b > a:
                        weight *= step[b]
                        if weight == 0:  # without a floor, far back
                            break
                        target[items[b]] += weight
                    source[items[b]] += (
                        (weight * squares[b] - squares_beyond / weight)
                        + floor * (beyond[a] / weight - beyond[b])
                        + floor * floor * (ends[b] - last[b])
                    )
                for b in range(last[a] + 1, ends[a] + 1):
                    target[items[b]] += floor
                    source[items[b]] += floor * (
                        simple[b] - beyond[b] + floor * (ends[b] - last[b])
                    )
