"""Data and independent computations for the tests of the linear models."""

import numpy as np
import pytest
import torch

from recsys_lightning.functional.ridge import DenseInverse
from recsys_lightning.functional.sparse import Ragged

USERS, ITEMS = 80, 17
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4}
both_precisions = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


def two_groups():
    """(U, I) float64 ones and zeros: two groups of items, one that is rare, one that nobody has."""
    rng = np.random.default_rng(5)
    x = rng.random((USERS, ITEMS)) < np.where(
        np.arange(USERS)[:, None] % 2 == np.arange(ITEMS) % 2, 0.5, 0.2
    )
    x[:, 3] = False
    x[:, 4] = np.arange(USERS) < 2
    return x.astype(float)


def long_tail(num_users, num_items, num_ones, seed=0):
    """Rows of lognormal lengths, items of a power law."""
    rng = np.random.default_rng(seed)
    share = np.arange(1, num_items + 1) ** -0.9
    lengths = rng.lognormal(np.log(num_ones / num_users) - 0.5, 1, num_users).astype(int)
    lengths = lengths.clip(5, num_items // 2)
    rows = [rng.choice(num_items, n, replace=False, p=share / share.sum()) for n in lengths]
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]))
    return Ragged(torch.from_numpy(np.concatenate(rows).astype(np.int32)), offsets, num_items)


def ragged(x):
    """The rows of a dense matrix of zeros and ones."""
    rows, columns = np.nonzero(x)
    offsets = np.concatenate([[0], np.bincount(rows, minlength=len(x)).cumsum()])
    return Ragged(torch.from_numpy(columns).int(), torch.from_numpy(offsets), x.shape[1])


def lower(g, dtype=torch.float64):
    """The triangle that is to be read; the other must not matter."""
    nan = np.triu(np.full_like(g, np.nan), 1)
    return torch.tensor(np.tril(g) + nan, dtype=dtype)


def inverse_of(g, ridge, dtype=torch.float64):
    """P of a Gram matrix in the form of items x items."""
    return DenseInverse(lower(g, dtype), ridge)


def assert_close(ours, reference, tolerance):
    np.testing.assert_allclose(np.asarray(ours), reference, rtol=0, atol=tolerance)


def ridge_regression(x, y, l2):
    """Argmin ||y - xw||² + sum_i l2_i w_i², as least squares with a row for every penalty."""
    l2 = np.broadcast_to(l2, x.shape[1])
    stacked = np.vstack([x, np.diag(np.sqrt(l2))])
    return np.linalg.lstsq(stacked, np.concatenate([y, np.zeros(len(l2))]), rcond=None)[0]


def constrained_ridge(f, x, l2, forbidden):
    """Every column j on the features that may predict it; `forbidden` (F, I) bool."""
    weight = np.zeros(forbidden.shape)
    for j in range(x.shape[1]):
        allowed = ~forbidden[:, j]
        l2_j = np.broadcast_to(l2, f.shape[1])[allowed]
        weight[allowed, j] = ridge_regression(f[:, allowed], x[:, j], l2_j)
    return weight
