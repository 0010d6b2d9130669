from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, reject
from hypothesis import strategies as st

from recsys_lightning.data.holdout import (
    FilesHoldout,
    HybridHoldout,
    LastHoldout,
    NoHoldout,
    RandomHoldout,
    TimeHoldout,
    UserHoldout,
    draw_distinct,
)
from recsys_lightning.data.sources.files import Files
from recsys_lightning.data.split import TEST, TEST_KNOWN, TRAIN, VALID, VALID_KNOWN
from recsys_lightning.errors import InputError
from recsys_lightning.instantiate import make
from tests.conftest import make_interactions
from tests.data.sources.helpers import write
from tests.test_configs import composed

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


@given(x=data(), seed=st.integers(0, 50), span=st.integers(3, 200))
def test_time_splits_all_users_at_the_same_two_moments(x, seed, span):
    """Few moments, so that many interactions share one."""
    times = np.random.default_rng(seed).integers(span, size=x.num_interactions)
    times = times[np.lexsort((times, x.rows))]  # rows are in time order
    n = len(times)
    first = [np.sort(times)[n - round(share * n)] for share in (0.5, 0.2)]
    part = (times[:, None] >= first).sum(1)
    learned_from = np.bincount(x.rows[part == TRAIN], minlength=x.num_users) > 0
    expected = np.where(learned_from[x.rows], part, TEST_KNOWN)
    holdout, x = TimeHoldout(valid_share=0.3, test_share=0.2), replace(x, times=times)
    if not np.isin((VALID, TEST), expected).all():
        with pytest.raises(InputError, match="nobody with earlier interactions"):
            holdout.split(x)
        return
    split = holdout.split(x)
    assert split.part.tolist() == expected.tolist()
    assert times[split.part == TRAIN].max() < times[split.part == VALID].min()
    assert times[split.part == VALID].max() < times[split.part == TEST].min()


def test_time_asks_only_for_users_with_a_history_and_for_items_without_one():
    x = make_interactions([[0, 1, 2], [3, 4], [5, 0]], 7)
    x = replace(x, times=np.array([1, 2, 8, 3, 9, 7, 8]))
    split = TimeHoldout(valid_share=0, test_share=0.5).split(x)
    assert split.part.tolist() == [TRAIN, TRAIN, TEST, TRAIN, TEST, TEST_KNOWN, TEST_KNOWN]
    assert not split.valid.num_interactions
    assert split.question("test").known.lengths.tolist() == [2, 1, 0]  # the third's is the future
    assert split.question("final").known.num_interactions == 7


@given(x=data(), seed=st.integers(0, 50), share=st.sampled_from([0.1, 0.25, 0.5]))
def test_users_are_trained_on_or_asked_for_a_share_of_their_history(x, seed, share):
    holdout = UserHoldout(valid_users=0.3, test_users=0.4, share=share, seed=seed)
    try:
        split = holdout.split(x)
    except InputError:  # nobody who is drawn has enough
        reject()
    parts = np.zeros((x.num_users, 5), int)
    np.add.at(parts, (x.rows, split.part), 1)
    asked = parts[:, [VALID, TEST]]
    expected = np.floor(share * x.lengths)
    assert (parts[:, [VALID_KNOWN, TEST_KNOWN]] == (asked > 0) * (x.lengths[:, None] - asked)).all()
    assert ((asked == 0) | (asked == expected[:, None])).all()
    assert not (asked > 0).all(1).any()
    trained = ~(asked > 0).any(1)
    assert (parts[:, TRAIN] == x.lengths * trained).all()
    # those of the users who were drawn are too short for one
    numbers = np.round(np.cumsum([0.3, 0.4]) * x.num_users)
    assert trained.sum() == x.num_users - numbers[1] + split.num_too_short
    assert (asked[:, 0] > 0).sum() <= numbers[0]
    assert expected[trained].astype(bool).sum() <= x.num_users - numbers[1]


def test_users_and_what_is_asked_of_them_are_drawn_evenly_and_apart():
    """By a statistic of 400 draws: each user is as likely as the others, and each place."""
    x = make_interactions([[0, 1, 2, 3, 4]] * 10, 5)
    parts = np.stack([UserHoldout(0.2, 0.2, seed=seed).split(x).part for seed in range(400)])
    by_user = parts.reshape(400, 10, 5)
    for part, known in (VALID, VALID_KNOWN), (TEST, TEST_KNOWN):
        asked = by_user == part
        assert (asked.sum((1, 2)) == 2).all()
        assert ((by_user == known).sum((1, 2)) == 8).all()
        of_users, of_places = asked.sum((0, 2)), asked.sum((0, 1))
        assert ((of_users - 80) ** 2 / 80).sum() < 27.9  # chi-square, 9 degrees, p = .001
        assert ((of_places - 160) ** 2 / 160).sum() < 18.5  # 4 degrees
        assert ((asked.sum(0) - 16) ** 2 / 16).sum() < 85.4  # 49 degrees
    assert not (UserHoldout(seed=1).split(x).part == UserHoldout(seed=2).split(x).part).all()


def test_a_share_of_nought_asks_for_nobody():
    x = make_interactions([[0, 1, 2, 3, 4]] * 10, 5)
    part = UserHoldout(valid_users=0, test_users=0.5).split(x).part
    assert np.bincount(part, minlength=5).tolist() == [25, 0, 5, 0, 20]


def test_time_without_times_or_with_nobody_on_both_sides_is_an_error():
    x = make_interactions([[0, 1], [1, 2]], 3)
    with pytest.raises(InputError, match="the data has no times"):
        TimeHoldout().split(replace(x, times=None))
    for times in ([5, 5, 5, 5], [1, 2, 3, 4]):
        with pytest.raises(InputError, match=r"holdout\.test_share=0\.5: nobody with earlier"):
            TimeHoldout(0, 0.5).split(replace(x, times=np.array(times)))


@pytest.mark.parametrize(
    "holdout",
    [
        RandomHoldout(valid_items=1, test_items=1, seed=5),
        RandomHoldout(valid_share=0.125, test_share=0.125, seed=5),
    ],
    ids=("items", "shares"),
)
def test_the_draw_is_uniform_and_independent_of_equal_histories(holdout):
    x = make_interactions([list(range(8))] * 20_000, 8)
    split = holdout.split(x)
    valid = split.part.reshape(-1, 8) == VALID
    test = split.part.reshape(-1, 8) == TEST
    # 20,000 draws from 8: a count has a standard deviation of 47
    assert np.abs(valid.sum(0) - 2500).max() < 5 * 47
    assert np.abs(test.sum(0) - 2500).max() < 5 * 47
    together = np.histogram2d(valid.argmax(1), test.argmax(1), bins=8, range=[[0, 8]] * 2)[0]
    assert (together.diagonal() == 0).all()
    assert np.abs(together[~np.eye(8, dtype=bool)] - 20_000 / 56).max() < 5 * 19


ITEMS_OR_SHARES = pytest.mark.parametrize(
    "options",
    [{"valid_items": 2, "test_items": 2}, {"valid_share": 0.1, "test_share": 0.2}],
    ids=("items", "shares"),
)


@ITEMS_OR_SHARES
def test_a_draw_has_a_seed_of_its_own(options):
    x = make_interactions([list(range(20))] * 50, 20)
    same, other = (RandomHoldout(**options, seed=seed).split(x) for seed in (0, 1))
    assert (same.part == RandomHoldout(**options).split(x).part).all()
    assert (same.part != other.part).any()


def test_the_draw_of_so_many_items_is_that_of_earlier_versions():
    rng = np.random.default_rng(1)
    x = make_interactions([rng.permutation(60)[:n].tolist() for n in (5, 20, 40, 41)], 60)
    assert RandomHoldout().split(x).sha256.startswith("2409a5b32598b2a7")
    assert RandomHoldout(2, 1, seed=3).split(x).sha256.startswith("9db851080f096f47")


@ITEMS_OR_SHARES
def test_files_in_another_order_and_those_of_the_parts_have_the_same_split(options, tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{u},{i},{1000 * u + t}" for u in range(9) for t, i in enumerate(rng.permutation(30))]
    shas = set()
    for n, order in enumerate((np.arange(len(rows)), rng.permutation(len(rows)))):
        path = write(tmp_path / f"{n}.csv", "user,item,time\n" + "\n".join(np.array(rows)[order]))
        split = RandomHoldout(**options)(Files(str(path)))
        shas.add(split.sha256)
    folder = split.write(tmp_path)
    parts = [str(folder / f"{name}.parquet") for name in ("train", "valid", "test")]
    assert shas == {FilesHoldout(*parts)(Files()).sha256}


def test_a_split_in_time_is_read_back_from_its_files(tmp_path):
    """Who begins too late is in a file of its own."""
    x = make_interactions([[0, 1, 2], [3, 4], [5, 0]], 7)
    x = replace(x, times=np.array([1, 2, 8, 3, 9, 7, 8]))
    split = TimeHoldout(valid_share=0, test_share=0.5).split(x)
    folder = split.write(tmp_path)
    parts = [str(folder / f"{name}.parquet") for name in ("train", "test", "test_known")]
    again = FilesHoldout(parts[0], test=parts[1], test_known=parts[2])(Files())
    assert again.part.tolist() == split.part.tolist()
    lost = FilesHoldout(parts[0], test=parts[1])(Files())
    assert lost.interactions.num_users == 2


def recbole(n: int, ratios: list[float]) -> list[int]:
    """Of one user's n rows, as `Dataset._calcu_split_ids` of RecBole 1.2 counts them."""
    counts = [int(ratio * n) for ratio in ratios]
    counts[0] = n - sum(counts[1:])
    for i in range(1, len(ratios)):
        if counts[0] <= 1:
            break
        if 0 < ratios[-i] * n < 1:
            counts[-i] += 1
            counts[0] -= 1
    return counts


@given(x=data(), valid=st.integers(0, 99), test=st.integers(0, 99))
@example(x=make_interactions([[0], [1, 2], [3, 4, 5]], 6), valid=10, test=10)  # 1/0/0 1/0/1 1/1/1
def test_shares_are_rounded_as_by_recbole_and_all_keep_one_to_train_on(x, valid, test):
    valid, test = valid / 100, min(test, 99 - valid) / 100
    split = RandomHoldout(valid_share=valid, test_share=test).split(x)
    parts = split.train.lengths, split.valid.lengths, split.test.lengths
    expected = [recbole(n, [1 - valid - test, valid, test]) for n in x.lengths.tolist()]
    assert np.stack(parts, axis=1).tolist() == expected
    assert (split.train.lengths[x.lengths > 0] > 0).all()
    assert split.num_too_short == (split.train.lengths == x.lengths).sum()


def test_all_too_short_for_a_share_is_an_error_too():
    x = make_interactions([[1], [2]], 3)
    with pytest.raises(InputError, match=r"holdout\.test_share=0\.1: no history .* longest has 1 "):
        RandomHoldout(test_share=0.1).split(x)
    assert RandomHoldout(test_share=0).split(x).test.num_interactions == 0


def test_a_share_alone_on_the_command_line_replaces_the_default_items():
    shares = make(composed("holdout.valid_share=0.2").holdout)
    assert (shares.valid_items, shares.valid_share, shares.test_share) == (None, 0.2, 0)
    items = make(composed("holdout.test_items=0").holdout)
    assert (items.valid_items, items.test_items, items.valid_share) == (10, 0, None)


def test_draw_distinct_covers_whole_ranges():
    positions = draw_distinct(np.array([4, 6]), 4, np.random.default_rng(0))
    assert sorted(positions[0]) == [0, 1, 2, 3]
    assert len(set(positions[1])) == 4
    assert positions[1].max() < 6


def test_too_short_users_are_counted_and_all_too_short_is_an_error():
    x = make_interactions([[1], list(range(20))], 20)
    assert RandomHoldout(5, 5).split(x).num_too_short == 1
    with pytest.raises(InputError, match=r"longest has 1 .*holdout\.valid_items"):
        RandomHoldout(5, 5).split(make_interactions([[1], [2]], 3))


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: RandomHoldout(valid_items=-1), "holdout.valid_items"),
        (lambda: RandomHoldout(valid_share=1), "holdout.valid_share"),
        (lambda: RandomHoldout(test_share=-0.1), "holdout.test_share"),
        (lambda: RandomHoldout(test_share="tenth"), "holdout.test_share"),
        (lambda: RandomHoldout(valid_share=False), "holdout.valid_share"),
        (lambda: RandomHoldout(valid_share=0.1, seed=-1), "holdout.seed"),
        (
            lambda: RandomHoldout(valid_share=0.65, test_share=0.35),
            r"valid_share=0\.65, holdout\.test_share=0\.35: expected less than 1 together",
        ),
        (
            lambda: RandomHoldout(valid_items=5, test_share=0.1),
            r"holdout\.valid_items=5, holdout\.test_share=0\.1: expected numbers of items",
        ),
        (lambda: LastHoldout(test_items="ten"), "holdout.test_items"),
        (lambda: TimeHoldout(valid_share=1), "holdout.valid_share"),
        (lambda: TimeHoldout(0.5, 0.5), "expected less than 1 together"),
        (lambda: HybridHoldout(share=0.6), "holdout.share"),
        (lambda: UserHoldout(share=0.6), "holdout.share"),
        (lambda: UserHoldout(valid_users=-0.1), "holdout.valid_users"),
        (
            lambda: UserHoldout(valid_users=0.6, test_users=0.4),
            r"valid_users=0\.6, holdout\.test_users=0\.4: expected less than 1 together",
        ),
        (lambda: HybridHoldout(latest_share=1.5), "holdout.latest_share"),
        (lambda: FilesHoldout(train=None), "holdout.train"),
        *((lambda seed=seed: RandomHoldout(seed=seed), "holdout.seed") for seed in SEEDS),
        *((lambda seed=seed: HybridHoldout(seed=seed), "holdout.seed") for seed in SEEDS),
        *((lambda seed=seed: UserHoldout(seed=seed), "holdout.seed") for seed in SEEDS),
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
    x = make_interactions([[3, 1, 2, 0]], 4, times=False)
    RandomHoldout(1, 1).split(x)  # asks for no order
    assert not caplog.text
    LastHoldout(1, 1).split(x)
    assert "order of the file" in caplog.text


def test_files_need_a_source_that_reads_parts():
    class Other:
        name = "other"

        def load(self):
            raise AssertionError

    with pytest.raises(InputError, match="data=files"):
        FilesHoldout(train="a.csv")(Other())
