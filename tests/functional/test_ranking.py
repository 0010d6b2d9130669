"""Lists and metrics against plain loops, the two selections against each other."""

import math
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from recsys_lightning.functional import ranking
from recsys_lightning.metrics.names import HIT_METRICS

INF = float("inf")
SELECTIONS = [ranking._select_on_cpu, ranking._select_on_any_device]
SCORES = [-INF, -3e38, -1.5, -1e-45, -0.0, 0.0, 1e-45, 0.5, 1.5, INF]  # few: ties are the rule


def ragged(rows):
    """Lists of items as (items, offsets)."""
    items = torch.tensor([item for row in rows for item in row], dtype=torch.int32)
    return items, torch.tensor([0, *np.cumsum([len(row) for row in rows])], dtype=torch.int64)


def slow_list(scores, seen, k, tie_order, popularity):
    """One user's list, by sorting tuples."""
    unseen = [item for item in range(len(scores)) if item not in seen]
    values = scores if seen else [-INF] * len(scores)
    liked = [item for item in unseen if values[item] > -INF]
    liked.sort(key=lambda item: (-values[item], tie_order[item]))
    others = [item for item in unseen if values[item] == -INF]
    others.sort(key=lambda item: (-popularity[item], tie_order[item]))
    items = (liked + others)[:k]
    items += [-1] * (k - len(items))
    values = scores if seen else popularity
    return items, [float(values[item]) if item >= 0 else -INF for item in items]


@st.composite
def problems(draw):
    num_users, num_items = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    row = st.lists(st.sampled_from(SCORES), min_size=num_items, max_size=num_items)
    scores = draw(st.lists(row, min_size=num_users, max_size=num_users))
    history = st.lists(st.integers(0, num_items - 1), unique=True)
    seen = draw(st.lists(history, min_size=num_users, max_size=num_users))
    tie_order = draw(st.permutations(range(num_items)))
    popularity = draw(st.lists(st.integers(0, 3), min_size=num_items, max_size=num_items))
    return scores, seen, draw(st.integers(1, 15)), tie_order, popularity


@pytest.mark.parametrize("select", SELECTIONS)
@settings(deadline=None, max_examples=200)
@given(problem=problems())
def test_lists_equal_those_of_a_sort(select, problem):
    scores, seen, k, tie_order, popularity = problem
    given_scores = torch.tensor(scores)
    untouched = given_scores.clone()
    with mock.patch.object(ranking, "_select_on_cpu", select):
        items, values = ranking.rank_items(
            given_scores, *ragged(seen), k, torch.tensor(tie_order), torch.tensor(popularity)
        )
    rows = given_scores.tolist()  # as float32
    expected = [
        slow_list(row, s, k, tie_order, popularity) for row, s in zip(rows, seen, strict=True)
    ]
    assert items.tolist() == [row for row, _ in expected]
    assert values.tolist() == [row for _, row in expected]
    assert items.dtype == torch.int64
    assert values.dtype == torch.float32
    assert torch.equal(given_scores, untouched)


def large_problem(num_users=64, num_items=1500):
    """Scores with and without ties, histories of very different lengths, some empty."""
    generator = torch.Generator().manual_seed(7)
    scores = torch.randn(num_users, num_items, generator=generator)
    scores[::2] = (scores[::2] * 2).round()
    scores[::5, : num_items - 30] = -INF
    lengths = torch.randint(1, num_items, (num_users,), generator=generator)
    lengths[::7] = 0
    order = torch.rand(num_users, num_items, generator=generator).argsort(1)
    seen = [row[:length].tolist() for row, length in zip(order, lengths.tolist(), strict=True)]
    tie_order = torch.randperm(num_items, generator=generator)
    popularity = torch.randint(0, 50, (num_items,), generator=generator)
    return scores, seen, tie_order, popularity


@pytest.mark.parametrize("select", SELECTIONS)
@pytest.mark.parametrize("k", [1, 100])
def test_many_items(select, k):
    scores, seen, tie_order, popularity = large_problem()
    with mock.patch.object(ranking, "_select_on_cpu", select):
        items, _ = ranking.rank_items(scores, *ragged(seen), k, tie_order, popularity)
    ties, counts = tie_order.tolist(), popularity.tolist()
    users = zip(scores.tolist(), seen, strict=True)
    expected = [slow_list(row, history, k, ties, counts)[0] for row, history in users]
    assert items.tolist() == expected


@pytest.mark.parametrize("batch_size", [1, 7])
def test_batches_do_not_matter(batch_size):
    scores, seen, tie_order, popularity = large_problem()
    together = ranking.rank_items(scores, *ragged(seen), 20, tie_order, popularity)
    apart = [
        ranking.rank_items(
            scores[start : start + batch_size],
            *ragged(seen[start : start + batch_size]),
            20,
            tie_order,
            popularity,
        )
        for start in range(0, len(seen), batch_size)
    ]
    for whole, parts in zip(together, zip(*apart, strict=True), strict=True):
        assert torch.equal(whole, torch.cat(parts))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_gives_the_lists_of_the_cpu():
    scores, seen, tie_order, popularity = large_problem()
    items, offsets = ragged(seen)
    here = ranking.rank_items(scores, items, offsets, 100, tie_order, popularity)
    tensors = [x.cuda() for x in (scores, items, offsets, tie_order, popularity)]
    there = ranking.rank_items(*tensors[:3], 100, *tensors[3:])
    assert all(torch.equal(a, b.cpu()) for a, b in zip(here, there, strict=True))


def test_a_constant_score_gives_the_tie_order_not_the_item_order():
    tie_order = torch.tensor([4, 2, 0, 3, 1])
    items, _ = ranking.rank_items(
        torch.zeros(1, 5), *ragged([[4]]), 4, tie_order, torch.tensor([0, 1, 2, 3, 9])
    )
    assert items.tolist() == [[2, 1, 3, 0]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_scores_of_any_float_type_are_compared_as_float32(dtype):
    scores = torch.tensor([[1.0, 1.0 + 1e-12, 2.0]], dtype=dtype)  # the first two are a tie
    items, values = ranking.rank_items(
        scores.requires_grad_(), *ragged([[2]]), 2, torch.arange(3), torch.zeros(3)
    )
    assert items.tolist() == [[0, 1]]
    assert values.tolist() == [[1.0, 1.0]]
    assert not values.requires_grad


def test_nan_says_that_the_model_diverged():
    scores, more = torch.tensor([[0.0, 1.0, float("nan")]] * 3), (torch.arange(3), torch.ones(3))
    with pytest.raises(FloatingPointError, match=r"2 of 3 users.* diverged.* learning rate"):
        ranking.rank_items(scores, *ragged([[0], [], [2]]), 2, *more)
    items, _ = ranking.rank_items(scores, *ragged([[], [], []]), 2, *more)  # scores unread
    assert items.tolist() == [[0, 1]] * 3


def test_wrong_sizes_are_refused():
    tie_order, popularity = torch.arange(3), torch.ones(3)
    with pytest.raises(ValueError, match="k=0"):
        ranking.rank_items(torch.zeros(1, 3), *ragged([[]]), 0, tie_order, popularity)
    with pytest.raises(ValueError, match="4 popularities"):
        ranking.rank_items(torch.zeros(1, 3), *ragged([[]]), 1, tie_order, torch.ones(4))
    with pytest.raises(ValueError, match="2 users"):
        ranking.rank_items(torch.zeros(1, 3), *ragged([[], []]), 1, tie_order, popularity)


def test_no_users_no_lists():
    items, values = ranking.rank_items(
        torch.zeros(0, 3), *ragged([]), 2, torch.arange(3), torch.ones(3)
    )
    assert items.shape == values.shape == (0, 2)


@settings(deadline=None)
@given(problem=problems(), seed=st.integers(0, 99))
def test_hits_equal_set_membership(problem, seed):
    scores, targets, k, *_ = problem
    num_items = len(scores[0])
    generator = torch.Generator().manual_seed(seed)
    lists = torch.randint(-1, num_items, (len(scores), k), generator=generator)
    found = ranking.hits(lists, *ragged(targets), num_items)
    users = zip(lists.tolist(), targets, strict=True)
    expected = [[item in target for item in row] for row, target in users]
    assert found.tolist() == expected
    assert found.dtype == torch.bool


def slow_metrics(hits, relevant, k):
    """Every metric of one user, by plain loops."""
    top = [bool(hit) for hit in hits[:k]]
    found = sum(top)
    gain = sum(1 / math.log2(place + 2) for place, hit in enumerate(top) if hit)
    best = sum(1 / math.log2(place + 2) for place in range(min(k, relevant)))
    at_hits = [sum(top[: place + 1]) / (place + 1) for place, hit in enumerate(top) if hit]
    return {
        "recall": found / relevant,
        "recall_capped": found / min(k, relevant),
        "ndcg": gain / best,
        "hit_rate": float(found > 0),
        "precision": found / k,
        "average_precision": sum(at_hits) / min(k, relevant),
        "reciprocal_rank": 1 / (top.index(True) + 1) if found else 0.0,
    }


METRICS = list(HIT_METRICS.values())


@st.composite
def rankings(draw):
    length = draw(st.integers(1, 12))
    row = st.lists(st.booleans(), min_size=length, max_size=length)
    hits = draw(st.lists(row, min_size=1, max_size=5))
    relevant = [max(1, sum(row)) + draw(st.integers(0, 9)) for row in hits]
    return hits, relevant, draw(st.integers(1, length))


@pytest.mark.parametrize("name", METRICS)
@settings(deadline=None)
@given(case=rankings())
def test_metrics_equal_plain_loops(name, case):
    hits, relevant, k = case
    expected = [slow_metrics(row, n, k)[name] for row, n in zip(hits, relevant, strict=True)]
    metric = getattr(ranking, name)
    values = metric(torch.tensor(hits), torch.tensor(relevant), k)
    assert values.dtype == torch.float64
    assert values.tolist() == pytest.approx(expected, abs=1e-14)
    assert values.min() >= 0
    assert values.max() <= 1 + 1e-14
    cut = metric(torch.tensor(hits)[:, :k].float(), torch.tensor(relevant), k)
    assert torch.equal(values, cut)  # only the first k places count, bool or float


@pytest.mark.parametrize("relevant", [1, 3, 10])
def test_a_perfect_list_scores_one(relevant):
    hits = (torch.arange(5) < relevant)[None]
    for name in ("ndcg", "recall_capped", "average_precision", "reciprocal_rank", "hit_rate"):
        assert getattr(ranking, name)(hits, torch.tensor([relevant]), 5).item() == 1.0


@pytest.mark.parametrize("place", [1, 2, 5])
def test_a_single_hit(place):
    hits, relevant = (torch.arange(1, 6) == place)[None], torch.tensor([3])
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert ranking.ndcg(hits, relevant, 5).item() == pytest.approx(1 / math.log2(place + 1) / ideal)
    assert ranking.reciprocal_rank(hits, relevant, 5).item() == pytest.approx(1 / place)
    assert ranking.average_precision(hits, relevant, 5).item() == pytest.approx(1 / place / 3)


@pytest.mark.parametrize("k", [1, 5, 10])
def test_ndcg_equals_sklearn(k):
    random = np.random.default_rng(3)
    truth = random.random((40, 30)) < 0.2
    truth[:, 0] = True
    scores = random.random((40, 30))
    hits = np.take_along_axis(truth, (-scores).argsort(1), 1)
    values = ranking.ndcg(torch.from_numpy(hits), torch.from_numpy(truth.sum(1)), k)
    assert values.mean().item() == pytest.approx(ndcg_score(truth, scores, k=k), abs=1e-12)


def test_a_list_shorter_than_the_cut_off_is_refused():
    with pytest.raises(ValueError, match="lists of 3 items cannot be measured at k=4"):
        ranking.recall(torch.ones(1, 3), torch.tensor([3]), 4)


def test_recall_of_random_scores_is_k_over_items():
    num_users, num_items, k = 4000, 50, 10  # and item 50, which everyone has seen
    generator = torch.Generator().manual_seed(11)
    scores = torch.rand(num_users, num_items + 1, generator=generator)
    held_out = torch.rand(num_users, num_items, generator=generator).topk(5).indices
    items, _ = ranking.rank_items(
        scores, *ragged([[50]] * num_users), k, torch.arange(51), torch.zeros(51)
    )
    found = ranking.hits(items, held_out.flatten(), torch.arange(num_users + 1) * 5, num_items + 1)
    values = ranking.recall(found, torch.full((num_users,), 5), k)
    standard_error = values.std() / num_users**0.5
    assert abs(values.mean() - k / num_items) < 4 * standard_error


def test_novelty_equals_plain_loops():
    lists = torch.tensor([[0, 2, 3], [3, -1, -1], [1, 0, -1]])
    counts = [7, 0, 2, 1]
    shares = [(count + 1) / (9 + 1) for count in counts]
    expected = [
        np.mean([-math.log2(shares[item]) for item in row[:2] if item >= 0])
        for row in lists.tolist()
    ]
    values = ranking.novelty(lists, torch.tensor(counts), 9, 2)
    assert values.tolist() == pytest.approx(expected, abs=1e-14)
    assert ranking.novelty(torch.tensor([[-1]]), torch.tensor(counts), 9, 1).isnan().all()
