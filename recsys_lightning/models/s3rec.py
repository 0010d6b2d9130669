"""S3-Rec: a sequential model whose transformer is pre-trained on the items' features.

Zhou, Wang, Zhao, Zhu, Wang, Zhang, Wang and Wen, S3-Rec: Self-supervised learning for sequential
recommendation with mutual information maximization, CIKM 2020 (RUCAIBox/CIKM2020-S3Rec).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.sparse import csr_array, hstack
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus
from typing_extensions import override

from recsys_lightning.data.batches import Bag, Sequences
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.families.sequential import NextItem
from recsys_lightning.functional.sparse import Ragged
from recsys_lightning.nn.transformer import Transformer

WEIGHTS = {"aap": 0.2, "mip": 1.0, "map": 1.0, "sp": 0.5}


class S3Rec(NextItem):
    """`s_i = <h, e_i>`, h the output at the newest item, of a transformer that was pre-trained.

    In the first `pretrain_epochs`, which are not judged, it looks in both directions and learns,
    with a matrix W of each and h_t the output at item t,

        AAP  the features of the items that are not masked, from `<a, W_1 h_t>`
        MIP  the masked items against one that the user has not, from `<e_i, W_2 h_t>`
        MAP  the features of the masked items, from `<a, W_3 h_t>`
        SP   a segment that is cut out against one from anywhere in the batch, from
             `<h_segment, W_4 h_rest>`

    Features by the binary cross-entropy, summed over their values; MIP and SP as
    `softplus(s- - s+)`; each a mean over positions or rows. Then it is fine-tuned as SASRec, with a
    new Adam, and looks back only. Or it starts from another run by `init_from`.

    Where we differ from the authors' code: logits in MIP and SP (theirs puts a sigmoid in the
    sigmoid, which bounds the gradient), means in place of sums, one part of each history an epoch
    (theirs takes every prefix: as many sequences as interactions), and segments of the batch's
    training rows (theirs are of all users' sequences, with the held-out items). They fine-tune by
    bce, with length 50, dropout 0.5 and the block post_norm.

    Args:
        num_users: U.
        num_items: I.
        num_values: values of each feature.
        features: names of the item features; null: all that the data has, at least one.
        pretrain_epochs: see above.
        mask_share: of the items that are masked in pre-training, beside the newest; in (0, 1).
        embedding_dim: D.
        length: L, the latest items that are read.
        num_layers: blocks.
        num_heads: of the attention; divides D.
        dropout: in [0, 1); None: 180 / sqrt(N) of N training interactions, from 0.2 to 0.5.
            MovieLens-1M has 0.2, data of 130,000 and less 0.5.
        block: sasrec, post_norm, pre_norm or ligr; see `nn.transformer`.
        norm: layer or rms.
        loss: of the fine-tuning, see `NextItem`.
        num_negatives: m of sampled_softmax and gbce.
        calibration: t of gbce, in [0, 1].
        lr: of Adam.
    """

    uses_features = True
    starts_from: ClassVar = {"s3rec": ("S3Rec",)}
    bags: Tensor
    bag_offsets: Tensor

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        num_values: Sequence[int],
        features: Sequence[str] | None = None,
        pretrain_epochs: int = 10,
        mask_share: float = 0.2,
        embedding_dim: int = 128,
        length: int = 200,
        num_layers: int = 2,
        num_heads: int = 1,
        dropout: float | None = None,
        block: str = "sasrec",
        norm: str = "layer",
        loss: str = "cross_entropy",
        num_negatives: int = 256,
        calibration: float = 0.75,
        lr: float = 0.001,
    ) -> None:
        check_range("model.pretrain_epochs", pretrain_epochs, low=0, whole=True)
        check_range("model.mask_share", mask_share, low=0, high=1, open_low=True, open_high=True)
        super().__init__(
            num_users,
            num_items,
            dim=embedding_dim,
            length=length,
            extra=1,
            loss=loss,
            num_negatives=num_negatives,
            calibration=calibration,
            lr=lr,
        )
        self.encoder = Transformer(embedding_dim, num_layers, num_heads, dropout, block, norm)
        if not num_values:
            raise InputError("model=s3rec learns from item features, and the data has none")
        self.unjudged_epochs, self.mask_share = pretrain_epochs, mask_share
        self.values = nn.Parameter(0.02 * torch.randn(sum(num_values), embedding_dim))
        self.maps = nn.ModuleDict(
            {name: nn.Linear(embedding_dim, embedding_dim, bias=False) for name in WEIGHTS}
        )
        for matrix in self.maps.parameters():
            nn.init.normal_(matrix, std=0.02)
        # the values of all features of an item, a bag for each item
        self.register_from_data("bags", "values", dtype=torch.int32)
        self.register_from_data("bag_offsets", num_items + 1, dtype=torch.int64)

    @override
    def prepare(self, interactions: Interactions) -> None:
        super().prepare(interactions)
        joint = hstack([interactions.features[name].matrix for name in self.features]).tocsr()
        self.bags = torch.from_numpy(joint.indices).int()
        self.bag_offsets = torch.from_numpy(joint.indptr).long()
        if start := self.starts.get("s3rec"):
            self._require_same_values(joint, start)
            start.copy_items("items", into=self.items)
            self.items.data[self.mask] = start.tensors["items"][-1]
            for name, parameter in self.named_parameters():
                if name != "items":
                    start.copy(name, into=parameter)

    def _require_same_values(self, ours: csr_array, start: Any) -> None:
        """Refuse another run's vectors of values where they stand for other values."""
        arrays = [start.tensors[name].numpy() for name in ("bags", "bag_offsets")]
        shape = len(arrays[1]) - 1, len(start.tensors["values"])  # it may have had other items
        theirs = csr_array((np.ones(len(arrays[0]), ours.dtype), *arrays), shape)
        known = start.item_rows >= 0
        if shape[1] != ours.shape[1] or (theirs[start.item_rows[known]] != ours[known]).nnz:
            raise InputError(
                f"init_from: {start.file}: its items have other values of "
                f"{', '.join(self.features)}: pre-train with this table of items"
            )

    @override
    def on_train_epoch_start(self) -> None:
        if self.current_epoch == self.unjudged_epochs:  # fine-tuning has a new Adam
            self.trainer.optimizers[0].state.clear()

    @override
    def loss(self, batch: Sequences) -> Tensor:
        if self.current_epoch >= self.unjudged_epochs:
            return super().loss(batch)
        losses = self.pretraining_losses(batch)
        self.log_epoch_mean(**losses)
        return torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum()

    def pretraining_losses(self, batch: Sequences) -> dict[str, Tensor]:
        """() of AAP, MIP, MAP and SP."""
        if not batch.negatives.shape[1]:
            raise InputError("model=s3rec needs view.negatives of at least 1 for its pre-training")
        items, offsets = batch.items.items.long(), batch.items.offsets
        masked = torch.rand(len(items), device=items.device) < self.mask_share
        masked[offsets[1:] - 1] = True
        hidden = self.encode(items.masked_fill(masked, self.mask), offsets, causal=False)
        seen = ~masked
        return {
            "aap": self._of_features(self.maps["aap"](hidden[seen]), items[seen]),
            "mip": self._of_items(hidden[masked], items[masked], batch.negatives[masked, 0]),
            "map": self._of_features(self.maps["map"](hidden[masked]), items[masked]),
            "sp": self._of_segments(batch.items),
        }

    def _of_features(self, vectors: Tensor, items: Tensor) -> Tensor:
        """Of vectors (n, D) the features of the items (n,)."""
        rows = Bag(self.bags, self.bag_offsets).take(items)
        target = Ragged(rows.items, rows.offsets, len(self.values)).dense(vectors.dtype)
        logits = vectors @ self.values.T
        total = binary_cross_entropy_with_logits(logits, target, reduction="sum")
        return total / max(len(items), 1)

    def _of_items(self, hidden: Tensor, items: Tensor, negatives: Tensor) -> Tensor:
        difference = self.items[negatives] - self.items[items]
        return softplus((self.maps["mip"](hidden) * difference).sum(1)).mean()

    def _of_segments(self, parts: Bag) -> Tensor:
        """A segment of at most half of each part against as many items from anywhere."""
        items, offsets, lengths, rows = parts.items.long(), parts.offsets, parts.lengths, parts.rows
        drawn = torch.rand(3, len(lengths), device=items.device)
        size = 1 + (drawn[0] * (lengths // 2)).long()
        first = offsets[:-1] + (drawn[1] * (lengths - size + 1)).long()
        place = torch.arange(len(items), device=items.device)
        inside = (place >= first[rows]) & (place < (first + size)[rows])
        elsewhere = (drawn[2] * len(items)).long() - first
        others = items[(place + elsewhere[rows]) % len(items)]  # the first row follows the last
        rest, segment, wrong = (
            self.encode(sequence, offsets, causal=False, wanted=offsets[1:] - 1)
            for sequence in (
                items.masked_fill(inside, self.mask),
                items.masked_fill(~inside, self.mask),
                others.masked_fill(~inside, self.mask),
            )
        )
        return softplus((self.maps["sp"](rest) * (wrong - segment)).sum(1)).mean()
