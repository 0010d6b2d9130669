"""BERT4Rec: sequential recommendation with a bidirectional transformer.

Sun, Liu, Wu, Pei, Lin, Ou and Jiang, BERT4Rec, CIKM 2019 (FeiSun/BERT4Rec).
"""

import math

import torch
from torch import Tensor, nn
from typing_extensions import override

from recsys_lightning.data.batches import Bag, Query, Sequences
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import check_range
from recsys_lightning.families.sequential import Sequential, inverse_root
from recsys_lightning.functional.losses import linear_cross_entropy
from recsys_lightning.nn.gelu import GELU
from recsys_lightning.nn.packing import with_masks
from recsys_lightning.nn.transformer import Transformer


class BERT4Rec(Sequential):
    """`s_i = <f(h), e_i> + b_i`, `f(h) = norm(gelu(W h + w))`, h the output at a mask.

    Cloze: of each part of a history items are masked, each with `mask_share`, at least one, always
    by the mask's own vector; the loss is the cross-entropy over all items at the masks, mean over
    them. Of `last_share` of the parts the newest item alone is masked, as in scoring.

    Scoring puts a mask after the history. With m = `num_masks` > 1, for holdouts that are not the
    next item, masks stand at the ends of m equal parts of the history, the last of them after all
    of it, and a score is the log-mean-exp of theirs.

    Where we differ from the authors' code: vectors are scaled by sqrt(D), positions are counted
    from the newest item, and their sum is not normed before the first block.

    Args:
        num_users: U.
        num_items: I.
        embedding_dim: D.
        length: L, the latest items that are read, beside a mask.
        num_layers: blocks.
        num_heads: of the attention; divides D.
        dropout: in [0, 1); None: by the number of interactions, as in `SASRec`.
        block: sasrec, post_norm, pre_norm or ligr; see `nn.transformer`.
        norm: layer or rms.
        mask_share: in (0, 1); None: 1.6 / sqrt(n) of a training history's n items in the mean, from
            0.2 to 0.6. MovieLens-1M has n = 164 and 0.2; the paper's best is .6 at 8.8.
        last_share: in [0, 1].
        num_masks: m, at scoring.
        lr: of Adam.
    """

    at_scoring = ("num_masks",)

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        length: int = 200,
        num_layers: int = 2,
        num_heads: int = 2,
        dropout: float | None = 0.1,
        block: str = "post_norm",
        norm: str = "layer",
        mask_share: float | None = None,
        last_share: float = 0.1,
        num_masks: int = 1,
        lr: float = 0.001,
    ) -> None:
        check_range("model.length", length, low=1, whole=True)
        check_range(
            "model.mask_share",
            mask_share,
            low=0,
            high=1,
            open_low=True,
            open_high=True,
            or_null=True,
        )
        check_range("model.last_share", last_share, low=0, high=1)
        check_range("model.num_masks", num_masks, low=1, high=length, whole=True)
        super().__init__(
            num_users,
            num_items,
            dim=embedding_dim,
            length=length,
            extra=1,
            lr=lr,
        )
        self.encoder = Transformer(embedding_dim, num_layers, num_heads, dropout, block, norm)
        self.mask_share = math.nan if mask_share is None else mask_share  # until `prepare`
        self.last_share, self.num_masks = last_share, num_masks
        self.transform = nn.Linear(embedding_dim, embedding_dim)
        nn.init.normal_(self.transform.weight, std=0.02)
        nn.init.zeros_(self.transform.bias)
        self.gelu, self.norm = GELU(), nn.LayerNorm(embedding_dim)
        self.bias = nn.Parameter(torch.zeros(num_items))

    @override
    def prepare(self, interactions: Interactions) -> None:
        super().prepare(interactions)
        if self.hparams["mask_share"] is None:
            self.mask_share = inverse_root(1.6, interactions.mean_length, low=0.2, high=0.6)

    def masked(self, parts: Bag) -> Tensor:
        """(N,) bool which items of the parts are masked, at random."""
        newest = parts.offsets[1:] - 1
        chance = torch.rand(len(parts.items), device=parts.items.device)
        chosen = chance < self.mask_share
        # at least one of each part: the least of the numbers drawn
        least = torch.full_like(parts.lengths, 2, dtype=chance.dtype)
        least = least.scatter_reduce(0, parts.rows, chance, "amin")
        chosen |= chance == least[parts.rows]
        only_last = torch.rand(len(newest), device=newest.device) < self.last_share
        chosen &= ~only_last[parts.rows]
        chosen[newest[only_last]] = True
        return chosen

    @override
    def loss(self, batch: Sequences) -> Tensor:
        items, offsets = batch.items
        masked = self.masked(batch.items)
        read, wanted = items.long().masked_fill(masked, self.mask), masked.nonzero().squeeze(1)
        vectors = self.head(self.encode(read, offsets, causal=False, wanted=wanted))
        return linear_cross_entropy(vectors, self.real_items, items[masked].long(), self.bias)

    def head(self, encoded: Tensor) -> Tensor:
        """(n, D) f(h) of the outputs (n, D)."""
        matched: Tensor = self.norm(self.gelu(self.transform(encoded)))
        return matched

    @override
    def score(self, query: Query) -> Tensor:
        m = self.num_masks
        rows, order = query.history.latest(self.length + 1 - m).longest_first()
        items, offsets = with_masks(rows, m, self.mask)
        masks = (items == self.mask).nonzero().squeeze(1)
        encoded = self.encode(items, offsets, causal=False, wanted=masks)
        scores = self.match(self.head(encoded)) + self.bias
        mixed = scores.view(len(order), m, -1).logsumexp(1) - math.log(m)
        return torch.zeros_like(mixed).index_copy(0, order, mixed)
