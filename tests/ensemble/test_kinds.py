"""Kinds of users: by what is known of their histories, with weights of their own."""

from dataclasses import replace

import numpy as np
import pytest

from recsys_lightning.ensemble.build import Ensemble
from recsys_lightning.ensemble.kinds import DAY, PROPERTIES, Kinds, find_kinds
from recsys_lightning.errors import InputError
from recsys_lightning.runs.lists import read_lists
from tests.conftest import make_interactions
from tests.ensemble.runs import K, make_split, write_run
from tests.ensemble.test_build import METRIC

START = 1_000_000_000


def history():
    """Users of 3, 1, 0 and 2 items, whose first and last day differ."""
    x = make_interactions([[0, 1, 2], [1], [], [2, 0]], 3)
    days = np.array([0, 1, 10, 4, 7, 7.5])
    return replace(x, times=(START + days * DAY).astype(np.int64))


def test_the_properties():
    assert PROPERTIES["length"](history()).tolist() == [3, 1, 0, 2]
    assert PROPERTIES["span"](history()).tolist() == [10, 0, 0, 0.5]
    assert PROPERTIES["recency"](history()).tolist() == [0, 6, 10, 2.5]


def test_a_kind_has_values_from_its_cut_on():
    assert Kinds("length", np.array([1.0, 3.0])).of(history()).tolist() == [2, 1, 0, 1]


def test_thirds_of_the_evaluated_users():
    x = make_interactions([list(range(n)) for n in range(1, 301)], 300)
    evaluated = np.arange(300) < 210  # the longest histories are not
    kinds = find_kinds("length", x, evaluated)
    assert np.bincount(kinds.of(x)[evaluated]).tolist() == [70, 70, 70]
    assert (kinds.of(x)[~evaluated] == 2).all()


def test_equal_values_are_one_kind():
    x = make_interactions([[0]] * 120 + [[0, 1]] * 60, 2)
    kinds = find_kinds("length", x, np.ones(180, dtype=bool))
    assert kinds.cuts.tolist() == [2]
    assert np.bincount(kinds.of(x)).tolist() == [120, 60]


@pytest.mark.parametrize(
    ("rows", "by", "match"),
    [
        ([[0]] * 200 + [[0, 1]] * 10, "length", "users have the same value, 1, so"),
        ([list(range(n % 30)) for n in range(100)], "length", "a kind has 32 users .* need 50"),
        ([[0], [0, 1]] * 100, "span", "the data has no times"),
    ],
)
def test_kinds_that_cannot_be_told_apart(rows, by, match):
    x = replace(make_interactions(rows, 30), times=None)
    with pytest.raises(InputError, match=match):
        find_kinds(by, x, np.ones(len(rows), dtype=bool))


@pytest.fixture
def two_kinds(tmp_path):
    """Each of two members knows one half of the users, told apart by the length of the history."""
    split = make_split(lengths=(15, 30), num_users=300)
    short = split.train.lengths < np.median(split.train.lengths)
    for name, knows in (("0_short", short), ("1_long", ~short)):
        write_run(tmp_path / "sweep" / name, split, np.where(knows, 1.5, 0.0))
    return tmp_path / "sweep", split


def test_each_kind_has_the_weights_that_suit_it(two_kinds, out):
    folder, split = two_kinds
    result = Ensemble(by=["length"])([folder], out)
    assert (result.fusion, result.weights) == ("rank", "coordinate by length")
    by_name = {m["name"]: m["metrics"] for m in result.methods if m["fusion"] == "rank"}
    for stage in ("val", "test"):
        name = f"{stage}/{METRIC}"
        gained = by_name["coordinate by length"][name] - by_name["coordinate"][name]
        assert gained > 0.05
    weights = {m["name"]: np.array(m["weight"]) for m in result.members}
    assert weights["short"][0] > weights["long"][0]
    assert weights["long"][-1] > weights["short"][-1]

    # the lists of all stages are by the cuts that were found on validation
    x = split.interactions
    cuts = np.array(result.kinds["cuts"])
    for stage in ("test", "final"):
        known = split.question(stage).known if stage == "test" else x
        kind = np.searchsorted(cuts, known.lengths, side="right")
        made = read_lists(out / f"candidates/{stage}.parquet", x.users, x.items).items
        members = {
            run[2:]: read_lists(
                folder / run / f"candidates/{stage}.parquet", x.users, x.items
            ).items
            for run in ("0_short", "1_long")
        }
        for user in range(0, x.num_users, 23):
            scores = {}
            for name, member in members.items():
                for place, item in enumerate(member[user], start=1):
                    if item >= 0:
                        worth = weights[name][kind[user]] / np.log2(place + 1)
                        scores[item] = scores.get(item, 0) + worth
            best = sorted(scores.values(), reverse=True)[:K]
            found = [scores[item] for item in made[user][:K]]
            np.testing.assert_allclose(found, best, rtol=1e-4)


def test_without_times_the_other_methods_are_left(tmp_path, out, caplog):
    split = make_split(times=False)
    for name, skill in (("0_ease", 1.0), ("1_recvae", 0.9)):
        write_run(tmp_path / "sweep" / name, split, skill)
    result = Ensemble(by=["span"])([tmp_path / "sweep"], out)
    assert "rank, coordinate by span is left out" in caplog.text
    assert "the data has no times" in caplog.text
    assert result.status == "done"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"by": ["age"]}, r"ensemble\.by=age: expected a list, \[length, span, recency\]"),
        ({"by": "span"}, r"ensemble\.by=span: expected a list"),
        ({"by": ["span"], "weights": "greedy"}, "only with ensemble.weights=best or coordinate"),
    ],
)
def test_options_that_are_refused(options, match):
    with pytest.raises(InputError, match=match):
        Ensemble(**options)
