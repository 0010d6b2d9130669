"""SASRec: self-attentive sequential recommendation.

Kang and McAuley, Self-attentive sequential recommendation, ICDM 2018 (kang205/SASRec); with the
cross-entropy of Klenitskiy and Vasilev, Turning dross into gold loss, RecSys 2023; with
`block=ligr loss=sampled_softmax` eSASRec (Tikhonovich et al., RecSys 2025).
"""

import math

import torch
from torch import Tensor

from recsys_lightning.data.batches import Query, Sequences
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.families.sequential import Sequential
from recsys_lightning.functional.losses import (
    binary_cross_entropy,
    bpr,
    generalised_binary_cross_entropy,
    linear_cross_entropy,
    sampled_softmax,
)
from recsys_lightning.functional.pairs import pair_products

LOSSES = ("cross_entropy", "sampled_softmax", "gbce", "bce", "bpr")


class SASRec(Sequential):
    """`s_i = <h, e_i>`, h the output of a causal transformer at the newest item.

    Trained to predict at every item the one after it:

        cross_entropy    over all items
        sampled_softmax  over the next item and m negatives, see `functional.losses`
        gbce             on the same, see there
        bce, bpr         on the next item and `view.negatives` items that its user has not

    The m negatives are drawn uniformly, once for the batch; where one is the next item itself it
    is left out. A history without items scores 0.

    Args:
        num_users: U.
        num_items: I.
        embedding_dim: D.
        length: L, the latest items that are read.
        num_layers: blocks.
        num_heads: of the attention; divides D.
        dropout: in [0, 1).
        block: sasrec, post_norm, pre_norm or ligr; see `nn.transformer`.
        norm: layer or rms.
        loss: one of these.
        num_negatives: m of sampled_softmax and gbce.
        calibration: t of gbce, in [0, 1].
        lr: of Adam.
    """

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        length: int = 200,
        num_layers: int = 2,
        num_heads: int = 1,
        dropout: float = 0.1,
        block: str = "sasrec",
        norm: str = "layer",
        loss: str = "cross_entropy",
        num_negatives: int = 256,
        calibration: float = 0.75,
        lr: float = 0.001,
    ) -> None:
        check_range("model.length", length, low=1, whole=True)
        super().__init__(
            num_users,
            num_items,
            dim=embedding_dim,
            num_positions=length,
            extra=0,
            num_layers=num_layers,
            num_heads=num_heads,
            dropout=dropout,
            block=block,
            norm=norm,
            lr=lr,
        )
        if loss not in LOSSES:
            raise InputError(f"model.loss={loss}: expected one of {', '.join(LOSSES)}")
        check_range("model.num_negatives", num_negatives, low=1, whole=True)
        check_range("model.calibration", calibration, low=0, high=1)
        self.loss_name, self.num_negatives, self.calibration = loss, num_negatives, calibration

    def loss(self, batch: Sequences) -> Tensor:  # noqa: D102
        items, offsets = batch.items
        is_input = torch.ones(len(items), dtype=torch.bool, device=items.device)
        is_input[offsets[1:] - 1] = False  # the newest of each part is a target only
        is_target = torch.ones_like(is_input)
        is_target[offsets[:-1]] = False
        inputs = offsets - torch.arange(len(offsets), device=offsets.device)
        hidden = self.encode(items[is_input].long(), inputs, causal=True)
        targets = items[is_target].long()
        if self.loss_name == "cross_entropy":
            return linear_cross_entropy(hidden, self.items, targets)
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

    def score(self, query: Query) -> Tensor:  # noqa: D102
        return self.match(self.encode_newest(query.history, causal=True))
