"""Higher-order EASE against constrained ridge regression and the authors' ADMM."""

import numpy as np
import pytest
import torch

from recsys_lightning.functional import dense, sparse
from recsys_lightning.functional import higher_order_ease as higher_order_ease_module
from recsys_lightning.functional.ease import ease
from recsys_lightning.functional.higher_order_ease import (
    choose_pairs,
    feature_gram,
    higher_order_ease,
    pair_features,
    pair_gram,
    pair_rows,
)
from recsys_lightning.functional.ridge import DenseInverse, FewUsers
from recsys_lightning.functional.sparse import Ragged, gram
from tests.functional.references import (
    ITEMS,
    TOLERANCE,
    USERS,
    assert_close,
    both_precisions,
    constrained_ridge,
    inverse_of,
    lower,
    ragged,
)


def test_pairs_are_the_most_frequent_ones_with_ties_in_order(x, monkeypatch):
    g = x.T @ x
    ranked = sorted((-g[a, b], b, a) for b in range(ITEMS) for a in range(b) if g[a, b] > 0)
    for num_pairs in (0, 1, 7, 40, 10_000):
        expected = [[a, b] for _, b, a in ranked[:num_pairs]]
        for block in (2**20, 3 * ITEMS, 1):
            monkeypatch.setattr(dense, "_CACHED", block)
            assert choose_pairs(lower(g), num_pairs).tolist() == expected


def higher_order(x, pairs, dtype, l2=3.0, pair_l2=7.0):
    """From ragged rows to the weights, and F."""
    items, offsets, _ = ragged(x)
    of_pairs = torch.zeros(len(pairs), ITEMS + len(pairs), dtype=dtype)
    for first, last in ((0, 30), (30, USERS)):  # two batches
        bounds = offsets[first : last + 1]
        pair_gram(items[bounds[0] : bounds[-1]], bounds - bounds[0], pairs, of_pairs)
    of_items = gram(items, offsets, ITEMS, out=torch.zeros(ITEMS, ITEMS, dtype=dtype))
    ridge = torch.tensor([l2] * ITEMS + [pair_l2] * len(pairs))
    s = DenseInverse(feature_gram(of_items, of_pairs), ridge).dense()
    z = pair_features(torch.from_numpy(x), pairs)
    weight = higher_order_ease(s, pairs, out=torch.empty(len(s), ITEMS, dtype=dtype))
    return weight, np.hstack([x, z])


def test_the_blocks_of_rows_are_bounded_with_all_that_is_made_of_them(x, monkeypatch):
    made = []

    def watched(block, pairs):
        z = pair_features(block, pairs)
        made.append(block.numel() + z.numel())
        return z

    monkeypatch.setattr(higher_order_ease_module, "pair_features", watched)
    monkeypatch.setattr(sparse, "_BLOCK", 40 * ITEMS)
    items, offsets, _ = ragged(x)
    pairs = torch.combinations(torch.arange(ITEMS))  # many times the items
    pair_rows(Ragged(items, offsets, ITEMS), pairs)
    assert max(made) <= 40 * ITEMS
    made.clear()
    pair_gram(items, offsets, pairs, torch.zeros(len(pairs), ITEMS + len(pairs)))
    assert 2 * max(made) <= 40 * ITEMS  # once more beside each other


def forbidden_features(pairs):
    own = np.eye(ITEMS, dtype=bool)
    return np.vstack([own, own[pairs[:, 0]] | own[pairs[:, 1]]])


@both_precisions
def test_higher_order_ease_without_pairs_is_ease(x, dtype):
    weight, _ = higher_order(x, torch.empty(0, 2, dtype=torch.int64), dtype)
    assert_close(weight, ease(inverse_of(x.T @ x, 3.0).dense()), TOLERANCE[dtype])


@both_precisions
@pytest.mark.parametrize("num_pairs", [1, 20, 60])
def test_higher_order_ease_is_constrained_ridge_regression(x, dtype, num_pairs, monkeypatch):
    monkeypatch.setattr(dense, "_CACHED", 5 * (ITEMS + num_pairs))  # several blocks of items
    pairs = choose_pairs(lower(x.T @ x), num_pairs)
    weight, f = higher_order(x, pairs, dtype)
    forbidden = forbidden_features(pairs)
    l2 = np.r_[np.full(ITEMS, 3.0), np.full(num_pairs, 7.0)]
    assert (weight[torch.from_numpy(forbidden)] == 0).all()
    assert_close(weight, constrained_ridge(f, x, l2, forbidden), TOLERANCE[dtype])


def test_higher_order_ease_is_where_the_authors_admm_converges(x):
    """Their notebook's alternating sweeps, with rho = pair_l2; B from the final C."""
    pairs = choose_pairs(lower(x.T @ x), 25)
    l2, pair_l2, rho = 3.0, 7.0, 7.0
    weight, f = higher_order(x, pairs, torch.float64, l2, pair_l2)
    z = f[:, ITEMS:]
    xx, zx, zz = x.T @ x, z.T @ x, z.T @ z
    p = np.linalg.inv(xx + l2 * np.eye(ITEMS))
    q = np.linalg.inv(zz + (pair_l2 + rho) * np.eye(len(pairs)))
    allowed = ~forbidden_features(pairs)[ITEMS:]

    def best_b(c):
        b = p @ (xx - zx.T @ c)
        return b - p * (b.diagonal() / p.diagonal())

    d, y = np.zeros(zx.shape), np.zeros(zx.shape)
    for _ in range(600):
        c = q @ (zx - zx @ best_b(d) + rho * (d - y))
        d = (c + y) * allowed
        y += c - d
    assert_close(weight, np.vstack([best_b(d), d]), 1e-8)


def test_the_rows_with_pairs_are_those_of_the_dense_features(x):
    pairs = choose_pairs(lower(x.T @ x), 25)
    _, f = higher_order(x, pairs, torch.float64)
    assert_close(pair_rows(ragged(x), pairs).dense(), f, 0)


@pytest.mark.parametrize("num_pairs", [0, 40])
def test_few_users_give_the_weights_of_constrained_ridge_regression(x, num_pairs):
    x = x[:9]
    pairs = choose_pairs(lower(x.T @ x), num_pairs)
    l2 = np.r_[np.full(ITEMS, 3.0), np.full(num_pairs, 7.0)]
    s = FewUsers(pair_rows(ragged(x), pairs), torch.from_numpy(l2), torch.float64).dense()
    weight = higher_order_ease(s, pairs, out=torch.empty(len(s), ITEMS, dtype=torch.float64))
    f = np.hstack([x, pair_features(torch.from_numpy(x), pairs)])
    assert_close(weight, constrained_ridge(f, x, l2, forbidden_features(pairs)), 1e-10)
