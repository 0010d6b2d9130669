"""What the mixer sees, against a direct computation of every user and item."""

from dataclasses import replace

import numpy as np
import pytest

from recsys_lightning.ensemble.features import LATEST, WINDOWS, features
from recsys_lightning.ensemble.fusion import Sum
from recsys_lightning.ensemble.kinds import DAY
from recsys_lightning.runs.lists import Lists
from tests.conftest import make_interactions

USERS, ITEMS = 12, 15
rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def history():
    """The last user has nothing; times are days apart, in hours."""
    rows = [rng.permutation(ITEMS - 1)[: rng.integers(3, 9)] for _ in range(USERS - 1)]
    x = make_interactions([*rows, []], num_items=ITEMS)
    times = np.concatenate([np.sort(rng.integers(0, 900 * 24, len(row))) for row in rows])
    return replace(x, times=times.astype(np.int64) * 3600)


@pytest.fixture(scope="module")
def members(history):
    """Two lists of six unseen items."""
    lists = []
    for _ in range(2):
        items = np.stack(
            [rng.permutation(np.setdiff1d(np.arange(ITEMS), row))[:6] for row in rows_of(history)]
        )
        scores = -np.sort(-rng.random(items.shape)).astype(np.float32)
        lists.append(Lists(items.astype(np.int32), scores))
    return lists


def rows_of(x):
    return np.split(x.indices, x.indptr[1:-1])


def seen(history, members):
    """(N, F) and the user and item of each row."""
    union = Sum(members, np.arange(ITEMS), "rank", depth=30)
    users = np.repeat(np.arange(USERS), np.diff(union.starts))
    return features(union, members, history), users, union.items


def test_every_column_against_a_loop(history, members):
    found, users, items = seen(history, members)
    assert found.shape == (len(users), 4 + 2 + 1 + 3 + 2 + len(WINDOWS) + 3)
    dense = np.zeros((USERS, ITEMS))
    dense[history.rows, history.indices] = 1
    popularity = dense.sum(0)
    for row, user, item in zip(found, users, items, strict=True):
        own = history.indices[history.indptr[user] : history.indptr[user + 1]]
        times = history.times[history.indptr[user] : history.indptr[user + 1]]
        of_item = history.times[history.indices == item]
        ranks = [np.flatnonzero(m.items[user] == item) + 1 for m in members]
        for column, rank in zip(row[[0, 2]], ranks, strict=True):
            assert np.isnan(column) if not len(rank) else column == rank[0]
        assert row[4] == sum(map(len, ranks))
        assert row[5] == min(rank[0] for rank in ranks if len(rank))
        assert row[6] == pytest.approx(np.log1p(popularity[item]))
        assert row[7] == pytest.approx(np.log1p(len(own)))
        cosines = [
            dense[:, item] @ dense[:, one] / np.sqrt(max(popularity[item], 1) * popularity[one])
            for one in own[::-1][:LATEST]
        ]
        assert row[10] == pytest.approx(cosines[0] if cosines else 0, abs=1e-6)
        assert row[11] == pytest.approx(np.mean(cosines) if cosines else 0, abs=1e-6)
        if not len(own):
            assert np.isnan(row[12:]).all()
            continue
        end = times[-1]
        assert row[8] == pytest.approx(np.log1p((end - times[0]) / DAY), rel=1e-6)
        assert row[9] == pytest.approx(np.log1p((history.times.max() - end) / DAY), rel=1e-6)
        for column, window in zip(row[12:], WINDOWS, strict=False):
            inside = (of_item > end - window) & (of_item <= end)
            assert column == pytest.approx(np.log1p(inside.sum()))
        if len(of_item):
            ages = (end - np.array([of_item.min(), of_item.mean(), of_item.max()])) / DAY
            np.testing.assert_allclose(row[-3:], ages, rtol=1e-5, atol=1e-3)
        else:
            assert np.isnan(row[-3:]).all()


def test_without_times_there_are_no_columns_of_time(history, members):
    found, users, _ = seen(replace(history, times=None), members)
    assert found.shape == (len(users), 4 + 2 + 2 + 2)


def test_what_others_do_after_a_users_last_interaction_is_in_no_window(history, members):
    """Without all that is later than everything of a user, that user's windows are the same."""
    ends = [times[-1] for times in np.split(history.times, history.indptr[1:-1]) if len(times)]
    user = int(np.argmin(ends))
    later = history.times > ends[user]
    assert later.any()
    before, users, _ = seen(history, members)
    after, *_ = seen(history.select(~later), members)
    windows = slice(12, 12 + len(WINDOWS))
    np.testing.assert_array_equal(before[users == user, windows], after[users == user, windows])
