"""The metrics as modules: the means of the pure functions, however users come in."""

import pytest
import torch

from recsys_lightning.errors import InputError
from recsys_lightning.functional import ranking
from recsys_lightning.metrics.names import HIT_METRICS
from recsys_lightning.metrics.ranking import Coverage, HitMetric, Novelty, ranking_metrics

USERS, ITEMS, K = 100, 40, 20
FUNCTIONS = {
    "recall": ranking.recall,
    "recall_capped": ranking.recall_capped,
    "ndcg": ranking.ndcg,
    "hit_rate": ranking.hit_rate,
    "precision": ranking.precision,
    "map": ranking.average_precision,
    "mrr": ranking.reciprocal_rank,
}


@pytest.fixture
def evaluation():
    """Lists of 20, some padded, hits and held-out counts, a tenth of the users without any."""
    generator = torch.Generator().manual_seed(5)
    lists = torch.rand(USERS, ITEMS, generator=generator).argsort(1)[:, :K]
    lists[::8, 15:] = -1
    lists[1] = -1
    lengths = torch.randint(1, 13, (USERS,), generator=generator)
    lengths[::10] = 0
    targets = torch.rand(USERS, ITEMS, generator=generator).argsort(1)
    items = targets[torch.arange(ITEMS) < lengths[:, None]]
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    return {
        "lists": lists,
        "hits": ranking.hits(lists, items, offsets, ITEMS),
        "relevant": lengths,
        "popularity": torch.randint(0, 30, (ITEMS,), generator=generator),
        "num_users": 30,
    }


def fill(metrics, evaluation, users=slice(None)):
    """Update with some of the users."""
    training = {name: evaluation[name] for name in ("popularity", "num_users")}
    batch = {name: x[users] for name, x in evaluation.items() if name not in training}
    metrics.update(**batch, **training)
    return metrics


@pytest.mark.parametrize("k", [5, 20])
def test_values_are_the_means_over_users_with_held_out_items(evaluation, k):
    values = fill(ranking_metrics([5, 20], ITEMS), evaluation).compute()
    hits, relevant, lists = (evaluation[name] for name in ("hits", "relevant", "lists"))
    held_out = relevant > 0
    for name, function in FUNCTIONS.items():
        expected = function(hits[held_out], relevant[held_out], k).mean().item()
        assert values[f"{name}@{k}"].item() == pytest.approx(expected, abs=1e-12)
    recommended = set(lists[:, :k].flatten().tolist()) - {-1}
    assert values[f"coverage@{k}"].item() == len(recommended) / ITEMS
    novelty = (
        ranking.novelty(lists, evaluation["popularity"], evaluation["num_users"], k)
        .nanmean()
        .item()
    )
    assert values[f"novelty@{k}"].item() == pytest.approx(novelty, abs=1e-12)
    assert len(values) == 2 * (len(HIT_METRICS) + 2)


@pytest.mark.parametrize("batch_size", [1, 7])
def test_batches_do_not_matter(evaluation, batch_size):
    whole = fill(ranking_metrics([5, 20], ITEMS), evaluation)
    parts = ranking_metrics([5, 20], ITEMS)
    for start in range(0, USERS, batch_size):
        fill(parts, evaluation, slice(start, start + batch_size))
    assert_equal(whole, parts)


def assert_equal(whole, parts):
    """The same values and standard errors to 1e-12."""
    expected, values = whole.compute(), parts.compute()
    for name, metric in whole.items():
        assert values[name].dtype == torch.float64
        assert values[name].item() == pytest.approx(expected[name].item(), abs=1e-12)
        if not isinstance(metric, Coverage):
            error = metric.standard_error().item()
            assert parts[name].standard_error().item() == pytest.approx(error, abs=1e-12)


def test_states_of_two_processes_merge(evaluation):
    whole = fill(ranking_metrics([5, 20], ITEMS), evaluation)
    left = fill(ranking_metrics([5, 20], ITEMS), evaluation, slice(0, 33))
    right = fill(ranking_metrics([5, 20], ITEMS), evaluation, slice(33, None))
    for name, metric in left.items():
        metric.merge_state(right[name])
    assert_equal(whole, left)


def test_gathered_states_reduce(evaluation):
    whole = fill(ranking_metrics([5], ITEMS), evaluation)
    left = fill(ranking_metrics([5], ITEMS), evaluation, slice(0, 33))
    right = fill(ranking_metrics([5], ITEMS), evaluation, slice(33, None))
    for name, metric in left.items():
        others = iter([getattr(right[name], state) for state in metric.metric_state])
        metric.sync(
            dist_sync_fn=lambda state, group, others=others: [state, next(others)],
            distributed_available=lambda: True,
        )
        for state, value in whole[name].metric_state.items():
            assert getattr(metric, state).tolist() == pytest.approx(value.tolist(), abs=1e-12)
        metric.unsync()


def test_reset_in_inference_mode_then_used_outside(evaluation):
    metrics = ranking_metrics([5], ITEMS)
    with torch.inference_mode():
        before = fill(metrics, evaluation).compute()
        metrics.reset()
    assert fill(metrics, evaluation).compute() == before


def test_sums_stay_float64_in_a_half_precision_module(evaluation):
    whole = fill(ranking_metrics([5], ITEMS), evaluation)
    half = ranking_metrics([5], ITEMS).to(torch.bfloat16)
    for start in range(0, USERS, 30):
        fill(half, evaluation, slice(start, start + 30))
    assert_equal(whole, half)


def test_standard_error():
    recall, hits = HitMetric("recall", k=2), torch.tensor([[1, 0], [1, 1], [0, 0], [1, 0], [1, 1]])
    recall.update(hits, torch.tensor([2, 2, 1, 1, 0]))  # the last user is left out
    values = torch.tensor([0.5, 1.0, 0.0, 1.0])
    assert recall.compute() == values.mean()
    assert recall.standard_error().item() == pytest.approx(values.std().item() / 2)


def test_equal_values_have_no_standard_error():
    """Though their sums round to a variance below zero."""
    recall = HitMetric("recall", k=1)
    recall.update(torch.ones(3, 1), torch.full((3,), 10))
    assert recall.squares < recall.total.square() / 3
    assert recall.standard_error() == 0


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_users_no_value():
    ndcg = HitMetric("ndcg", k=1)
    assert ndcg.compute().isnan()
    assert ndcg.standard_error().isnan()
    ndcg.update(torch.tensor([[1]]), torch.tensor([1]))
    assert ndcg.compute() == 1
    assert ndcg.standard_error().isnan()  # one user has no spread


def test_empty_lists_have_no_novelty():
    novelty = Novelty(k=2)
    novelty.update(torch.tensor([[0, -1], [-1, -1]]), torch.tensor([0, 0]), num_users=1)
    assert novelty.compute() == 1


@pytest.mark.parametrize(
    ("cutoffs", "message"),
    [
        ([0], "metrics.k=0: expected a whole number"),
        ([-3], "metrics.k=-3"),
        ([2.5], "metrics.k=2.5"),
        ([True], "metrics.k=True"),
        (["10"], "metrics.k=10: expected a whole number"),
        ([10, 10], r"metrics.k=\[10, 10\]: expected different numbers"),
        ([], r"metrics.k=\[\]: expected a list"),
        (10, "metrics.k=10: expected a list"),
        ([10, 41], r"metrics.k=\[10, 41\]: 41 is more than the 40 items"),
    ],
)
def test_bad_cutoffs_name_the_key(cutoffs, message):
    with pytest.raises(InputError, match=message):
        ranking_metrics(cutoffs, ITEMS)


def test_a_list_may_hold_every_item():
    assert "recall@40" in ranking_metrics([ITEMS], ITEMS)
