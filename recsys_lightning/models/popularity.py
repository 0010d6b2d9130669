"""Popularity: the control. What does not beat it has learned nothing of the users."""

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from recsys_lightning.data.batches import Query, Rows
from recsys_lightning.families.closed_form import ClosedForm


class Popularity(ClosedForm):
    """`s_ui = |{v : x_vi = 1}|`: every user gets the most popular unseen items."""

    def __init__(self, *, num_users: int, num_items: int) -> None:
        super().__init__(num_users=num_users, num_items=num_items)
        self.register_weight(1)

    @override
    def fit_bytes(self, device: str) -> int:
        return self.weight.nbytes

    @override
    def begin(self) -> None:
        self.counts = self.weight.new_zeros(self.weight.shape)

    @override
    def accumulate(self, rows: Rows) -> None:
        self.counts += torch.bincount(rows.history.items, minlength=self.num_items)

    @override
    def statistics(self) -> Sequence[Tensor]:
        return [self.counts]

    @override
    def solve(self) -> None:
        self.weight = self.counts
        del self.counts

    @override
    def score(self, query: Query) -> Tensor:
        return self.weight.expand(len(query.users), -1)
