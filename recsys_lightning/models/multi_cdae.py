"""Multi-CDAE: a denoising autoencoder with a vector for every user, multinomial likelihood.

Wu, DuBois, Zheng and Ester, Collaborative denoising auto-encoders for top-N recommender systems,
WSDM 2016 (jasonyaw/CDAE), with the multinomial loss of Multi-DAE. The user's vector is dropped as a
whole in training, so that the model works for a user without one, too.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer, SparseAdam
from typing_extensions import override

from recsys_lightning.data.batches import Bag, Rows
from recsys_lightning.errors import check_range, check_sizes
from recsys_lightning.families.autoencoder import Autoencoder
from recsys_lightning.nn.layers import BagLinear, dense_layers, initialise_like_vae_cf


class MultiCDAE(Autoencoder):
    """`h_1 = tanh(W_1 drop(x / ||x||) + V_u + b_1)`, ..., `s = W h + b`; V_u = 0 if u is unknown.

    The loss is Multi-DAE's plus `user_l2` ||V_u||² / 2, mean over users.

    Args:
        num_users: U.
        num_items: I.
        hidden_dims: widths of all hidden layers.
        user_dropout: probability that a user goes without V_u in a training step, in [0, 1].
        user_l2: of the users' vectors, >= 0.
        dropout: of the input, in [0, 1).
        lr: of Adam.
        weight_decay: L2 of the weight matrices.
    """

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        hidden_dims: Sequence[int] = (600,),
        user_dropout: float = 0.5,
        user_l2: float = 0.01,
        dropout: float = 0.5,
        lr: float = 0.001,
        weight_decay: float = 0.00004,
    ) -> None:
        super().__init__(num_users, num_items, dropout, lr, weight_decay)
        check_sizes("model.hidden_dims", hidden_dims)
        check_range("model.user_dropout", user_dropout, low=0, high=1)
        check_range("model.user_l2", user_l2, low=0)
        self.user_dropout, self.user_l2 = user_dropout, user_l2
        self.first = BagLinear(num_items, hidden_dims[0])
        self.rest = dense_layers([*hidden_dims, num_items], nn.Tanh)
        self.apply(initialise_like_vae_cf)
        # a batch touches few users: sparse gradients, and zeros where a user is never trained on
        self.user_vectors = nn.Embedding(num_users, hidden_dims[0], sparse=True)
        nn.init.zeros_(self.user_vectors.weight)
        self.automatic_optimization = False  # two optimisers: no clipping, no accumulation

    @override
    def forward(self, history: Bag, users: Tensor) -> Tensor:
        present = (users >= 0).float()
        if self.training:
            present = present * (torch.rand_like(present) >= self.user_dropout)
        vectors = self.user_vectors(users.clamp(min=0)) * present[:, None]
        scores: Tensor = self.rest((self.first(history, self.input_dropout) + vectors).tanh())
        return scores

    @override
    def loss(self, rows: Rows) -> Tensor:
        penalty = self.user_vectors(rows.users).square().sum(1).mean()
        return super().loss(rows) + 0.5 * self.user_l2 * penalty

    @override
    def configure_optimizers(self) -> list[Optimizer]:
        vectors = self.user_vectors.weight
        others = [p for p in self.parameters() if p is not vectors]
        return [self.adam(others), SparseAdam([vectors], lr=self.lr)]

    @override
    def training_step(self, rows: Rows, batch_idx: int) -> Tensor:
        loss = super().training_step(rows, batch_idx)
        optimisers: Any = self.optimizers()
        for optimiser in optimisers:
            optimiser.zero_grad()
        self.manual_backward(loss)
        # Lightning counts a step of each optimiser as one of `global_step`: of a batch it is one
        optimisers[1]._on_before_step = optimisers[1]._on_after_step = lambda: None
        for optimiser in optimisers:
            optimiser.step()
        return loss
