"""Queries: the questions of an evaluation, the same for every model."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from recsys_lightning.data.batches import Bag, Query
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.views.sampler import Draw, EvenBatches, bag


class QueryDataset(Dataset[Query]):
    """The questions of an evaluation: given the history, which items come next?

    Args:
        users: (n,) positions of the users asked for.
        rows: (U,) the position of every user in the model's training, -1 where it has none.
        history: what is known of them, and masked.
        target: what was held out; None at prediction.
    """

    def __init__(
        self,
        users: NDArray[np.int64],
        rows: NDArray[np.int64],
        history: Interactions,
        target: Interactions | None,
    ) -> None:
        self.users, self.rows, self.history, self.target = users, rows, history, target

    def __getitem__(self, draw: Draw) -> Query:
        users = self.users[draw.positions]
        history = bag(self.history, users)
        target = Bag.empty(len(users)) if self.target is None else bag(self.target, users)
        return Query(torch.from_numpy(self.rows[users]), history, target)

    def loader(self, batch_size: int, *, rank: int = 0, world_size: int = 1) -> DataLoader[Query]:
        """Batches of queries in the order of `users`."""
        batches = EvenBatches(len(self.users), batch_size, rank=rank, world_size=world_size)
        return DataLoader(self, sampler=batches, batch_size=None)
