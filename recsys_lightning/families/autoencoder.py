"""Autoencoder: whole users in, scores of all items out."""

from torch import Tensor
from typing_extensions import override

from recsys_lightning.data.batches import Bag, Query, Rows
from recsys_lightning.errors import check_range
from recsys_lightning.functional.losses import multinomial_nll
from recsys_lightning.recommender import Recommender


class Autoencoder(Recommender):
    """A model author writes `forward(history, users)`; the default loss is multinomial.

    In training `forward` corrupts its input by `dropout`; the loss compares with the whole row.

    Args:
        num_users: U.
        num_items: I.
        dropout: of the input, in [0, 1).
        lr: of Adam.
        weight_decay: L2 of the weight matrices.
    """

    learns_from = Rows

    def __init__(
        self, num_users: int, num_items: int, dropout: float, lr: float, weight_decay: float
    ) -> None:
        super().__init__(num_users=num_users, num_items=num_items)
        check_range("model.dropout", dropout, low=0, high=1, open_high=True)
        check_range("model.lr", lr, low=0, open_low=True)
        check_range("model.weight_decay", weight_decay, low=0)
        self.dropout, self.lr, self.weight_decay = dropout, lr, weight_decay

    # What a model author writes

    def forward(self, history: Bag, users: Tensor) -> Tensor:
        """(B, I) scores of all items, from rows of items; `users` (B,) are -1 where unknown."""
        raise NotImplementedError(
            f"{type(self).__name__} has no forward(history, users) -> (B, I): write it"
        )

    # What is given

    @property
    def input_dropout(self) -> float:
        """The dropout in training, else 0."""
        return self.dropout if self.training else 0.0

    @override
    def score(self, query: Query) -> Tensor:
        scores: Tensor = self(query.history, query.users)
        return scores

    @override
    def loss(self, rows: Rows) -> Tensor:
        scores = self(rows.history, rows.users)
        return multinomial_nll(scores, rows.history.dense(self.num_items))
