"""Pairs: a training batch is interactions, each with items that its user has not (pairwise)."""

import logging

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from recsys_lightning.data.batches import Pairs
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.views.sampler import Draw, EvenBatches
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.functional.negatives import NegativeSampler

log = logging.getLogger(__name__)


class PairDataset(Dataset[Pairs]):
    """Interactions with negatives; a user who has every item has none, and is left out.

    Args:
        train: what may be learned from.
        negatives: items for each interaction that its user has not.
        negative_power: they are drawn in proportion to popularity^power; 0: uniformly.
        by_user: whether each pair is drawn anew, a user uniformly and then one of their items,
            instead of every interaction once.
    """

    def __init__(
        self, train: Interactions, negatives: int, negative_power: float, by_user: bool
    ) -> None:
        self.sampler = NegativeSampler(
            train.indices, train.indptr, train.num_items, power=negative_power
        )
        self.train, self.negatives, self.by_user = train, negatives, by_user
        self.users = (~self.sampler.exhausted & (train.lengths > 0)).nonzero()[0]
        if left_out := int(np.count_nonzero(self.sampler.exhausted)):
            log.warning(
                "%d of %d users have every item: there is no negative to learn from, so they are "
                "left out of the training pairs",
                left_out,
                train.num_users,
            )
        if not len(self.users):
            raise InputError("no user to train pairs on: nobody has an item and lacks another")
        self.entries = (~self.sampler.exhausted[train.rows]).nonzero()[0] if left_out else None

    def __len__(self) -> int:
        return self.train.num_interactions if self.entries is None else len(self.entries)

    def __getitem__(self, draw: Draw) -> Pairs:
        rng, train = draw.rng(), self.train
        if self.by_user:
            users = np.sort(rng.choice(self.users, len(draw.positions)))
            entries = train.indptr[users] + rng.integers(train.lengths[users])
        else:
            # in the order of the users, whose rows are neighbours in the model's tables, too
            positions = np.sort(draw.positions)
            entries = positions if self.entries is None else self.entries[positions]
            users = train.rows[entries].astype(np.int64)
        negatives = self.sampler.draw(users, self.negatives, rng)
        return Pairs(
            users=torch.from_numpy(users),
            positives=torch.from_numpy(train.indices[entries]).long(),
            negatives=torch.from_numpy(negatives).long(),
            log_probability=torch.from_numpy(self.sampler.log_probability(users, negatives)),
        )


class PairView:
    """A training batch is `batch_size` pairs, an epoch as many pairs as there are interactions.

    Args:
        batch_size: pairs; None: the interactions over `batches`, from 512 to `largest_batch`, so
            that an epoch of little data has as many steps.
        negatives: items for each pair that its user has not.
        negative_power: they are drawn in proportion to popularity^power; 0: uniformly. At most 2,
            above which rounding decides how likely what a user has not seen is.
        pairs: `interactions`, every one once an epoch; or `users`, each a user drawn uniformly
            and one of their items, so that an active user counts no more than another.
        batches: see `batch_size`.
        largest_batch: see there, too.
    """

    def __init__(
        self,
        batch_size: int | None = None,
        negatives: int = 1,
        negative_power: float = 0.0,
        pairs: str = "interactions",
        batches: int = 100,
        largest_batch: int = 8192,
    ) -> None:
        check_range("view.batch_size", batch_size, low=1, whole=True, or_null=True)
        check_range("view.batches", batches, low=1, whole=True)
        check_range("view.largest_batch", largest_batch, low=512, whole=True)
        check_range("view.negatives", negatives, low=1, whole=True)
        check_range("view.negative_power", negative_power, low=0, high=2)
        if pairs not in ("interactions", "users"):
            raise InputError(f"view.pairs={pairs}: expected interactions or users")
        self.batch_size, self.batches, self.largest_batch = batch_size, batches, largest_batch
        self.negatives, self.negative_power = negatives, negative_power
        self.by_user = pairs == "users"

    def loader(
        self, train: Interactions, *, seed: int, epoch: int, rank: int, world_size: int
    ) -> DataLoader[Pairs]:
        """Batches of pairs."""
        dataset = PairDataset(train, self.negatives, self.negative_power, self.by_user)
        batches = EvenBatches(
            len(dataset),
            self.batch_size or min(max(len(dataset) // self.batches, 512), self.largest_batch),
            shuffle=not self.by_user,
            seed=seed,
            epoch=epoch,
            rank=rank,
            world_size=world_size,
        )
        return DataLoader(dataset, sampler=batches, batch_size=None)
