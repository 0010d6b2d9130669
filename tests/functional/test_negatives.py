"""Negatives: never an item that the user has, and the distribution that is stated."""

import numpy as np
import pytest
from scipy.stats import chisquare

from recsys_lightning.functional import negatives
from recsys_lightning.functional.kernels.negatives import alias_table
from recsys_lightning.functional.negatives import NegativeSampler
from tests.functional.references import long_tail

USERS, ITEMS, LONELY = 60, 45, 44


@pytest.fixture(scope="module")
def rows():
    """Unsorted rows; user 0 has nothing, nobody has the last item."""
    x = long_tail(USERS - 1, ITEMS - 1, 900, seed=2)
    return x.columns.numpy(), np.concatenate([[0], x.offsets.numpy()])


@pytest.fixture(params=["bitmap", "search"])
def membership(request, monkeypatch):
    if request.param == "search":
        monkeypatch.setattr(negatives, "_BITMAP_BYTES", 0)
    return request.param


def distribution(rows, user, num_items, power):
    """(I,) float64 what the sampler's draws for a user should follow."""
    items, offsets = rows
    weight = np.bincount(items, minlength=num_items) ** float(power)
    weight[items[offsets[user] : offsets[user + 1]]] = 0
    return weight / weight.sum()


@pytest.mark.parametrize("power", [0, 0.75])
def test_no_item_that_the_user_has_is_drawn(power, rows, membership):
    items, offsets = rows
    sampler = NegativeSampler(items, offsets, ITEMS, power)
    users = np.random.default_rng(0).permutation(np.arange(USERS).repeat(50))
    drawn = sampler.draw(users, 7, np.random.default_rng(1))
    assert drawn.shape == (3000, 7)
    assert drawn.dtype == np.int32
    assert drawn.min() >= 0
    assert drawn.max() < ITEMS
    has = np.zeros((USERS, ITEMS), bool)
    has[np.arange(USERS).repeat(np.diff(offsets)), items] = True
    assert not has[users[:, None], drawn].any()


@pytest.mark.parametrize("power", [0, 0.75, 1])
def test_draws_follow_the_distribution(power, rows, membership):
    sampler = NegativeSampler(*rows, ITEMS, power)
    for user in (0, 7, int(np.diff(rows[1]).argmax())):
        expected = distribution(rows, user, ITEMS, power)
        drawn = sampler.draw(np.full(100_000, user), 2, np.random.default_rng(user))
        counts = np.bincount(drawn.ravel(), minlength=ITEMS)
        possible = expected > 0
        assert not counts[~possible].any()
        assert chisquare(counts[possible], expected[possible] * drawn.size).pvalue > 0.01
    assert (expected[LONELY] > 0) == (power == 0)  # nobody's item is a negative of the uniform one


@pytest.mark.parametrize("power", [0, 1])
def test_one_who_has_almost_everything_gets_the_same_distribution(power, membership):
    """Three of 1,000 items are left: hundreds of rejections, hence the pass over all items."""
    left, owners = np.array([5, 234, 999]), [[5, 234, 999], [234, 999], [234], [234]]
    table = [np.setdiff1d(np.arange(1000), left), *owners]
    items = np.concatenate(table).astype(np.int32)
    offsets = np.cumsum([0, *map(len, table)])
    sampler = NegativeSampler(items, offsets, 1000, power)
    drawn = sampler.draw(np.zeros(4000, np.int64), 1, np.random.default_rng(3))
    counts = np.bincount(drawn.ravel(), minlength=1000)
    expected = distribution((items, offsets), 0, 1000, power)[left]
    assert counts.sum() == counts[left].sum()
    assert chisquare(counts[left], expected * 4000).pvalue > 0.01


def test_how_the_rows_are_searched_changes_no_draw(rows, monkeypatch):
    users = np.arange(USERS)
    drawn = NegativeSampler(*rows, ITEMS).draw(users, 9, np.random.default_rng(0))
    monkeypatch.setattr(negatives, "_BITMAP_BYTES", 0)
    searched = NegativeSampler(*rows, ITEMS).draw(users, 9, np.random.default_rng(0))
    np.testing.assert_array_equal(searched, drawn)


def test_draws_come_from_the_generator_alone(rows):
    sampler, users = NegativeSampler(*rows, ITEMS), np.arange(USERS)
    rng = np.random.default_rng(5)
    first, second = sampler.draw(users, 3, rng), sampler.draw(users, 3, rng)
    np.random.seed(1)  # noqa: NPY002
    again = NegativeSampler(*rows, ITEMS).draw(users, 3, np.random.default_rng(5))
    np.testing.assert_array_equal(again, first)
    assert (first != second).any()


def test_one_who_has_everything_is_named():
    items, offsets = np.array([1, 0, 2, 0, 1], np.int32), np.array([0, 3, 5])
    uniform = NegativeSampler(items, offsets, num_items=3)
    assert uniform.exhausted.tolist() == [True, False]
    with pytest.raises(ValueError, match="user 0 has every item"):
        uniform.draw(np.array([1, 0]), 1, np.random.default_rng(0))
    assert uniform.draw(np.array([1]), 2, np.random.default_rng(0)).tolist() == [[2, 2]]
    # an item that nobody has is drawn uniformly, but has no popularity
    assert NegativeSampler(items, offsets, num_items=4).exhausted.tolist() == [False, False]
    assert NegativeSampler(items, offsets, 4, power=1).exhausted.tolist() == [True, False]


@pytest.mark.parametrize("power", [0, 0.75])
def test_log_probability_is_that_of_the_draws(power, rows):
    sampler = NegativeSampler(*rows, ITEMS, power)
    users = np.arange(USERS)
    drawn = sampler.draw(users, 4, np.random.default_rng(0))
    expected = np.stack([distribution(rows, user, ITEMS, power) for user in users])
    result = sampler.log_probability(users, drawn)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, np.log(expected[users[:, None], drawn]), rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_the_alias_table_holds_the_distribution(seed):
    rng = np.random.default_rng(seed)
    p = rng.pareto(1, 500) * (rng.random(500) < 0.8)
    p /= p.sum()
    keep, alias = alias_table(p)
    share = keep.clip(max=1) + np.bincount(alias, (1 - keep).clip(min=0), minlength=500)
    np.testing.assert_allclose(share / 500, p, rtol=0, atol=1e-12)
    assert (keep[p == 0] == 0).all()
    assert (p[alias[keep < 1]] > 0).all()
