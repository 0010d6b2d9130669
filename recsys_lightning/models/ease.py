"""EASE: item-item ridge regression with a zero diagonal; with dropout, EDLAE.

Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019 (arXiv 1905.03375), and
Autoencoders that don't overfit towards the identity, NeurIPS 2020 (hasteck/EDLAE_NeurIPS2020).
"""

from torch import Tensor

from recsys_lightning.data.batches import Query
from recsys_lightning.errors import check_range
from recsys_lightning.families.closed_form import ClosedForm
from recsys_lightning.functional.ease import ease, edlae_ridge
from recsys_lightning.functional.sparse import bag_matmul


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

    def __init__(
        self, *, num_users: int, num_items: int, l2: float = 500.0, dropout: float = 0.0
    ) -> None:
        super().__init__(num_users=num_users, num_items=num_items)
        check_range("model.l2", l2, low=0, open_low=True)
        check_range("model.dropout", dropout, low=0, high=1, open_high=True)
        self.l2, self.dropout = l2, dropout
        self.register_weight(num_items)

    def ridge(self, popularity: Tensor, num_users: int) -> Tensor:  # noqa: D102
        return edlae_ridge(popularity, self.l2, self.dropout)

    def solve(self) -> None:  # noqa: D102
        self.weight = ease(self.inverse().dense())

    def score(self, query: Query) -> Tensor:  # noqa: D102
        return bag_matmul(query.history.items, query.history.offsets, self.weight)
