"""The paired bootstrap over users: is the difference between two models more than chance?

Efron and Tibshirani, An Introduction to the Bootstrap, 1993; for rankings: Sakai, SIGIR 2006.
"""

from itertools import combinations
from math import erfc, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_DRAWS = 1 << 23  # indices drawn at once: 32 MB


class Difference(NamedTuple):
    """What is known of a mean difference.

    Attributes:
        mean: of `a - b`.
        low: where the 95 % interval of the mean starts: percentiles of the resampled means, but for
            `bootstrap_of_choice`.
        high: where it ends.
        p: two-sided; at least 2 / (resamples + 1), the smallest that can be seen, but for
            `bootstrap_of_choice`.
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
    if not len(differences):
        return Difference(np.nan, np.nan, np.nan, np.nan)
    [means] = _resampled_means(differences[None], seed, resamples)
    return _difference(float(differences.mean()), means)


def bootstrap_of_pairs(
    values: NDArray[np.floating], *, seed: int = 0
) -> dict[tuple[int, int], Difference]:
    """Compare each of E models with each that comes after it: the users are drawn once for all.

    They are drawn 2,000 times, and 80 times a pair where that is more: raised by `holm`, the
    smallest p that is possible is 0.025 at most.

    Args:
        values: (E, U) values of a metric; nan for a user who was not evaluated.
        seed: of the resampling.

    Returns:
        E (E - 1) / 2 differences over the users evaluated by all, by the models' positions.

    >>> found = bootstrap_of_pairs(np.array([[0.5, 0.75], [0.25, 0.25], [0, 0]]))
    >>> list(found), found[0, 1].mean
    ([(0, 1), (0, 2), (1, 2)], 0.375)
    """
    values = values[:, ~np.isnan(values).any(axis=0)]
    pairs = list(combinations(range(len(values)), 2))
    if not values.shape[1]:
        return dict.fromkeys(pairs, Difference(np.nan, np.nan, np.nan, np.nan))
    means = values.mean(axis=1)
    resampled = _resampled_means(values, seed, max(2000, 80 * len(pairs)))
    return {
        (a, b): _difference(float(means[a] - means[b]), resampled[a] - resampled[b])
        for a, b in pairs
    }


def _resampled_means(
    values: NDArray[np.floating], seed: int, resamples: int
) -> NDArray[np.float64]:
    """(E, R) means of (E, n) values over as many users, drawn with replacement R times."""
    num_users = values.shape[1]
    rng = np.random.default_rng(seed)
    rows = max(1, _DRAWS // num_users)
    means = np.empty((len(values), resamples))
    for done in range(0, resamples, rows):
        size = min(rows, resamples - done), num_users
        drawn = rng.integers(num_users, size=size, dtype="i4")
        drawn += num_users * np.arange(len(drawn), dtype="i4")[:, None]
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        means[:, done : done + rows] = values @ counts.T.astype(float) / num_users
    return means


def _difference(mean: float, means: NDArray[np.float64]) -> Difference:
    """What the (R,) resampled means say of a mean difference."""
    means = means.round(12)  # what differs by rounding alone is equal
    low, high = np.quantile(means, (0.025, 0.975))
    beyond = min(np.count_nonzero(means <= 0), np.count_nonzero(means >= 0))
    p = min(1.0, 2 * (int(beyond) + 1) / (len(means) + 1))
    return Difference(mean, float(low), float(high), p)


def holm(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n,) p-values of n tests, each raised so that one error among all is as rare as it says.

    Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 1979.

    >>> holm(np.array([0.04, 0.01, 0.03]))
    array([0.06, 0.03, 0.06])
    """
    order = np.argsort(p)
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(raised, 1)
    return adjusted


def choose_without(values: NDArray[np.floating], fold: NDArray[np.int64]) -> NDArray[np.int64]:
    """(F,) for each fold, the first of E models with the highest mean on all other folds.

    Args:
        values: (E, U) values of a metric; nan for a user who was not evaluated.
        fold: (U,) from 0.

    >>> choose_without(np.array([[0.9, 0.1, 0.1], [0.5, 0.5, 0.5]]), np.arange(3))
    array([1, 0, 0])
    """
    there = ~np.isnan(values).any(axis=0)
    sums, counts = _by_fold(np.ones((1, np.count_nonzero(there))), values[:, there], fold[there])
    chosen: NDArray[np.int64] = _best_of_others(sums, counts)[0]
    return chosen


def bootstrap_of_choice(
    values: NDArray[np.floating],
    other: NDArray[np.floating],
    fold: NDArray[np.int64],
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> Difference:
    """Compare the best of several models to another, its choice by these values being nested.

    The mean is that of `choose_without`: the value of whoever is the best on all users would be too
    high, by having been chosen for it (Cawley and Talbot, JMLR 2010). Its folds are not
    independent, each having a say in what is chosen for the others, so the interval is of the whole
    procedure: every resample chooses anew (Poisson bootstrap, Chamandy et al., 2012).
    It is the mean plus and minus 1.96 standard deviations of the resampled means, and p is that of
    the normal distribution, however small.

    Args:
        values: (E, U) values of the models.
        other: (U,) values of what they are compared with.
        fold: (U,) from 0.
        seed: of the resampling.
        resamples: how many times the users are drawn.
    """
    differences = values - other
    there = ~np.isnan(differences).any(axis=0)
    differences, fold = differences[:, there], fold[there]
    num_users = len(fold)

    def means(counts: NDArray[np.floating]) -> NDArray[np.float64]:
        sums, numbers = _by_fold(counts, differences, fold)
        chosen = _best_of_others(sums, numbers)
        gained = np.take_along_axis(sums, chosen[:, :, None], axis=2)[:, :, 0]
        drawn = numbers.sum(axis=1)
        some = drawn > 0  # of a handful of users a resample may draw nobody
        result: NDArray[np.float64] = gained.sum(axis=1)[some] / drawn[some]
        return result

    rng = np.random.default_rng(seed)
    rows = max(1, _DRAWS // num_users)
    resampled = np.concatenate(
        [
            means(rng.poisson(1.0, (min(rows, resamples - done), num_users)).astype(np.float32))
            for done in range(0, resamples, rows)
        ]
    )
    mean = float(means(np.ones((1, num_users)))[0])
    deviation = float(resampled.std())
    low, high = mean - 1.96 * deviation, mean + 1.96 * deviation
    p = erfc(abs(mean) / deviation / sqrt(2)) if deviation else float(mean == 0)
    return Difference(mean, low, high, p)


def _by_fold(
    counts: NDArray[np.floating], values: NDArray[np.floating], fold: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(R, F, E) sums of values (E, n) by counts (R, n), and (R, F) how many each fold has."""
    folds = [np.flatnonzero(fold == f) for f in range(int(fold.max(initial=0)) + 1)]
    sums = np.stack([counts[:, users] @ values[:, users].T for users in folds], axis=1)
    numbers = np.stack([counts[:, users].sum(axis=1) for users in folds], axis=1)
    return sums.astype(float), numbers.astype(float)


def _best_of_others(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.int64]:
    """(R, F) the model of the highest mean over all folds but one."""
    outside = np.maximum(counts.sum(axis=1, keepdims=True) - counts, 1)
    means = (sums.sum(axis=1, keepdims=True) - sums) / outside[:, :, None]
    return means.argmax(axis=2)
