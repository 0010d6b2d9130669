"""Views: how the training interactions become batches.

A view is named in `conf/view/` and chosen by the model's family. Slices of a CSR in the main
process are faster than any worker, so no loader here has workers.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from recsys_lightning.data.batches import Bag, Query, Rows
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import check_range


def bag(interactions: Interactions, users: NDArray[np.integer]) -> Bag:
    """The rows of some users as tensors."""
    items, offsets = interactions.gather(users)
    return Bag(torch.from_numpy(items), torch.from_numpy(offsets))


class EvenBatches(Sampler[NDArray[np.int64]]):
    """Batches of positions, shared out among ranks without a duplicate.

    Every rank gets equally many batches whose sizes differ by at most one: Lightning's own sampler
    pads with repeated users, which would count twice in sufficient statistics and in metrics.

    >>> [batch.tolist() for batch in EvenBatches(7, batch_size=2, rank=0, world_size=2)]
    [[0, 1], [4, 5]]
    >>> [batch.tolist() for batch in EvenBatches(7, batch_size=2, rank=1, world_size=2)]
    [[2, 3], [6]]
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        shuffle: bool = False,
        passes: int = 1,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.size, self.shuffle, self.passes, self.seed = size, shuffle, passes, seed
        self.rank, self.world_size = rank, world_size
        self.num_batches = -(-size // (batch_size * world_size))
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning, so that every epoch has an order of its own and resumes in it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_batches * self.passes

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        for _ in range(self.passes):
            order = rng.permutation(self.size) if self.shuffle else np.arange(self.size)
            batches = np.array_split(order, max(self.num_batches * self.world_size, 1))
            yield from batches[self.rank :: self.world_size][: self.num_batches]


class RowDataset(Dataset[Rows]):
    """Whole users that have a training interaction, for closed-form models and autoencoders."""

    def __init__(self, train: Interactions) -> None:
        self.train, self.users = train, train.lengths.nonzero()[0]

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, positions: NDArray[np.int64]) -> Rows:
        users = self.users[positions]
        return Rows(torch.from_numpy(users), bag(self.train, users))


class RowView:
    """A training batch is `batch_size` users with their rows, an epoch `passes` over all users."""

    def __init__(self, batch_size: int, shuffle: bool, passes: int = 1) -> None:
        check_range("view.batch_size", batch_size, low=1, whole=True)
        check_range("view.passes", passes, low=1, whole=True)
        self.batch_size, self.shuffle, self.passes = batch_size, shuffle, passes

    def loader(
        self, train: Interactions, *, seed: int, rank: int, world_size: int
    ) -> DataLoader[Rows]:
        """Batches of the users that have a training interaction."""
        dataset = RowDataset(train)
        batches = EvenBatches(
            len(dataset),
            self.batch_size,
            shuffle=self.shuffle,
            passes=self.passes,
            seed=seed,
            rank=rank,
            world_size=world_size,
        )
        return DataLoader(dataset, sampler=batches, batch_size=None)


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

    def __getitem__(self, positions: NDArray[np.int64]) -> Query:
        users = self.users[positions]
        history = bag(self.history, users)
        if self.target is None:
            nothing = torch.zeros(len(users) + 1, dtype=torch.int64)
            target = Bag(torch.empty(0, dtype=torch.int32), nothing)
        else:
            target = bag(self.target, users)
        return Query(torch.from_numpy(self.rows[users]), history, target)

    def loader(self, batch_size: int, *, rank: int = 0, world_size: int = 1) -> DataLoader[Query]:
        """Batches of queries in the order of `users`."""
        batches = EvenBatches(len(self.users), batch_size, rank=rank, world_size=world_size)
        return DataLoader(self, sampler=batches, batch_size=None)
