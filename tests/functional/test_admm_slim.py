"""ADMM-SLIM against EASE, coordinate descent and the paper's steps."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import ElasticNet

from recsys_lightning.functional import dense
from recsys_lightning.functional.admm_slim import admm_slim, popularity_ridge
from recsys_lightning.functional.ease import ease
from tests.functional.references import (
    ITEMS,
    TOLERANCE,
    USERS,
    assert_close,
    both_precisions,
    inverse_of,
)

CONVERGED = {"max_iterations": 50_000, "eps_abs": 1e-13, "eps_rel": 1e-13}


@both_precisions
def test_admm_slim_without_l1_and_sign_is_ease(x, dtype):
    l2, g = 4.0, x.T @ x
    exact = CONVERGED if dtype == torch.float64 else {"max_iterations": 1000}
    weight, _ = admm_slim(inverse_of(g, l2 + 5.0, dtype), l1=0, rho=5.0, nonnegative=False, **exact)
    assert_close(weight, ease(inverse_of(g, l2).dense()), TOLERANCE[dtype])


@pytest.mark.parametrize("nonnegative", [True, False], ids=["nonnegative", "free"])
def test_admm_slim_equals_coordinate_descent(x, nonnegative):
    """ElasticNet minimises 1/(2U) ||y - xw||² + alpha (ratio |w| + (1 - ratio)/2 w²)."""
    l1, l2 = 2.0, 3.0
    weight, info = admm_slim(
        inverse_of(x.T @ x, l2 + 20.0), l1=l1, rho=20.0, nonnegative=nonnegative, **CONVERGED
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
        inverse_of(g, torch.tensor(l2 + 20.0), dtype),
        l1=l1,
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
        monkeypatch.setattr(dense, "_CACHED", block)
        weight, _ = admm_slim(
            inverse_of(x.T @ x, 3.0 + rho), l1=1.0, rho=rho, nonnegative=False, **CONVERGED
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
            inverse_of(g, torch.tensor(l2 + rho)),
            l1=l1,
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
            inverse_of(x.T @ x, 3.0 + 20.0),
            l1=1.0,
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


def test_the_ridge_grows_with_popularity():
    ridge = popularity_ridge(torch.tensor([8.0, 2.0, 0.0]), num_users=8, l2=6.0, power=0.5)
    torch.testing.assert_close(ridge, torch.tensor([6.0, 3.0, 0.0]))
    plain = popularity_ridge(torch.tensor([8.0, 2.0, 0.0]), num_users=8, l2=6.0, power=0.0)
    assert (plain == 6).all()


@pytest.mark.parametrize(
    ("eps_abs", "eps_rel"),
    [(0.0, 0.145), (0.0, 1e-2), (0.0, 1e-4), (1e-3, 0.0), (1e-5, 0.0), (1e-3, 1e-3)],
)
@pytest.mark.parametrize("rho", [2.0, 200.0], ids=["primal binds", "dual binds"])
def test_iterations_stop_where_both_residuals_are_within_their_tolerance(x, rho, eps_abs, eps_rel):
    """Boyd et al. 2011, section 3.3.1, by explicit iterates."""
    l1, l2, g = 2.0, 3.0, x.T @ x
    p = np.linalg.inv(g + (l2 + rho) * np.eye(ITEMS))
    c, gamma = np.zeros((ITEMS, ITEMS)), np.zeros((ITEMS, ITEMS))
    waited_for, iterations, within = set(), 0, False
    while not within:
        iterations += 1
        t = p @ g + p @ (rho * c - gamma)
        b = t - p * (t.diagonal() / p.diagonal())
        v = b + gamma / rho
        c_old, c = c, np.sign(v) * np.maximum(np.abs(v) - l1 / rho, 0)
        gamma = gamma + rho * (b - c)
        norm = np.linalg.norm
        primal = norm(b - c) <= ITEMS * eps_abs + eps_rel * max(norm(b), norm(c))
        dual = rho * norm(c - c_old) <= ITEMS * eps_abs + eps_rel * norm(gamma)
        within = primal and dual
        if not within:
            waited_for = {name for name, done in (("primal", primal), ("dual", dual)) if not done}
    weight, info = admm_slim(
        inverse_of(g, l2 + rho),
        l1=l1,
        rho=rho,
        max_iterations=3000,
        nonnegative=False,
        eps_abs=eps_abs,
        eps_rel=eps_rel,
    )
    assert info.converged
    assert info.iterations == iterations
    assert ("primal" if rho == 2.0 else "dual") in waited_for
    assert_close(weight, c, 1e-12)
