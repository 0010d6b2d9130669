"""AutoRec, user-based, for implicit feedback.

Sedhain, Menon, Sanner and Xie, AutoRec: autoencoders meet collaborative filtering, WWW 2015. The
paper predicts ratings and takes the error on observed entries only, which zeros and ones make
degenerate (1 everywhere is optimal); here all entries count, and ones weigh more. The input is
normalised and dropped out, else the sigmoids saturate for long histories.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from typing_extensions import override

from recsys_lightning.data.batches import Bag, Rows
from recsys_lightning.errors import check_range, check_sizes
from recsys_lightning.families.autoencoder import Autoencoder
from recsys_lightning.functional.losses import squared_error
from recsys_lightning.nn.layers import BagLinear, dense_layers, initialise_like_vae_cf


class AutoRec(Autoencoder):
    """`s = W sigmoid(V drop(x / ||x||) + c) + b`, minimising sum_i c_i (x_i - s_i)² per user.

    c_i is `positive_weight` where x_i = 1, else 1: summed over all items, mean over users.

    Args:
        num_users: U.
        num_items: I.
        hidden_dims: widths of all hidden layers; the paper has one.
        positive_weight: of the ones in the loss, > 0.
        dropout: of the input, in [0, 1).
        lr: of Adam.
        weight_decay: L2 of the weight matrices.
    """

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        hidden_dims: Sequence[int] = (300,),
        positive_weight: float = 5.0,
        dropout: float = 0.6,
        lr: float = 0.001,
        weight_decay: float = 0.00001,
    ) -> None:
        super().__init__(num_users, num_items, dropout, lr, weight_decay)
        check_sizes("model.hidden_dims", hidden_dims)
        check_range("model.positive_weight", positive_weight, low=0, open_low=True)
        self.positive_weight = positive_weight
        self.first = BagLinear(num_items, hidden_dims[0])
        self.rest = dense_layers([*hidden_dims, num_items], nn.Sigmoid)
        self.apply(initialise_like_vae_cf)

    @override
    def forward(self, history: Bag, users: Tensor) -> Tensor:
        hidden = self.first(history, self.input_dropout).sigmoid()
        scores: Tensor = self.rest(hidden)
        return scores

    @override
    def loss(self, rows: Rows) -> Tensor:
        scores = self(rows.history, rows.users)
        return squared_error(scores, rows.history.dense(self.num_items), self.positive_weight)
