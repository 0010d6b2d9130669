"""Multi-BERT4Rec: a bidirectional transformer over a history as a set, with a multinomial loss.

The contest team's own idea, rebuilt; no paper. The layers are BERT4Rec's (Sun et al., CIKM 2019).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding
from typing_extensions import override

from recsys_lightning.data.batches import Bag
from recsys_lightning.errors import check_range
from recsys_lightning.families.autoencoder import Autoencoder
from recsys_lightning.functional.sparse import bag_matmul_torch
from recsys_lightning.nn.transformer import Transformer


class MultiBERT4Rec(Autoencoder):
    """`s = W mean_t h_t + b`, h the outputs at the items of a history; -sum_i x_i log softmax(s)_i.

    There are no positions: a history is a set. W is the items' table.

    Where we differ from the team's: the mean is over real items (theirs counts padding), it is
    taken before the one projection (the same by linearity, without logits at each item), the input
    loses items by `dropout` (theirs is its own target, which it can copy), and of a long history
    training reads a random part anew each time; scoring reads all of it.

    Args:
        num_users: U.
        num_items: I.
        embedding_dim: D.
        num_layers: blocks.
        num_heads: of the attention; divides D.
        length: items of a history that a training step reads, at most.
        dropout: of the input's items, in [0, 1).
        hidden_dropout: of the transformer, in [0, 1).
        block: sasrec, post_norm, pre_norm or ligr; see `nn.transformer`.
        lr: of Adam.
        weight_decay: L2 of the weight matrices.
    """

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        num_layers: int = 2,
        num_heads: int = 2,
        length: int = 100,
        dropout: float = 0.5,
        hidden_dropout: float = 0.1,
        block: str = "pre_norm",
        lr: float = 0.001,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(num_users, num_items, dropout, lr, weight_decay)
        check_range("model.embedding_dim", embedding_dim, low=1, whole=True)
        check_range("model.length", length, low=1, whole=True)
        check_range("model.hidden_dropout", hidden_dropout, low=0, high=1, open_high=True)
        self.length = length
        self.items = nn.Parameter(0.02 * torch.randn(num_items, embedding_dim))
        self.bias = nn.Parameter(torch.zeros(num_items))
        self.encoder = Transformer(embedding_dim, num_layers, num_heads, hidden_dropout, block)

    @override
    def forward(self, history: Bag, users: Tensor) -> Tensor:
        if self.training:
            history = history.drop(self.dropout).sample(self.length)
        rows, order = history.longest_first()
        read = embedding(rows.items, self.items) * self.items.shape[1] ** 0.5
        encoded = self.encoder(read, rows.offsets, causal=False)
        places = torch.arange(len(encoded), dtype=torch.int32, device=encoded.device)
        means = bag_matmul_torch(places, rows.offsets, encoded) / rows.lengths.clamp(min=1)[:, None]
        pooled = torch.zeros_like(means).index_copy(0, order, means)
        return pooled @ self.items.T + self.bias
