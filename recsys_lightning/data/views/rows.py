"""Rows: a training batch is whole users (closed form, autoencoder)."""

import torch
from torch.utils.data import DataLoader, Dataset

from recsys_lightning.data.batches import Rows
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.views.sampler import Draw, EvenBatches, bag
from recsys_lightning.errors import check_range


class RowDataset(Dataset[Rows]):
    """Whole users that have a training interaction, for closed-form models and autoencoders."""

    def __init__(self, train: Interactions) -> None:
        self.train, self.users = train, train.lengths.nonzero()[0]

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, draw: Draw) -> Rows:
        users = self.users[draw.positions]
        return Rows(torch.from_numpy(users), bag(self.train, users))


class RowView:
    """A training batch is `batch_size` users with their rows, an epoch `passes` over all users.

    Args:
        batch_size: users; None: a twelfth of them, from 32 to 500, so that a pass over few users
            has as many steps as one over MovieLens-1M's.
        shuffle: whether each pass has an order of its own.
        passes: see above.
    """

    def __init__(self, batch_size: int | None, shuffle: bool, passes: int = 1) -> None:
        check_range("view.batch_size", batch_size, low=1, whole=True, or_null=True)
        check_range("view.passes", passes, low=1, whole=True)
        self.batch_size, self.shuffle, self.passes = batch_size, shuffle, passes

    def loader(
        self, train: Interactions, *, seed: int, epoch: int, rank: int, world_size: int
    ) -> DataLoader[Rows]:
        """Batches of the users that have a training interaction."""
        dataset = RowDataset(train)
        batches = EvenBatches(
            len(dataset),
            self.batch_size or min(max(len(dataset) // 12, 32), 500),
            shuffle=self.shuffle,
            passes=self.passes,
            seed=seed,
            epoch=epoch,
            rank=rank,
            world_size=world_size,
        )
        return DataLoader(dataset, sampler=batches, batch_size=None)
