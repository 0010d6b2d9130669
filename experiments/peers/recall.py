"""recall@10 of whoever scores by a product, and the curve of a fit."""

import time

import numpy as np

BLOCK = 1024  # users


def recall_at_10(users, items, rows):
    """Mean over the users with held-out items of hits / held out; what a user has is left out.

    Args:
        users: (U, D).
        items: (I, D); a bias is a column, of which the users' is 1.
        rows: `indptr`, `indices` of training, `target_indptr`, `target` of what is held out.
    """
    values = []
    for first in range(0, len(users), BLOCK):
        last = min(first + BLOCK, len(users))
        scores = users[first:last] @ items.T
        scores[entries(rows["indptr"], rows["indices"], first, last)] = -np.inf
        relevant = np.zeros(scores.shape, bool)
        relevant[entries(rows["target_indptr"], rows["target"], first, last)] = True
        best = np.argpartition(scores, -10, axis=1)[:, -10:]
        held_out = relevant.sum(1)
        hits = np.take_along_axis(relevant, best, 1).sum(1)
        values.append(hits[held_out > 0] / held_out[held_out > 0])
    return float(np.concatenate(values).mean())


def entries(indptr, indices, first, last):
    """Row and column positions of the rows from first to last."""
    lengths = np.diff(indptr[first : last + 1])
    return np.repeat(np.arange(last - first), lengths), indices[indptr[first] : indptr[last]]


class Curve:
    """Seconds of training and recall@10 after every epoch; measuring takes none of them.

    Attributes:
        seconds: of each epoch.
        recall: after it.
    """

    def __init__(self, rows, patience):
        self.rows, self.patience = rows, patience
        self.seconds, self.recall = [], []
        self.began = time.perf_counter()

    def add(self, users, items):
        """After an epoch; the next begins when this returns.

        Raises:
            Enough: `patience` epochs have brought nothing better.
        """
        self.seconds.append(time.perf_counter() - self.began)
        self.recall.append(recall_at_10(users, items, self.rows))
        if len(self.recall) - 1 - int(np.argmax(self.recall)) >= self.patience:
            raise Enough
        self.began = time.perf_counter()


class Enough(Exception):
    """The fit may end."""


def cells(curve, *levels):
    """Of a table: best recall, its epoch, seconds an epoch, and of training until each level."""
    seconds, recall = curve["seconds"], np.array(curve["recall"])
    total = np.cumsum(seconds)
    reached = [f"{total[recall >= at][0]:.1f}" if at <= recall.max() else "never" for at in levels]
    best = recall.argmax()
    return [f"{recall[best]:.4f}", str(1 + best), f"{np.median(seconds):.2f}", *reached]
