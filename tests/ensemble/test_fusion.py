"""Every rule of fusion against a slow reference that follows its formula item by item."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.ensemble.fusion import (
    RULES,
    SUMS,
    make_fusion,
    min_max,
    quota,
    standardised,
)
from recsys_lightning.metrics.of_lists import user_values
from recsys_lightning.runs.lists import Lists

NUM_ITEMS, K0, HEAD = 12, 7, 3


@st.composite
def members(draw, max_members=4):
    """Lists of different lengths, some empty, some scores equal, some items without a score."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_users, made = draw(st.integers(1, 5)), []
    for _ in range(draw(st.integers(1, max_members))):
        length = draw(st.integers(1, NUM_ITEMS))
        items = np.argsort(rng.random((num_users, NUM_ITEMS)), axis=1)[:, :length].astype(np.int32)
        scores = -np.sort(-rng.integers(0, 6, items.shape).astype(np.float32), axis=1)
        scores[:, -1] = np.where(rng.random(num_users) < 0.2, -np.inf, scores[:, -1])
        ended = np.arange(length) >= rng.integers(0, length + 1, num_users)[:, None]
        made.append(Lists(np.where(ended, -1, items), np.where(ended, -np.inf, scores)))
    return made


def weights_for(made, seed):
    weights = np.random.default_rng(seed).integers(0, 4, len(made)) / 4
    return weights if weights.any() else weights + 1


def contribution(rule, lists, user, item, depth):
    """c_m(i), from the definition."""
    row = lists.items[user, :depth].tolist()
    if item not in row:
        return 0.0
    r = row.index(item) + 1
    if rule == "rank":
        return 1 / math.log2(r + 1)
    if rule == "reciprocal_rank":
        return 1 / (K0 + r)
    if rule == "borda":
        return (depth - r + 1) / depth
    if rule == "vote":
        return (r <= HEAD) + (depth - r + 1) / 2 ** (10 + math.ceil(math.log2(depth)))
    scores = [float(s) for i, s in zip(row, lists.scores[user], strict=False) if i >= 0]
    known = [s for s in scores if s > -math.inf] or [0.0]
    low = min(known)
    lifted = [max(s, low) - low for s in scores]
    if rule == "combsum_zscore":
        mean = sum(lifted) / len(lifted)
        scale = math.sqrt(sum((s - mean) ** 2 for s in lifted) / len(lifted))
    else:
        scale = max(lifted)
    if not scale:  # all that have a score have the same
        none = not any(s > -math.inf for s in scores)
        return 1.0 if none or scores[r - 1] > -math.inf else 1e-6
    return max(lifted[r - 1] / scale, 1e-6)


def slow_sum(rule, made, weights, user, depth):
    """Items and their scores, best first; ties in tie order, here by descending number."""
    scored = {}
    for item in range(NUM_ITEMS):
        parts = [contribution(rule, lists, user, item, depth) for lists in made]
        total = np.float32(0)
        for weight, part in zip(weights, parts, strict=True):
            total += np.float32(weight) * np.float32(part)
        if rule == "combmnz":
            total *= sum(p > 0 for w, p in zip(weights, parts, strict=True) if w > 0)
        if total > 0:
            scored[item] = float(total)
    return sorted(scored.items(), key=lambda pair: (-pair[1], -pair[0]))


@pytest.mark.parametrize("rule", SUMS)
@settings(max_examples=60, deadline=None)
@given(made=members(), seed=st.integers(0, 99), depth=st.integers(1, NUM_ITEMS))
def test_sums_follow_their_formulas(rule, made, seed, depth):
    weights = weights_for(made, seed)
    fusion = make_fusion(rule, made, np.arange(NUM_ITEMS)[::-1], k0=K0, depth=depth, head=HEAD)
    lists = fusion.lists(weights[None], NUM_ITEMS)
    for user in range(len(lists)):
        ours = [int(item) for item in lists[user] if item >= 0]
        slow = slow_sum(rule, made, weights, user, depth)
        assert sorted(ours) == sorted(item for item, _ in slow)
        score = dict(slow)  # of items nearly level the rounding decides
        for item, (_, expected) in zip(ours, slow, strict=True):
            assert score[item] == pytest.approx(expected, rel=1e-5)


@settings(max_examples=100, deadline=None)
@given(made=members(max_members=7), seed=st.integers(0, 99), depth=st.integers(1, NUM_ITEMS))
def test_votes_are_counted_and_then_places(made, seed, depth):
    """Exactly: no rounding stands between two items of as many votes and the same sum of places."""
    fusion = make_fusion("vote", made, np.arange(NUM_ITEMS)[::-1], k0=K0, depth=depth, head=HEAD)
    for weights in (np.ones(len(made)), weights_for(made, seed)):
        lists = fusion.lists(weights[None], NUM_ITEMS)
        for user in range(len(lists)):
            rows = [lists.items[user, :depth].tolist() for lists in made]
            keys = {}
            named = {item for row, w in zip(rows, weights, strict=True) if w for item in row}
            for item in named - {-1}:
                places = [row.index(item) + 1 if item in row else depth + 1 for row in rows]
                votes = sum(weights[n] for n, row in enumerate(rows) if item in row[:HEAD])
                keys[item] = -votes, sum(weights * places), -item
            ours = [int(item) for item in lists[user] if item >= 0]
            assert ours == sorted(keys, key=keys.get)


def test_one_vote_is_more_than_many_places_behind_the_first_k():
    often = [[2, 3, 4, 1]] * 20
    made = [Lists(np.int32([row]), np.float32([[4, 3, 2, 1]])) for row in (*often, [2, 3, 0, -1])]
    fusion = make_fusion("vote", made, np.arange(5), k0=K0, depth=100, head=HEAD)
    assert fusion.lists(np.ones((1, 21)), 5).tolist() == [[2, 3, 4, 0, 1]]


def test_places_count_less_than_a_thousandth_of_a_vote():
    ranked = Lists(np.int32([[2, 0, 1]]), np.float32([[3, 2, 1]]))
    fusion = make_fusion("vote", [ranked], np.arange(3), k0=K0, depth=3, head=1)
    expected = np.array([[2, 1, 3]]) / 2**12  # of items 0, 1 and 2
    expected[0, 2] += 1
    np.testing.assert_array_equal(fusion.contributions, np.float32(expected))


@pytest.mark.parametrize("normalise", [min_max, standardised])
def test_items_of_a_list_without_any_score_count_alike(normalise):
    lists = Lists(np.int32([[4, 2, -1]]), np.full((1, 3), -np.inf, np.float32))
    assert normalise(lists).tolist() == [[1, 1, 0]]


def slow_interleave(made, weights, user, head, length):
    """Shared items, then a turn at a time for whoever is furthest behind its share."""
    rows = [
        [int(item) for item in lists.items[user] if item >= 0] if weight > 0 else []
        for lists, weight in zip(made, weights, strict=True)
    ]
    used = [m for m, weight in enumerate(weights) if weight > 0]
    out = []
    if len(used) > 1:
        shared = [i for i in rows[used[0]][:head] if all(i in rows[m][:head] for m in used)]
        out = sorted(shared, key=lambda item: sum(rows[m].index(item) for m in used))
    credit = dict.fromkeys(used, 0.0)
    while len(out) < length:
        left = {m: [i for i in rows[m] if i not in out] for m in used}
        able = [m for m in used if left[m]]
        if not able:
            break
        for m in able:
            credit[m] += float(weights[m])
        turn = max(able, key=lambda m: (round(credit[m], 6), -m))
        credit[turn] -= sum(float(weights[m]) for m in able)
        out.append(left[turn][0])
    return out[:length]


@settings(max_examples=100, deadline=None)
@given(made=members(), seed=st.integers(0, 99), head=st.integers(1, 6), length=st.integers(1, 12))
def test_interleaving_is_shared_items_and_turns(made, seed, head, length):
    weights = weights_for(made, seed)
    fusion = make_fusion("interleave", made, np.arange(NUM_ITEMS), k0=0, depth=NUM_ITEMS, head=head)
    lists = fusion.lists(weights[None], length)
    for user, row in enumerate(lists):
        expected = slow_interleave(made, weights, user, head, length)
        assert [int(item) for item in row if item >= 0] == expected


def test_interleaving_reads_no_further_than_the_depth():
    made = [
        Lists(np.int32([items]), np.float32([[4, 3, 2, 1]]))
        for items in ([0, 1, 2, 3], [4, 5, 2, 3])
    ]
    fusion = make_fusion("interleave", made, np.arange(6), k0=0, depth=2, head=4)
    assert fusion.lists(np.ones((1, 2)), 6).tolist() == [[0, 4, 1, 5, -1, -1]]


def test_interleaving_gives_seven_to_three():
    first = Lists(np.arange(10, dtype=np.int32)[None], np.ones((1, 10), np.float32))
    second = Lists(np.arange(10, 20, dtype=np.int32)[None], np.ones((1, 10), np.float32))
    fusion = make_fusion("interleave", [first, second], np.arange(20), k0=0, depth=10, head=10)
    [row] = fusion.lists(np.array([[7.0, 3.0]]), 10)
    assert (row < 10).sum() == 7
    assert row[0] == 0


@settings(max_examples=60, deadline=None)
@given(
    made=members(),
    rule=st.sampled_from(RULES),
    seed=st.integers(0, 99),
    k=st.integers(1, 6),
)
def test_the_evaluator_agrees_with_the_lists(made, rule, seed, k):
    """It leaves out what cannot win and never makes a list."""
    rng = np.random.default_rng(seed)
    num_users = len(made[0].items)
    rows = [rng.permutation(NUM_ITEMS)[: rng.integers(0, 5)] for _ in range(num_users)]
    targets = np.concatenate([np.empty(0, int), *rows]).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    held_out = Interactions(
        users=np.arange(num_users),
        items=np.arange(NUM_ITEMS),
        indptr=offsets,
        indices=targets,
        times=None,
        titles=None,
        features={},
        submission_users=np.arange(num_users),
    )
    weights = np.array([weights_for(made, seed + n) for n in range(3)], dtype=np.float32)
    order = rng.permutation(NUM_ITEMS)
    fusion = make_fusion(rule, made, order, k0=K0, depth=NUM_ITEMS, head=k)
    users = np.flatnonzero(np.diff(offsets))
    discount = 1 / np.log2(np.arange(1, k + 1) + 1)
    ideal = discount.cumsum()[np.minimum(np.diff(offsets)[users], k) - 1]
    evaluate = fusion.evaluator(users, held_out, discount)
    last = len(made) - 1
    without = weights.copy()
    without[:, last] = 0
    more = np.array([0, 0.3, 2], dtype=np.float32)
    plain = evaluate(weights, np.array([0]), more[:1])
    of_variants = evaluate(without, np.array([last, last, last]), more)
    for g, row in enumerate(weights):
        ndcg = user_values(f"ndcg@{k}", fusion.lists(row[None], k), held_out)[users]
        np.testing.assert_allclose(plain[:, g, 0] / ideal, ndcg, atol=1e-12)
        for p, by in enumerate(more):
            row[last] = by
            ndcg = user_values(f"ndcg@{k}", fusion.lists(row[None], k), held_out)[users]
            np.testing.assert_allclose(of_variants[:, g, p] / ideal, ndcg, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_one_member_and_two_copies_keep_the_order(rule):
    rng = np.random.default_rng(5)
    items = np.argsort(rng.random((6, NUM_ITEMS)), axis=1).astype(np.int32)
    scores = -np.sort(-rng.random((6, NUM_ITEMS)), axis=1).astype(np.float32)
    member = Lists(items, scores)
    for made in ([member], [member, member]):
        fusion = make_fusion(rule, made, np.arange(NUM_ITEMS), k0=60, depth=NUM_ITEMS, head=4)
        weights = np.ones((1, len(made)))
        np.testing.assert_array_equal(fusion.lists(weights, NUM_ITEMS), items)


@pytest.mark.parametrize("rule", RULES)
def test_a_member_of_weight_zero_is_as_good_as_none(rule):
    rng = np.random.default_rng(6)
    made = []
    for length in (5, 9, NUM_ITEMS):
        items = np.argsort(rng.random((20, NUM_ITEMS)), axis=1)[:, :length].astype(np.int32)
        scores = -np.sort(-rng.random(items.shape), axis=1).astype(np.float32)
        made.append(Lists(items, scores))
    settings = {"k0": 60, "depth": NUM_ITEMS, "head": 4}
    with_it = make_fusion(rule, made, np.arange(NUM_ITEMS), **settings)
    without = make_fusion(rule, made[:2], np.arange(NUM_ITEMS), **settings)
    np.testing.assert_array_equal(
        with_it.lists(np.array([[1, 0.5, 0]]), 10), without.lists(np.array([[1, 0.5]]), 10)
    )


def test_reciprocal_ranks_of_a_large_k0_rank_as_borda_does():
    rng = np.random.default_rng(7)
    made = [
        Lists(
            np.argsort(rng.random((30, NUM_ITEMS)), axis=1).astype(np.int32),
            np.zeros((30, NUM_ITEMS), np.float32),
        )
        for _ in range(3)
    ]
    weights = np.array([[1, 0.6, 0.3]])
    order = np.arange(NUM_ITEMS)
    borda, rrf = (
        make_fusion(rule, made, order, k0=3000, depth=NUM_ITEMS, head=4).lists(weights, 12)
        for rule in ("borda", "reciprocal_rank")
    )
    assert (borda == rrf).mean() > 0.95


def test_ties_go_to_the_one_that_is_first_in_tie_order():
    made = [
        Lists(np.int32([[0, 1]]), np.float32([[1, 1]])),
        Lists(np.int32([[1, 0]]), np.float32([[1, 1]])),
    ]
    for order in ([0, 1, 2], [2, 1, 0]):
        fusion = make_fusion("rank", made, np.array(order), k0=0, depth=2, head=2)
        first = [item for item in order if item < 2]
        assert fusion.lists(np.ones((1, 2)), 3).tolist() == [[*first, -1]]


@pytest.mark.parametrize("sizes", [(7, 3), (6, 4), (1, 9), (10, 0), (5, 3, 2)])
def test_a_quota_is_kept_for_each_user(sizes):
    """Members of disjoint lists have as many of ten places as their size says, evenly spread."""
    of_user = np.array([sizes, sizes[::-1]])
    lists = np.arange(len(sizes) * 2 * 12, dtype=np.int32).reshape(len(sizes), 2, 12)
    made = quota(lists, of_user, 10, num_items=lists.size)
    for user, row in enumerate(made):
        givers = row // 24
        assert np.bincount(givers, minlength=len(sizes)).tolist() == of_user[user].tolist()
        for member, size in enumerate(of_user[user]):
            assert row[givers == member].tolist() == lists[member, user, :size].tolist()
            shares = (givers == member).cumsum() - size * np.arange(1, 11) / 10
            assert np.abs(shares).max() <= 1


def test_what_all_share_comes_first_only_if_asked_for():
    lists = np.int32([[[0, 1, 2, 3]], [[4, 5, 3, 6]]])
    sizes = np.array([[3, 1]])
    assert quota(lists, sizes, 4, num_items=7).tolist() == [[0, 1, 4, 2]]
    assert quota(lists, sizes, 4, num_items=7, head=4).tolist() == [[3, 0, 1, 4]]
    assert quota(lists, sizes, 4, num_items=7, head=2).tolist() == [[0, 1, 4, 2]]
