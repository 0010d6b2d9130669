"""Multi-DAE: a denoising autoencoder with a multinomial likelihood.

Liang, Krishnan, Hoffman and Jebara, Variational autoencoders for collaborative filtering, WWW 2018
(arXiv 1802.05814; dawenl/vae_cf, whose L2 penalty 0.01 / 500 is a weight decay of 4e-5 here).
"""

from collections.abc import Sequence

from torch import Tensor, nn
from typing_extensions import override

from recsys_lightning.data.batches import Bag
from recsys_lightning.errors import check_sizes
from recsys_lightning.families.autoencoder import Autoencoder
from recsys_lightning.nn.layers import BagLinear, dense_layers, initialise_like_vae_cf


class MultiDAE(Autoencoder):
    """`h_1 = tanh(W_1 drop(x / ||x||) + b_1)`, ..., `s = W h + b`; -sum_i x_i log softmax(s)_i.

    Args:
        num_users: U.
        num_items: I.
        hidden_dims: widths of all hidden layers.
        dropout: of the input, in [0, 1).
        lr: of Adam.
        weight_decay: L2 of the weight matrices.
    """

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        hidden_dims: Sequence[int] = (200,),
        dropout: float = 0.6,
        lr: float = 0.002,
        weight_decay: float = 0.001,
    ) -> None:
        super().__init__(num_users, num_items, dropout, lr, weight_decay)
        check_sizes("model.hidden_dims", hidden_dims)
        self.first = BagLinear(num_items, hidden_dims[0])
        self.rest = dense_layers([*hidden_dims, num_items], nn.Tanh)
        self.apply(initialise_like_vae_cf)

    @override
    def forward(self, history: Bag, users: Tensor) -> Tensor:
        hidden = self.first(history, self.input_dropout).tanh()
        scores: Tensor = self.rest(hidden)
        return scores
