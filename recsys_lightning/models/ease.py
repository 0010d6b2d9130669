"""EASE: item-item ridge regression with a zero diagonal; with dropout, EDLAE.

Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019 (arXiv 1905.03375), and
Autoencoders that don't overfit towards the identity, NeurIPS 2020 (hasteck/EDLAE_NeurIPS2020).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from recsys_lightning.data.batches import Query, Rows
from recsys_lightning.errors import check_range
from recsys_lightning.families.closed_form import ClosedForm
from recsys_lightning.functional.solvers import ease, ease_bytes, edlae_ridge
from recsys_lightning.functional.sparse import bag_matmul, gram


class EASE(ClosedForm):
    """`s_u = x_u B` with B = argmin ||X - XB||² + sum_i ridge_i ||B_i.||², diag(B) = 0.

    With P = (X^T X + diag(ridge))^-1 it is `B_ij = -P_ij / P_jj`.

    Args:
        num_users: U.
        num_items: I.
        l2: ridge of every item, > 0.
        dropout: p in [0, 1): adds p / (1 - p) * popularity_i to item i's ridge, which equals
            training on inputs with that dropout (EDLAE); 0 is EASE.
    """

    weight: Tensor

    def __init__(
        self, *, num_users: int, num_items: int, l2: float = 500.0, dropout: float = 0.0
    ) -> None:
        super().__init__(num_users=num_users, num_items=num_items)
        check_range("model.l2", l2, low=0, open_low=True)
        check_range("model.dropout", dropout, low=0, high=1, open_high=True)
        self.l2, self.dropout = l2, dropout
        self.register_weight(num_items)

    def begin(self) -> None:  # noqa: D102
        itemsize = self.weight.itemsize
        self.require_memory(ease_bytes(self.num_items, itemsize, self.device.type), "the fit")
        self._gram = torch.zeros_like(self.weight)

    def accumulate(self, rows: Rows) -> None:  # noqa: D102
        gram(rows.history.items, rows.history.offsets, self.num_items, out=self._gram)

    def statistics(self) -> Sequence[Tensor]:  # noqa: D102
        return [self._gram]

    def solve(self) -> None:  # noqa: D102
        ridge = edlae_ridge(self._gram.diagonal(), self.l2, self.dropout)
        self.weight = ease(self._gram, ridge)
        del self._gram

    def score(self, query: Query) -> Tensor:  # noqa: D102
        return bag_matmul(query.history.items, query.history.offsets, self.weight)
