"""SASRec: self-attentive sequential recommendation.

Kang and McAuley, Self-attentive sequential recommendation, ICDM 2018 (kang205/SASRec); with the
cross-entropy of Klenitskiy and Vasilev, Turning dross into gold loss, RecSys 2023; with
`block=ligr loss=sampled_softmax` eSASRec (Tikhonovich et al., RecSys 2025).
"""

from recsys_lightning.families.sequential import NextItem
from recsys_lightning.nn.transformer import Transformer


class SASRec(NextItem):
    """`s_i = <h, e_i>`, h the output of a causal transformer at the newest item.

    Trained to predict at every item the one after it, see `NextItem`.

    Args:
        num_users: U.
        num_items: I.
        embedding_dim: D.
        length: L, the latest items that are read.
        num_layers: blocks.
        num_heads: of the attention; divides D.
        dropout: in [0, 1); None: 180 / sqrt(N) of N training interactions, from 0.2 to 0.5.
            MovieLens-1M has 0.2, data of 130,000 and less 0.5.
        block: sasrec, post_norm, pre_norm or ligr; see `nn.transformer`.
        norm: layer or rms.
        loss: cross_entropy, sampled_softmax, gbce, bce or bpr; see `NextItem`.
        num_negatives: m of sampled_softmax and gbce.
        calibration: t of gbce, in [0, 1].
        lr: of Adam.
    """

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
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
        super().__init__(
            num_users,
            num_items,
            dim=embedding_dim,
            length=length,
            extra=0,
            loss=loss,
            num_negatives=num_negatives,
            calibration=calibration,
            lr=lr,
        )
        self.encoder = Transformer(embedding_dim, num_layers, num_heads, dropout, block, norm)
