"""Interactions: who consumed what, in which order, and what is known of the items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_lightning.data.core import Core
from recsys_lightning.data.joins import Join
from recsys_lightning.errors import InputError


@dataclass(frozen=True, eq=False)
class Feature:
    """A multi-valued item attribute (genre, director, writer, year).

    Attributes:
        values: (V,) the distinct values, strings, sorted.
        matrix: (I, V) float32 multi-hot CSR; an item without a value has an empty row.
    """

    values: NDArray[np.str_]
    matrix: csr_array

    def of(self, items: NDArray[np.bool_]) -> "Feature":
        """The feature of the items where `items` (I,) holds, with the values that these have."""
        matrix = self.matrix[items]
        used = np.bincount(matrix.indices, minlength=len(self.values)) > 0
        return Feature(self.values[used], matrix[:, used])


def tie_order(num_items: int) -> NDArray[np.int64]:
    """(I,) a permutation of `0..I-1`, the same in every run: of equal items the lower comes first.

    >>> tie_order(5)
    array([4, 0, 1, 3, 2])
    """
    import torch

    return torch.randperm(
        num_items, generator=torch.Generator().manual_seed(0), device="cpu"
    ).numpy()


def without_room(ids: NDArray) -> NDArray:
    """Text no wider than the longest: a longer id, of a template or before a k-core, left room.

    >>> without_room(np.array(["b", "c", "long"])[:2])
    array(['b', 'c'], dtype='<U1')
    """
    if ids.dtype.kind != "U" or not len(ids):
        return ids
    return ids.astype(f"<U{max(1, np.char.str_len(ids).max())}", copy=False)


SUBMISSION_COLUMNS = ("user", "item")  # where no template has others


@dataclass(frozen=True, eq=False)
class Interactions:
    """An immutable `users x items` matrix of ones whose rows are kept in time order.

    There is one orientation only. Positions `0..U-1` and `0..I-1` index the sorted original ids.

    Attributes:
        users: (U,) original user ids, sorted; int64, or strings.
        items: (I,) original item ids, sorted; int64, or strings.
        indptr: (U+1,) int64; row u is `indptr[u]:indptr[u+1]`.
        indices: (N,) int32 item positions; within a row from the oldest to the latest, to fractions
            of a second (ties, and data without times, in the order of the file). No item stands
            twice in a row.
        times: (N,) int64 seconds, aligned with `indices`; None where the data has none.
        titles: (I,) strings; None where the data has none.
        features: item features by name.
        submission_users: original ids of the users to recommend to, in the order of the submission
            (the template's, else of first appearance in the ratings); may name unknown users.
        joins: how well the ids of the files agree from which all this was read.
        core: the k-core that this is of what was read; None: it is all of it.
    """

    users: NDArray
    items: NDArray
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    times: NDArray[np.int64] | None
    titles: NDArray[np.str_] | None
    features: Mapping[str, Feature]
    submission_users: NDArray
    joins: tuple[Join, ...] = ()
    core: Core | None = None

    @property
    def num_users(self) -> int:
        """U."""
        return len(self.users)

    @property
    def num_items(self) -> int:
        """I."""
        return len(self.items)

    @property
    def num_interactions(self) -> int:
        """N."""
        return len(self.indices)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """(U,) interactions a user."""
        return np.diff(self.indptr)

    @property
    def mean_length(self) -> float:
        """Interactions of a user in the mean, of those who have any."""
        return float(self.lengths[self.lengths > 0].mean())

    @cached_property
    def popularity(self) -> NDArray[np.int64]:
        """(I,) users an item."""
        return np.bincount(self.indices, minlength=self.num_items)

    def most_popular(self, k: int) -> NDArray[np.int64]:
        """(k,) positions of the items with the most users, ties in `tie_order`; -1 after the last.

        So does `functional.ranking.rank_items` recommend to a user without a history.
        """
        ranked = np.lexsort((tie_order(self.num_items), -self.popularity))[:k]
        return np.pad(ranked, (0, k - len(ranked)), constant_values=-1)

    @cached_property
    def rows(self) -> NDArray[np.int32]:
        """(N,) the user position of every interaction."""
        return np.repeat(np.arange(self.num_users, dtype=np.int32), self.lengths)

    @cached_property
    def matrix(self) -> csr_array:
        """(U, I) float32 CSR of ones; rows in time order, so its indices are not sorted."""
        ones = np.ones(self.num_interactions, dtype=np.float32)
        return csr_array((ones, self.indices, self.indptr), shape=(self.num_users, self.num_items))

    def feature_sizes(self, names: Sequence[str] | None = None) -> dict[str, int]:
        """The number of values of some item features by name; of all of them if None.

        Raises:
            InputError: one that the data lacks.
        """
        for name in [names] if isinstance(names, str) else names or ():
            if name not in self.features or name == names:
                has = ", ".join(self.features) or "none"
                raise InputError(
                    f"model.features={names}: expected a list of item features that the data has "
                    f"({has}), or null for all of them"
                )
        chosen = self.features if names is None else names
        return {name: len(self.features[name].values) for name in chosen}

    def select(self, mask: NDArray[np.bool_]) -> "Interactions":
        """The interactions where `mask` (N,) holds; same users, items and order."""
        kept = np.concatenate([[0], np.cumsum(mask, dtype=np.int64)])[self.indptr]
        return replace(
            self,
            indptr=kept,
            indices=self.indices[mask],
            times=None if self.times is None else self.times[mask],
        )

    def without_unused(self) -> "Interactions":
        """Without the users, items and features' values that no interaction has.

        `submission_users` stay as they are: who leaves is unknown from then on.
        """
        users, items = self.lengths > 0, self.popularity > 0
        position = np.cumsum(items, dtype=np.int32) - np.int32(1)
        features = {name: feature.of(items) for name, feature in self.features.items()}
        return replace(
            self,
            users=self.users[users],
            items=self.items[items],
            indptr=np.concatenate([[0], self.indptr[1:][users]]),
            indices=position[self.indices],
            titles=None if self.titles is None else self.titles[items],
            features={name: feature for name, feature in features.items() if len(feature.values)},
        )

    def gather(self, users: NDArray[np.integer]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The rows of some users, one after the other.

        Args:
            users: (B,) positions.

        Returns:
            items (n,) int32 and offsets (B+1,) int64; row b is `items[offsets[b]:offsets[b+1]]`.
        """
        return self.slices(self.indptr[users], self.lengths[users])

    def slices(
        self, first: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Slices of `indices`, one after the other, from `first` (B,) on and so long (B,).

        Returns:
            items and offsets, as of `gather`.
        """
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        source = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], lengths)
        return self.indices[source], offsets
