"""Ranking metrics at a cut-off k as `torchmetrics.Metric`s; the maths is in functional/ranking.py.

    >>> import torch
    >>> from recsys_lightning.functional.ranking import hits
    >>> lists = torch.tensor([[2, 0, 1], [1, 3, 2]])  # two users' recommendations, best first
    >>> held_out, offsets = torch.tensor([0, 4, 1]), torch.tensor([0, 2, 3])  # {0, 4} and {1}
    >>> found = hits(lists, held_out, offsets, num_items=5)

One metric alone:

    >>> recall = HitMetric("recall", k=2)
    >>> recall.update(found, relevant=offsets.diff())
    >>> recall.compute(), recall.standard_error()  # the mean of 1/2 and 1, with its standard error
    (tensor(0.7500, dtype=torch.float64), tensor(0.2500, dtype=torch.float64))

All of them, each taking the arguments it needs:

    >>> metrics = ranking_metrics([2, 3], num_items=5)
    >>> popularity = torch.tensor([3, 1, 1, 2, 0])
    >>> training = {"popularity": popularity, "num_users": 5}
    >>> metrics.update(lists=lists, hits=found, relevant=offsets.diff(), **training)
    >>> values = metrics.compute()
    >>> {name: round(values[name].item(), 3) for name in ("recall@2", "ndcg@3", "coverage@2")}
    {'recall@2': 0.75, 'ndcg@3': 0.693, 'coverage@2': 0.8}

Sums are float64, so that no value depends on the batch size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from recsys_lightning.functional import ranking
from recsys_lightning.metrics.names import METRICS, MetricName, check_cutoffs, function_of


class UserMean(Metric):
    """The mean over users of a value at cut-off k, with its standard error; nan without users."""

    full_state_update = False
    higher_is_better = True
    is_differentiable = False

    total: Tensor
    squares: Tensor
    users: Tensor

    def __init__(self, k: int) -> None:
        super().__init__()
        check_cutoffs([k])
        self.k = k
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("squares", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("users", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def add(self, values: Tensor) -> None:
        """Count in the values (n,) of n more users."""
        # Not in place: a state reset in inference mode may not be written to outside of it, and one
        # that a half-precision Trainer has cast becomes float64 again.
        self.total = self.total + values.sum()
        self.squares = self.squares + values.square().sum()
        self.users = self.users + len(values)

    def compute(self) -> Tensor:
        """() float64."""
        return self.total / self.users

    def standard_error(self) -> Tensor:
        """() float64 `std / sqrt(users)`, the std over users - 1; nan below two users."""
        with self.sync_context():
            deviations = (self.squares - self.total.square() / self.users).clamp(min=0)
            error = (deviations / (self.users - 1) / self.users).sqrt()
            return torch.where(self.users > 1, error, torch.nan)


class HitMetric(UserMean):
    """A mean over the users for whom something was held out; the others are left out.

    Args:
        name: one of `metrics.names.HIT_METRICS`.
        k: cut-off.
    """

    def __init__(self, name: str, k: int) -> None:
        super().__init__(k)
        self.value = function_of(name)

    def update(self, hits: Tensor, relevant: Tensor) -> None:
        """Count in a batch.

        Args:
            hits: (B, K) true where the item at that rank was held out, K at least k.
            relevant: (B,) int64 held-out items of a user.
        """
        held_out = relevant > 0
        self.add(self.value(hits[held_out], relevant[held_out], self.k))


class Novelty(UserMean):
    """`functional.ranking.novelty`, over all lists that are not empty."""

    def update(self, lists: Tensor, popularity: Tensor, num_users: int) -> None:
        """Count in a batch.

        Args:
            lists: (B, K) int64 items, -1 where padded.
            popularity: (I,) users an item in training.
            num_users: U.
        """
        self.add(ranking.novelty(lists[lists[:, 0] >= 0], popularity, num_users, self.k))


class Coverage(Metric):
    """Share of the items that stand in any list at all; its state is one bool an item, not a sum.

    >>> coverage = Coverage(k=2, num_items=5)
    >>> coverage.update(torch.tensor([[2, 0, 1], [3, 2, 4]]))
    >>> coverage.compute()
    tensor(0.6000, dtype=torch.float64)
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False

    recommended: Tensor

    def __init__(self, k: int, num_items: int) -> None:
        super().__init__()
        check_cutoffs([k])
        self.k = k
        nothing = torch.zeros(num_items, dtype=torch.bool)
        self.add_state("recommended", nothing, dist_reduce_fx="max")  # the union of all processes

    def update(self, lists: Tensor) -> None:
        """Count in a batch of lists (B, K) int64, -1 where padded."""
        items = lists[:, : self.k]
        self.recommended = self.recommended.index_fill(0, items[items >= 0], True)

    def compute(self) -> Tensor:
        """() float64."""
        return self.recommended.double().mean()


def ranking_metrics(cutoffs: Sequence[int], num_items: int) -> MetricCollection:
    """Every metric at every cut-off, named like `recall@10`.

    Args:
        cutoffs: values of k, as in the config key `metrics.k`.
        num_items: I.

    Raises:
        InputError: not a list of different integers from 1 to `num_items`.

    >>> list(ranking_metrics([10], num_items=50))[:3]
    ['coverage@10', 'hit_rate@10', 'map@10']
    """
    check_cutoffs(cutoffs, num_items)
    metrics: dict[str, Metric | MetricCollection] = {}
    for name in METRICS:
        for k in cutoffs:
            if name == "coverage":
                metric: Metric = Coverage(k, num_items)
            else:
                metric = Novelty(k) if name == "novelty" else HitMetric(name, k)
            metrics[str(MetricName(name, k))] = metric
    # Metrics that agree on the first batch would be taken for one and the same.
    return MetricCollection(metrics, compute_groups=False)
