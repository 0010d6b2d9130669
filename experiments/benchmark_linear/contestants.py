"""One contestant in a process of its own: `python -m ... NAME data.npz`; prints JSON.

Each fits EASE with l2 500 on the same training rows, then ranks the 100 best unseen items for all
users in the way its library offers. Seconds are of `fit` and `recommend` alone (no import, no
reading of the file); the memory is the process's peak as the operating system counts it.
"""

import json
import resource
import sys
import time
from types import SimpleNamespace

import numpy as np

L2, K = 500.0, 100


def ours(data):
    """The model and the kernels of this project, without the Trainer."""
    import torch

    from recsys_lightning.data.batches import Bag, Query, Rows
    from recsys_lightning.functional.ranking import hits
    from recsys_lightning.metrics.ranking import ranking_metrics
    from recsys_lightning.models.ease import EASE

    indptr, indices = torch.from_numpy(data["indptr"]), torch.from_numpy(data["indices"])
    num_users, num_items = data["shape"].tolist()

    def rows(first, last, pointers, items):
        start, end = pointers[first], pointers[last]
        return Bag(items[start:end], pointers[first : last + 1] - start)

    def fit():
        model = EASE(num_users=num_users, num_items=num_items, l2=L2)
        model.prepare(SimpleNamespace(indptr=data["indptr"], indices=data["indices"]))
        model.begin()
        for first in range(0, num_users, 8192):
            last = min(first + 8192, num_users)
            users = torch.arange(first, last)
            model.accumulate(Rows(users, rows(first, last, indptr, indices)))
        gram_done = time.perf_counter()
        model.solve()
        model.popularity = torch.bincount(indices, minlength=num_items).float()
        model.gram_done = gram_done
        return model

    def recommend(model):
        target_ptr, targets = (
            torch.from_numpy(data["target_indptr"]),
            torch.from_numpy(data["target"]),
        )
        lists, metrics = [], ranking_metrics([10, 20], num_items)
        for first in range(0, num_users, 1024):
            last = min(first + 1024, num_users)
            target = rows(first, last, target_ptr, targets)
            query = Query(torch.arange(first, last), rows(first, last, indptr, indices), target)
            top = model.recommend(query, K).items
            metrics.update(
                lists=top,
                hits=hits(top, target.items, target.offsets, num_items),
                relevant=target.lengths,
                popularity=model.popularity,
                num_users=num_users,
            )
            lists.append(top)
        metrics.compute()
        return torch.cat(lists).numpy()

    fit_small(ours, data)  # compile the kernels
    return fit, recommend


def fit_small(contestant, data, _done=set()):  # noqa: B006
    """Once: the same code on 600 users, so that compilation is no part of the time."""
    if contestant in _done:
        return
    _done.add(contestant)
    end, target_end = data["indptr"][600], data["target_indptr"][600]
    small = {
        "indptr": data["indptr"][:601],
        "indices": data["indices"][:end],
        "target_indptr": data["target_indptr"][:601],
        "target": data["target"][:target_end],
        "shape": np.array([600, data["shape"][1]]),
    }
    fit, recommend = contestant(small)
    recommend(fit())


def matrix(data):
    """(U, I) scipy CSR."""
    from scipy.sparse import csr_matrix

    ones = np.ones(len(data["indices"]), dtype=np.float32)
    return csr_matrix((ones, data["indices"], data["indptr"]), shape=data["shape"])


def irspack(data):
    """DenseSLIMRecommender and its block scores; the top by argpartition, as it has no top-k."""
    from irspack import DenseSLIMRecommender

    def fit():
        model = DenseSLIMRecommender(matrix(data), reg=L2)
        return model.learn()

    def recommend(model):
        lists = []
        for first in range(0, data["shape"][0], 1024):
            last = min(first + 1024, data["shape"][0])
            scores = model.get_score_remove_seen_block(first, last)
            best = np.argpartition(-scores, K, axis=1)[:, :K]
            order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1)
            lists.append(np.take_along_axis(best, order, 1))
        return np.concatenate(lists)

    return fit, recommend


def rectools(data):
    """EASEModel and its recommend."""
    import pandas as pd
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import EASEModel

    num_users = data["shape"][0]
    frame = pd.DataFrame(
        {
            Columns.User: np.repeat(np.arange(num_users), np.diff(data["indptr"])),
            Columns.Item: data["indices"],
            Columns.Weight: 1.0,
            Columns.Datetime: "2020-01-01",
        }
    )
    dataset = Dataset.construct(frame)

    def fit():
        return EASEModel(regularization=L2, recommend_n_threads=2).fit(dataset)

    def recommend(model):
        top = model.recommend(np.arange(num_users), dataset, k=K, filter_viewed=True)
        return top.sort_values([Columns.User, Columns.Rank])[Columns.Item].to_numpy().reshape(-1, K)

    return fit, recommend


def main():
    data = dict(np.load(sys.argv[2]))
    fit, recommend = globals()[sys.argv[1]](data)
    start = time.perf_counter()
    model = fit()
    fitted = time.perf_counter()
    lists = recommend(model)
    done = time.perf_counter()
    targets = np.split(data["target"], data["target_indptr"][1:-1])
    recall = np.mean(
        [
            np.isin(top[:10], held).sum() / len(held)
            for top, held in zip(lists, targets, strict=True)
            if len(held)
        ]
    )
    told = {
        "fit": fitted - start,
        "recommend": done - fitted,
        "recall@10": recall,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if hasattr(model, "gram_done"):
        told |= {"gram": model.gram_done - start, "solve": fitted - model.gram_done}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
