"""The paired bootstrap over users: is the difference between two models more than chance?

Efron and Tibshirani, An Introduction to the Bootstrap, 1993; for rankings: Sakai, SIGIR 2006.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_DRAWS = 1 << 23  # indices drawn at once: 32 MB


class Difference(NamedTuple):
    """What is known of a mean difference.

    Attributes:
        mean: of `a - b`.
        low: where the 95 % interval of the mean starts (percentiles of the resampled means).
        high: where it ends.
        p: two-sided; at least 2 / (resamples + 1), since fewer cannot be told.
    """

    mean: float
    low: float
    high: float
    p: float


def paired_bootstrap(
    a: NDArray[np.floating], b: NDArray[np.floating], *, seed: int = 0, resamples: int = 2000
) -> Difference:
    """Compare two models by a metric's values for the same users.

    Args:
        a: (U,) values of one model; nan for a user who was not evaluated.
        b: (U,) values of the other.
        seed: of the resampling.
        resamples: how many times as many users are drawn, with replacement.

    Returns:
        the mean of `a - b` over the users evaluated by both; nan everywhere without users.

    >>> paired_bootstrap(np.array([0.5, 0.75, np.nan]), np.array([0.25, 0.25, 0.5]), resamples=999)
    Difference(mean=0.375, low=0.25, high=0.5, p=0.002)
    """
    differences = (a - b)[~np.isnan(a - b)]
    num_users = len(differences)
    if not num_users:
        return Difference(np.nan, np.nan, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    rows = max(1, _DRAWS // num_users)
    means = np.concatenate(
        [
            differences[
                rng.integers(num_users, size=(min(rows, resamples - done), num_users), dtype="i4")
            ].mean(axis=1)
            for done in range(0, resamples, rows)
        ]
    )
    low, high = np.quantile(means, (0.025, 0.975))
    beyond = min(np.count_nonzero(means <= 0), np.count_nonzero(means >= 0))
    p = min(1.0, 2 * (int(beyond) + 1) / (resamples + 1))
    return Difference(float(differences.mean()), float(low), float(high), p)
