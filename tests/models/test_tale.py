"""TALE against its formula, computed row by row."""

from dataclasses import replace

import numpy as np
import pytest

from recsys_lightning.errors import InputError
from recsys_lightning.models.tale import DAY, TALE
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
    times = np.concatenate([np.sort(rng.integers(0, 20 * DAY, len(row))) for row in rows])
    return replace(x, times=times.astype(np.int64))


def test_scores_are_those_of_the_formula(interactions):
    options = {"l2": 3.0, "tau_train": 4.0, "tau_inference": 2.0, "floor": 0.3}
    model = fitted(TALE, interactions, batch_size=7, popularity_power=-0.3, **options)
    scale = np.maximum(interactions.popularity, 1) ** -0.3
    s, t, asked = [], [], np.zeros((interactions.num_users, ITEMS))
    for user, (first, last) in enumerate(
        zip(interactions.indptr[:-1], interactions.indptr[1:], strict=True)
    ):
        items, days = interactions.indices[first:last], interactions.times[first:last] / DAY
        asked[user, items[::-1]] = np.exp(-np.arange(len(items)) / 2.0)
        for n in range(1, len(items)):
            s.append(np.zeros(ITEMS))
            s[-1][items[:n]] = np.maximum(np.exp(-(days[n] - days[:n]) / 4.0), 0.3)
            t.append(np.eye(ITEMS)[items[n]])
    s, t = np.array(s) * scale, np.array(t) * scale
    weight = np.linalg.solve(s.T @ s + 3.0 * np.eye(ITEMS), s.T @ t)
    np.testing.assert_allclose(model.weight, weight, rtol=0, atol=1e-6)
    np.testing.assert_allclose(scores(model, interactions), asked @ weight, rtol=0, atol=1e-6)


def test_data_without_times_is_refused(interactions):
    with pytest.raises(InputError, match=r"model=tale .* has none: .*data\.time_column") as error:
        fitted(TALE, replace(interactions, times=None))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "option", [{"l2": 0}, {"tau_train": 0}, {"tau_inference": -1}, {"floor": 1.5}]
)
def test_a_number_out_of_its_range_is_refused(option):
    [name] = option
    with pytest.raises(InputError, match=rf"model\.{name}="):
        TALE(num_users=3, num_items=4, **option)
