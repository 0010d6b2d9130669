"""What runs wrote, read back; and metrics a user beside those of the runs."""

import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from recsys_lightning.data.holdout import RandomHoldout, Split
from recsys_lightning.errors import InputError
from recsys_lightning.runs.lists import read_lists, read_split, write_lists
from tests.conftest import make_interactions, two_tastes

USERS, ITEMS = np.array([3, 5, 9]), np.array([10, 20, 30, 40])


def rows(path, columns):
    parquet.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("text", [False, True], ids=["numbers", "text"])
@pytest.mark.parametrize("times", [False, True], ids=["no times", "times"])
@pytest.mark.parametrize("test_items", [0, 2])
def test_a_split_is_read_back_as_it_was_written(tmp_path, text, times, test_items):
    x = two_tastes()
    if text:
        names = {name: np.array([f"n{i}" for i in getattr(x, name)]) for name in ("users", "items")}
        x = replace(x, **names)
    if not times:
        x = replace(x, times=None)
    split = RandomHoldout(valid_items=3, test_items=test_items).split(x)
    read = read_split(split.write(tmp_path))
    assert read.sha256 == split.sha256
    assert read.interactions.users.dtype.kind == x.users.dtype.kind
    for name in ("train", "valid", "test"):
        ours, theirs = getattr(read, name), getattr(split, name)
        np.testing.assert_array_equal(ours.indptr, theirs.indptr)
        np.testing.assert_array_equal(ours.indices, theirs.indices)  # in time order
        if times:
            np.testing.assert_array_equal(ours.times, theirs.times)


def test_a_split_with_what_is_known_of_strangers_is_read_back(tmp_path):
    x = make_interactions([[0, 1, 2, 3], [0, 1, 4], [2, 3, 4]], 5)
    split = Split(x, np.int8([0, 0, 1, 2, 3, 1, 1, 4, 2, 2]))
    read = read_split(split.write(tmp_path), split.sha256)
    assert (read.interactions.indices == x.indices).all()
    assert (read.part == split.part).all()


@pytest.mark.parametrize("unit", [1, 10**6, 10**9], ids=["s", "us", "ns"])
def test_fine_times_do_not_overflow(unit, tmp_path):
    """User and time as one int64 fit for seconds only: others had the histories mixed."""
    rng = np.random.default_rng(0)
    x = make_interactions([rng.permutation(20).tolist() for _ in range(40)], 20)
    times = np.sort(rng.integers(10**9, 1_700_000_000, (40, 20)), axis=1).ravel() * unit
    split = RandomHoldout(3, 3).split(replace(x, times=times))
    read = read_split(split.write(tmp_path))
    assert (read.interactions.indices == x.indices).all()
    assert (read.interactions.times == times).all()
    assert read.sha256 == split.sha256


def test_files_of_another_split_are_refused(tmp_path):
    splits = [RandomHoldout(3, 3, seed).split(two_tastes()) for seed in (0, 1)]
    folders = [split.write(tmp_path) for split in splits]
    shutil.copy(folders[1] / "valid.parquet", folders[0] / "valid.parquet")
    with pytest.raises(InputError, match=f"{folders[0]}: .* expected {splits[0].sha256[:16]}"):
        read_split(folders[0], splits[0].sha256)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_lists_are_read_back_whatever_the_order_of_rows(tmp_path_factory, data):
    seed, length = data.draw(st.integers(0, 999)), data.draw(st.integers(1, 6))
    rng = np.random.default_rng(seed)
    x = make_interactions([[0]] * 7, 8)
    items = np.argsort(rng.random((7, 8)), axis=1)[:, :length].astype(np.int32)
    items[np.arange(length) >= rng.integers(0, length + 1, 7)[:, None]] = -1  # lists may end
    items[0] = np.arange(length)  # one is full
    scores = np.where(items >= 0, rng.random(items.shape), -np.inf).astype(np.float32)
    path = tmp_path_factory.mktemp("lists") / "valid.parquet"
    write_lists(path, x, np.arange(7), items, scores)
    table = parquet.read_table(path)
    parquet.write_table(table.take(rng.permutation(len(table))), path)
    read = read_lists(path, x.users, x.items)
    np.testing.assert_array_equal(read.items, items)
    np.testing.assert_array_equal(read.scores, scores)
    assert (read.items.dtype, read.scores.dtype) == (np.int32, np.float32)


def test_a_user_without_a_list_has_an_empty_row(tmp_path):
    columns = {
        "user": [9, 3, 9],
        "item": ["b", "a", "a"],
        "rank": [2, 1, 1],
        "score": [1.0, 2.0, 3],
    }
    read = read_lists(rows(tmp_path / "f.parquet", columns), USERS, np.array(["a", "b"]))
    assert read.items.tolist() == [[0, -1], [-1, -1], [0, 1]]
    assert read.scores.tolist() == [[2, -np.inf], [-np.inf] * 2, [3, 1]]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"user": [4]}, "user 4 is not in the split"),
        ({"item": [50]}, "item 50 is not in the split"),
        ({"item": ["x"]}, "item ids are text, in the split numbers"),
        ({"rank": [0]}, "expected ranks from 1"),
        ({"rank": [2]}, "expected the ranks 1, 2, 3"),
        ({"user": [3, 3], "item": [10, 20], "rank": [1, 1], "score": [1.0, 1.0]}, "each once"),
        ({"rank": [None]}, "column rank has empty cells"),
    ],
)
def test_candidates_that_do_not_fit_are_refused(tmp_path, columns, told):
    fitting = {"user": [3], "item": [10], "rank": [1], "score": [1.0]}
    path = rows(tmp_path / "valid.parquet", fitting | columns)
    with pytest.raises(InputError, match=f"valid.parquet.*{told}"):
        read_lists(path, USERS, ITEMS)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(InputError, match=r"train\.parquet: there is no such file"):
        read_split(tmp_path)
    path = tmp_path / "valid.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"valid\.parquet: cannot be read as parquet"):
        read_lists(path, USERS, ITEMS)
    with pytest.raises(InputError, match="no column rank"):
        read_lists(rows(path, {"user": [3], "item": [10]}), USERS, ITEMS)


def test_a_folder_named_like_a_partition_is_no_column(tmp_path):
    folder = tmp_path / "user=7"
    folder.mkdir()
    columns = {"user": [3], "item": [10], "rank": [1], "score": [1.0]}
    read = read_lists(rows(folder / "f.parquet", columns), USERS, ITEMS)
    assert read.items.tolist() == [[0], [-1], [-1]]
