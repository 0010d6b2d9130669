"""The inverse of X^T X + Λ in both forms, and the precision that it needs."""

import numpy as np
import pytest
import torch

from recsys_lightning.errors import InputError
from recsys_lightning.functional import dense, sparse
from recsys_lightning.functional.admm_slim import admm_slim
from recsys_lightning.functional.ease import ease, edlae_ridge
from recsys_lightning.functional.ranking import rank_items
from recsys_lightning.functional.ridge import (
    DenseInverse,
    FewUsers,
    center_,
    condition,
    few_users,
    ridge_inverse,
    stable_dtype,
)
from tests.functional.references import (
    USERS,
    assert_close,
    inverse_of,
    long_tail,
    lower,
    ragged,
    two_groups,
)

RIDGES = {"scalar": 3.0, "per item": torch.linspace(1, 9, 200, dtype=torch.float64)}
both_ridges = pytest.mark.parametrize("ridge", RIDGES.values(), ids=RIDGES)
centred_or_not = pytest.mark.parametrize("centred", [False, True], ids=["plain", "centred"])


@pytest.fixture(scope="module")
def few():
    """(60, 200) float64 ones and zeros, and their rows."""
    x = np.random.default_rng(0).random((60, 200)) < 0.3 * np.exp(-np.arange(200) / 50)
    return x.astype(float), ragged(x)


def test_the_form_is_chosen_by_cost():
    assert few_users(100, 10_000, 50_000)
    assert few_users(29_858, 40_981, 810_128)  # Gowalla
    assert not few_users(31_360, 6_807, 5_154_471)
    assert not few_users(1000, 1000, 10)
    assert not few_users(500, 1000, 250_000)  # half of it ones: nothing is sparse


@both_ridges
@centred_or_not
def test_few_users_give_the_inverse_of_items_by_items(few, ridge, centred, monkeypatch):
    monkeypatch.setattr(dense, "_CACHED", 7 * 200)  # several blocks
    x, rows = few
    x = x - x.mean(0) if centred else x
    expected = inverse_of(x.T @ x, ridge).dense()
    ours = FewUsers(rows, ridge, torch.float64, centred).dense()
    assert_close(ours, expected, 2e-15)  # of numbers up to 1
    assert_close(ease(ours), ease(expected), 1e-14)


@both_ridges
@centred_or_not
@pytest.mark.parametrize("products", ["kernel", "torch"])
@pytest.mark.parametrize("nonnegative", [False, True], ids=["free", "nonnegative"])
def test_few_users_make_the_steps_of_admm(few, ridge, centred, nonnegative, products, monkeypatch):
    if products == "torch":  # as on a GPU
        monkeypatch.setattr(sparse, "_KERNEL_TYPES", ())
    monkeypatch.setattr(dense, "_CACHED", 7 * 200)
    x, rows = few
    x = x - x.mean(0) if centred else x
    options = {"l1": 0.5, "rho": 2.0, "max_iterations": 30, "nonnegative": nonnegative}
    expected, _ = admm_slim(inverse_of(x.T @ x, ridge + 2.0), **options)
    ours, info = admm_slim(FewUsers(rows, ridge + 2.0, torch.float64, centred), **options)
    assert info.iterations == 30
    assert 0.02 < (expected != 0).double().mean() < 0.3
    assert_close(ours, expected, 1e-13)


def test_an_inverse_made_in_float64_is_kept_in_float32(few):
    x, rows = few
    exact = inverse_of(x.T @ x, 0.01).dense()
    for inverse in (
        FewUsers(rows, 0.01, torch.float32, inverse_dtype=torch.float64),
        DenseInverse(lower(x.T @ x, torch.float32), 0.01, torch.float64),
    ):
        ours = inverse.dense()
        assert ours.dtype == torch.float32
        np.testing.assert_allclose(ours, exact, rtol=1e-5, atol=2e-5)  # of numbers up to 100


def test_centring_equals_that_of_the_dense_matrix():
    x = two_groups()
    centred = x - x.mean(axis=0)
    ours = center_(lower(x.T @ x), torch.from_numpy(x.mean(axis=0)), USERS)
    assert_close(np.tril(ours), np.tril(centred.T @ centred), 1e-10)


# Precision


@pytest.mark.parametrize("l2", [0.001, 1.0, 100.0])
def test_the_condition_is_that_of_the_gram_matrix_where_users_are_few(few, l2):
    x, rows = few
    exact = np.linalg.cond(x.T @ x + l2 * np.eye(200))
    assert condition(rows, torch.full((200,), l2)) == pytest.approx(exact, rel=0.01)


def test_the_condition_bounds_that_of_a_gram_matrix_of_full_rank():
    rows = long_tail(500, 60, 8000)
    x = rows.dense(torch.float64).numpy()
    exact = np.linalg.cond(x.T @ x + 0.1 * np.eye(60))
    assert condition(rows, torch.full((60,), 0.1)) > exact


def test_the_condition_of_unequal_ridges_is_that_of_the_scaled_matrix(few):
    x, rows = few
    ridge = edlae_ridge(rows.column_sums().double(), 0.001, 0.5)
    root = np.sqrt(ridge.numpy())
    exact = np.linalg.eigvalsh(np.eye(200) + x.T @ x / root / root[:, None])[-1]
    assert condition(rows, ridge) == pytest.approx(exact, rel=0.01)
    assert condition(rows, ridge) < 100  # whatever the smallest ridge is


FORMS = {"few": (300, 1500, 12_000), "many": (580, 600, 12_000)}


@pytest.fixture(scope="module", params=FORMS)
def tail(request):
    rows = long_tail(*FORMS[request.param])
    assert few_users(*rows.sizes) == (request.param == "few")
    return rows


def top_10(rows, p):
    """(U, 10) unseen items of every user, as a set."""
    ties, popularity = torch.arange(rows.num_columns), rows.column_sums()
    items, _ = rank_items(rows @ ease(p), rows.columns, rows.offsets, 10, ties, popularity)
    return items.sort().values


@pytest.mark.parametrize(("l2", "dropout"), [(0.001, 0.0), (0.01, 0.0), (0.001, 0.5), (300.0, 0.0)])
def test_float32_gives_the_lists_of_float64(tail, l2, dropout):
    ridge = edlae_ridge(tail.column_sums().double(), l2, dropout)
    exact = top_10(tail, ridge_inverse(tail, ridge, torch.float64))
    dtype = stable_dtype(tail, ridge, torch.float32)
    assert (dtype == torch.float64) == (l2 < 1 and not dropout)
    assert torch.equal(top_10(tail, ridge_inverse(tail, ridge, dtype)), exact)
    if l2 == 0.001 and not dropout:  # what float32 alone would give
        try:
            noise = top_10(tail, ridge_inverse(tail, ridge, torch.float32))
        except InputError:  # not positive definite
            return
        assert not torch.equal(noise, exact)


def test_a_ridge_that_float64_cannot_carry_is_refused(few):
    _, rows = few
    with pytest.raises(InputError, match=r"condition .* is 2e\+16.*larger model\.l2"):
        stable_dtype(rows, torch.full((200,), 1e-14), torch.float64)


@pytest.mark.parametrize("ridge", [0.0, float("inf"), float("nan")])
def test_a_ridge_that_is_no_positive_number_is_refused(few, ridge):
    _, rows = few
    with pytest.raises(InputError, match="positive and finite"):
        stable_dtype(rows, torch.full((200,), ridge), torch.float32)


def test_half_precisions_are_refused(few):
    _, rows = few
    with pytest.raises(InputError, match=r"32-true or 64-true, not torch\.bfloat16"):
        stable_dtype(rows, torch.ones(200), torch.bfloat16)


def test_the_gram_matrix_of_many_users_is_inverted():
    x = two_groups()
    expected = inverse_of(x.T @ x, 3.0).dense()
    assert_close(ridge_inverse(ragged(x), 3.0, torch.float64), expected, 1e-14)
