"""What a setting is worth on MovieLens-1M: chosen on validation, compared on test."""

import sys

import numpy as np
import torch

from recsys_lightning.assembly import load
from recsys_lightning.data.datamodule import RecommendationData
from recsys_lightning.data.holdout import HybridHoldout, LastHoldout
from recsys_lightning.data.interactions import tie_order
from recsys_lightning.data.views.rows import RowView
from recsys_lightning.functional.bootstrap import paired_bootstrap
from recsys_lightning.functional.ranking import rank_items
from recsys_lightning.metrics.of_lists import user_values

K = 10
METRICS = (f"recall@{K}", f"ndcg@{K}")
HOLDOUTS = {  # with the options of EASE and TALE
    "last": (LastHoldout(1, 1), {"recency": 64.0}, {}),
    "hybrid": (HybridHoldout(), {"recency": 4.0}, {"tau_inference": 300.0, "floor": 0.2}),
}


def studies():
    """Name, data, and options of EASE and TALE, of the holdouts on the command line, or of all."""
    files = ["data=files", f"data.path={sys.argv[1]}", "data.min_item_interactions=5"]
    interactions = load(files)
    print("holdout,model,options,stage,recall,ndcg,recall - base,low,high,ndcg - base,low,high")
    for holdout in sys.argv[2:] or HOLDOUTS:
        split, of_ease, of_tale = HOLDOUTS[holdout]
        view = RowView(4096, shuffle=False)
        yield holdout, RecommendationData(split.split(interactions), view), of_ease, of_tale


def last_times(known):
    """(U,) of each user's last known interaction; every user has one in this data."""
    return known.times[known.indptr[1:] - 1]


def lists(data, stage, score):
    """(U, K) item positions; `score` takes a query and (B,) its users' last known times."""
    ties, popularity = (
        torch.from_numpy(array)
        for array in (tie_order(data.train.num_items), data.train.popularity)
    )
    last = last_times(data.split.question(stage).known)
    found = np.full((data.train.num_users, K), -1)
    for query in data.val_dataloader() if stage == "valid" else data.test_dataloader():
        users = query.users.numpy()
        scores = score(query, last[users])
        ranked, _ = rank_items(scores, *query.history, K, ties, popularity)
        found[users] = ranked.numpy()
    return found


class Choice:
    """Settings of one kind, chosen on validation; only the best is measured on test."""

    def __init__(self, data, *names):
        self.data, self.names, self.best = data, names, -1.0

    def add(self, options, score):
        value = np.nanmean(self.values("valid", options, score)[0])
        if value > self.best:
            self.best, self.options, self.score = value, options, score

    def test(self, base=None):
        return self.values("test", self.options, self.score, base)

    def values(self, stage, options, score, base=None):
        """By metric a value of every user; prints the means, and their differences from a base."""
        found = lists(self.data, stage, score)
        asked = self.data.split.question(stage).asked
        values = [user_values(metric, found, asked) for metric in METRICS]
        numbers = [f"{np.nanmean(value):.4f}" for value in values]
        if base:
            for value, other in zip(values, base, strict=True):
                numbers += [f"{x:+.4f}" for x in paired_bootstrap(value, other)[:3]]
        print(",".join([*self.names, options, stage, *numbers]), flush=True)
        return values
