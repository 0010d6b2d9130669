"""The Gram matrices of all prefixes against those of the prefixes themselves."""

import numpy as np
import pytest
import torch

from recsys_lightning.functional import dense
from recsys_lightning.functional.kernels.prefixes import add_prefix_grams
from recsys_lightning.functional.tale import fold_, prefix_grams
from tests.functional.references import assert_close

ITEMS = 15


@pytest.fixture
def histories():
    """Rows of items and their times, with ties; some empty, and some of one item."""
    rng = np.random.default_rng(0)
    lengths = [0, 1, 2, *rng.integers(3, ITEMS + 1, 20)]
    rows = [rng.permutation(ITEMS)[:length] for length in lengths]
    return rows, [np.sort(rng.integers(0, 30, length)) for length in lengths]


def direct(rows, times, tau, floor):
    """S^T S and S^T T of the rows S and T themselves."""
    s, t = [], []
    for items, when in zip(rows, times, strict=True):
        for last in range(1, len(items)):
            weights = np.maximum(np.exp(-(when[last] - when[:last]) / tau), floor)
            s.append(np.zeros(ITEMS))
            s[-1][items[:last]] = weights
            t.append(np.eye(ITEMS)[items[last]])
    s, t = np.array(s), np.array(t)
    return s.T @ s, s.T @ t


def ragged(rows, times):
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    joint = np.concatenate(rows).astype(np.int32), np.concatenate(times), offsets
    return [torch.from_numpy(one) for one in joint]


@pytest.mark.parametrize(
    ("tau", "floor"),
    [(3.0, 0.4), (3.0, 0.0), (0.01, 0.3), (0.01, 0.0), (5.0, 1.0), (50.0, 0.1), (2.0, 0.9)],
)
def test_they_are_the_products_of_the_prefixes(histories, tau, floor, monkeypatch):
    monkeypatch.setattr(dense, "_CACHED", 4 * ITEMS)  # several blocks to fold
    sums = torch.zeros(2, ITEMS, ITEMS, dtype=torch.float64)
    rows, times = histories
    for part in (slice(0, 9), slice(9, None)):  # two batches
        prefix_grams(*ragged(rows[part], times[part]), tau, floor, *sums)
    sources, targets = direct(rows, times, tau, floor)
    assert sources.max() > 1
    assert_close(fold_(sums[0]).tril(), torch.from_numpy(sources).tril(), 1e-12)
    assert_close(sums[1], torch.from_numpy(targets), 1e-12)


def test_they_do_not_depend_on_the_number_of_threads(histories):
    arrays = [one.numpy() for one in ragged(*histories)]
    arrays[1] = arrays[1].astype(float)
    results = []
    for threads in (1, 3, 64):
        results.append(np.zeros((2, ITEMS, ITEMS)))
        add_prefix_grams(*arrays, 3.0, 0.4, *results[-1], threads)
    assert all((result == results[0]).all() for result in results)


def test_times_far_apart_are_finite():
    """Differences of large sums, and quotients of tiny ones."""
    times = [np.array([0, 1, 10**9, 10**9 + 1, 10**9 + 1])]
    rows = [np.arange(5)]
    for floor in (0.0, 1e-300, 0.2):
        sums = torch.zeros(2, ITEMS, ITEMS, dtype=torch.float64)
        prefix_grams(*ragged(rows, times), 1.0, floor, *sums)
        sources, targets = direct(rows, times, 1.0, floor)
        assert_close(fold_(sums[0]).tril(), torch.from_numpy(sources).tril(), 1e-12)
        assert_close(sums[1], torch.from_numpy(targets), 1e-12)
