"""Pairwise: what a user has should score above what they have not."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding
from typing_extensions import override

from recsys_lightning.data.batches import Pairs, Query
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.functional.graph import Graph, Nodes
from recsys_lightning.functional.losses import (
    binary_cross_entropy,
    bpr,
    linear_cross_entropy,
    sampled_softmax,
)
from recsys_lightning.functional.pairs import half_squared_norms, pair_products
from recsys_lightning.recommender import Recommender

log = logging.getLogger(__name__)

SAMPLED: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "bpr": lambda positive, negatives, _: bpr(positive, negatives),
    "bce": lambda positive, negatives, _: binary_cross_entropy(positive, negatives),
    "sampled_softmax": sampled_softmax,
}


class Pairwise(Recommender):
    """A model author writes `score_pairs` for training, and `score`; and has tables of vectors.

    The loss compares a positive i with its negatives j, mean over the positives of the batch:

        bpr              softplus(s_uj - s_ui), mean over j
        bce              softplus(-s_ui) + sum_j softplus(s_uj)
        sampled_softmax  -log softmax over i and all j, corrected for how the j were drawn

    Args:
        num_users: U.
        num_items: I.
        loss: one of these.
        l2: of the rows of all `tables` that a batch reads, see `half_squared_norms`.
        lr: of Adam.
    """

    learns_from = Pairs
    losses: tuple[str, ...] = tuple(SAMPLED)
    users: Any  # a table; or several, if `tables` says so
    items: Any
    has_met_strangers = False

    def __init__(self, num_users: int, num_items: int, loss: str, l2: float, lr: float) -> None:
        super().__init__(num_users=num_users, num_items=num_items)
        if loss not in self.losses:
            raise InputError(f"model.loss={loss}: expected one of {', '.join(self.losses)}")
        check_range("model.l2", l2, low=0)
        check_range("model.lr", lr, low=0, open_low=True)
        self.loss_name, self.l2, self.lr, self.weight_decay = loss, l2, lr, 0.0

    # What a model author writes

    def score_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """(B, n) scores of n items each, (B, n), for the users (B,)."""
        raise NotImplementedError(
            f"{type(self).__name__} has no score_pairs(users, items) -> (B, n): write it"
        )

    def tables(self) -> Iterable[tuple[Tensor, Tensor]]:
        """(U, D) and (I, D): each table of the users' vectors, with the items'; one by default."""
        return [(self.users, self.items)]

    # What is given

    @override
    def loss(self, pairs: Pairs) -> Tensor:
        scores = self.score_pairs(pairs.users, pairs.items)
        return self.ranking_loss(scores, pairs) + self.penalty(pairs)

    def ranking_loss(self, scores: Tensor, pairs: Pairs) -> Tensor:
        """() of the scores (B, 1+m) of `pairs.items`, without L2."""
        loss = SAMPLED[self.loss_name]
        return loss(scores[:, 0], scores[:, 1:], pairs.log_probability)

    def penalty(
        self, pairs: Pairs, tables: Iterable[tuple[Tensor, Tensor]] | None = None
    ) -> Tensor | float:
        """() L2 of the rows that a batch reads, of `tables` where they are not given."""
        if not self.l2:
            return 0.0
        total = sum(
            half_squared_norms(users, pairs.users)
            + half_squared_norms(items, pairs.positives, pairs.negatives)
            for users, items in (self.tables() if tables is None else tables)
        )
        return self.l2 / len(pairs.users) * total

    def or_popularity(self, scores: Tensor, users: Tensor) -> Tensor:
        """Scores (B, I), with the items' popularity in place of an unknown user's (-1).

        It says so once, as their metrics are then those of `popularity`.
        """
        known = users >= 0
        if not self.has_met_strangers and not known.all():
            self.has_met_strangers = True
            log.warning(
                "%s knows users by their ids: those whom it has not learned from get the most "
                "popular items",
                type(self).__name__,
            )
        return torch.where(known[:, None], scores, self.popularity)


class DotProduct(Pairwise):
    """A model author writes `vectors`; a score is the product of a user's and an item's.

    One loss more: `softmax` over all items. Its only use of negatives is that L2 reads them, too.

    Args:
        num_users: U.
        num_items: I.
        embedding_dim: D of the tables `users` and `items`, which begin as N(0, 0.1²).
        loss: see above.
        l2: see `Pairwise`.
        lr: of Adam.
    """

    losses = (*SAMPLED, "softmax")

    def __init__(
        self, num_users: int, num_items: int, embedding_dim: int, loss: str, l2: float, lr: float
    ) -> None:
        super().__init__(num_users, num_items, loss, l2, lr)
        check_range("model.embedding_dim", embedding_dim, low=1, whole=True)
        self.users = nn.Parameter(0.1 * torch.randn(num_users, embedding_dim))
        self.items = nn.Parameter(0.1 * torch.randn(num_items, embedding_dim))

    # What a model author writes

    def vectors(self) -> Nodes:
        """(U, D') of all users and (I, D') of all items, for training."""
        raise NotImplementedError(f"{type(self).__name__} has no vectors() -> Nodes: write it")

    # What is given

    @override
    def loss(self, pairs: Pairs) -> Tensor:
        return self.loss_of(self.vectors(), pairs) + self.penalty(pairs)

    def loss_of(self, vectors: Nodes, pairs: Pairs) -> Tensor:
        """() of a batch, without L2, for the vectors of all."""
        if self.loss_name == "softmax":
            users = embedding(pairs.users, vectors.users)
            return linear_cross_entropy(users, vectors.items, pairs.positives)
        return self.ranking_loss(pair_products(*vectors, pairs.users, pairs.items), pairs)


class Propagated(DotProduct):
    """Vectors spread over the graph of training: a model author writes `vectors` and `keep`, too.

    `self.graph` is there in a fit only. Before a validation, and at the end of an epoch, `keep`
    puts what `score` needs into buffers.
    """

    graph: Graph
    kept = True  # by `keep`, since the tables have changed

    # What a model author writes

    def keep(self) -> None:
        """Put what `score` needs into buffers; called in evaluation mode."""
        raise NotImplementedError(f"{type(self).__name__} has no keep(): write it")

    # What is given

    @override
    def prepare(self, interactions: Interactions) -> None:
        items, offsets = map(torch.from_numpy, (interactions.indices, interactions.indptr))
        self.graph, self.kept = Graph.from_rows(items, offsets, self.num_items), False

    @override
    def on_fit_start(self) -> None:
        self.graph = self.graph.to(self.device)

    @override
    def on_train_batch_end(self, *_: Any) -> None:
        self.kept = False

    @override
    def on_validation_start(self) -> None:  # comes before `on_train_epoch_end`
        self._keep()

    @override
    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self._keep()

    def _keep(self) -> None:
        if not self.kept:
            training = self.training
            self.eval()
            with torch.no_grad():
                self.keep()
            self.train(training)
            self.kept = True

    def own(self, query: Query) -> Tensor:
        """(B, D) of the table `users`; zeros for an unknown user."""
        return self.users[query.users.clamp(min=0)] * (query.users >= 0)[:, None]
