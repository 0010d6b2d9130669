"""XSimGCL: LightGCN without layer 0, with noise in every layer and a contrast between two of them.

Yu, Xia, Chen, Cui, Hung and Yin, XSimGCL: Towards extremely simple graph contrastive learning for
recommendation, TKDE 2023 (Coder-Yu/SELFRec).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from typing_extensions import override

from recsys_lightning.data.batches import Pairs, Query
from recsys_lightning.errors import check_range
from recsys_lightning.families.pairwise import Propagated
from recsys_lightning.functional.graph import (
    Nodes,
    history_table,
    layers,
    mean,
    propagate,
    user_vectors,
)
from recsys_lightning.functional.losses import info_nce


class XSimGCL(Propagated):
    """`E^(k) = L E^(k-1) + noise`, `E = (E^(1) + ... + E^(K)) / K`, `s_ui = <E_u, E_i>`.

    The noise of a node has length `noise`, a random direction and the signs of its vector. One pass
    serves both terms of `loss + contrast (NCE of users + NCE of items)`, where NCE tells each node
    of the batch in E from the others in E^(l), l = `contrast_layer`. There is no noise in scoring,
    which is from the history alone: a user has no vector of their own.

    Where we differ from the authors' code: their loss is BPR (`loss="bpr"`), and they take the L2
    of norms that are not squared.

    Args:
        num_users: U.
        num_items: I.
        embedding_dim: of E.
        num_layers: K, at least 1.
        contrast: weight of the contrast.
        contrast_layer: l, from 1 to K.
        temperature: of the contrast.
        noise: length of the noise.
        loss: bpr, bce, sampled_softmax or softmax; see `DotProduct`.
        l2: of the rows of E^(0) that a batch reads, see `DotProduct`.
        lr: of Adam.
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
        contrast: float = 0.66,
        contrast_layer: int = 1,
        temperature: float = 0.45,
        noise: float = 0.18,
        loss: str = "sampled_softmax",
        l2: float = 0.0001,
        lr: float = 0.0158,
    ) -> None:
        super().__init__(num_users, num_items, embedding_dim, loss, l2, lr)
        check_range("model.num_layers", num_layers, low=1, whole=True)
        check_range("model.contrast", contrast, low=0)
        check_range("model.contrast_layer", contrast_layer, low=1, high=num_layers, whole=True)
        check_range("model.temperature", temperature, low=0, open_low=True)
        check_range("model.noise", noise, low=0)
        self.num_layers, self.noise = num_layers, noise
        self.contrast, self.contrast_layer = contrast, contrast_layer
        self.temperature = temperature
        for table in (self.users, self.items):
            nn.init.xavier_uniform_(table)
        for name in ("from_history", "matched"):  # T of `history_table`, and the mean
            self.register_buffer(name, torch.zeros(num_items, embedding_dim))

    def noisy_layers(self) -> list[Nodes]:
        """E^(1), ..., E^(K) of a training step."""
        nodes, found = Nodes(self.users, self.items), []
        for _ in range(self.num_layers):
            nodes = Nodes(*map(self._with_noise, propagate(self.graph, nodes)))
            found.append(nodes)
        return found

    def _with_noise(self, vectors: Tensor) -> Tensor:
        return vectors + self.noise * normalize(torch.rand_like(vectors)) * vectors.sign()

    @override
    def loss(self, pairs: Pairs) -> Tensor:
        noisy = self.noisy_layers()
        final, contrasted = mean(noisy), noisy[self.contrast_layer - 1]
        users, items = pairs.users.unique(), pairs.positives.unique()
        contrast = info_nce(final.users[users], contrasted.users[users], self.temperature)
        contrast += info_nce(final.items[items], contrasted.items[items], self.temperature)
        self.log_epoch_mean(contrast=contrast)
        return self.loss_of(final, pairs) + self.contrast * contrast + self.penalty(pairs)

    @override
    def keep(self) -> None:
        clean = list(layers(self.graph, Nodes(self.users, self.items), self.num_layers))
        self.from_history, self.matched = history_table(self.graph, clean), mean(clean[1:]).items

    @override
    def score(self, query: Query) -> Tensor:
        return user_vectors(*query.history, self.from_history, self.num_layers) @ self.matched.T
