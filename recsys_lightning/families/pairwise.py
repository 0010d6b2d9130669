"""Pairwise: what a user has should score above what they have not."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from recsys_lightning.data.batches import Pairs, Query
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.functional.graph import Graph, Nodes
from recsys_lightning.functional.losses import (
    binary_cross_entropy,
    bpr,
    half_squared_norms,
    sampled_softmax,
)
from recsys_lightning.recommender import Recommender

SAMPLED: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "bpr": lambda positive, negatives, _: bpr(positive, negatives),
    "bce": lambda positive, negatives, _: binary_cross_entropy(positive, negatives),
    "sampled_softmax": sampled_softmax,
}


class Pairwise(Recommender):
    """A model author writes `score_pairs` for training, and `score`.

    The loss compares a positive i with its negatives j, mean over the positives of the batch:

        bpr              softplus(s_uj - s_ui), mean over j
        bce              softplus(-s_ui) + sum_j softplus(s_uj)
        sampled_softmax  -log softmax over i and all j, corrected for how the j were drawn

    Args:
        num_users: U.
        num_items: I.
        loss: one of these.
        lr: of Adam.
    """

    losses: tuple[str, ...] = tuple(SAMPLED)

    def __init__(self, num_users: int, num_items: int, loss: str, lr: float) -> None:
        super().__init__(num_users=num_users, num_items=num_items)
        if loss not in self.losses:
            raise InputError(f"model.loss={loss}: expected one of {', '.join(self.losses)}")
        check_range("model.lr", lr, low=0, open_low=True)
        self.loss_name, self.lr, self.weight_decay = loss, lr, 0.0

    # What a model author writes

    def score_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """(B, n) scores of n items each, (B, n), for the users (B,)."""
        raise NotImplementedError

    def penalty(self, pairs: Pairs) -> Tensor | float:
        """() L2 of the rows that a batch reads; none by default."""
        return 0.0

    # What is given

    def loss(self, pairs: Pairs) -> Tensor:  # noqa: D102
        items = torch.cat([pairs.positives[:, None], pairs.negatives], dim=1)
        scores = self.score_pairs(pairs.users, items)
        return self.ranking_loss(scores, pairs) + self.penalty(pairs)

    def ranking_loss(self, scores: Tensor, pairs: Pairs) -> Tensor:
        """() from the scores (B, 1 + m) of the positives and their negatives."""
        loss = SAMPLED[self.loss_name]
        return loss(scores[:, 0], scores[:, 1:], pairs.log_probability)

    def or_popularity(self, scores: Tensor, users: Tensor) -> Tensor:
        """Scores (B, I), with the items' popularity in place of an unknown user's (-1)."""
        return torch.where((users >= 0)[:, None], scores, self.popularity.to(scores.dtype))


class DotProduct(Pairwise):
    """A model author writes `vectors`; a score is the product of a user's and an item's.

    One loss more: `softmax` over all items, in which negatives play no part.

    Args:
        num_users: U.
        num_items: I.
        embedding_dim: D of the tables `users` and `items`, which begin as N(0, 0.1²).
        loss: see above.
        l2: of the rows of both tables that a batch reads: l2 / 2 times their squares, summed over
            the user, the positive and the negatives, mean over the batch.
        lr: of Adam.
    """

    losses = (*SAMPLED, "softmax")

    def __init__(
        self, num_users: int, num_items: int, embedding_dim: int, loss: str, l2: float, lr: float
    ) -> None:
        super().__init__(num_users, num_items, loss, lr)
        check_range("model.embedding_dim", embedding_dim, low=1, whole=True)
        check_range("model.l2", l2, low=0)
        self.l2 = l2
        self.users = nn.Parameter(0.1 * torch.randn(num_users, embedding_dim))
        self.items = nn.Parameter(0.1 * torch.randn(num_items, embedding_dim))

    # What a model author writes

    def vectors(self) -> Nodes:
        """(U, D') of all users and (I, D') of all items, for training."""
        raise NotImplementedError

    # What is given

    def loss(self, pairs: Pairs) -> Tensor:  # noqa: D102
        return self.loss_of(self.vectors(), pairs) + self.penalty(pairs)

    def loss_of(self, vectors: Nodes, pairs: Pairs) -> Tensor:
        """() of a batch, without L2, for the vectors of all."""
        users = vectors.users[pairs.users]
        if self.loss_name == "softmax":
            return cross_entropy((users @ vectors.items.T).float(), pairs.positives)
        items = torch.cat([pairs.positives[:, None], pairs.negatives], dim=1)
        scores = (users[:, None] * vectors.items[items]).sum(2)
        return self.ranking_loss(scores, pairs)

    def penalty(self, pairs: Pairs) -> Tensor | float:  # noqa: D102
        if not self.l2:
            return 0.0
        rows = self.users[pairs.users], self.items[pairs.positives], self.items[pairs.negatives]
        return self.l2 * half_squared_norms(*rows)


class Propagated(DotProduct):
    """Vectors spread over the graph of training: a model author writes `vectors` and `keep`, too.

    `self.graph` is there in a fit only. After an epoch's last batch `keep` puts what `score` needs
    into buffers.
    """

    graph: Graph

    # What a model author writes

    def keep(self) -> None:
        """Put what `score` needs into buffers."""
        raise NotImplementedError

    # What is given

    def prepare(self, interactions: Interactions) -> None:  # noqa: D102
        items, offsets = map(torch.from_numpy, (interactions.indices, interactions.indptr))
        self.graph = Graph.from_rows(items, offsets, self.num_items)

    def on_fit_start(self) -> None:  # noqa: D102
        self.graph = self.graph.to(self.device)

    def on_train_batch_end(self, *_: Any) -> None:  # noqa: D102
        if self.trainer.is_last_batch:  # the validation comes before `on_train_epoch_end`
            with torch.no_grad():
                self.keep()

    def own(self, query: Query) -> Tensor:
        """(B, D) of the table `users`; zeros for an unknown user."""
        return self.users[query.users.clamp(min=0)] * (query.users >= 0)[:, None]
