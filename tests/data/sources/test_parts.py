"""The files of a split that was made elsewhere."""

import logging

import numpy as np
import pytest

from recsys_lightning.data.sources.files import Files
from tests.data.sources.helpers import assert_same, message, rows_of, values_of, write


def load(tmp_path, train, valid=None, test=None, suffix="csv", **options):
    paths = [
        None if text is None else str(write(tmp_path / f"{name}.{suffix}", text))
        for name, text in (("train", train), ("valid", valid), ("test", test))
    ]
    return Files(**options).load_parts(*paths)


def test_every_interaction_knows_its_file(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    loaded, parts = load(
        tmp_path,
        "user,item,time\n2,5,9\n2,4,1\n1,5,1\n2,5,8\n",
        "user,item,time\n2,7,5\n1,4,0\n",
        "user,item,time\n2,8,5\n",
    )
    assert rows_of(loaded) == {1: [4, 5], 2: [4, 7, 8, 5]}
    assert parts.tolist() == [1, 0, 0, 1, 2, 0]
    assert parts.dtype == np.int8
    assert loaded.times.tolist() == [0, 1, 1, 5, 5, 8]
    assert loaded.submission_users.tolist() == [2, 1]
    assert list(map(str, loaded.joins)) == [
        "2 of 2 users of holdout.valid are in holdout.train (100 %)",
        "1 of 2 items of holdout.valid are in holdout.train (50 %)",
        "1 of 1 users of holdout.test are in holdout.train (100 %)",
        "only 0 of 1 items of holdout.test are in holdout.train (0 %): '8' is not, and '5' is "
        "only there. Check that both files write ids in the same way",
    ]
    assert "1 duplicate (user, item) rows merged" in caplog.text


@pytest.mark.parametrize(("valid", "test"), [(None, None), ("x", None), (None, "x")])
def test_files_may_lack(tmp_path, valid, test):
    text = "user,item\n1,9\n"
    loaded, parts = load(
        tmp_path, "user,item\n1,2\n", valid and text, test and text, time_column=None
    )
    assert parts.tolist() == [0] + [1] * bool(valid) + [2] * bool(test)
    assert loaded.num_interactions == len(parts)


def test_lightgcn(tmp_path):
    loaded, parts = load(tmp_path, "0 5 3\n1 3\n", "0 4\n1\n", "1 5\n", suffix="txt")
    assert rows_of(loaded) == {0: [5, 3, 4], 1: [3, 5]}
    assert parts.tolist() == [0, 0, 1, 0, 2]


def test_they_are_cached(tmp_path, monkeypatch):
    texts = ("user,item\n1,2\n1,3\n", "user,item\n1,4\n")
    options = {"cache_dir": str(tmp_path / "cache")}
    first, parts = load(tmp_path, *texts, **options)
    monkeypatch.setattr(Files, "_ratings", None)
    paths = [str(tmp_path / "train.csv"), str(tmp_path / "valid.csv")]
    again, same = Files(**options).load_parts(*paths, None)
    assert_same(first, again)
    np.testing.assert_array_equal(parts, same)
    with pytest.raises(TypeError):  # as test it is another split
        Files(**options).load_parts(paths[0], None, paths[1])


@pytest.mark.parametrize(
    ("time", "kind"), [("978300760", "seconds"), ("978300760500", "milliseconds")]
)
def test_times_of_different_kinds_are_refused(tmp_path, time, kind):
    train = "user,item,time\n1,2,20240131\n1,3,20240201\n"
    assert message(load, tmp_path, train, f"user,item,time\n1,4,{time}\n") == (
        f"{tmp_path / 'train.csv'}: the times look like dates, those of {tmp_path / 'valid.csv'} "
        f"like {kind}: expected one kind in all files"
    )
    load(tmp_path, train, "user,item,time\n1,4,2024-02-02\n")  # nothing was guessed


def test_a_user_without_a_history(tmp_path):
    train, valid = "user,item\n1,2\n", "user,item\n1,3\n\n8,3\n7,3\n8,2\n"
    assert message(load, tmp_path, train, valid) == (
        f"{tmp_path / 'valid.csv'}, line 4: user '8' is not in {tmp_path / 'train.csv'} "
        "(2 such users in all); a user to evaluate needs a history there"
    )
    assert message(load, tmp_path, "1 2\n", None, "1 3\n\n7\n8 4 5\n", "txt") == (
        f"{tmp_path / 'test.txt'}, line 4: user '8' is not in {tmp_path / 'train.txt'} "
        "(1 such users in all); a user to evaluate needs a history there"
    )


def test_a_history_of_low_ratings_is_none(tmp_path):
    texts = ("user,item,r\n1,2,5\n2,2,1\n", "user,item,r\n2,3,5\n")
    options = {"rating_column": "r", "min_rating": 4}
    assert "line 2: user '2' is not in" in message(load, tmp_path, *texts, **options)


def test_a_filtered_row_keeps_its_line(tmp_path):
    texts = ("user,item,r\n1,2,5\n", "user,item,r\n9,3,1\n1,2,1\n1,2,5\n")
    options = {"rating_column": "r", "min_rating": 4}
    assert "valid.csv, line 4: user '1' with item '2'" in message(load, tmp_path, *texts, **options)


def test_a_leak(tmp_path):
    train = "user,item\n1,2\n1,3\n2,2\n2,4\n"
    held_out = "user,item\n1,4\n2,2\n1,3\n2,2\n"
    for valid, test in ((held_out, None), (None, held_out)):
        name = "valid" if valid else "test"
        assert message(load, tmp_path, train, valid, test) == (
            f"{tmp_path / f'{name}.csv'}, line 3: user '2' with item '2' is in "
            f"{tmp_path / 'train.csv'} too (2 such pairs in all); "
            "an interaction must be in one file only"
        )
    held_out = "user,item\n1,4\n"
    assert "test.csv, line 2: user '1' with item '4' is in" in message(
        load, tmp_path, train, held_out, held_out
    )


def of_strangers(tmp_path, valid, test):
    """User 1 is trained on, others have their histories in files of their own."""
    known = ["user,item\n7,2\n8,4\n", "user,item\n9,4\n"]
    texts = ["user,item\n1,2\n1,3\n1,4\n", valid, test, *known]
    names = ("train", "valid", "test", "valid_known", "test_known")
    paths = [write(tmp_path / f"{n}.csv", text) for n, text in zip(names, texts, strict=True)]
    return Files().load_parts(*map(str, paths))


def test_users_whom_no_model_learns_from(tmp_path):
    """Without times what is known stands before what is asked for."""
    loaded, parts = of_strangers(tmp_path, "user,item\n7,3\n", "user,item\n9,2\n7,4\n")
    assert rows_of(loaded) == {1: [2, 3, 4], 7: [2, 3, 4], 8: [4], 9: [4, 2]}
    assert parts.tolist() == [0, 0, 0, 3, 1, 2, 3, 4, 2]
    joins = list(map(str, loaded.joins))
    assert (
        "1 of 1 users of holdout.valid are in holdout.train or holdout.valid_known (100 %)" in joins
    )
    assert "2 of 2 items of holdout.valid_known are in holdout.train (100 %)" in joins
    assert not any("users of holdout.test_known" in line for line in joins)


def test_a_user_of_valid_who_is_known_at_test_time_only(tmp_path):
    fine, unknown = "user,item\n9,2\n", "user,item\n8,3\n9,3\n"
    train, known = tmp_path / "train.csv", tmp_path / "valid_known.csv"
    assert message(of_strangers, tmp_path, unknown, fine) == (
        f"{tmp_path / 'valid.csv'}, line 3: user '9' is not in {train} or {known} "
        "(1 such users in all); a user to evaluate needs a history there"
    )


def test_what_is_known_and_asked_for_is_a_leak(tmp_path):
    leak, fine = "user,item\n8,4\n", "user,item\n9,2\n"
    assert "valid.csv, line 2: user '8' with item '4' is in" in message(
        of_strangers, tmp_path, leak, fine
    )


def test_times_in_one_file_only(tmp_path, caplog):
    loaded, _ = load(tmp_path, "user,item,time\n1,2,9\n1,3,5\n", "user,item\n1,4\n")
    assert loaded.times is None
    assert rows_of(loaded) == {1: [2, 3, 4]}
    assert "not all of the files have times" in caplog.text


def test_items_and_template_belong_to_it(tmp_path):
    items = str(write(tmp_path / "items.csv", "item,genre\n4,a|b\n2,a\n"))
    template = str(write(tmp_path / "users.csv", "user\n3\n1\n"))
    loaded, _ = load(
        tmp_path,
        "user,item\n1,2\n",
        "user,item\n1,4\n",
        items=items,
        submission_template=template,
    )
    assert values_of(loaded, "genre") == {2: ["a"], 4: ["a", "b"]}
    assert loaded.submission_users.tolist() == [3, 1]


def test_a_missing_file(tmp_path):
    path = str(write(tmp_path / "train.csv", "user,item\n1,2\n"))
    assert message(Files().load_parts, path, str(tmp_path / "valid.csv"), None) == (
        f"{tmp_path / 'valid.csv'}: no such file"
    )
