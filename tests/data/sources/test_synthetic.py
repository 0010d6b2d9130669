"""The generator keeps its promises at any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lightning.data.sources.competition import Competition
from recsys_lightning.data.sources.synthetic import FIRST, LAST, Synthetic
from recsys_lightning.errors import InputError
from tests.data.sources.helpers import assert_same

SMALL = {"num_users": 300, "num_items": 200, "num_interactions": 12_000}


@st.composite
def sizes(draw):
    users, items = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    low = draw(st.integers(1, items))
    total = draw(st.integers(max(users * low, items), users * items))
    return {
        "num_users": users,
        "num_items": items,
        "num_interactions": total,
        "min_per_user": low,
        "seed": draw(st.integers(0, 9)),
    }


@settings(deadline=None)
@given(sizes())
def test_exact_at_any_size(size):
    made = Synthetic(**size).load()
    assert made.num_users == size["num_users"]
    assert made.num_items == size["num_items"]
    assert made.num_interactions == len(made.times) == size["num_interactions"]
    assert made.lengths.min() >= size["min_per_user"]
    assert made.popularity.min() >= 1
    assert made.matrix.sum_duplicates() is None
    assert made.matrix.nnz == size["num_interactions"]
    assert made.times.min() >= FIRST
    assert made.times.max() <= LAST
    later = np.diff(made.times) >= 0
    later[made.indptr[1:-1] - 1] = True
    assert later.all()
    for ids in (made.users, made.items):
        assert ids.dtype == np.int64
        assert (np.diff(ids) > 0).all()
    assert made.indices.dtype == np.int32
    assert made.submission_users.tolist() == made.users.tolist()
    assert (made.features["genre"].matrix.sum(axis=1) >= 1).all()
    assert (made.features["year"].matrix.sum(axis=1) == 1).all()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (
            {"num_interactions": 4_799},
            "data.num_interactions=4799: 300 users with at least 16 of 200 items each "
            "have 4800 to 60000 interactions",
        ),
        (
            {"num_interactions": 60_001},
            "data.num_interactions=60001: 300 users with at least 16 of 200 items each "
            "have 4800 to 60000 interactions",
        ),
        (
            {"num_items": 15},
            "data.min_per_user=16: no user can take more than all of the data.num_items=15 items",
        ),
        ({"num_users": 0}, "data.num_users=0: expected a whole number in [1, inf)"),
        ({"num_users": 1e4}, "data.num_users=10000.0: expected a whole number in [1, inf)"),
        ({"num_items": True}, "data.num_items=True: expected a whole number in [1, inf)"),
        ({"seed": -1}, "data.seed=-1: expected a whole number in [0, inf)"),
        ({"seed": None}, "data.seed=None: expected a whole number in [0, inf)"),
    ],
)
def test_sizes_that_cannot_be(size, expected):
    with pytest.raises(InputError) as error:
        Synthetic(**{**SMALL, **size})
    assert str(error.value) == expected


def test_the_seed_decides():
    first = Synthetic(**SMALL).load()
    assert_same(first, Synthetic(**SMALL).load())
    other = Synthetic(**SMALL, seed=1).load()
    assert not np.array_equal(first.indices, other.indices)
    assert not np.array_equal(first.users, other.users)


def test_it_is_cached(tmp_path, monkeypatch):
    first = Synthetic(**SMALL, cache_dir=str(tmp_path)).load()
    monkeypatch.setattr(Synthetic, "_read", None)
    written = Synthetic(**SMALL, cache_dir=str(tmp_path), write_to=str(tmp_path / "dir")).load()
    assert_same(first, written)


def test_written_and_read_by_competition(tmp_path):
    path = tmp_path / "a" / "contest"
    made = Synthetic(**SMALL, write_to=str(path)).load()
    assert list(made.features) == ["genre", "director", "writer", "year"]
    assert_same(Competition(str(path)).load(), made)
    assert {file.name for file in path.parent.iterdir()} == {"contest"}


def test_written_once(tmp_path):
    path = tmp_path / "contest"
    Synthetic(**SMALL, write_to=str(path)).load()
    before = (path / "train" / "train_ratings.csv").stat()
    Synthetic(**SMALL, write_to=str(path)).load()
    assert (path / "train" / "train_ratings.csv").stat() == before
    with pytest.raises(InputError, match="exists and holds other data"):
        Synthetic(**SMALL, seed=1, write_to=str(path)).load()


def test_not_written_over_anything(tmp_path):
    (tmp_path / "contest").mkdir()
    with pytest.raises(InputError) as error:
        Synthetic(**SMALL, write_to=str(tmp_path / "contest")).load()
    assert str(error.value) == (
        f"data.write_to={tmp_path / 'contest'}: exists and holds other data; "
        "remove it, or name another"
    )
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Synthetic(**SMALL, write_to=str(tmp_path / "file" / "contest")).load()


def test_the_shape_of_the_contest():
    made = Synthetic(num_users=3_000, num_items=1_000, num_interactions=240_000).load()
    lengths, popularity = np.sort(made.lengths), np.sort(made.popularity)
    assert lengths.mean() > 1.2 * np.median(lengths)
    assert popularity.mean() > 1.7 * np.median(popularity)
    assert popularity[-100:].sum() > 0.3 * made.num_interactions
    gaps = np.delete(np.diff(made.times), made.indptr[1:-1] - 1)
    assert (gaps < 600).mean() > 0.9
    assert (gaps > 86_400).sum() > 1_000
    years = made.features["year"].values.astype(int)
    assert years.max() <= 2004  # nothing is taken before it is released


def test_taste_can_be_learnt():
    """EASE finds hidden items that popularity does not, clearly even at this size."""
    made = Synthetic(num_users=2_000, num_items=500, num_interactions=80_000).load()
    rng = np.random.default_rng(0)
    hidden = rng.random(made.num_interactions) < 0.2
    seen = made.select(~hidden).matrix.toarray()
    held_out = made.select(hidden).matrix.toarray()
    gram = seen.T @ seen
    inverse = np.linalg.inv(gram + 100 * np.eye(len(gram), dtype=np.float32))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)

    def recall(scores):
        top = np.argsort(np.where(seen > 0, -np.inf, scores))[:, -10:]
        found = np.take_along_axis(held_out, top, axis=1).sum(axis=1)
        count = held_out.sum(axis=1)
        return (found[count > 0] / count[count > 0]).mean()

    popular = recall(np.broadcast_to(np.diag(gram), seen.shape))
    assert recall(seen @ weights) > 1.4 * popular


def test_neighbours_in_time_are_alike():
    made = Synthetic(**SMALL).load()
    genres = made.features["genre"].matrix.toarray()
    rng = np.random.default_rng(0)
    order = np.lexsort((rng.random(made.num_interactions), made.rows))
    same_user = np.diff(made.rows) == 0

    def shared(indices):
        return (genres[indices[1:]] * genres[indices[:-1]]).sum(axis=1)[same_user].mean()

    assert shared(made.indices) > 1.05 * shared(made.indices[order])
