"""Negatives: items that a user has not interacted with, drawn by rejection."""

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.functional.kernels import negatives as kernels
from recsys_lightning.functional.kernels.rows import by_item

_BITMAP_BYTES = 2**28  # 256 MB; the contest's takes 27


class NegativeSampler:
    """Draws item j for user u with probability q_uj = p_j / (sum of p over u's unseen items).

    With p_j ~ popularity_j^power: uniform over all items at power 0 (those that nobody has, too),
    by popularity at 1, word2vec's at 0.75. An item of the table that the user has is drawn anew, so
    none is ever lost; after 100 rejections in a row one pass over the items draws from the same
    distribution, so that the time is bounded for one who has almost everything. A draw is one
    number of the generator and one look into an alias table and a bitmap of U x I bits; where that
    takes more than 256 MB, the user's row is searched.

    On one core beside other work, uniform: 92 M draws a second of ML-1M in the order of the users,
    46 M in random order; at the contest's size 90 M and 16 M, its bitmap being larger than the
    cache. Searched rows give 17 M, 10 M, 20 M and 8 M.

    Args:
        items: (N,) int32 ragged rows of the items that each user has, in any order.
        offsets: (U+1,) int64.
        num_items: I.
        power: of the popularity, from 0.

    Attributes:
        probability: (I,) float64 p.
        exhausted: (U,) bool: no item is left to draw for the user.

    >>> items, offsets = np.array([2, 0, 2], np.int32), np.array([0, 2, 3])
    >>> sampler = NegativeSampler(items, offsets, num_items=3)
    >>> sampler.draw(np.array([0, 0]), 2, np.random.default_rng(0))
    array([[1, 1],
           [1, 1]], dtype=int32)
    """

    def __init__(
        self,
        items: NDArray[np.int32],
        offsets: NDArray[np.int64],
        num_items: int,
        power: float = 0.0,
    ) -> None:
        popularity = np.bincount(items, minlength=num_items).astype(float)
        self.probability = popularity**power
        self.probability /= self.probability.sum()
        lengths = np.diff(offsets)
        self.exhausted = lengths == np.count_nonzero(self.probability)

        self._table = kernels.alias_table(self.probability)
        if len(lengths) * -(-num_items // 8) <= _BITMAP_BYTES:
            bitmap = kernels.pack(items, offsets, num_items)
            rows = np.empty(0, np.int32)
        else:
            bitmap = np.empty((len(lengths), 0), np.uint8)
            rows, *_ = by_item(items, offsets, num_items)
        self._seen = bitmap, rows, offsets

        users = np.repeat(np.arange(len(lengths)), lengths)
        seen = np.bincount(users, weights=self.probability[items], minlength=len(lengths))
        self._log_unseen = np.log(np.maximum(1 - seen, np.finfo(float).tiny)).astype(np.float32)
        with np.errstate(divide="ignore"):  # of what is never drawn
            self._log_probability = np.log(self.probability).astype(np.float32)

    def draw(
        self, users: NDArray[np.int64], num_negatives: int, rng: np.random.Generator
    ) -> NDArray[np.int32]:
        """Draw independently; an item may come twice.

        Args:
            users: (n,) positions.
            num_negatives: m.
            rng: advanced by the draw; all randomness comes from it.

        Returns:
            (n, m) item positions, none of which the user has.

        Raises:
            ValueError: one of the users is exhausted.
        """
        if self.exhausted[users].any():
            raise ValueError(f"user {users[self.exhausted[users]][0]} has every item: no negative")
        out = np.empty((len(users), num_negatives), np.int32)
        kernels.draw(users, *self._seen, self.probability, *self._table, rng, out)
        return out

    def log_probability(
        self, users: NDArray[np.int64], items: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """(n, m) log q_uj of the draws (n, m) of users (n,).

        >>> items, offsets = np.array([2, 0, 2], np.int32), np.array([0, 2, 3])
        >>> sampler = NegativeSampler(items, offsets, num_items=3)
        >>> np.exp(sampler.log_probability(np.array([0, 1]), np.array([[1], [1]], np.int32)))
        array([[1. ],
               [0.5]], dtype=float32)
        """
        log_q: NDArray[np.float32] = self._log_probability[items] - self._log_unseen[users, None]
        return log_q
