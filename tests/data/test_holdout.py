import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_lightning.data.holdout import (
    FilesHoldout,
    HybridHoldout,
    LastHoldout,
    NoHoldout,
    RandomHoldout,
    draw_distinct,
)
from recsys_lightning.data.split import TEST, TRAIN, VALID
from recsys_lightning.errors import InputError
from tests.conftest import make_interactions

SEEDS = (None, -1, 1.0, True, "0")  # none of them draws the same split at every start
HOLDOUTS = [
    RandomHoldout(valid_items=2, test_items=3),
    LastHoldout(valid_items=2, test_items=3),
    HybridHoldout(valid_items=4, test_items=3, share=0.2, latest_share=0.4),
]


@st.composite
def data(draw):
    num_items = draw(st.integers(20, 60))
    lengths = draw(st.lists(st.integers(0, 20), max_size=12))
    seed = draw(st.integers(0, 100))
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(num_items)[:length].tolist() for length in [20, *lengths]]
    return make_interactions(rows, num_items)


@pytest.mark.parametrize("holdout", HOLDOUTS, ids=lambda holdout: type(holdout).__name__)
@given(x=data())
def test_parts_are_disjoint_complete_and_leave_half_of_a_history(holdout, x):
    split = holdout.split(x)
    sizes = split.train.lengths + split.valid.lengths + split.test.lengths
    assert (sizes == x.lengths).all()
    assert (split.train.lengths >= x.lengths / 2).all()
    held = split.valid.lengths + split.test.lengths
    assert split.num_too_short == (held == 0).sum()
    for user in range(x.num_users):
        parts = [
            set(part.gather(np.array([user]))[0]) for part in (split.train, split.valid, split.test)
        ]
        assert sum(map(len, parts)) == len(set.union(*parts))


@pytest.mark.parametrize("holdout", HOLDOUTS[:2], ids=lambda holdout: type(holdout).__name__)
@given(x=data())
def test_a_user_holds_out_all_or_nothing(holdout, x):
    split = holdout.split(x)
    long_enough = x.lengths >= 10  # 2 + 3 held out, at least as many kept
    assert (split.valid.lengths == np.where(long_enough, 2, 0)).all()
    assert (split.test.lengths == np.where(long_enough, 3, 0)).all()


@given(x=data())
def test_hybrid_sizes_follow_the_share_and_the_latest_are_the_latest(x):
    split = HybridHoldout(valid_items=4, test_items=3, share=0.2, latest_share=0.4).split(x)
    for user in range(x.num_users):
        n = x.lengths[user]
        valid, test = min(int(0.2 * n), 4), min(int(0.2 * n), 3)
        part = split.part[x.indptr[user] : x.indptr[user + 1]]
        assert ((part == VALID).sum(), (part == TEST).sum()) == (valid, test)
        latest_test, latest_valid = round(0.4 * test), round(0.4 * valid)
        assert (part[n - latest_test :] == TEST).all()
        assert (part[n - latest_test - latest_valid : n - latest_test] == VALID).all()


def test_last_is_in_time_order_and_test_comes_last():
    x = make_interactions([[5, 3, 8, 1, 0, 7]], 10)
    split = LastHoldout(valid_items=1, test_items=2).split(x)
    assert split.part.tolist() == [TRAIN, TRAIN, TRAIN, VALID, TEST, TEST]


def test_the_draw_is_uniform_and_independent_of_equal_histories():
    x = make_interactions([list(range(8))] * 20_000, 8)
    split = RandomHoldout(valid_items=1, test_items=1, seed=5).split(x)
    valid = split.part.reshape(-1, 8) == VALID
    test = split.part.reshape(-1, 8) == TEST
    # 20,000 draws from 8: a count has a standard deviation of 47
    assert np.abs(valid.sum(0) - 2500).max() < 5 * 47
    assert np.abs(test.sum(0) - 2500).max() < 5 * 47
    together = np.histogram2d(valid.argmax(1), test.argmax(1), bins=8, range=[[0, 8]] * 2)[0]
    assert (together.diagonal() == 0).all()
    assert np.abs(together[~np.eye(8, dtype=bool)] - 20_000 / 56).max() < 5 * 19


def test_a_draw_has_a_seed_of_its_own():
    x = make_interactions([list(range(20))] * 50, 20)
    same, other = (RandomHoldout(2, 2, seed).split(x) for seed in (0, 1))
    assert (same.part == RandomHoldout(2, 2, 0).split(x).part).all()
    assert (same.part != other.part).any()


def test_draw_distinct_covers_whole_ranges():
    positions = draw_distinct(np.array([4, 6]), 4, np.random.default_rng(0))
    assert sorted(positions[0]) == [0, 1, 2, 3]
    assert len(set(positions[1])) == 4
    assert positions[1].max() < 6


def test_too_short_users_are_counted_and_all_too_short_is_an_error():
    x = make_interactions([[1], list(range(20))], 20)
    assert RandomHoldout(5, 5).split(x).num_too_short == 1
    with pytest.raises(InputError, match=r"longest history has 1 .*holdout\.valid_items"):
        RandomHoldout(5, 5).split(make_interactions([[1], [2]], 3))


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: RandomHoldout(valid_items=-1), "holdout.valid_items"),
        (lambda: LastHoldout(test_items="ten"), "holdout.test_items"),
        (lambda: HybridHoldout(share=0.6), "holdout.share"),
        (lambda: HybridHoldout(latest_share=1.5), "holdout.latest_share"),
        (lambda: FilesHoldout(train=None), "holdout.train"),
        *((lambda seed=seed: RandomHoldout(seed=seed), "holdout.seed") for seed in SEEDS),
        *((lambda seed=seed: HybridHoldout(seed=seed), "holdout.seed") for seed in SEEDS),
    ],
)
def test_out_of_range_names_the_key(make, key):
    with pytest.raises(InputError, match=key):
        make()


def test_none_trains_on_everything():
    x = make_interactions([[0, 1], [2]], 3)
    split = NoHoldout().split(x)
    assert split.train.num_interactions == 3
    assert split.valid.num_interactions == split.test.num_interactions == 0


def test_without_times_the_order_of_the_file_stands_in_and_is_said(caplog):
    LastHoldout(1, 1).split(make_interactions([[3, 1, 2, 0]], 4, times=False))
    assert "order of the file" in caplog.text


def test_files_need_a_source_that_reads_parts():
    class Other:
        name = "other"

        def load(self):
            raise AssertionError

    with pytest.raises(InputError, match="data=files"):
        FilesHoldout(train="a.csv")(Other())
