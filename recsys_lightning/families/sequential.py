"""Sequential: what comes next, from the latest items in time order."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding
from typing_extensions import override

from recsys_lightning.data.batches import Bag, Query, Sequences
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.functional.losses import (
    binary_cross_entropy,
    bpr,
    generalised_binary_cross_entropy,
    linear_cross_entropy,
    sampled_softmax,
)
from recsys_lightning.functional.pairs import pair_products
from recsys_lightning.nn.transformer import set_dropout
from recsys_lightning.recommender import Recommender

LOSSES = ("cross_entropy", "sampled_softmax", "gbce", "bce", "bpr")


class Sequential(Recommender):
    """An encoder over the latest items; a model author writes `loss` and `score` with `encode`.

    And sets `self.encoder`, (N, D) of packed rows to (N, D) or to the outputs that are wanted,
    which is called as a `Transformer` is. Items have one table, to be read and to be matched with
    what comes out. Positions count from the end, in training as in scoring. Vectors begin as
    N(0, 0.02²).

    Args:
        num_users: U.
        num_items: I.
        dim: D.
        length: L, the latest items that are read, at most.
        extra: 1 where a mask is read beside them, which has a row of the table after the items'.
        lr: of Adam.
    """

    learns_from = Sequences
    weight_decay = 0.0
    encoder: nn.Module

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        dim: int,
        length: int,
        extra: int,
        lr: float,
    ) -> None:
        super().__init__(num_users=num_users, num_items=num_items)
        check_range("model.embedding_dim", dim, low=1, whole=True)
        check_range("model.length", length, low=1, whole=True)
        check_range("model.lr", lr, low=0, open_low=True)
        self.length, self.lr = length, lr
        self.items = nn.Parameter(0.02 * torch.randn(num_items + extra, dim))
        self.positions = nn.Parameter(0.02 * torch.randn(length + extra, dim))

    @override
    def prepare(self, interactions: Interactions) -> None:
        if self.hparams.get("dropout", 0.0) is None:
            dropout = inverse_root(180, interactions.num_interactions, low=0.2, high=0.5)
            set_dropout(self.encoder, dropout)

    @override
    def on_train_start(self) -> None:
        longest = getattr(self.datamodule.view, "length", self.length)
        if longest > self.length:
            raise InputError(
                f"view.length={longest}: expected at most model.length={self.length}, for which "
                f"{type(self).__name__} has positions"
            )

    @property
    def mask(self) -> int:
        """The mask's row of the table, where there is one."""
        return self.num_items

    @property
    def real_items(self) -> Tensor:
        """(I, D) the table without the mask's row: what can be recommended."""
        return self.items[: self.num_items]

    def encode(
        self, items: Tensor, offsets: Tensor, causal: bool, wanted: Tensor | None = None
    ) -> Tensor:
        """(N, D) what the encoder makes of packed rows (N,) of at most L, see `Bag`.

        Causal: a position sees none that comes after it. With `wanted` (n,), ascending positions,
        (n, D) of these.
        """
        read = embedding(items, self.items) * self.items.shape[1] ** 0.5
        if not len(items):  # an encoder gets at least one
            return read
        places = embedding(Bag(items, offsets).ages, self.positions)
        encoded: Tensor = self.encoder(read + places, offsets, causal, wanted)
        return encoded

    def encode_newest(self, history: Bag, causal: bool) -> Tensor:
        """(B, D) at the newest item of each row of at most L; zeros for a row without one."""
        rows, order = history.longest_first()
        out = self.items.new_zeros(len(order), self.items.shape[1])
        some = order[: int((rows.lengths > 0).sum())]
        newest = rows.offsets[1 : len(some) + 1] - 1
        return out.index_copy(0, some, self.encode(rows.items, rows.offsets, causal, newest))

    def match(self, vectors: Tensor) -> Tensor:
        """(B, I) scores of all items."""
        return vectors @ self.real_items.T


def inverse_root(factor: float, n: float, low: float, high: float) -> float:
    """`factor / sqrt(n)`, from `low` to `high`: how much to hide where there is n to learn from.

    The less there is, the sooner it is learned by heart.
    """
    return min(max(factor / math.sqrt(n), low), high)


class NextItem(Sequential):
    """It looks back only, and is trained to predict at every item the one after it.

        cross_entropy    over all items
        sampled_softmax  over the next item and m negatives, see `functional.losses`
        gbce             on the same, see there
        bce, bpr         on the next item and `view.negatives` items that its user has not

    The m negatives are drawn uniformly, once for the batch; where one is the next item itself it
    is left out. A history without items scores 0.

    Args:
        num_users: U.
        num_items: I.
        loss: one of these.
        num_negatives: m of sampled_softmax and gbce.
        calibration: t of gbce, in [0, 1].
        more: see `Sequential`.
    """

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        loss: str,
        num_negatives: int,
        calibration: float,
        **more: Any,
    ) -> None:
        super().__init__(num_users, num_items, **more)
        if loss not in LOSSES:
            raise InputError(f"model.loss={loss}: expected one of {', '.join(LOSSES)}")
        check_range("model.num_negatives", num_negatives, low=1, whole=True)
        check_range("model.calibration", calibration, low=0, high=1)
        self.loss_name = loss
        self.num_negatives, self.calibration = num_negatives, calibration

    @override
    def loss(self, batch: Sequences) -> Tensor:
        items, offsets = batch.items
        is_input = torch.ones(len(items), dtype=torch.bool, device=items.device)
        is_input[offsets[1:] - 1] = False  # the newest of each part is a target only
        is_target = torch.ones_like(is_input)
        is_target[offsets[:-1]] = False
        inputs = offsets - torch.arange(len(offsets), device=offsets.device)
        hidden = self.encode(items[is_input].long(), inputs, causal=True)
        targets = items[is_target].long()
        if self.loss_name == "cross_entropy":
            return linear_cross_entropy(hidden, self.real_items, targets)
        if self.loss_name in ("bce", "bpr"):
            return self._against(hidden, targets, batch.negatives[is_target])
        return self._against_drawn(hidden, targets)

    def _against(self, hidden: Tensor, targets: Tensor, negatives: Tensor) -> Tensor:
        if not negatives.shape[1]:
            raise InputError(f"model.loss={self.loss_name} needs view.negatives of at least 1")
        items = torch.cat([targets[:, None], negatives], 1)
        rows = torch.arange(len(hidden), device=hidden.device)
        scores = pair_products(hidden, self.items, rows, items)
        loss = binary_cross_entropy if self.loss_name == "bce" else bpr
        return loss(scores[:, 0], scores[:, 1:])

    def _against_drawn(self, hidden: Tensor, targets: Tensor) -> Tensor:
        drawn = torch.randint(self.num_items, (self.num_negatives,), device=hidden.device)
        positive = (hidden * self.items[targets]).sum(1)
        negative = (hidden @ self.items[drawn].T).masked_fill(drawn == targets[:, None], -math.inf)
        if self.loss_name == "gbce":
            return generalised_binary_cross_entropy(
                positive, negative, self.num_items, self.calibration
            )
        log_q = torch.full(negative.shape, -math.log(self.num_items), device=hidden.device)
        return sampled_softmax(positive, negative, log_q)

    @override
    def score(self, query: Query) -> Tensor:
        return self.match(self.encode_newest(query.history.latest(self.length), causal=True))
