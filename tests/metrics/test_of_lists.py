"""Metrics a user beside those of the runs."""

import numpy as np
import pytest

from recsys_lightning.data.holdout import RandomHoldout
from recsys_lightning.errors import InputError
from recsys_lightning.metrics.names import HIT_METRICS
from recsys_lightning.metrics.of_lists import user_values
from tests.conftest import make_interactions


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
