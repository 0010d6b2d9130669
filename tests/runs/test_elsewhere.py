"""Lists that other programs wrote, as tables."""

import numpy as np
import pytest

from recsys_lightning.errors import InputError
from recsys_lightning.runs import elsewhere
from recsys_lightning.runs.elsewhere import read_elsewhere
from tests.conftest import make_interactions

# users 100, 101, 102 have items of 1000, ..., 1005
HISTORY = make_interactions([[0, 1], [2], [3, 4, 5]], 6)


def read(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return read_elsewhere(path, HISTORY)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lists.csv"


def test_ranks_order_the_items_in_whatever_order_the_rows_stand(path):
    rows = ["102,1001,2", "100,1005,1", "102,1000,0", "100,1003,5"]  # from 0, or with gaps
    lists, had = read(path, "user,item,rank", *rows)
    assert lists.items.tolist() == [[5, 3], [-1, -1], [0, 1]]
    assert lists.scores.tolist() == [[2, 1], [-np.inf, -np.inf], [2, 1]]
    assert had == 0


def test_scores_order_them_the_highest_first_and_equal_ones_as_in_the_file(path):
    rows = ["1003,0.5,100", "1005,-1,100", "1002,0.5,100", "1004,2,100"]
    lists, _ = read(path, "item,score,user", *rows)
    assert lists.items[0].tolist() == [4, 3, 2, 5]
    assert lists.scores[0].tolist() == [0, -1.5, -1.5, -3]  # from the best


def test_large_scores_that_differ_little_stay_apart(path):
    rows = [f"100,{1002 + n},{-1_000_000 - 0.02 * n}" for n in range(4)]
    lists, _ = read(path, "user,item,score", *rows)
    np.testing.assert_allclose(lists.scores[0], [0, -0.02, -0.04, -0.06], rtol=1e-6)


def test_ranks_stand_above_scores(path):
    lists, _ = read(path, "user,item,score,rank", "100,1002,7,2", "100,1003,7,1")
    assert lists.items[0].tolist() == [3, 2]
    assert lists.scores[0].tolist() == [0, 0]


@pytest.mark.parametrize("pairs", [1, 1 << 25])  # a user at once, or all
def test_what_a_user_already_has_is_left_out_and_the_next_move_up(path, monkeypatch, pairs):
    monkeypatch.setattr(elsewhere, "PAIRS", pairs)
    rows = ["100,1001,1", "100,1002,2", "100,1000,3", "100,1003,4", "101,1000,1", "102,1005,1"]
    lists, had = read(path, "user,item,rank", *rows)
    assert had == 3
    assert lists.items.tolist() == [[2, 3, -1, -1], [0, -1, -1, -1], [-1] * 4]
    assert lists.scores.tolist() == [[3, 1, *[-np.inf] * 2], [4, *[-np.inf] * 3], [-np.inf] * 4]


def test_ids_are_those_that_other_files_have(path):
    lists, _ = read(path, "user,item,rank", "100.0, 1002,1", "101.0,1003,1")
    assert lists.items[:2, 0].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        (
            ["user,item", "100,1002"],
            "lists.csv has no column 'rank' or 'score': its columns are 'u",
        ),
        (["user,rank", "100,1"], "lists.csv has no column 'item'"),
        (["user,item,rank"], "lists.csv: has no rows"),
        (["user,item,rank", "100,1002,1", "109,1002,1"], "line 3: user '109' is not in the split"),
        (
            ["user,item,rank", "100,1002,1", "100,77,2", "101,77,1", "101,78,2"],
            r"line 3: item '77' is not in the split \(2 such items in all\)",
        ),
        (
            ["user,item,rank", "101,1003,9", "100,1002,1", "101,1000,2", "101,1003,1"],
            "line 5: user 101 has item 1003 twice",
        ),
        (
            ["user,item,rank", "101,1003,1", "100,1002,1", "101,1000,1"],
            "line 4: user 101 has rank 1 twice",
        ),
        (
            ["user,item,rank,score", "100,1002,1,.5", "100,1003,2,.6"],
            "line 3: user 100 has a score at rank 2 above that of a better rank",
        ),
        (["user,item,score", "100,1002,high"], "line 2, column 'score': expected a number, found"),
        (["user,item,score", "100,1002,3", "100,1003,inf"], "line 3: user 100 has a score of inf"),
        (["user,item,score", "100,1002,nan"], "line 2, column 'score': expected a number, found"),
    ],
)
def test_what_is_wrong_has_its_line(path, lines, match):
    with pytest.raises(InputError, match=match):
        read(path, *lines)
