"""RecVAE: a variational autoencoder with a composite prior, trained in turns.

Shenbin, Alekseev, Tutubalina, Malykh and Nikolenko, RecVAE: a new variational autoencoder for top-N
recommendations with implicit feedback, WSDM 2020 (arXiv 1912.11160; ilya-shenbin/RecVAE). Before
the first prior update the old encoder is a copy of the encoder, where that code has a random other
network in its place.
"""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu
from typing_extensions import override

from recsys_lightning.data.batches import Bag, Rows
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.families.autoencoder import Autoencoder
from recsys_lightning.functional.losses import (
    gaussian_log_density,
    gaussian_sample,
    multinomial_nll,
)
from recsys_lightning.nn.layers import BagLinear

ENCODER_PASSES = 3  # of the 4 passes over the data that make an epoch; the last is the decoder's
PRIOR_WEIGHTS = (3 / 20, 3 / 4, 1 / 10)  # standard normal, old posterior, wide normal
WIDE_LOGVAR = 10.0


class Encoder(nn.Module):
    """Five blocks `h_l = LN(swish(W_l h_{l-1} + h_1 + ... + h_{l-1}))`, then mean and log-variance.

    Args:
        num_items: I.
        hidden_dim: of all blocks.
        latent_dim: of z.
    """

    def __init__(self, num_items: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.first = BagLinear(num_items, hidden_dim)
        self.blocks = nn.ModuleList(nn.Linear(hidden_dim, hidden_dim) for _ in range(4))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_dim, eps=0.1) for _ in range(5))
        self.mean = nn.Linear(hidden_dim, latent_dim)
        self.logvar = nn.Linear(hidden_dim, latent_dim)

    def forward(self, history: Bag, dropout: float) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), both (B, latent_dim)."""
        hidden = self.norms[0](silu(self.first(history, dropout)))
        skipped = hidden
        for block, norm in zip(self.blocks, self.norms[1:], strict=True):
            hidden = norm(silu(block(hidden) + skipped))
            skipped = skipped + hidden
        return self.mean(hidden), self.logvar(hidden)


def log_composite_prior(z: Tensor, old_mean: Tensor, old_logvar: Tensor) -> Tensor:
    """The prior's log sum_m w_m N(z; m) of every dimension (section 3.3); all (B, latent_dim)."""
    components = (
        gaussian_log_density(z, 0.0, 0.0),
        gaussian_log_density(z, old_mean, old_logvar),
        gaussian_log_density(z, 0.0, WIDE_LOGVAR),
    )
    weighted = [math.log(w) + c for w, c in zip(PRIOR_WEIGHTS, components, strict=True)]
    return torch.stack(weighted).logsumexp(0)


class RecVAE(Autoencoder):
    """`z ~ q(z|x)`, `s = W z + b`; -sum_i x_i log softmax(s)_i + gamma n_u KL(q(z|x) || p(z)).

    The prior p is 3/20 N(0, 1) + 3/4 q_old(z|x) + 1/10 N(0, e^10), n_u the length of the history.
    An epoch is three passes that train the encoder, with dropout and KL; then q_old becomes q; then
    a pass that trains the decoder, without dropout or KL. One Adam serves both sides: the resting
    one has no gradients, and Adam leaves it, and its moments, alone.

    Args:
        num_users: U.
        num_items: I.
        hidden_dim: of the encoder's five blocks.
        latent_dim: of z.
        gamma: weight of the KL for every item of the history, >= 0; None: 0.12 / sqrt(n), n the
            training interactions of an item in the mean; 0.005 at least, and 4 / n_u at most, n_u
            those of a user: 4 times what the KL weighs in the evidence lower bound.
            The fewer an item's vector is learned from, the closer z stays to the prior.
            MovieLens-1M less ten items a user has n = 254 and gamma 0.0075, ML-20M, for which the
            paper has 0.005, some 490 and 0.0054.
        dropout: of the encoder's input in its passes, in [0, 1).
        lr: of Adam.
        weight_decay: L2 of the weight matrices.
    """

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        hidden_dim: int = 600,
        latent_dim: int = 300,
        gamma: float | None = None,
        dropout: float = 0.5,
        lr: float = 0.0005,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(num_users, num_items, dropout, lr, weight_decay)
        check_range("model.hidden_dim", hidden_dim, low=1, whole=True)
        check_range("model.latent_dim", latent_dim, low=1, whole=True)
        check_range("model.gamma", gamma, low=0, or_null=True)
        self.gamma = math.nan if gamma is None else gamma  # until `prepare`
        self.encoder = Encoder(num_items, hidden_dim, latent_dim)
        self.old_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.decoder = nn.Linear(latent_dim, num_items)

    @override
    def prepare(self, interactions: Interactions) -> None:
        if self.hparams["gamma"] is None:
            of_an_item = interactions.num_interactions / self.num_items
            self.gamma = min(max(0.12 / math.sqrt(of_an_item), 0.005), 4 / interactions.mean_length)

    @override
    def forward(self, history: Bag, users: Tensor) -> Tensor:
        mean, _ = self.encoder(history, dropout=0.0)
        scores: Tensor = self.decoder(mean)
        return scores

    @override
    def on_train_start(self) -> None:
        if not self._first_of_decoder:
            raise InputError(
                "view.passes: an epoch is a single batch, and RecVAE trains its encoder in the "
                "first three of four: expected view.passes=4"
            )

    @property
    def _first_of_decoder(self) -> int:
        """The first batch of an epoch that trains the decoder."""
        return int(self.trainer.num_training_batches * ENCODER_PASSES // 4)

    @override
    def training_step(self, rows: Rows, batch_idx: int) -> Tensor:
        first_of_decoder = self._first_of_decoder
        self.trains_decoder = batch_idx >= first_of_decoder
        if batch_idx == first_of_decoder:
            self.old_encoder.load_state_dict(self.encoder.state_dict())
        return super().training_step(rows, batch_idx)

    def loss(self, rows: Rows) -> Tensor:
        """The encoder's or, in its pass, the decoder's; the other side gets no gradient."""
        return self.decoder_loss(rows) if self.trains_decoder else self.encoder_loss(rows)

    def encoder_loss(self, rows: Rows) -> Tensor:
        """-log p(x|z) + gamma n_u KL, of a sampled z, with dropout."""
        mean, logvar = self.encoder(rows.history, self.dropout)
        z = gaussian_sample(mean, logvar)
        scores = linear(z, self.decoder.weight.detach(), self.decoder.bias.detach())
        nll = multinomial_nll(scores, rows.history.dense(self.num_items))

        old_mean, old_logvar = self.old_encoder(rows.history, dropout=0.0)
        log_q = gaussian_log_density(z, mean, logvar)
        log_ratio = log_q - log_composite_prior(z, old_mean, old_logvar)
        kl = (self.gamma * rows.history.lengths * log_ratio.sum(1)).mean()
        self.log_epoch_mean(nll=nll, kl=kl)
        return nll + kl

    def decoder_loss(self, rows: Rows) -> Tensor:
        """-log p(x|z) of a sampled z, without dropout."""
        with torch.no_grad():
            z = gaussian_sample(*self.encoder(rows.history, dropout=0.0))
        return multinomial_nll(self.decoder(z), rows.history.dense(self.num_items))
