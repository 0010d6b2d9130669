"""Batches of positions, shared out among processes; and rows as tensors."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler

from recsys_lightning.data.batches import Bag
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import InputError


def bag(interactions: Interactions, users: NDArray[np.integer]) -> Bag:
    """The rows of some users as tensors."""
    items, offsets = interactions.gather(users)
    return Bag(torch.from_numpy(items), torch.from_numpy(offsets))


@dataclass(frozen=True)
class Draw:
    """What a dataset makes one batch of.

    Attributes:
        positions: (n,) of what the batch consists of.
        seed: of whatever is drawn for it (negatives, crops, masks): the run's seed, the epoch, the
            rank and the batch's number. A resumed run draws the same numbers.
    """

    positions: NDArray[np.int64]
    seed: tuple[int, int, int, int]

    def rng(self) -> np.random.Generator:
        """The batch's own generator, at its beginning."""
        return np.random.default_rng(self.seed)


class EvenBatches(Sampler[Draw]):
    """Batches of positions, shared out among ranks without a duplicate.

    Every rank gets equally many batches whose sizes differ by at most one: Lightning's own sampler
    pads with repeated users, which would count twice in sufficient statistics and in metrics. None
    is empty; for that a batch of two stands where batches of one cannot be shared out evenly.

    Raises:
        InputError: there are fewer positions than processes.

    >>> [draw.positions.tolist() for draw in EvenBatches(7, batch_size=2, rank=0, world_size=2)]
    [[0, 1], [4, 5]]
    >>> [draw.positions.tolist() for draw in EvenBatches(7, batch_size=2, rank=1, world_size=2)]
    [[2, 3], [6]]
    >>> next(iter(EvenBatches(7, batch_size=2, seed=5))).seed
    (5, 0, 0, 0)
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        shuffle: bool = False,
        passes: int = 1,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if 0 < size < world_size:
            raise InputError(
                f"{size} rows for {world_size} processes: expected at least one for each; lower "
                "trainer.devices"
            )
        self.size, self.shuffle, self.passes, self.seed = size, shuffle, passes, seed
        self.rank, self.world_size = rank, world_size
        self.num_batches = min(-(-size // (batch_size * world_size)), size // world_size)
        self.epoch = epoch

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning, so that every epoch has its own order and resumes in it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_batches * self.passes

    def __iter__(self) -> Iterator[Draw]:
        rng = np.random.default_rng((self.seed, self.epoch))
        for done in range(self.passes):
            order = rng.permutation(self.size) if self.shuffle else np.arange(self.size)
            batches = np.array_split(order, max(self.num_batches * self.world_size, 1))
            mine = batches[self.rank :: self.world_size][: self.num_batches]
            for number, positions in enumerate(mine, start=done * self.num_batches):
                yield Draw(positions, (self.seed, self.epoch, self.rank, number))
