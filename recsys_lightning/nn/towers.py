"""A perceptron over (user, item) whose first layer is split, so that all items can be scored."""

import itertools
import logging
import math
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear
from typing_extensions import override

log = logging.getLogger(__name__)

WORTH_SAYING = 30.0  # seconds of a validation


class UserDropout(nn.Module):
    """Dropout of the same units for all items of a user, (B, n, H): a mask in place of n.

    The items that a loss compares pass through one network; and drawing masks takes longer on a CPU
    than anything else in a step.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    @override
    def forward(self, hidden: Tensor) -> Tensor:
        if not (self.training and self.p):
            return hidden
        return hidden * dropout(hidden.new_ones(len(hidden), 1, hidden.shape[-1]), self.p)


class Tower(nn.Module):
    """`s = h^T a_L`, `a_l = relu(W_l a_{l-1} + b_l)`, `a_0 = [p; q]`, for users p and items q.

    `W_1 [p; q] = W_1^p p + W_1^q q`: a part is computed once a user and once an item, and a pair
    costs a sum and the layers after the first. Dropout is of a_1 to a_L, not of p and q, so that a
    part serves all pairs of a batch in training, too; see `UserDropout`.

    W and h begin Xavier-uniform, b zero.

    Args:
        user_dim: of p.
        item_dim: of q.
        hidden_dims: of a_1 to a_L; at least one.
        dropout: in [0, 1).
        memory_mb: megabytes (2^20) that the layers of a block of pairs may take in `all_pairs`. A
            block that fits into a processor's cache is fastest; at least one pair is in it.

    >>> tower = Tower(user_dim=2, item_dim=3, hidden_dims=[8, 4], dropout=0.1, memory_mb=4).eval()
    >>> users, items = tower.user_part(torch.randn(5, 2)), tower.item_part(torch.randn(7, 3))
    >>> tower.all_pairs(users, items).shape, tower(users[:, None] + items[:2]).shape
    (torch.Size([5, 7]), torch.Size([5, 2]))
    """

    def __init__(
        self,
        user_dim: int,
        item_dim: int,
        hidden_dims: Sequence[int],
        dropout: float,
        memory_mb: float,
    ) -> None:
        super().__init__()
        self.user_dim, self.widest, self.memory_mb = user_dim, max(hidden_dims), memory_mb
        self.first = nn.Linear(user_dim + item_dim, hidden_dims[0])
        layers: list[nn.Module] = [nn.ReLU(inplace=True), UserDropout(dropout)]
        for before, after in itertools.pairwise(hidden_dims):
            layers += [nn.Linear(before, after), nn.ReLU(inplace=True), UserDropout(dropout)]
        self.rest = nn.Sequential(*layers)
        self.output = nn.Linear(hidden_dims[-1], 1, bias=False)
        for layer in (self.first, *self.rest, self.output):
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def user_part(self, users: Tensor) -> Tensor:
        """(n, H) W_1^p p + b_1 of users p (n, user_dim)."""
        return linear(users, self.first.weight[:, : self.user_dim], self.first.bias)

    def item_part(self, items: Tensor) -> Tensor:
        """(n, H) W_1^q q of items q (n, item_dim)."""
        return linear(items, self.first.weight[:, self.user_dim :])

    def forward(self, sums: Tensor) -> Tensor:
        """(B, n) scores of pairs by the sums of their parts (B, n, H), which it overwrites."""
        scores: Tensor = self.output(self.rest(sums))
        return scores.squeeze(-1)

    @torch.no_grad()
    def all_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        """(B, I) scores of all pairs of the parts (B, H) and (I, H), in square blocks."""
        scores = users.new_empty(len(users), len(items))
        for rows in _slices(len(users), self.block):
            for columns in _slices(len(items), self.block):
                scores[rows, columns] = self(users[rows, None] + items[columns])
        return scores

    def half_squared_norm(self) -> Tensor:
        """() 1/2 (sum_l ||W_l||² + ||h||²)."""
        matrices = (p for p in self.parameters() if p.ndim > 1)
        return 0.5 * torch.stack([m.square().sum() for m in matrices]).sum()

    @property
    def block(self) -> int:
        """Users, and items, of a block: of two layers of its pairs one is made from the other."""
        pairs = self.memory_mb * 2**20 / (2 * self.widest * self.first.weight.element_size())
        return max(1, math.isqrt(int(pairs)))

    @torch.no_grad()
    def announce(self, num_users: int, num_items: int) -> None:
        """Warn where `all_pairs` of so many takes long, by the seconds of a first block."""
        block = self.first.weight.new_zeros(self.block, self.first.out_features)
        for _ in range(2):  # the first warms up
            began = time.perf_counter()
            self(block[:, None] + block).sum().item()
            seconds = time.perf_counter() - began
        seconds *= num_users * num_items / self.block**2
        if seconds >= WORTH_SAYING:
            log.warning(
                "a validation scores %d x %d pairs by the tower, which takes about %.0f seconds; "
                "trainer.check_val_every_n_epoch=n validates every n-th epoch only",
                num_users,
                num_items,
                seconds,
            )


def _slices(length: int, size: int) -> list[slice]:
    return [slice(first, first + size) for first in range(0, length, size)]
