"""Sequential: what comes next, from the latest items in time order."""

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from recsys_lightning.data.batches import Bag
from recsys_lightning.errors import check_range
from recsys_lightning.nn.transformer import Transformer, positions_from_the_end
from recsys_lightning.recommender import Recommender


class Sequential(Recommender):
    """A transformer over the latest items; a model author writes `loss` and `score` with `encode`.

    Items have one table, to be read and to be matched with what comes out. A position is told by
    how far it is from the end, in training as in scoring. Vectors begin as N(0, 0.02²).

    Args:
        num_users: U.
        num_items: I.
        dim: D.
        num_positions: L, of what is read.
        extra: rows of the table after the items': a mask's.
        num_layers: see `Transformer`, as the next ones.
        num_heads: divides D.
        dropout: in [0, 1).
        block: sasrec, post_norm, pre_norm or ligr.
        norm: layer or rms.
        lr: of Adam.
    """

    weight_decay = 0.0

    def __init__(
        self,
        num_users: int,
        num_items: int,
        *,
        dim: int,
        num_positions: int,
        extra: int,
        num_layers: int,
        num_heads: int,
        dropout: float,
        block: str,
        norm: str,
        lr: float,
    ) -> None:
        super().__init__(num_users=num_users, num_items=num_items)
        check_range("model.lr", lr, low=0, open_low=True)
        self.num_positions, self.lr = num_positions, lr
        self.encoder = Transformer(dim, num_layers, num_heads, dropout, block, norm)
        self.items = nn.Parameter(0.02 * torch.randn(num_items + extra, dim))
        self.positions = nn.Parameter(0.02 * torch.randn(num_positions, dim))

    def encode(self, items: Tensor, offsets: Tensor, causal: bool) -> Tensor:
        """(N, D) what the transformer makes of packed rows (N,) of at most L, see `Bag`.

        Causal: a position sees none that comes after it.
        """
        read = embedding(items, self.items) * self.items.shape[1] ** 0.5
        places = embedding(positions_from_the_end(offsets), self.positions)
        encoded: Tensor = self.encoder(read + places, offsets, causal)
        return encoded

    def encode_newest(self, history: Bag, causal: bool) -> Tensor:
        """(B, D) at the newest item of each row; zeros for a row without one."""
        latest = history.latest(self.num_positions)
        order = latest.lengths.argsort(descending=True, stable=True)
        rows = latest.take(order)
        out = self.items.new_zeros(len(order), self.items.shape[1])
        some = order[: int((rows.lengths > 0).sum())]
        newest = rows.offsets[1 : len(some) + 1] - 1
        return out.index_copy(0, some, self.encode(rows.items, rows.offsets, causal)[newest])

    def match(self, vectors: Tensor) -> Tensor:
        """(B, I) scores of all items."""
        return vectors @ self.items[: self.num_items].T
