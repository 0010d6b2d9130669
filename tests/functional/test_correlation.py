"""Kendall's tau against SciPy's, of all and of every resample."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from recsys_lightning.functional.correlation import rank_correlation


@pytest.mark.parametrize("levels", [3, 100])  # many ties, few ties
def test_it_is_the_tau_of_scipy_and_of_its_resamples(levels):
    rng = np.random.default_rng(levels)
    a = rng.integers(levels, size=9).astype(float)
    b = a + rng.integers(-levels, levels, size=9)
    found = rank_correlation(a, b, seed=4, resamples=200)
    assert found.tau == pytest.approx(kendalltau(a, b).statistic)
    draws = np.random.default_rng(4).multinomial(9, np.full(9, 1 / 9), size=200)
    drawn = (np.repeat(np.arange(9), counts) for counts in draws)
    taus = [kendalltau(a[rows], b[rows]).statistic for rows in drawn]
    assert [found.low, found.high] == pytest.approx(np.nanquantile(taus, [0.025, 0.975]))


def test_a_constant_has_no_rank_correlation():
    assert np.isnan(rank_correlation(np.ones(6), np.arange(6.0))).all()


def test_the_interval_holds_the_true_correlation_as_often_as_it_says():
    """Of a normal pair with correlation r, tau is 2/pi asin(r); 25 runs a leaderboard."""
    rng, r = np.random.default_rng(0), 0.7
    true, covered = 2 / np.pi * np.arcsin(r), 0
    for number in range(200):
        a, noise = rng.normal(size=(2, 25))
        found = rank_correlation(a, r * a + np.sqrt(1 - r**2) * noise, seed=number, resamples=300)
        covered += found.low <= true <= found.high
    assert 0.85 < covered / 200 < 0.99
