"""TALE against its formula, computed row by row."""

from dataclasses import replace

import numpy as np
import pytest

from recsys_lightning.errors import InputError
from recsys_lightning.models.tale import TALE
from tests.conftest import make_interactions
from tests.models.test_linear import fitted, scores

ITEMS = 12


@pytest.fixture
def interactions():
    """One user has nothing, and one item no user."""
    rng = np.random.default_rng(1)
    rows = [rng.permutation(ITEMS - 1)[:length].tolist() for length in rng.integers(1, 11, 30)]
    rows[4] = []
    x = make_interactions(rows, ITEMS)
    times = np.concatenate([np.sort(rng.integers(0, 1_000_000, len(row))) for row in rows])
    return replace(x, times=times.astype(np.int64))


def test_scores_are_those_of_the_formula(interactions):
    options = {"l2": 3.0, "tau_train": 4.0, "tau_inference": 2.0, "floor": 0.3}
    model = fitted(TALE, interactions, batch_size=7, popularity_power=-0.3, **options)
    scale = np.maximum(interactions.popularity, 1) ** -0.3
    rows, times = interactions.rows, interactions.times
    gaps = np.diff(times)[np.diff(rows) == 0]
    gap = np.sort(gaps[gaps > 0])[(np.count_nonzero(gaps > 0) - 1) // 2]
    s, t, asked = [], [], np.zeros((interactions.num_users, ITEMS))
    for user, (first, last) in enumerate(
        zip(interactions.indptr[:-1], interactions.indptr[1:], strict=True)
    ):
        items, when = interactions.indices[first:last], times[first:last] / gap
        asked[user, items[::-1]] = np.exp(-np.arange(len(items)) / 2.0)
        for n in range(1, len(items)):
            s.append(np.zeros(ITEMS))
            s[-1][items[:n]] = np.maximum(np.exp(-(when[n] - when[:n]) / 4.0), 0.3)
            t.append(np.eye(ITEMS)[items[n]])
    s, t = np.array(s) * scale, np.array(t) * scale
    weight = np.linalg.solve(s.T @ s + 3.0 * np.eye(ITEMS), s.T @ t)
    np.testing.assert_allclose(model.weight, weight, rtol=0, atol=1e-6)
    np.testing.assert_allclose(scores(model, interactions), asked @ weight, rtol=0, atol=1e-6)


def test_the_unit_of_the_times_does_not_count(interactions):
    minutes = replace(interactions, times=interactions.times // 3600 * 60)
    hours = replace(interactions, times=interactions.times // 3600)
    ours, theirs = (fitted(TALE, x, l2=3.0).weight for x in (minutes, hours))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_positions_stand_for_times_where_there_are_none(interactions, caplog):
    positions = np.arange(interactions.num_interactions)
    ours, theirs = (
        fitted(TALE, replace(interactions, times=times), l2=3.0).weight
        for times in (None, positions * 7)
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    assert "no times" in caplog.text


@pytest.mark.parametrize(
    "option", [{"l2": 0}, {"tau_train": 0}, {"tau_inference": -1}, {"floor": 1.5}]
)
def test_a_number_out_of_its_range_is_refused(option):
    [name] = option
    with pytest.raises(InputError, match=rf"model\.{name}="):
        TALE(num_users=3, num_items=4, **option)
