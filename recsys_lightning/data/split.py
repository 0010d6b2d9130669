"""A split: every interaction in one of five parts, and what these mean to a model."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_lightning.data.interactions import Interactions, without_room
from recsys_lightning.writing import making_folder

TRAIN, VALID, TEST, VALID_KNOWN, TEST_KNOWN = range(5)
PARTS = ("train", "valid", "test", "valid_known", "test_known")
ALWAYS_WRITTEN = PARTS[:3]  # also where they are empty


class Question(NamedTuple):
    """What an evaluation asks: given what is known of the users, which items come next?

    Attributes:
        trained: what a model has learned from.
        known: the users' histories, which are in no list.
        asked: what the lists should find; None where nothing is hidden.
    """

    trained: Interactions
    known: Interactions
    asked: Interactions | None


@dataclass(frozen=True, eq=False)
class Split:
    """Every interaction in one of five disjoint parts.

    Models learn from `train`; `valid` and `test` are asked for. What is known then is `train` (at
    test `valid`, too), and of users whom no model learns from `valid_known` and `test_known`, which
    are empty where the users who are asked for are those who are trained on.

    Attributes:
        interactions: all of them.
        part: (N,) int8 aligned with `interactions.indices`, positions in `PARTS`.
        num_too_short: users whose history is too short for the holdout: trained on, not evaluated.
    """

    interactions: Interactions
    part: NDArray[np.int8]
    num_too_short: int = 0

    @cached_property
    def train(self) -> Interactions:
        """What models learn from."""
        return self._select(TRAIN)

    @cached_property
    def valid(self) -> Interactions:
        """What is asked for at validation."""
        return self._select(VALID)

    @cached_property
    def test(self) -> Interactions:
        """What is asked for at test time."""
        return self._select(TEST)

    def question(self, stage: str, test_history: str = "train_valid") -> Question:
        """What is asked at a stage.

        Args:
            stage: `valid`, `test`, or `final`: everything is known and nothing hidden.
            test_history: `train` keeps the validation items unknown at test time, too.
        """
        if stage == "valid":
            return Question(self.train, self._known(TRAIN, VALID_KNOWN), self.valid)
        if stage == "test":
            also = (VALID,) if test_history == "train_valid" else ()
            known = self._known(TRAIN, *also, VALID_KNOWN, TEST_KNOWN)
            return Question(self.train, known, self.test)
        return Question(self.train, self.interactions, None)

    def _known(self, *parts: int) -> Interactions:
        present = [part for part in parts if part == TRAIN or (self.part == part).any()]
        if present == [TRAIN]:
            return self.train
        known = np.isin(self.part, present)
        if TEST_KNOWN in present:  # of who begins after the moment of holdout=time, the future
            unasked = self.test.lengths[self.interactions.rows] == 0
            known &= ~(unasked & (self.part == TEST_KNOWN))
        return self.interactions.select(known)

    def _select(self, *parts: int) -> Interactions:
        return self.interactions.select(np.isin(self.part, parts))

    @cached_property
    def sha256(self) -> str:
        """Equal for equal ids, interactions and parts, whatever order the file had them in."""
        x = self.interactions
        entries = (self.part.copy(), x.indices.copy(), x.indptr)  # sorted in place
        parts = csr_array(entries, (x.num_users, x.num_items))
        parts.sort_indices()
        digest = hashlib.sha256()
        ids = without_room(x.users), without_room(x.items)
        for array in (*ids, parts.indptr, parts.indices, parts.data):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def write(self, folder: Path) -> Path:
        """Write a Parquet file a part (user, item, time; original ids), unless they are there.

        `train`, `valid` and `test.parquet` are what `holdout=files` reads; `valid_known` and
        `test_known.parquet` are written where these parts hold anything.

        Args:
            folder: the split's files go to a folder in it, named by the hash; where that has been
                written with other times or in another order, by a hash of these, too.

        Returns:
            The folder of the files.
        """
        from pyarrow import DictionaryArray, array, parquet, table

        target, order = folder / self.sha256[:16], self._order()
        if target.exists() and _order_of(target) != order:
            target = target.with_name(f"{target.name}-{order[:8]}")
        if target.exists():
            return target

        with making_folder(target) as scratch:
            for number, name in enumerate(PARTS):
                part = self._select(number)
                if not part.num_interactions and name not in ALWAYS_WRITTEN:
                    continue
                columns = {
                    "user": DictionaryArray.from_arrays(part.rows, array(part.users)),
                    "item": DictionaryArray.from_arrays(part.indices, array(part.items)),
                }
                if part.times is not None:
                    columns["time"] = array(part.times)
                written = table(columns, metadata={"order": order})
                parquet.write_table(written, scratch / f"{name}.parquet")
        return target

    def _order(self) -> str:
        """A hash of what `sha256` leaves out: the times, and the order of the histories."""
        digest = hashlib.sha256(np.ascontiguousarray(self.interactions.indices).data)
        if self.interactions.times is not None:
            digest.update(np.ascontiguousarray(self.interactions.times).data)
        return digest.hexdigest()


def _order_of(folder: Path) -> str:
    """The `_order` of the split in a folder; empty where an earlier version wrote it."""
    from pyarrow import ArrowException, parquet

    try:
        metadata = parquet.read_schema(folder / f"{PARTS[TRAIN]}.parquet").metadata or {}
    except (ArrowException, OSError):  # whoever reads it says so
        return ""
    return (metadata.get(b"order") or b"").decode()
