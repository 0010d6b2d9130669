"""Searches find what there is to find, and cross-fitting tells what it is worth."""

import numpy as np
import pytest

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.ensemble import search as module
from recsys_lightning.ensemble.fusion import make_fusion
from recsys_lightning.ensemble.search import (
    SEARCHES,
    Objective,
    best_subset,
    best_subset_by_beam,
    draw_folds,
    normalised,
    oracle,
)
from recsys_lightning.errors import InputError
from recsys_lightning.metrics.of_lists import user_values
from recsys_lightning.runs.lists import Lists
from tests.conftest import make_interactions

NUM_ITEMS, HELD_OUT, K = 60, 3, 5
METRIC = f"recall@{K}"


def planted(num_users, skills, seed):
    """Lists by noise plus each member's skill at lifting the held-out items."""
    rng = np.random.default_rng(seed)
    targets = np.argsort(rng.random((num_users, NUM_ITEMS)), axis=1)[:, :HELD_OUT]
    members = []
    for skill in skills:
        scores = rng.normal(size=(num_users, NUM_ITEMS)).astype(np.float32)
        np.put_along_axis(
            scores, targets, np.take_along_axis(scores, targets, axis=1) + skill, axis=1
        )
        items = np.argsort(-scores, axis=1)[:, :20].astype(np.int32)
        members.append(Lists(items, np.take_along_axis(scores, items, axis=1)))
    held_out = Interactions(
        users=np.arange(num_users),
        items=np.arange(NUM_ITEMS),
        indptr=np.arange(num_users + 1) * HELD_OUT,
        indices=targets.ravel().astype(np.int32),
        times=None,
        titles=None,
        features={},
        submission_users=np.arange(num_users),
    )
    return members, held_out


def fuse(members):
    return make_fusion("rank", members, np.arange(NUM_ITEMS), k0=60, depth=20, head=K)


def search(name, members, held_out, folds=5, max_members=4):
    """The weights, their value in sample, and cross-fitted."""
    fusion = fuse(members)
    fold = draw_folds(len(held_out.users), folds, seed=0)
    objective = Objective(fusion, held_out, METRIC, fold)
    weights = SEARCHES[name](objective, len(members), 0, max_members)
    lists = fusion.lists(weights, K, fold)
    cross_fitted = user_values(METRIC, lists, held_out).mean()
    in_sample = user_values(METRIC, fusion.lists(weights[-1:], K), held_out).mean()
    return weights, in_sample, cross_fitted


def test_weights_that_look_better_in_sample_and_are_worse():
    """Ten members that are alike, and few users: whatever a search prefers is chance."""
    members, held_out = planted(60, [0.4] * 10, seed=3)
    fresh, fresh_held_out = planted(20_000, [0.4] * 10, seed=2)
    fused = fuse(fresh)

    def truth(weights):
        return user_values(METRIC, fused.lists(weights[-1:], K), fresh_held_out).mean()

    even, equal_in_sample, equal_value = search("equal", members, held_out)
    weights, in_sample, cross_fitted = search("combination", members, held_out, max_members=6)
    assert equal_in_sample == equal_value  # nothing was fitted
    assert in_sample > equal_value + 0.02  # it looks better
    assert truth(weights) < truth(even) - 0.05  # and is worse
    assert cross_fitted < equal_value - 0.03  # which cross-fitting tells
    assert abs(cross_fitted - truth(weights)) < 0.1 * (in_sample - truth(weights))


def test_no_user_has_a_say_in_the_own_weights():
    """Other held-out items for the users of one fold leave that fold's weights as they were."""
    members, held_out = planted(400, [1.2, 1.0, 0.8, 0.2, 0.0], seed=3)
    changed = planted(400, [1.2, 1.0, 0.8, 0.2, 0.0], seed=4)[1].indices.reshape(400, -1)
    fold = draw_folds(400, 5, seed=0)
    targets = held_out.indices.reshape(400, -1).copy()
    targets[fold == 2] = changed[fold == 2]
    for name in SEARCHES:
        before, *_ = search(name, members, held_out)
        after = SEARCHES[name](
            Objective(
                fuse(members),
                Interactions(**{**vars_of(held_out), "indices": targets.ravel()}),
                METRIC,
                fold,
            ),
            len(members),
            0,
            4,
        )
        np.testing.assert_array_equal(before[2], after[2])


def vars_of(x):
    return {name: getattr(x, name) for name in x.__dataclass_fields__}


@pytest.mark.parametrize("name", ["coordinate", "greedy", "combination"])
def test_a_search_finds_who_is_better(name):
    members, held_out = planted(3000, [1.5, 1.0, 0.0, 0.0, 0.0], seed=5)
    weights, _, cross_fitted = search(name, members, held_out)
    single, equal = (search(other, members, held_out)[2] for other in ("single", "equal"))
    assert weights.shape == (6, 5)
    assert (weights >= 0).all()
    assert (weights.max(axis=1) == 1).all()
    assert (weights[:, 0] > weights[:, 2:].max(axis=1)).all()
    assert cross_fitted > max(single, equal) + 0.01


def test_the_best_single_member_is_found():
    members, held_out = planted(500, [0.2, 1.0, 0.4], seed=6)
    weights, in_sample, _ = search("single", members, held_out)
    assert weights.tolist() == [[0, 1, 0]] * 6
    assert in_sample == user_values(METRIC, members[1].items, held_out).mean()


def test_greedy_selection_ends_at_the_first_of_its_best_steps():
    """The first member, added to the second, would change nothing."""
    made = [Lists(np.int32([of] * 4), np.float32([[2, 1]] * 4)) for of in ([2, 1], [1, 0])]
    fusion = make_fusion("rank", made, np.arange(3), k0=0, depth=2, head=1)
    objective = Objective(fusion, make_interactions([[1]] * 4, 3), "recall@1", np.arange(4) % 2)
    assert SEARCHES["greedy"](objective, 2, 0, 2).tolist() == [[0, 1]] * 3


def test_folds_differ_by_one_user_at_most():
    assert np.bincount(draw_folds(10, 4, seed=0)).tolist() == [3, 3, 2, 2]


class Planned:
    """Run 0 wants 3 of the second member to 10 of the first; run 1 gains nothing by any weights."""

    num_runs = 2

    def __call__(self, weights):
        return self.of_variants(weights, [0], [0])[:, 0]

    def of_variants(self, weights, which, more):
        variants = np.repeat(weights[:, None], len(which), axis=1)
        variants[:, np.arange(len(which)), which] += np.float32(more)
        share = normalised(variants.reshape(-1, 2))[:, 1].reshape(variants.shape[:2])
        return np.stack([1 - abs(share - 0.3), np.full(share.shape, 100.0)], axis=2)


def test_each_run_ascends_by_its_own_value_and_only_where_it_gains():
    found = SEARCHES["coordinate"](Planned(), 2, 0, 2)
    np.testing.assert_array_equal(found, np.float32([[1, 0.3], [1, 1]]))


def test_an_ascent_that_always_gains_ends_after_five_rounds():
    class Rising:
        num_runs, calls = 1, 0

        def __call__(self, weights):
            return np.zeros((1, 1))

        def of_variants(self, weights, which, more):
            self.calls += 1
            return np.full((1, len(which), 1), self.calls)

    rising = Rising()
    SEARCHES["coordinate"](rising, 3, 0, 3)
    assert rising.calls == 5 * 3


@pytest.mark.parametrize(("number", "size"), [(3, 3), (4, 2), (8, 4), (9, 5)])
def test_bags_of_greedy_selection_are_random_halves_of_many_members(number, size):
    def bags_of(seed):
        class Recorded:
            num_runs, bags = 1, set()

            def of_variants(self, weights, bag, more):
                self.bags.add(tuple(bag))
                return np.zeros((1, len(bag), 1))

        recorded = Recorded()
        SEARCHES["greedy"](recorded, number, seed, number)
        return recorded.bags

    bags = bags_of(0)
    assert {len(set(bag)) for bag in bags} == {size}
    assert bags == bags_of(0)
    assert number == 3 or (1 < len(bags) <= 10)
    assert number < 8 or bags != bags_of(1)


@pytest.mark.parametrize(("number", "expected"), [(11, "all"), (12, "a beam")])
def test_all_subsets_are_tried_up_to_2000(number, expected, monkeypatch):
    for name, way in (("best_subset", "all"), ("best_subset_by_beam", "a beam")):
        monkeypatch.setattr(module, name, lambda *_, way=way: way)
    monkeypatch.setattr(module, "_ascend", lambda objective, weights: weights)
    assert SEARCHES["combination"](None, number, 0, 6) == expected


def test_combinations_are_no_larger_than_asked():
    members, held_out = planted(300, [1.0, 1.0, 1.0, 1.0], seed=7)
    weights, *_ = search("combination", members, held_out, max_members=2)
    assert ((weights > 0).sum(axis=1) <= 2).all()


def test_a_member_outside_of_a_combination_may_come_first():
    """The ascent goes on with those that come after it."""
    members, held_out = planted(1000, [0.0, 1.5, 1.0], seed=18)
    first, *_ = search("combination", members, held_out)
    last, *_ = search("combination", [*members[1:], members[0]], held_out)
    assert not first[:, 0].any()
    assert (first[:, 1:] < 1).any()
    np.testing.assert_array_equal(first, last[:, [2, 0, 1]])


def objective_of(members, held_out, folds=3):
    return Objective(
        fuse(members), held_out, METRIC, draw_folds(len(held_out.users), folds, seed=0)
    )


@pytest.mark.parametrize("largest", [1, 3, 6])
def test_a_beam_that_holds_all_subsets_is_the_exhaustive_search(largest):
    members, held_out = planted(40, [0.4, 0.4, 0.4, 0.4, 0.4, 0.4], seed=17)
    found = best_subset_by_beam(objective_of(members, held_out, 8), 6, largest, width=20)
    expected = best_subset(objective_of(members, held_out, 8), 6, largest)
    np.testing.assert_array_equal(found, expected)
    assert len({row.tobytes() for row in expected}) > 1  # runs differ


def test_of_equal_members_a_beam_takes_the_first_as_the_exhaustive_search_does():
    members, held_out = planted(80, [0.6], seed=12)
    found = best_subset_by_beam(objective_of(members * 5, held_out), 5, 3, width=10)
    assert found.tolist() == [[1, 0, 0, 0, 0]] * 4
    np.testing.assert_array_equal(found, best_subset(objective_of(members * 5, held_out), 5, 3))


def test_a_beam_grows_without_what_other_runs_have_seen():
    """Other held-out items for the users of one fold leave that fold's run as it was."""
    members, held_out = planted(200, [0.5, 0.5, 0.4, 0.4, 0.3, 0.3, 0.2, 0.2], seed=13)
    changed = planted(200, [0.0] * 8, seed=14)[1].indices.reshape(200, -1)
    fold = draw_folds(200, 3, seed=0)
    targets = held_out.indices.reshape(200, -1).copy()
    targets[fold == 1] = changed[fold == 1]
    other = Interactions(**{**vars_of(held_out), "indices": targets.ravel()})
    before = best_subset_by_beam(objective_of(members, held_out), 8, 4, width=1)
    after = best_subset_by_beam(objective_of(members, other), 8, 4, width=1)
    np.testing.assert_array_equal(before[1], after[1])


@pytest.mark.parametrize("number", [12, 17, 25])
def test_more_members_than_can_be_tried_in_all_combinations(number):
    members, held_out = planted(400, [1.5, 1.2, 1.0] + [0.0] * (number - 3), seed=15)
    weights, in_sample, cross_fitted = search("combination", members, held_out, max_members=6)
    assert (weights[:, 0] == 1).all()
    assert ((weights > 0).sum(axis=1) <= 6).all()
    single = search("single", members, held_out)[2]
    assert cross_fitted > single
    pair = np.zeros((1, number), dtype=np.float32)
    pair[0, :2] = 1
    assert in_sample >= objective_of(members, held_out)(pair)[0, -1]


@pytest.mark.parametrize(
    "metric", ["ndcg@5", "ndcg@2", "recall@2", "recall_capped@2", "precision@2"]
)
def test_the_objective_is_the_mean_over_the_other_folds(metric):
    members, held_out = planted(101, [1.0, 0.5], seed=8)
    held_out = held_out.select(np.arange(303) % 3 < np.repeat(np.arange(101) % 4, 3))
    assert held_out.lengths[:5].tolist() == [0, 1, 2, 3, 0]  # the first does not count
    fold = draw_folds(101, 4, seed=1)
    objective = Objective(fuse(members), held_out, metric, fold)
    weights = np.array([[2.0, 1.0]])
    values = user_values(metric, fuse(members).lists(weights, K), held_out)
    expected = [np.nanmean(values[fold != f]) for f in range(4)] + [np.nanmean(values)]
    np.testing.assert_allclose(objective(weights)[0], expected, atol=1e-12)
    np.testing.assert_array_equal(objective(weights), objective(normalised(weights) / 2))


@pytest.mark.parametrize("metric", ["map@5", "recall", "coverage@5"])
def test_a_metric_that_does_not_add_up_is_refused(metric):
    members, held_out = planted(10, [1.0], seed=9)
    with pytest.raises(InputError, match=f"ensemble.metric={metric}: weights can be searched for"):
        Objective(fuse(members), held_out, metric, draw_folds(10, 2, seed=0))


def test_the_oracle_takes_every_hit_in_the_heads():
    members, held_out = planted(200, [0.5, 0.5], seed=10)
    heads = np.concatenate([member.items[:, :K] for member in members], axis=1)
    targets = held_out.indices.reshape(200, -1)
    found = [
        (np.isin(row, head).sum()) / HELD_OUT for row, head in zip(targets, heads, strict=True)
    ]
    assert oracle(members, held_out, METRIC) == pytest.approx(np.mean(found))


@pytest.mark.parametrize(("head", "k"), [(10, 5), (20, 5), (20, 10), (5, 10), (0, 5)])
def test_what_a_search_of_turns_looks_at_is_what_its_lists_are_worth(head, k):
    """Shared items may come from below the first k of every list."""
    rng = np.random.default_rng(0)
    lists = np.stack([rng.permuted(np.tile(np.arange(40), (300, 1)), axis=1) for _ in range(2)])
    members = [Lists(of.astype(np.int32), -np.tile(np.arange(40.0), (300, 1))) for of in lists]
    targets = np.sort(rng.permuted(np.tile(np.arange(40), (300, 1)), axis=1)[:, :5], axis=1)
    held_out = make_interactions(targets.tolist(), 40)
    fusion = make_fusion("interleave", members, np.arange(40), k0=0, depth=40, head=head)
    weights, fold = np.array([[1.0, 1.0], [1.0, 0.5]], np.float32), np.arange(300) % 3
    searched = Objective(fusion, held_out, f"recall@{k}", fold)(weights)[:, -1]
    made = [user_values(f"recall@{k}", fusion.lists(row[None], k), held_out) for row in weights]
    np.testing.assert_allclose(searched, np.mean(made, axis=1), rtol=1e-12)
