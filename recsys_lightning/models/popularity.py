"""Popularity: the control. What does not beat it has learned nothing of the users."""

from collections.abc import Sequence

import torch
from torch import Tensor

from recsys_lightning.data.batches import Query, Rows
from recsys_lightning.families.closed_form import ClosedForm


class Popularity(ClosedForm):
    """`s_ui = |{v : x_vi = 1}|`: every user gets the most popular unseen items."""

    weight: Tensor

    def __init__(self, *, num_users: int, num_items: int) -> None:
        super().__init__(num_users=num_users, num_items=num_items)
        self.register_weight(1)

    def begin(self) -> None:  # noqa: D102
        self.weight.zero_()

    def accumulate(self, rows: Rows) -> None:  # noqa: D102
        self.weight += torch.bincount(rows.history.items, minlength=self.num_items)

    def statistics(self) -> Sequence[Tensor]:  # noqa: D102
        return [self.weight]

    def solve(self) -> None:
        """Nothing: the statistics are the model."""

    def score(self, query: Query) -> Tensor:  # noqa: D102
        return self.weight.expand(len(query.users), -1)
