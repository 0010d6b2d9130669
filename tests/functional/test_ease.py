"""EASE and EDLAE against least squares."""

import numpy as np
import pytest
import torch

from recsys_lightning.functional.ease import ease, edlae_ridge
from recsys_lightning.functional.ridge import ridge_inverse
from tests.functional.references import (
    ITEMS,
    TOLERANCE,
    USERS,
    assert_close,
    both_precisions,
    constrained_ridge,
    inverse_of,
    ragged,
    ridge_regression,
)


@both_precisions
@pytest.mark.parametrize("l2", [3.0, np.linspace(1, 9, ITEMS)], ids=["scalar", "per item"])
def test_ease_is_ridge_regression_on_all_other_items(x, dtype, l2):
    ridge = l2 if isinstance(l2, float) else torch.tensor(l2, dtype=dtype)
    weight = ease(inverse_of(x.T @ x, ridge, dtype).dense())
    assert (weight.diagonal() == 0).all()
    assert_close(weight, constrained_ridge(x, x, l2, np.eye(ITEMS, dtype=bool)), TOLERANCE[dtype])


def test_ease_does_not_depend_on_the_order_of_users(x):
    orders = np.arange(USERS), np.random.default_rng(1).permutation(USERS)
    weights = [ease(ridge_inverse(ragged(x[order]), 3.0, torch.float32)) for order in orders]
    assert torch.equal(*weights)


def test_edlae_minimises_the_expected_loss_under_dropout(x):
    """One column, by direct computation: all 2^n ways to drop n inputs, each with its chance."""
    n, l2, p, target = 5, 2.0, 0.3, 5
    x = x[:, :n].copy(), x[:, target]
    kept = (np.arange(2**n)[:, None] >> np.arange(n)) & 1  # (2^n, n)
    chance = (p ** (1 - kept) * (1 - p) ** kept).prod(axis=1)
    inputs = (x[0] * kept[:, None] / (1 - p) * np.sqrt(chance)[:, None, None]).reshape(-1, n)
    outputs = (x[1] * np.sqrt(chance)[:, None]).ravel()
    expected = ridge_regression(inputs, outputs, l2)

    both = np.column_stack([x[0], x[1]])
    g = both.T @ both
    weight = ease(inverse_of(g, edlae_ridge(torch.tensor(g.diagonal()), l2, p)).dense())
    assert_close(weight[:n, n], expected, 1e-8)
