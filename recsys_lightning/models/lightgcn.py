"""LightGCN: embeddings, averaged over the layers of the user-item graph.

He, Deng, Wang, Li, Zhang and Wang, LightGCN: Simplifying and powering graph convolution network for
recommendation, SIGIR 2020 (gusye1234/LightGCN-PyTorch).
"""

import math

import torch
from torch import Tensor
from typing_extensions import override

from recsys_lightning.data.batches import Query
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import check_range
from recsys_lightning.families.pairwise import Propagated
from recsys_lightning.functional.graph import (
    Nodes,
    history_table,
    layers,
    mean,
    mean_of_layers,
    user_vectors,
)


class LightGCN(Propagated):
    """`E = (E^(0) + ... + E^(K)) / (K + 1)` with `E^(k) = L E^(k-1)`, `s_ui = <E_u, E_i>`.

    L = D^-1/2 A D^-1/2 of the graph of the training interactions. It scores from the history that
    it is given: the users' layers are made from it and the items' layers of training, exactly the
    propagation where the history is the training row; an unknown user has layers 1 to K.

    Its authors' loss is BPR; the default is the one that ranks best (experiments/losses_ml1m).

    Args:
        num_users: U.
        num_items: I.
        embedding_dim: of E.
        num_layers: K; 0 is matrix factorisation.
        loss: bpr, bce, sampled_softmax or softmax; see `DotProduct`.
        l2: of the rows of E^(0) that a batch reads, see `DotProduct`.
        lr: of Adam; None: 2e-5 sqrt(N) of N training interactions, at most 0.02. It goes with
            the root of a batch, and a batch with N.
    """

    from_history: Tensor
    matched: Tensor

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        num_layers: int = 2,
        loss: str = "sampled_softmax",
        l2: float = 0.001,
        lr: float | None = None,
    ) -> None:
        check_range("model.lr", lr, low=0, open_low=True, or_null=True)
        rate = 0.02 if lr is None else lr  # until `prepare`
        super().__init__(num_users, num_items, embedding_dim, loss, l2, rate)
        check_range("model.num_layers", num_layers, low=0, whole=True)
        self.num_layers = num_layers
        for name in ("from_history", "matched"):  # T of `history_table`, and the mean
            self.register_buffer(name, torch.zeros(num_items, embedding_dim))

    @override
    def prepare(self, interactions: Interactions) -> None:
        super().prepare(interactions)
        if self.hparams["lr"] is None:
            self.lr = min(2e-5 * math.sqrt(interactions.num_interactions), 0.02)

    @override
    def vectors(self) -> Nodes:
        return mean_of_layers(self.graph, Nodes(self.users, self.items), self.num_layers)

    @override
    def keep(self) -> None:
        all_layers = list(layers(self.graph, Nodes(self.users, self.items), self.num_layers))
        self.from_history, self.matched = (
            history_table(self.graph, all_layers),
            mean(all_layers).items,
        )

    @override
    def score(self, query: Query) -> Tensor:
        users = user_vectors(*query.history, self.from_history, self.num_layers, self.own(query))
        scores = users @ self.matched.T
        # without layers nothing of a history is in `users`
        return scores if self.num_layers else self.or_popularity(scores, query.users)
