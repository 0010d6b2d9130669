"""The numbers behind the notebooks, against slow and obvious counterparts."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from recsys_lightning.data.interactions import Feature
from recsys_lightning.reports import analysis
from tests.conftest import make_interactions

ROWS = [[0, 1, 2], [1], [3, 1]]
TIMES = np.array([0, 10, 500, 700, 100, 900])
counts = st.lists(st.integers(1, 50), min_size=1, max_size=40).map(np.array)


def toy(num_items=5):
    return replace(make_interactions(ROWS, num_items), times=TIMES)


def random_interactions(seed=0, num_users=30, num_items=20):
    rng = np.random.default_rng(seed)
    rows = [
        rng.choice(num_items, rng.integers(1, 12), replace=False).tolist() for _ in range(num_users)
    ]
    return make_interactions(rows, num_items)


@given(counts)
def test_gini_is_half_the_mean_difference_of_any_two_over_the_mean(values):
    mean_difference = np.abs(values[:, None] - values).mean()
    assert analysis.gini(values) == pytest.approx(mean_difference / 2 / values.mean(), abs=1e-12)


@given(counts)
def test_concentration_runs_from_nothing_to_all_above_the_diagonal(values):
    shares = np.linspace(0, 1, 7)
    had = analysis.concentration(values, shares)
    assert had[[0, -1]].tolist() == [0, 1]
    assert (had >= shares - 1e-12).all()


@given(counts)
def test_at_least_counts_those_with_so_many_or_more(values):
    table = analysis.at_least(values)
    assert table["count"].tolist() == sorted(set(values.tolist()))
    assert table.share.tolist() == [(values >= count).mean() for count in table["count"]]


@pytest.mark.parametrize("k", [1, 4, 6])
def test_core_is_the_largest_part_with_enough_of_each(k):
    x = random_interactions(seed=1)
    left = set(zip(x.rows.tolist(), x.indices.tolist(), strict=True))
    while True:  # one at a time
        users, items = ([pair[side] for pair in left] for side in (0, 1))
        short = [p for p in left if users.count(p[0]) < k or items.count(p[1]) < k]
        if not short:
            break
        left.remove(short[0])
    mask = analysis.core(x, k)
    assert set(zip(x.rows[mask].tolist(), x.indices[mask].tolist(), strict=True)) == left
    size = analysis.sizes(x, mask)
    assert size["users"] == len({user for user, _ in left})
    assert size["items"] == len({item for _, item in left})
    if left:
        assert size["density"] == len(left) / (size["users"] * size["items"])
    else:
        assert np.isnan(size["density"])


def test_core_of_too_many_is_empty():
    x = random_interactions()
    assert 0 < analysis.core(x, 5).sum() < x.num_interactions
    assert not analysis.core(x, 99).any()


def test_over_time_counts_each_in_its_period():
    table = analysis.over_time(toy(), num_periods=2)  # 0 to 450, 451 to 900
    assert table.interactions.tolist() == [3, 3]
    assert table.users.tolist() == [2, 3]
    assert table.new_users.tolist() == [2, 1]
    assert table.new_items.tolist() == [3, 1]  # item 4 was never seen
    assert table.index[0] == np.datetime64("1970-01-01T00:00:00")


def test_one_moment_is_one_period():
    x = toy()
    table = analysis.over_time(replace(x, times=np.full_like(TIMES, 5)), num_periods=3)
    assert table.interactions.tolist() == [6, 0, 0]


def test_gaps_and_spans_stay_within_a_user():
    assert analysis.gaps(toy()).tolist() == [10, 490, 800]
    assert analysis.spans(toy()).tolist() == [500, 0, 800]


@pytest.mark.parametrize(
    ("max_gap", "users", "items", "seconds"),
    [
        (9, [0, 0, 0, 1, 2, 2], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]),
        (10, [0, 0, 1, 2, 2], [2, 1, 1, 1, 1], [10, 0, 0, 0, 0]),
        (900, [0, 1, 2], [3, 1, 2], [500, 0, 800]),
    ],
)
def test_a_longer_pause_starts_a_session(max_gap, users, items, seconds):
    table = analysis.sessions(toy(), max_gap)
    assert table.to_dict("list") == {"user": users, "items": items, "seconds": seconds}


def test_users_without_interactions_do_no_harm():
    x = toy().select(np.array([True, True, False, False, True, True]))  # the second has none
    assert analysis.spans(x).tolist() == [10, 0, 800]
    assert analysis.sessions(x, 9).user.tolist() == [0, 0, 2, 2]
    assert np.isnan(analysis.mean_popularity(x)).tolist() == [False, True, False]


def test_shares_of_a_feature():
    genres = csr_array(np.float32([[1, 0], [1, 1], [0, 0], [0, 1], [0, 0]]))  # item 4: nobody's
    table = analysis.feature_shares(toy(), Feature(np.array(["Drama", "War"]), genres))
    assert table.of_items.to_dict() == pytest.approx({"Drama": 0.4, "War": 0.4})
    # item 0 once, item 1 three times, item 3 once, of six
    assert table.of_interactions.to_dict() == pytest.approx({"Drama": 4 / 6, "War": 4 / 6})


def test_years_of_items_that_have_one_the_earliest_of_several():
    values = np.array(["1969", "1971", "soon"])
    matrix = csr_array(np.float32([[1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]))
    x = replace(toy(), times=np.array([-1, 0, 0, 0, 0, 31_536_000]))
    table = analysis.years(x, Feature(values, matrix))
    assert table.released.tolist() == [1969, 1971, 1971, 1971]
    assert table.watched.tolist() == [1969, 1970, 1970, 1971]


@pytest.mark.parametrize("of", ["over_time", "gaps", "spans"])
def test_without_times_there_is_nothing_to_say_of_time(of):
    with pytest.raises(ValueError, match="no times"):
        getattr(analysis, of)(replace(toy(), times=None))


def test_mean_popularity_is_that_of_a_users_items():
    # of three users, item 1 has all, the others one each
    assert analysis.mean_popularity(toy()) == pytest.approx([5 / 9, 1, 2 / 3])


@given(counts, st.integers(1, 6))
def test_groups_are_in_order_and_named_by_what_they_hold(values, num_groups):
    groups = analysis.quantile_groups(values, num_groups)
    assert len(groups.cat.categories) <= num_groups
    held = [values[groups == name] for name in groups.cat.categories]
    for name, of in zip(groups.cat.categories, held, strict=True):
        ends = {f"{of.min()}", f"{of.max()}"}
        assert set(name.split(" to ")) == ends
    for lower, higher in pairwise(held):
        assert lower.max() < higher.min()  # equal values stay together


def test_groups_of_distinct_values_are_equally_large():
    groups = analysis.quantile_groups(np.random.default_rng(0).permutation(20), 5)
    assert groups.value_counts().tolist() == [4, 4, 4, 4, 4]


@given(st.integers(0, 999))
def test_jaccard_of_sets(seed):
    rng = np.random.default_rng(seed)
    a, b = (np.argsort(rng.random((6, 9)), axis=1)[:, :length] for length in (3, 5))
    for lists in (a, b):
        lists[np.arange(lists.shape[1]) >= rng.integers(0, 6, 6)[:, None]] = -1
    for of_user, left, right in zip(analysis.jaccard(a, b), a.tolist(), b.tolist(), strict=True):
        left, right = set(left) - {-1}, set(right) - {-1}
        if left | right:
            assert of_user == len(left & right) / len(left | right)
        else:
            assert np.isnan(of_user)


def test_found_adds_up_to_the_hits_of_the_metric():
    from recsys_lightning.metrics.of_lists import user_values

    held_out = random_interactions(seed=2)
    rng = np.random.default_rng(0)
    items = np.argsort(rng.random((held_out.num_users, held_out.num_items)), axis=1)[:, :6]
    items[::3, 4:] = -1
    hits = np.bincount(held_out.rows, weights=analysis.found(items, held_out))
    recall = user_values("recall@6", items, held_out)
    np.testing.assert_allclose(hits / held_out.lengths, recall)
