"""MF-BPR: matrix factorisation, learned from pairs; the control of all pairwise models.

Rendle, Freudenthaler, Gantner and Schmidt-Thieme, BPR: Bayesian personalized ranking from implicit
feedback, UAI 2009.
"""

import torch
from torch import Tensor, nn
from typing_extensions import override

from recsys_lightning.data.batches import Pairs, Query
from recsys_lightning.families.pairwise import DotProduct
from recsys_lightning.functional.graph import Nodes
from recsys_lightning.functional.pairs import penalised_products


class MFBPR(DotProduct):
    """`s_ui = <p_u, q_i> + b_i`; an unknown user gets the popular items.

    A user's own bias would cancel in a comparison. b is without L2 (Milogradskii et al., Revisiting
    BPR, RecSys 2024).

    Args:
        num_users: U.
        num_items: I.
        embedding_dim: of p and q.
        item_bias: whether there is a b.
        loss: bpr, bce, sampled_softmax or softmax; see `DotProduct`.
        l2: of the p and q that a batch reads, see `DotProduct`.
        lr: of Adam.
    """

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        embedding_dim: int = 256,
        item_bias: bool = True,
        loss: str = "bpr",
        l2: float = 0.005,
        lr: float = 0.001,
    ) -> None:
        super().__init__(num_users, num_items, embedding_dim, loss, l2, lr)
        self.bias = nn.Parameter(torch.zeros(num_items)) if item_bias else None

    @override
    def vectors(self) -> Nodes:
        if self.bias is None:
            return Nodes(self.users, self.items)
        ones = self.users.new_ones(self.num_users, 1)
        return Nodes(
            torch.cat([self.users, ones], 1), torch.cat([self.items, self.bias[:, None]], 1)
        )

    @override
    def loss(self, pairs: Pairs) -> Tensor:
        if self.loss_name == "softmax":
            return super().loss(pairs)
        # the tables are the vectors: without copies of them, and the penalty in the same pass
        items = pairs.items
        scores, norms = penalised_products(self.users, self.items, pairs.users, items)
        if self.bias is not None:
            scores = scores + self.bias.gather(0, items.flatten()).view_as(scores)
        return self.ranking_loss(scores, pairs) + self.l2 * norms.mean()

    @override
    def score(self, query: Query) -> Tensor:
        scores = self.users[query.users.clamp(min=0)] @ self.items.T
        if self.bias is not None:
            scores = scores + self.bias
        return self.or_popularity(scores, query.users)
