"""TALE: item-item ridge regression on what came before, weighted by time, in closed form.

Park, Yoon, Choi and Lee, Temporal linear item-item model for sequential recommendation, WSDM 2025
(arXiv 2412.07382, psm1206/TALE). We differ: times count in gaps of the data, where the authors'
code scales them to [0, 1]; an item's popularity is that of all training, where the paper takes it
about the time of the interaction; and weights are the paper's, to which that code adds 1.
"""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from recsys_lightning.data.batches import Bag, Query, Rows
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import check_range
from recsys_lightning.families.closed_form import ClosedForm
from recsys_lightning.functional.dense import blocked_numbers, matmul
from recsys_lightning.functional.ridge import DenseInverse
from recsys_lightning.functional.sparse import bag_matmul
from recsys_lightning.functional.tale import fold_, median_gap, prefix_grams

log = logging.getLogger(__name__)


class TALE(ClosedForm):
    """`s_u = x_u B`, B = argmin ||T - SB||² + l2 ||B||² = (S^T S + l2 I)^-1 S^T T.

    A row of S and T is a prefix of a history, and the one item that follows it:

        S_ri = max(exp(-dt / tau_train), floor) * popularity_i^a, dt from i to that item j
        T_rj = popularity_j^a
        x_ui = exp(-age / tau_inference), age = how many later items the history has

    Args:
        num_users: U.
        num_items: I.
        l2: ridge, > 0.
        tau_train: in gaps, > 0. A gap is the data's own unit: the median time between one
            interaction of a user and the next, without those at the same time.
        tau_inference: items, > 0.
        floor: of the weight by time, in [0, 1]: what an item keeps however old it is.
        popularity_power: a; below 0 popular items count less.
    """

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        l2: float = 1000.0,
        tau_train: float = 10.0,
        tau_inference: float = 7.0,
        floor: float = 0.02,
        popularity_power: float = 0.0,
    ) -> None:
        super().__init__(num_users=num_users, num_items=num_items)
        check_range("model.l2", l2, low=0, open_low=True)
        check_range("model.tau_train", tau_train, low=0, open_low=True)
        check_range("model.tau_inference", tau_inference, low=0, open_low=True)
        check_range("model.floor", floor, low=0, high=1)
        check_range("model.popularity_power", popularity_power)
        self.l2, self.tau_train, self.tau_inference = l2, tau_train, tau_inference
        self.floor, self.popularity_power = floor, popularity_power
        self.register_weight(num_items)

    @override
    def fit_bytes(self, device: str) -> int:
        squares = 3 if device == "cpu" else 6  # both Gram matrices and B; Cholesky's copies
        return 8 * (squares * self.num_items**2 + blocked_numbers(self.num_items))

    def prepare(self, interactions: Interactions) -> None:
        """Keep the times, which a batch does not hold; positions where the data has none."""
        super().prepare(interactions)
        times = interactions.times
        if times is None:
            log.warning("the data has no times: the positions in the file's order stand for them")
            times = np.arange(interactions.num_interactions)
        self.times = Bag(torch.from_numpy(times), torch.from_numpy(interactions.indptr))
        self.gap = median_gap(*self.times)

    @override
    def begin(self) -> None:
        size = self.num_items
        self.sources = self.weight.new_zeros(size, size, dtype=torch.float64)
        self.targets = torch.zeros_like(self.sources)

    @override
    def accumulate(self, rows: Rows) -> None:
        prefix_grams(
            rows.history.items,
            self.times.take(rows.users.cpu()).items,
            rows.history.offsets,
            self.tau_train * self.gap,
            self.floor,
            self.sources,
            self.targets,
        )

    @override
    def statistics(self) -> Sequence[Tensor]:
        return [self.sources, self.targets]

    @override
    def solve(self) -> None:
        popularity = self.rows.column_sums().to(self.sources).clamp(min=1)
        scale = popularity**self.popularity_power
        for statistic in self.statistics():
            statistic.mul_(scale).mul_(scale[:, None])
        p = DenseInverse(fold_(self.sources), self.l2).dense()
        b = matmul(p, self.targets, out=torch.empty_like(p))
        del p, self.sources, self.targets, self.times
        self.weight = b.to(self.weight.dtype)

    @override
    def score(self, query: Query) -> Tensor:
        history = query.history
        factors = (-history.ages / self.tau_inference).exp().to(self.weight.dtype)
        return bag_matmul(history.items, history.offsets, self.weight, factors)
