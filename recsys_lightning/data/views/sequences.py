"""Sequences: a training batch is parts of histories in time order (sequential)."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from recsys_lightning.data.batches import Bag, Sequences
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.views.sampler import Draw, EvenBatches
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.functional.negatives import NegativeSampler

WINDOWS = ("latest", "random", "sliding")


def sliding_windows(
    starts: NDArray[np.int64], ends: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Windows of at most `size` that cover each row, from its end back in steps of half of it.

    Returns:
        row, start, end of each window, all (W,).

    >>> [values.tolist() for values in sliding_windows(np.array([0, 9]), np.array([9, 12]), 4)]
    [[0, 0, 0, 0, 1], [5, 3, 1, 0, 9], [9, 7, 5, 3, 12]]
    """
    step = max(size // 2, 1)
    counts = 1 + -(-np.maximum(ends - starts - size, 0) // step)
    rows = np.repeat(np.arange(len(starts)), counts)
    number = np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
    last = ends[rows] - step * number
    return rows, np.maximum(last - size, starts[rows]), last


class SequenceDataset(Dataset[Sequences]):
    """Parts of the histories of at least two items, the least that has something to predict.

    With `negatives`, a user who has every item has none to draw, and is left out.

    Args:
        train: what may be learned from.
        size: items of a part, at most.
        windows: see `SequenceView`.
        negatives: items for each item of a part that its user has not.
    """

    def __init__(self, train: Interactions, size: int, windows: str, negatives: int) -> None:
        self.train, self.size, self.is_random = train, size, windows == "random"
        self.negatives = negatives
        usable = train.lengths >= 2
        if negatives:
            self.sampler = NegativeSampler(train.indices, train.indptr, train.num_items)
            usable &= ~self.sampler.exhausted
        self.users = usable.nonzero()[0]
        if not len(self.users):
            lacks = " and lacks another (view.negatives)" if negatives else ""
            raise InputError(f"no user to train sequences on: nobody has two items{lacks}")
        first, last = train.indptr[self.users], train.indptr[self.users + 1]
        if windows == "sliding":
            rows, first, last = sliding_windows(first, last, size)
            self.users = self.users[rows]
        elif windows == "latest":
            first = np.maximum(first, last - size)
        self.first, self.last = first, last

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, draw: Draw) -> Sequences:
        rng, first, last = draw.rng(), self.first[draw.positions], self.last[draw.positions]
        if self.is_random:
            room = np.maximum(last - first - self.size, 0)
            first = first + rng.integers(room + 1)
            last = np.minimum(first + self.size, last)
        order = np.argsort(first - last, kind="stable")  # neighbours of equal length pad little
        lengths = (last - first)[order]
        items, offsets = self.train.slices(first[order], lengths)
        users = self.users[draw.positions][order]
        negatives = np.empty((len(items), 0), np.int64)
        if self.negatives:
            owners = np.repeat(users, lengths)
            negatives = self.sampler.draw(owners, self.negatives, rng).astype(np.int64)
        return Sequences(
            torch.from_numpy(users),
            Bag(torch.from_numpy(items), torch.from_numpy(offsets)),
            torch.from_numpy(negatives),
        )


class SequenceView:
    """A training batch is `batch_size` parts of histories, of at most `length` + 1 items.

    What a position reads is at most `length` items; the one more is what is to be predicted.

    Args:
        batch_size: parts; None: a two-hundredth of them, as a power of two from 16 to 128, so that
            an epoch of little data has many steps as well.
        length: see above.
        windows: an epoch is, of every user with two items or more, `latest`: the latest part;
            `random`: a part of the history drawn anew each time; `sliding`: parts that cover the
            history and overlap by half.
        negatives: items for each item of a part that its user has not, drawn uniformly.
    """

    def __init__(
        self, batch_size: int | None, length: int, windows: str = "latest", negatives: int = 0
    ) -> None:
        check_range("view.batch_size", batch_size, low=1, whole=True, or_null=True)
        check_range("view.length", length, low=1, whole=True)
        if windows not in WINDOWS:
            raise InputError(f"view.windows={windows}: expected one of {', '.join(WINDOWS)}")
        check_range("view.negatives", negatives, low=0, whole=True)
        self.batch_size, self.length = batch_size, length
        self.windows, self.negatives = windows, negatives

    def loader(
        self, train: Interactions, *, seed: int, epoch: int, rank: int, world_size: int
    ) -> DataLoader[Sequences]:
        """Batches of parts of histories."""
        dataset = SequenceDataset(train, self.length + 1, self.windows, self.negatives)
        batches = EvenBatches(
            len(dataset),
            self.batch_size or 2 ** round(math.log2(min(max(len(dataset) / 200, 16), 128))),
            shuffle=True,
            seed=seed,
            epoch=epoch,
            rank=rank,
            world_size=world_size,
        )
        return DataLoader(dataset, sampler=batches, batch_size=None)
