"""Metrics a user beside those of the runs."""

import numpy as np
import pytest

from recsys_lightning.data.holdout import RandomHoldout, UserHoldout
from recsys_lightning.errors import InputError
from recsys_lightning.metrics.names import HIT_METRICS
from recsys_lightning.metrics.of_lists import measure, user_values
from recsys_lightning.models.popularity import Popularity
from recsys_lightning.runs.lists import read_lists
from tests.conftest import make_interactions, run_experiment


@pytest.mark.parametrize("metric", HIT_METRICS)
def test_the_mean_over_users_is_what_a_run_measures(metric):
    import torch

    from recsys_lightning.functional.ranking import hits
    from recsys_lightning.metrics.ranking import ranking_metrics

    split = RandomHoldout(valid_items=3, test_items=0).split(
        make_interactions([[0, 1, 2, 3, 4, 5], [1], [5, 4, 3, 2, 1, 0]], 9)
    )
    items = np.argsort(np.random.default_rng(0).random((3, 9)), axis=1).astype(np.int32)
    values = user_values(f"val/{metric}@5", items, split.valid)
    assert np.isnan(values).tolist() == [False, True, False]  # too short: nothing held out
    lists = torch.from_numpy(items[[0, 2]]).long()
    target, offsets = (torch.from_numpy(part) for part in split.valid.gather(np.array([0, 2])))
    theirs = ranking_metrics([5], 9)[f"{metric}@5"]
    theirs.update(hits=hits(lists, target, offsets, 9), relevant=offsets.diff())
    assert np.nanmean(values) == pytest.approx(float(theirs.compute()), abs=1e-12)


@pytest.mark.parametrize("metric", ["recall@10", "recall@0", "recall", "coverage@1", "hits@1"])
def test_a_metric_that_lists_do_not_have_is_refused(metric):
    x = make_interactions([[0]], 4)
    with pytest.raises(InputError, match=f"{metric}: expected one of recall"):
        user_values(metric, np.zeros((1, 4), np.int32), x)


def test_all_metrics_of_lists_are_those_of_a_run(tastes):
    """With lists that end, one that is empty, and users who have nothing held out."""
    import torch

    from recsys_lightning.functional.ranking import hits
    from recsys_lightning.metrics.ranking import UserMean, ranking_metrics

    split = RandomHoldout(valid_items=3, test_items=0).split(tastes)
    x = split.train
    lists = np.argsort(np.random.default_rng(0).random((x.num_users, x.num_items)), axis=1)[:, :12]
    lists[::7, 5:], lists[3] = -1, -1
    values, errors = measure("val", lists.astype(np.int32), split.valid, split, [5, 10])

    users = np.flatnonzero(split.valid.lengths)
    ranked = torch.from_numpy(lists[users])
    target, offsets = (torch.from_numpy(part) for part in split.valid.gather(users))
    theirs = ranking_metrics([5, 10], x.num_items)
    theirs.update(
        lists=ranked,
        hits=hits(ranked, target, offsets, x.num_items),
        relevant=offsets.diff(),
        popularity=torch.from_numpy(x.popularity),
        num_users=x.num_users,
    )
    means = {f"val/{name}": float(value) for name, value in theirs.compute().items()}
    assert values == pytest.approx(means, abs=1e-12)
    of_users = {name: each for name, each in theirs.items() if isinstance(each, UserMean)}
    expected = {f"val/{name}": float(each.standard_error()) for name, each in of_users.items()}
    assert errors == pytest.approx(expected, rel=1e-9)


def test_a_run_and_its_lists_agree_where_some_have_no_training(tastes, tmp_path):
    """Novelty asks how many of those who are trained on have an item."""
    split = UserHoldout(valid_users=0.4, test_users=0.2).split(tastes)
    run = run_experiment(tmp_path, split, Popularity, refit=False).outcome
    lists = read_lists(tmp_path / "candidates/valid.parquet", tastes.users, tastes.items).items
    values, _ = measure("val", lists, split.valid, split, [5])
    trained = np.count_nonzero(split.train.lengths)
    assert 0 < trained < tastes.num_users
    for name, value in values.items():
        assert run.metrics[name] == pytest.approx(value, abs=1e-6), name
    share = (split.train.popularity + 1) / (trained + 1)
    asked = split.valid.lengths > 0
    expected = -np.log2(share)[lists[asked, :5]].mean()
    assert values["val/novelty@5"] == pytest.approx(expected)


def test_one_user_with_a_short_list_has_values_and_no_standard_errors():
    split = RandomHoldout(valid_items=1, test_items=0).split(make_interactions([[0, 1, 2, 3]], 5))
    lists = np.append(split.valid.indices, [4]).astype(np.int32)[None]
    values, errors = measure("val", lists, split.valid, split, [1, 4])
    assert (values["val/precision@1"], values["val/precision@4"]) == (1, 1 / 4)
    assert values["val/coverage@4"] == 2 / 5
    assert user_values("precision@2", lists, split.valid).tolist() == [1 / 2]
    assert errors == {}
