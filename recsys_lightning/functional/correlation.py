"""Rank correlation of two measurements of the same things, with its interval.

Kendall, The treatment of ties in ranking problems, Biometrika 1945 (tau-b).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Correlation(NamedTuple):
    """What is known of a rank correlation.

    Attributes:
        tau: Kendall's tau-b, from -1 to 1.
        low: where its 95 % interval starts (percentiles over resamples).
        high: where it ends.
    """

    tau: float
    low: float
    high: float


def rank_correlation(
    a: NDArray[np.floating], b: NDArray[np.floating], *, seed: int = 0, resamples: int = 2000
) -> Correlation:
    """Kendall's tau-b, with a bootstrap over the things that were measured.

    Args:
        a: (n,) one measurement.
        b: (n,) the other.
        seed: of the resampling.
        resamples: how many times n things are drawn, with replacement; draws in which all of `a`
            or of `b` are equal have no correlation and do not count.

    Returns:
        nan everywhere if all of `a` or of `b` are equal.

    >>> rank_correlation(np.array([1.0, 2, 3]), np.array([0.1, 0.2, 0.4]), resamples=99)
    Correlation(tau=1.0, low=1.0, high=1.0)
    """
    n = len(a)
    signs_a, signs_b = (np.sign(values[:, None] - values) for values in (a, b))  # (n, n)
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    counts = np.concatenate([np.ones((1, n)), draws])  # all of them first

    def pairs(matrix: NDArray[np.floating]) -> NDArray[np.floating]:
        """(1 + resamples,) sums over the pairs of what was drawn."""
        return ((counts @ matrix) * counts).sum(axis=1)

    level = np.sqrt(pairs(np.abs(signs_a)) * pairs(np.abs(signs_b)))
    known = level > 0
    if not known[0]:
        return Correlation(np.nan, np.nan, np.nan)
    tau = pairs(signs_a * signs_b)[known] / level[known]
    low, high = np.quantile(tau[1:], (0.025, 0.975))
    return Correlation(float(tau[0]), float(low), float(high))
