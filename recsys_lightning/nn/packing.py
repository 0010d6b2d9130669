"""Packed sequences: no position is stored, or computed, for padding.

The vectors of a batch stand in one matrix (N, D), row after row, with the offsets of `Bag`; all but
attention works on it as it is. Attention pads groups of some rows to the longest of each, so that
neighbours should have similar lengths: sort a batch by them. What is padded never reaches an
output, by construction.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from recsys_lightning.data.batches import Bag

GROUP = 16  # rows that are padded to the longest among them


class Padded(NamedTuple):
    """Where packed vectors stand in rows of one length.

    Attributes:
        places: (n,) int64 of each vector among the b l of the rows, pads to the right.
        real: (b, l) whether a place has one.
    """

    places: Tensor
    real: Tensor

    @classmethod
    def of(cls, lengths: Tensor) -> "Padded":
        """Rows of the lengths (b,)."""
        real = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]
        return cls(real.flatten().nonzero().squeeze(1), real)

    def pad(self, x: Tensor) -> Tensor:
        """(b, l, W) of the vectors (n, W)."""
        padded: Tensor = _Pad.apply(x, self.places, self.real.numel())
        return padded.view(*self.real.shape, x.shape[1])

    def unpad(self, x: Tensor) -> Tensor:
        """(n, W) of padded rows (b, l, W)."""
        unpadded: Tensor = _Unpad.apply(x.flatten(0, 1), self.places)
        return unpadded


class Group(NamedTuple):
    """Some consecutive rows.

    Attributes:
        asking: the positions whose outputs are wanted.
        seen: all positions.
        mask: (b, 1, 1 or places that ask, places that are seen) which may see which; None: each all
            of its row, or all up to itself where the layout is causal.
    """

    asking: Padded
    seen: Padded
    mask: Tensor | None


class Layout(NamedTuple):
    """What a block needs to know of the sequences of a batch.

    Attributes:
        groups: that have a position, in order.
        wanted: (n,) int64 the positions whose outputs are; None: all are.
        causal: whether a position sees none that comes after it, where no mask says so.
    """

    groups: list[Group]
    wanted: Tensor | None
    causal: bool

    @classmethod
    def of(cls, offsets: Tensor, causal: bool) -> "Layout":
        """Of packed sequences with the offsets (B+1,), all of whose outputs are wanted."""
        found = []
        for lengths in offsets.diff().split(GROUP):
            if lengths.any():
                seen = Padded.of(lengths)
                # pads come after all that is real
                mask = None if causal or seen.real.all() else seen.real[:, None, None]
                found.append(Group(seen, seen, mask))
        return cls(found, None, causal)

    @classmethod
    def of_some(cls, offsets: Tensor, causal: bool, wanted: Tensor) -> "Layout":
        """Whose outputs at `wanted` (n,), ascending, are alone computed."""
        counts = torch.searchsorted(wanted, offsets).diff()
        places = wanted - torch.repeat_interleave(offsets[:-1], counts)  # in its row
        found = []
        for lengths, asked in zip(offsets.diff().split(GROUP), counts.split(GROUP), strict=True):
            if lengths.any():
                seen, asking = Padded.of(lengths), Padded.of(asked)
                mask = seen.real[:, None, None]
                if causal:
                    own, places = places.tensor_split([len(asking.places)])
                    each = torch.arange(seen.real.shape[1], device=offsets.device)
                    mask = (each <= asking.pad(own[:, None]))[:, None]
                found.append(Group(asking, seen, mask))
        return cls(found, wanted, False)

    def asking(self, x: Tensor) -> Tensor:
        """(n, D) of all vectors (N, D) those whose outputs are wanted."""
        if self.wanted is None:
            return x
        some: Tensor = _Unpad.apply(x, self.wanted)
        return some


class _Pad(torch.autograd.Function):
    """(n, W) to (size, W), zeros where there is nothing; `index_copy` with a fast gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(places)
        return x.new_zeros(size, x.shape[1]).index_copy_(0, places, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradient.index_select(0, places), None, None


class _Unpad(torch.autograd.Function):
    """(size, W) to (n, W): the transpose of `_Pad`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.size = len(x)
        return x.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        padded = gradient.new_zeros(ctx.size, gradient.shape[1])
        return padded.index_copy_(0, places, gradient), None


def with_masks(rows: Bag, m: int, mask: int) -> tuple[Tensor, Tensor]:
    """Packed rows with m masks in each, at the ends of m parts of it that are equal but for one.

    Returns:
        items (N + m B,) int64, offsets (B+1,).

    >>> bag = Bag(torch.tensor([5, 6, 7, 8]), torch.tensor([0, 3, 4]))
    >>> [x.tolist() for x in with_masks(bag, 2, mask=9)]
    [[5, 9, 6, 7, 9, 9, 8, 9], [0, 5, 8]]
    """
    lengths, count = rows.lengths, torch.arange(1, m + 1, device=rows.items.device)
    before = lengths[:, None] * count // m  # (B, m) items of the row before each mask
    offsets = torch.nn.functional.pad((lengths + m).cumsum(0), (1, 0))
    places = offsets[:-1, None] + before + count - 1
    items = rows.items.new_empty(int(offsets[-1]), dtype=torch.int64)
    is_mask = torch.zeros(len(items), dtype=torch.bool, device=items.device)
    is_mask[places.flatten()] = True
    items[is_mask], items[~is_mask] = mask, rows.items.long()
    return items, offsets
