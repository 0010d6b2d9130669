"""The choice of the method: what it gains is told without what made it look the best."""

import numpy as np
import pytest

from recsys_lightning.ensemble.build import Ensemble
from recsys_lightning.ensemble.fusion import make_fusion
from recsys_lightning.ensemble.members import Member, Stage
from recsys_lightning.ensemble.methods import Method, Methods
from recsys_lightning.ensemble.search import SEARCHES, Objective, draw_folds
from tests.ensemble.runs import make_split, told, write_run
from tests.ensemble.test_build import METRIC
from tests.ensemble.test_search import planted

OPTIONS = {
    "fusion": "rank",
    "shared_first": True,
    "weights": "best",
    "by": [],
    "depth": 100,
    "k0": 60,
    "folds": 5,
    "max_members": 6,
    "mixer": False,
    "seed": 0,
}


def method(name, values, mark=0):
    lists = np.full((len(values), 1), mark, dtype=np.int32)
    return Method(name, "rank", None, None, None, lists, values, eligible=True)


def choose(values, single, **options):
    fold = draw_folds(len(single), 5, seed=0)
    others = [method(f"other {n}", of, n) for n, of in enumerate(values, start=1)]
    methods = [method("single", single), *others]
    return Methods(**(OPTIONS | options)).choose(methods, fold, single), fold


def test_the_interval_covers_the_choice_among_methods_that_gain_nothing():
    """Twenty methods whose true gain is 0: the best looks better, and the interval holds 0."""
    optimistic, nested, holds_zero, alone = [], [], 0, 0
    for draw in range(50):
        rng = np.random.default_rng(draw)
        single = rng.random(200)
        values = single + rng.normal(0, 0.3, (20, 200))
        choice, _ = choose(values, single)
        optimistic.append(choice.best.value - single.mean())
        nested.append(choice.gain.mean)
        holds_zero += choice.gain.low <= 0 <= choice.gain.high
        alone += choice.method.name == "single"
    assert np.mean(optimistic) > 0.03
    assert abs(np.mean(nested)) < 0.01
    assert holds_zero >= 45
    assert alone >= 45


def test_what_gains_is_chosen():
    rng = np.random.default_rng(1)
    single = rng.random(500)
    values = [single + rng.normal(0.01 * n, 0.1, 500) for n in range(4)]
    choice, _ = choose(values, single)
    assert choice.method.name == choice.best.name == "other 4"
    assert choice.best.value == pytest.approx(values[-1].mean())
    assert 0 < choice.gain.low < 0.03 < choice.gain.high


def test_what_is_only_there_to_compare_is_not_chosen():
    single = np.arange(20.0)
    compared = method("other", single + 1)._replace(eligible=False)
    methods, fold = Methods(**OPTIONS), draw_folds(20, 5, seed=0)
    choice = methods.choose([method("single", single), compared], fold, single)
    assert choice.method.name == choice.best.name == "single"


def test_a_fold_has_no_say_in_its_own_method():
    """What is best on one fold alone is chosen by all, but for that fold's own users."""
    single = np.zeros(500)
    fold = draw_folds(500, 5, seed=0)
    steady = np.full(500, 0.1)
    lucky = np.where(fold == 3, 1.0, 0.05)
    choice, _ = choose([steady, lucky], single)
    assert choice.best.name == choice.method.name == "other 2"
    assert (choice.lists[fold == 3] == 1).all()
    assert (choice.lists[fold != 3] == 2).all()
    assert choice.gain.mean == pytest.approx(np.where(fold == 3, 0.1, 0.05).mean())


def test_weights_that_were_asked_for_are_taken_whatever_they_gain():
    rng = np.random.default_rng(2)
    single = rng.random(300)
    choice, _ = choose([single - 0.1], single, weights="coordinate")
    assert choice.method.name == "single"  # eligible here, and better
    assert (
        Methods(**(OPTIONS | {"weights": "coordinate"}))
        .choose([method("coordinate", single - 0.1)], draw_folds(300, 5, seed=0), single)
        .gain.high
        < 0
    )


def test_the_seed_decides_on_folds_and_intervals():
    rng = np.random.default_rng(3)
    single = rng.random(300)
    better = single + rng.normal(0.02, 0.1, 300)
    _, held_out = planted(60, [1.0], seed=1)

    def found(seed):
        methods = Methods(**(OPTIONS | {"seed": seed}))
        choice, _ = choose([better], single, seed=seed)
        return (
            methods.draw_folds(held_out).tolist(),
            choice.gain[1:3],
            methods.gain(better, single)[1:3],
        )

    first, again, other = (found(seed) for seed in (0, 0, 1))
    assert first == again
    assert all(one != two for one, two in zip(first, other, strict=True))


def test_there_may_be_as_many_folds_as_users():
    _, held_out = planted(5, [1.0], seed=1)
    assert sorted(Methods(**OPTIONS).draw_folds(held_out)) == [0, 1, 2, 3, 4]


FITTED = ("single", "equal", "coordinate", "greedy", "combination")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"weights": "single"}, ["rank, single"]),
        ({"weights": "equal"}, ["rank, equal"]),
        ({"weights": "greedy", "fusion": ["borda", "vote"]}, ["borda, greedy", "vote, greedy"]),
        ({}, [f"rank, {name}" for name in FITTED]),
        ({"fusion": ["rank", "vote"]}, [*(f"rank, {n}" for n in FITTED), "vote, coordinate"]),
    ],
)
def test_what_may_be_chosen_is_what_was_asked_for(options, expected):
    members, held_out = planted(60, [1.0, 0.5], seed=1)
    stage = Stage(members, held_out, np.arange(held_out.num_items), held_out, [])
    fold = draw_folds(60, 5, seed=0)
    named = [Member("a", ()), Member("b", ())]
    methods = Methods(**(OPTIONS | options)).fit(named, stage, fold, "recall@5", 5, 10)
    assert [f"{m.fusion}, {m.name}" for m in methods if m.eligible] == expected


def test_what_is_submitted_is_fitted_on_all_users():
    members, held_out = planted(60, [0.4] * 4, seed=3)
    stage = Stage(members, held_out, np.arange(held_out.num_items), held_out, [])
    fold = draw_folds(60, 5, seed=0)
    methods = Methods(**(OPTIONS | {"weights": "coordinate"}))
    named = [Member(name, ()) for name in "abcd"]
    fitted = methods.fit(named, stage, fold, "recall@5", 5, 10)[-1]
    fusion = make_fusion("rank", members, stage.tie_order, k0=60, depth=100, head=5)
    found = SEARCHES["coordinate"](Objective(fusion, held_out, "recall@5", fold), 4, 0, 6)
    assert fitted.name == "coordinate"
    assert (found[0] != found[-1]).any()
    np.testing.assert_array_equal(fitted.weights, found[-1:])


def test_shared_first_is_of_interleave_alone():
    members, held_out = planted(60, [1.0, 0.5], seed=1)
    stage = Stage(members, held_out, np.arange(held_out.num_items), held_out, [])
    lists = {
        (rule, shared): Methods(**(OPTIONS | {"shared_first": shared})).apply(
            [method("equal", np.ones(60))._replace(fusion=rule, weights=np.ones((1, 2)))],
            stage,
            5,
            10,
        )[0]
        for rule in ("vote", "interleave")
        for shared in (True, False)
    }
    np.testing.assert_array_equal(lists["vote", True], lists["vote", False])
    assert (lists["interleave", True] != lists["interleave", False]).any()


def test_members_that_are_alike_are_no_better_together_and_the_best_is_submitted(
    tmp_path, out, capsys
):
    """Noise beside one that knows: what looks like a gain is within chance."""
    split = make_split()
    write_run(tmp_path / "sweep" / "0_ease", split, 1.0)
    for number in range(1, 5):
        write_run(tmp_path / "sweep" / f"{number}_noise{number}", split, 0.0)
    result = Ensemble()([tmp_path / "sweep"], out)
    assert result.weights == "single"
    assert [m["name"] for m in result.members] == ["ease"]
    assert result.gain[f"val/{METRIC}"]["mean"] == 0
    assert (out / "submission.csv").read_bytes() == (
        tmp_path / "sweep/0_ease/submission.csv"
    ).read_bytes()
    assert told(out)["choice"]["gain"][f"val/{METRIC}"]["low"] <= 0


def test_several_rules_are_tried_and_the_best_is_kept(sweep, out):
    result = Ensemble(fusion=["vote", "rank", "interleave"], weights="coordinate")([sweep], out)
    by_coordinate = {m["fusion"]: m for m in result.methods if m["name"] == "coordinate"}
    assert list(by_coordinate) == ["vote", "rank", "interleave"]
    name = f"val/{METRIC}"
    best = max(by_coordinate, key=lambda rule: by_coordinate[rule]["metrics"][name])
    assert (result.fusion, result.weights) == (best, "coordinate")
