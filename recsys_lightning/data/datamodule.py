"""The one DataModule: training batches by the model's view, the same queries for every model."""

from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from recsys_lightning.data.batches import Query
from recsys_lightning.data.holdout import Split
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.views import QueryDataset
from recsys_lightning.errors import InputError, check_range


class View(Protocol):
    """How the training interactions become batches."""

    def loader(
        self, train: Interactions, *, seed: int, rank: int, world_size: int
    ) -> DataLoader[Any]:
        """The training batches of one rank; every rank has equally many."""
        ...


class RecommendationData(pl.LightningDataModule):
    """Loaders over a split.

    At validation the history is train; at test it is train plus valid (`test_history="train"` for
    tables that mask train only); at prediction it is everything.

    Args:
        split: the data and its holdout.
        view: how training batches are made.
        eval_batch_size: users a query.
        test_history: `train_valid` or `train`.
        seed: order of the training batches.

    Attributes:
        first_epoch: from 0, of a fit that is gone on with; Lightning tells the later ones only.
    """

    def __init__(
        self,
        split: Split,
        view: View,
        *,
        eval_batch_size: int = 1024,
        test_history: str = "train_valid",
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_range("eval_batch_size", eval_batch_size, low=1, whole=True)
        if test_history not in ("train", "train_valid"):
            raise InputError(f"test_history={test_history}: expected train or train_valid")
        self.split, self.view, self.seed = split, view, seed
        self.first_epoch = 0
        self.eval_batch_size, self.test_history = eval_batch_size, test_history

    @property
    def interactions(self) -> Interactions:
        """All of them, held out or not."""
        return self.split.interactions

    @property
    def train(self) -> Interactions:
        """What a model may learn from."""
        return self.split.train

    def _rank(self) -> dict[str, int]:
        if self.trainer is None:
            return {"rank": 0, "world_size": 1}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}

    def train_dataloader(self) -> DataLoader[Any]:  # noqa: D102
        loader = self.view.loader(self.train, seed=self.seed, **self._rank())
        loader.sampler.set_epoch(self.first_epoch)  # type: ignore[attr-defined]
        return loader

    def val_dataloader(self) -> DataLoader[Query]:  # noqa: D102
        return self._queries(self.split.train, self.split.valid)

    def test_dataloader(self) -> DataLoader[Query]:  # noqa: D102
        only_train = self.test_history == "train"
        history = self.split.train if only_train else self.split.train_valid
        return self._queries(history, self.split.test)

    def predict_dataloader(self) -> DataLoader[Query]:  # noqa: D102
        everyone = np.arange(self.interactions.num_users)
        return QueryDataset(everyone, self.interactions, None).loader(self.eval_batch_size)

    def _queries(self, history: Interactions, target: Interactions) -> DataLoader[Query]:
        """Users without held-out items are not asked for: they have nothing to be measured by."""
        users = np.flatnonzero(target.lengths)
        return QueryDataset(users, history, target).loader(self.eval_batch_size, **self._rank())
