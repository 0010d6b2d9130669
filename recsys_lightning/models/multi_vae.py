"""Multi-VAE: a variational autoencoder with a multinomial likelihood.

Liang, Krishnan, Hoffman and Jebara, Variational autoencoders for collaborative filtering, WWW 2018
(arXiv 1802.05814; dawenl/vae_cf). The annealing of beta ends at a share of the planned optimiser
steps, not at a number of steps that fits one data set only.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from typing_extensions import override

from recsys_lightning.data.batches import Bag, Rows
from recsys_lightning.errors import check_range, check_sizes
from recsys_lightning.families.autoencoder import Autoencoder
from recsys_lightning.functional.losses import gaussian_kl, gaussian_sample, multinomial_nll
from recsys_lightning.nn.layers import BagLinear, dense_layers, initialise_like_vae_cf


class MultiVAE(Autoencoder):
    """`z ~ N(mu(x), exp(logvar(x)))`, `s = f(z)`; the mean mu is scored with.

    The loss is the mean over users of -sum_i x_i log softmax(s)_i + beta_t KL(q(z|x) || N(0, 1)),
    the KL summed over dimensions, beta_t rising from 0 to beta in `anneal_share` of the steps.

    Args:
        num_users: U.
        num_items: I.
        hidden_dims: widths of the encoder's hidden layers, none for an empty list; the decoder has
            them in reverse.
        latent_dim: of z.
        beta: weight of the KL after annealing, >= 0.
        anneal_share: of the planned optimiser steps, in [0, 1]; 0 is no annealing. The plan is
            `max_epochs`: a fit whose best epoch comes early has a smaller beta there.
        dropout: of the input, in [0, 1).
        lr: of Adam.
        weight_decay: L2 of the weight matrices.
    """

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        hidden_dims: Sequence[int] = (),
        latent_dim: int = 200,
        beta: float = 0.3,
        anneal_share: float = 0.3,
        dropout: float = 0.4,
        lr: float = 0.003,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(num_users, num_items, dropout, lr, weight_decay)
        check_sizes("model.hidden_dims", hidden_dims, empty=True)
        check_range("model.latent_dim", latent_dim, low=1, whole=True)
        check_range("model.beta", beta, low=0)
        check_range("model.anneal_share", anneal_share, low=0, high=1)
        self.beta, self.anneal_share = beta, anneal_share
        dims = [*hidden_dims, 2 * latent_dim]
        self.first = BagLinear(num_items, dims[0])
        self.encoder = dense_layers(dims, nn.Tanh)
        self.decoder = dense_layers([latent_dim, *reversed(hidden_dims), num_items], nn.Tanh)
        self.apply(initialise_like_vae_cf)

    @override
    def on_train_start(self) -> None:
        if self.anneal_share:
            self.horizon = self.anneal_share * self.planned_steps

    def annealed(self) -> float:
        """The share of beta that the loss has now, by optimiser steps."""
        return min(self.global_step / self.horizon, 1.0) if self.anneal_share else 1.0

    def encode(self, history: Bag) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), both (B, latent_dim)."""
        hidden = self.first(history, self.input_dropout)
        if len(self.encoder):
            hidden = hidden.tanh()
        mean, logvar = self.encoder(hidden).chunk(2, dim=1)
        return mean, logvar.clamp(max=10)  # exp overflows above 88

    @override
    def forward(self, history: Bag, users: Tensor) -> Tensor:
        mean, _ = self.encode(history)
        scores: Tensor = self.decoder(mean)
        return scores

    @override
    def loss(self, rows: Rows) -> Tensor:
        mean, logvar = self.encode(rows.history)
        scores = self.decoder(gaussian_sample(mean, logvar))
        nll = multinomial_nll(scores, rows.history.dense(self.num_items))
        kl = gaussian_kl(mean, logvar).mean()
        beta = self.beta * self.annealed()
        self.log_epoch_mean(nll=nll, kl=kl, beta=beta)
        return nll + beta * kl
