"""What travels through a DataLoader: index arrays only, made sparse or dense after the transfer.

NamedTuples, because Lightning moves them to a device and refuses frozen dataclasses.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Bag(NamedTuple):
    """Ragged rows of item positions, from the oldest to the latest.

    Attributes:
        items: (N,) int32 item positions.
        offsets: (B+1,) int64; row b is `items[offsets[b]:offsets[b+1]]`.

    >>> bag = Bag(torch.tensor([2, 0, 1], dtype=torch.int32), torch.tensor([0, 2, 2, 3]))
    >>> bag.dense(3)
    tensor([[1., 0., 1.],
            [0., 0., 0.],
            [0., 1., 0.]])
    >>> bag.ages
    tensor([1, 0, 0])
    >>> bag.latest(1).items.tolist(), bag.take(torch.tensor([2, 0])).items.tolist()
    ([0, 1], [1, 2, 0])
    """

    items: Tensor
    offsets: Tensor

    @classmethod
    def empty(cls, num_rows: int) -> "Bag":
        """Rows without items."""
        return cls(torch.empty(0, dtype=torch.int32), torch.zeros(num_rows + 1, dtype=torch.int64))

    @property
    def lengths(self) -> Tensor:
        """(B,) int64 items a row."""
        return self.offsets.diff()

    @property
    def rows(self) -> Tensor:
        """(N,) int64 the row of every item."""
        return torch.repeat_interleave(self.lengths, output_size=len(self.items))

    @property
    def ages(self) -> Tensor:
        """(N,) int64 how many later items its row has, of every item."""
        ends = torch.repeat_interleave(self.offsets[1:], self.lengths, output_size=len(self.items))
        return ends - 1 - torch.arange(len(self.items), device=self.items.device)

    def dense(self, num_items: int, factors: Tensor | None = None) -> Tensor:
        """(B, I) float32 zeros, and ones or the factors (N,) of the items."""
        dense = torch.zeros(len(self.lengths), num_items, device=self.items.device)
        dense[self.rows, self.items.long()] = 1.0 if factors is None else factors.to(dense)
        return dense

    def drop(self, p: float) -> "Bag":
        """A bag in which every item is left out with probability p."""
        kept = torch.rand(len(self.items), device=self.items.device) >= p
        before = torch.nn.functional.pad(kept.cumsum(0), (1, 0))  # (N+1,) kept before each item
        return Bag(self.items[kept], before[self.offsets])

    def sample(self, length: int) -> "Bag":
        """A bag of at most `length` items of each row, drawn at random, in no order."""
        if not len(self.items) or int(self.lengths.max()) <= length:
            return self
        key = self.rows + torch.rand(len(self.items), dtype=torch.float64, device=self.items.device)
        return Bag(self.items[key.argsort()], self.offsets).latest(length)

    def latest(self, length: int) -> "Bag":
        """A bag of the latest `length` items of each row, at most."""
        kept = self.lengths.clamp(max=length)
        return self._slices(self.offsets[1:] - kept, kept)

    def take(self, rows: Tensor) -> "Bag":
        """A bag of some rows (n,) int64, in their order."""
        return self._slices(self.offsets[rows], self.lengths[rows])

    def longest_first(self) -> "tuple[Bag, Tensor]":
        """A bag with the longest rows first, ties as they stand; and (B,) where each was."""
        order = self.lengths.argsort(descending=True, stable=True)
        return self.take(order), order

    def _slices(self, first: Tensor, lengths: Tensor) -> "Bag":
        """A bag of slices of `items`, from `first` (n,) on and so long (n,)."""
        offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
        moved = torch.repeat_interleave(first - offsets[:-1], lengths)
        return Bag(self.items[torch.arange(len(moved), device=moved.device) + moved], offsets)


class Query(NamedTuple):
    """What a model is asked at validation, test and prediction alike.

    Attributes:
        users: (B,) int64 the users' positions in the model's training; -1 for a user whom it has
            not learned from.
        history: what each user has consumed; these items are masked in the lists.
        target: what was held out; empty rows at prediction.
    """

    users: Tensor
    history: Bag
    target: Bag


class Rows(NamedTuple):
    """A training batch of whole users (closed form, autoencoder).

    Attributes:
        users: (B,) int64 user positions.
        history: their training interactions.
    """

    users: Tensor
    history: Bag


class Pairs(NamedTuple):
    """A training batch of interactions, each with items that its user has not (pairwise).

    Attributes:
        users: (B,) int64 user positions.
        positives: (B,) int64 an item of each.
        negatives: (B, m) int64 items that each has not.
        log_probability: (B, m) float32 log of the probability with which each was drawn.
    """

    users: Tensor
    positives: Tensor
    negatives: Tensor
    log_probability: Tensor

    @property
    def items(self) -> Tensor:
        """(B, 1+m) int64 the positive, then the negatives."""
        return torch.cat([self.positives[:, None], self.negatives], dim=1)


class Sequences(NamedTuple):
    """A training batch of parts of histories in time order (sequential).

    Attributes:
        users: (B,) int64 user positions.
        items: the parts, the longest first.
        negatives: (N, m) int64 for each item of the parts m that its user has not.
    """

    users: Tensor
    items: Bag
    negatives: Tensor
