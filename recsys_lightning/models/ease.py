"""EASE: item-item ridge regression with a zero diagonal; with dropout, EDLAE.

Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019 (arXiv 1905.03375), and
Autoencoders that don't overfit towards the identity, NeurIPS 2020 (hasteck/EDLAE_NeurIPS2020).
"""

from torch import Tensor
from typing_extensions import override

from recsys_lightning.data.batches import Query
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.families.closed_form import ClosedForm
from recsys_lightning.functional.ease import ease, edlae_ridge, user_side_ease
from recsys_lightning.functional.sparse import bag_matmul

SIDES = ("item", "user")


class EASE(ClosedForm):
    """`s_u = x_u B` with B = argmin ||X - XB||² + sum_i ridge_i ||B_i.||², diag(B) = 0.

    With P = (X^T X + diag(ridge))^-1 it is `B_ij = -P_ij / P_jj`.

    `side=user` is the same model of the transposed matrix: users, not items, are regressed on each
    other, and a user's scores are the sum of what the others have. It needs no matrix of users:
    `s_u = x_u (I - l2 P)` is that, but for a positive factor of each user (`user_side_ease`). A
    history that is longer than in training, or of an unknown user, is regressed on all users as
    they were in training, of whom its own is one where it is known.

    Args:
        num_users: U.
        num_items: I.
        l2: ridge of every item, > 0.
        dropout: p in [0, 1): adds p / (1 - p) * popularity_i to item i's ridge, which equals
            training on inputs with that dropout (EDLAE); 0 is EASE. `side=user` takes 0 only.
        side: what is regressed on each other, item or user.
        recency: r >= 0, at scoring alone: the latest item of a history counts 1 + r, the k-th
            latest 1 + r / k; 0: all alike.
    """

    at_scoring = ("recency",)

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        l2: float = 500.0,
        dropout: float = 0.0,
        side: str = "item",
        recency: float = 0.0,
    ) -> None:
        super().__init__(num_users=num_users, num_items=num_items)
        check_range("model.l2", l2, low=0, open_low=True)
        check_range("model.dropout", dropout, low=0, high=1, open_high=True)
        if side not in SIDES:
            raise InputError(f"model.side={side}: expected one of {', '.join(SIDES)}")
        if side == "user" and dropout:
            raise InputError(f"model.dropout={dropout}: expected 0 with model.side=user")
        check_range("model.recency", recency, low=0)
        self.l2, self.dropout, self.side, self.recency = l2, dropout, side, recency
        self.register_weight(num_items)

    @override
    def ridge(self, popularity: Tensor, num_users: int) -> Tensor:
        return edlae_ridge(popularity, self.l2, self.dropout)

    @override
    def solve(self) -> None:
        p = self.inverse().dense()
        self.weight = ease(p) if self.side == "item" else user_side_ease(p, self.l2)

    @override
    def score(self, query: Query) -> Tensor:
        history = query.history
        return bag_matmul(history.items, history.offsets, self.weight, self.factors(history))
