"""The linear models against independent references: least squares, coordinate descent, ADMM."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import ElasticNet

from recsys_lightning.errors import InputError
from recsys_lightning.functional import solvers
from recsys_lightning.functional.solvers import (
    admm_slim,
    center_,
    choose_pairs,
    ease,
    edlae_ridge,
    higher_order_ease,
    invert_spd_,
    pair_features,
    pair_gram,
    popularity_ridge,
)
from recsys_lightning.functional.sparse import gram

USERS, ITEMS = 80, 17
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4}
both_precisions = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


@pytest.fixture
def x():
    """(U, I) float64 ones and zeros: two groups of items, one that is rare, one that nobody has."""
    rng = np.random.default_rng(5)
    x = rng.random((USERS, ITEMS)) < np.where(
        np.arange(USERS)[:, None] % 2 == np.arange(ITEMS) % 2, 0.5, 0.2
    )
    x[:, 3] = False
    x[:, 4] = np.arange(USERS) < 2
    return x.astype(float)


def lower(g, dtype=torch.float64):
    """The triangle that is to be read; the other must not matter."""
    nan = np.triu(np.full_like(g, np.nan), 1)
    return torch.tensor(np.tril(g) + nan, dtype=dtype)


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


# The inverse


@both_precisions
@pytest.mark.parametrize("size", [1, 5, 1500])
def test_the_cholesky_inverse_equals_the_general_one(dtype, size):
    rng = np.random.default_rng(0)
    root = rng.normal(size=(size, size + 5))
    matrix = root @ root.T / size + np.eye(size)
    ours = lower(matrix, dtype)
    address = ours.data_ptr()
    inverse = invert_spd_(ours)
    assert inverse.data_ptr() == address
    assert torch.equal(inverse, inverse.T)
    assert_close(inverse, np.linalg.inv(matrix), TOLERANCE[dtype])


@both_precisions
def test_a_matrix_that_is_not_positive_definite_is_refused(dtype):
    with pytest.raises(InputError, match=rf"{dtype}.*larger model\.l2"):
        invert_spd_(torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=dtype))


# EASE and EDLAE


@both_precisions
@pytest.mark.parametrize("l2", [3.0, np.linspace(1, 9, ITEMS)], ids=["scalar", "per item"])
def test_ease_is_ridge_regression_on_all_other_items(x, dtype, l2):
    ridge = l2 if isinstance(l2, float) else torch.tensor(l2, dtype=dtype)
    weight = ease(lower(x.T @ x, dtype), ridge)
    assert (weight.diagonal() == 0).all()
    assert_close(weight, constrained_ridge(x, x, l2, np.eye(ITEMS, dtype=bool)), TOLERANCE[dtype])


def test_ease_does_not_depend_on_the_order_of_users(x):
    weights = []
    for order in (np.arange(USERS), np.random.default_rng(1).permutation(USERS)):
        rows, items = np.nonzero(x[order])
        offsets = np.concatenate([[0], np.bincount(rows, minlength=USERS).cumsum()])
        items, offsets = torch.from_numpy(items).int(), torch.from_numpy(offsets)
        weights.append(ease(gram(items, offsets, ITEMS), 3.0))
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
    g = torch.from_numpy(both.T @ both)
    weight = ease(g, edlae_ridge(g.diagonal(), l2, p))
    assert_close(weight[:n, n], expected, 1e-8)


# ADMM-SLIM

CONVERGED = {"max_iterations": 50_000, "eps_abs": 1e-13, "eps_rel": 1e-13}


@both_precisions
def test_admm_slim_without_l1_and_sign_is_ease(x, dtype):
    l2, g = 4.0, x.T @ x
    exact = CONVERGED if dtype == torch.float64 else {"max_iterations": 1000}
    weight, _ = admm_slim(lower(g, dtype), l1=0, l2=l2, rho=5.0, nonnegative=False, **exact)
    assert_close(weight, ease(lower(g), l2), TOLERANCE[dtype])


@pytest.mark.parametrize("nonnegative", [True, False], ids=["nonnegative", "free"])
def test_admm_slim_equals_coordinate_descent(x, nonnegative):
    """ElasticNet minimises 1/(2U) ||y - xw||² + alpha (ratio |w| + (1 - ratio)/2 w²)."""
    l1, l2 = 2.0, 3.0
    weight, info = admm_slim(
        lower(x.T @ x), l1=l1, l2=l2, rho=20.0, nonnegative=nonnegative, **CONVERGED
    )
    assert info.converged
    expected = np.zeros((ITEMS, ITEMS))
    for j in range(ITEMS):
        others = np.arange(ITEMS) != j
        descent = ElasticNet(
            alpha=(l1 + l2) / USERS,
            l1_ratio=l1 / (l1 + l2),
            positive=nonnegative,
            fit_intercept=False,
            tol=1e-14,
            max_iter=100_000,
        )
        expected[others, j] = descent.fit(x[:, others], x[:, j]).coef_
    assert_close(weight, expected, 1e-6)
    assert (expected != 0).sum() > 30  # neither empty
    assert (expected == 0).sum() > ITEMS + 30  # nor dense


@both_precisions
@pytest.mark.parametrize("nonnegative", [True, False], ids=["nonnegative", "free"])
def test_admm_slim_satisfies_its_optimality_conditions(x, nonnegative, dtype):
    l1, l2 = 2.0, np.linspace(1, 9, ITEMS)
    g = x.T @ x
    exact = CONVERGED if dtype == torch.float64 else {"max_iterations": 3000, "eps_rel": 0.0}
    weight, _ = admm_slim(
        lower(g, dtype),
        l1=l1,
        l2=torch.tensor(l2, dtype=dtype),
        rho=20.0,
        nonnegative=nonnegative,
        **exact,
    )
    c = weight.double().numpy()
    slope = g @ (np.eye(ITEMS) - c) - l2[:, None] * c  # minus the gradient of the quadratic part
    free, off = c != 0, ~np.eye(ITEMS, dtype=bool)
    tolerance = {torch.float64: 1e-8, torch.float32: 2e-3}[dtype]  # of numbers up to 30
    assert (c.diagonal() == 0).all()
    assert_close(slope[free], l1 * np.sign(c[free]), tolerance)
    bound = slope if nonnegative else np.abs(slope)
    assert (bound[~free & off] <= l1 + tolerance).all()
    assert (c >= 0).all() or not nonnegative


def test_admm_slim_does_not_depend_on_rho_or_the_blocks(x, monkeypatch):
    weights = []
    for rho, block in ((5.0, 2**20), (40.0, 3 * ITEMS)):
        monkeypatch.setattr(solvers, "_BLOCK", block)
        weight, _ = admm_slim(
            lower(x.T @ x), l1=1.0, l2=3.0, rho=rho, nonnegative=False, **CONVERGED
        )
        weights.append(weight)
    assert_close(*weights, 1e-8)


def test_admm_slim_follows_the_steps_of_the_paper(x):
    """Iterate by iterate the same as the three steps with explicit multipliers."""
    l1, l2, rho, g = 2.0, np.linspace(1, 9, ITEMS), 15.0, x.T @ x
    p = np.linalg.inv(g + np.diag(l2 + rho))
    c, gamma = np.zeros((ITEMS, ITEMS)), np.zeros((ITEMS, ITEMS))
    for iterations in range(1, 6):
        t = p @ g + p @ (rho * c - gamma)
        b = t - p * (t.diagonal() / p.diagonal())
        v = b + gamma / rho
        c_old, c = c, np.sign(v) * np.maximum(np.abs(v) - l1 / rho, 0)
        gamma = gamma + rho * (b - c)
        weight, info = admm_slim(
            lower(g),
            l1=l1,
            l2=torch.tensor(l2),
            rho=rho,
            nonnegative=False,
            max_iterations=iterations,
            eps_rel=0,
            eps_abs=0,
        )
        assert_close(weight, c, 1e-12)
        assert info.iterations == iterations
        assert info.primal == pytest.approx(np.linalg.norm(b - c))
        assert info.dual == pytest.approx(rho * np.linalg.norm(c - c_old))


def test_a_looser_tolerance_stops_earlier(x):
    """A minus in the rule, as some code has it, would never stop."""
    steps = []
    for eps_rel in (1e-1, 1e-3, 1e-6):
        seen = []
        _, info = admm_slim(
            lower(x.T @ x),
            l1=1.0,
            l2=3.0,
            rho=20.0,
            max_iterations=5000,
            nonnegative=True,
            eps_rel=eps_rel,
            progress=seen.append,
        )
        assert info.converged
        assert seen == list(range(1, info.iterations + 1))
        steps.append(info.iterations)
    assert steps[0] < steps[1] < steps[2] < 5000


def test_centring_equals_that_of_the_dense_matrix(x):
    centred = x - x.mean(axis=0)
    ours = center_(lower(x.T @ x), torch.from_numpy(x.sum(axis=0)), USERS)
    assert_close(np.tril(ours), np.tril(centred.T @ centred), 1e-10)


def test_the_ridge_grows_with_popularity():
    ridge = popularity_ridge(torch.tensor([8.0, 2.0, 0.0]), num_users=8, l2=6.0, power=0.5)
    torch.testing.assert_close(ridge, torch.tensor([6.0, 3.0, 0.0]))
    plain = popularity_ridge(torch.tensor([8.0, 2.0, 0.0]), num_users=8, l2=6.0, power=0.0)
    assert (plain == 6).all()


# Higher-order EASE


def test_pairs_are_the_most_frequent_ones_with_ties_in_order(x, monkeypatch):
    g = x.T @ x
    ranked = sorted((-g[a, b], b, a) for b in range(ITEMS) for a in range(b) if g[a, b] > 0)
    for num_pairs in (0, 1, 7, 40, 10_000):
        expected = [[a, b] for _, b, a in ranked[:num_pairs]]
        for block in (2**20, 3 * ITEMS, 1):
            monkeypatch.setattr(solvers, "_BLOCK", block)
            assert choose_pairs(lower(g), num_pairs).tolist() == expected


def higher_order(x, pairs, dtype, l2=3.0, pair_l2=7.0):
    """From ragged rows to the weights, and F."""
    rows, items = np.nonzero(x)
    offsets = np.concatenate([[0], np.bincount(rows, minlength=USERS).cumsum()])
    items, offsets = torch.from_numpy(items).int(), torch.from_numpy(offsets)
    of_pairs = torch.zeros(len(pairs), ITEMS + len(pairs), dtype=dtype)
    for first, last in ((0, 30), (30, USERS)):  # two batches
        bounds = offsets[first : last + 1]
        pair_gram(items[bounds[0] : bounds[-1]], bounds - bounds[0], pairs, of_pairs)
    of_items = gram(items, offsets, ITEMS, out=torch.zeros(ITEMS, ITEMS, dtype=dtype))
    z = pair_features(torch.from_numpy(x), pairs)
    return higher_order_ease(of_items, of_pairs, pairs, l2, pair_l2), np.hstack([x, z])


def forbidden_features(pairs):
    own = np.eye(ITEMS, dtype=bool)
    return np.vstack([own, own[pairs[:, 0]] | own[pairs[:, 1]]])


@both_precisions
def test_higher_order_ease_without_pairs_is_ease(x, dtype):
    weight, _ = higher_order(x, torch.empty(0, 2, dtype=torch.int64), dtype)
    assert_close(weight, ease(lower(x.T @ x), 3.0), TOLERANCE[dtype])


@both_precisions
@pytest.mark.parametrize("num_pairs", [1, 20, 60])
def test_higher_order_ease_is_constrained_ridge_regression(x, dtype, num_pairs, monkeypatch):
    monkeypatch.setattr(solvers, "_BLOCK", 5 * (ITEMS + num_pairs))  # several blocks of items
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
