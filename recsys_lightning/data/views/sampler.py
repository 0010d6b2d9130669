"""Batches of positions, shared out among processes; and rows as tensors."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler

from recsys_lightning.data.batches import Bag
from recsys_lightning.data.interactions import Interactions


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
