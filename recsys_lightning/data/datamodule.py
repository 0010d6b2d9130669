"""The one DataModule: training batches by the model's view, the same queries for every model."""

from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from typing_extensions import override

from recsys_lightning.data.batches import Query
from recsys_lightning.data.holdout import Split
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.views.queries import QueryDataset


class View(Protocol):
    """How the training interactions become batches.

    What a batch draws (negatives, crops, masks) comes from its own generator, `Draw.rng`, and never
    from a global one: so a resumed fit equals an uninterrupted one.
    """

    def loader(
        self, train: Interactions, *, seed: int, epoch: int, rank: int, world_size: int
    ) -> DataLoader[Any]:
        """The training batches of one rank; every rank has equally many, and none is empty.

        Its sampler is an `EvenBatches`, or has the `set_epoch` by which Lightning begins every
        epoch after the first.

        Args:
            train: what may be learned from.
            seed: of the order and of all that is drawn.
            epoch: from 0; the one that a fit begins with, later than 0 where it is resumed.
            rank: of this process.
            world_size: number of processes.
        """
        ...


class RecommendationData(pl.LightningDataModule):
    """Loaders over a split: training batches, and queries by its questions.

    Args:
        split: the data and its holdout.
        view: how training batches are made.
        eval_batch_size: users a query.
        test_history: what is known at test time: `train_valid`, or `train` for tables that mask
            train only.
        seed: order of the training batches.

    Attributes:
        first_epoch: from 0, of a resumed fit; Lightning sets the later ones only.
        rows: (U,) int64 the position that each user had in the training of the model that is asked,
            -1 for a user whom it has not learned from.
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
        self.split, self.view, self.seed = split, view, seed
        self.first_epoch = 0
        self.eval_batch_size, self.test_history = eval_batch_size, test_history
        self.rows = np.where(self.train.lengths > 0, np.arange(self.train.num_users), -1)

    @property
    def interactions(self) -> Interactions:
        """All of them, held out or not."""
        return self.split.interactions

    @property
    def train(self) -> Interactions:
        """What a model may learn from."""
        return self.split.train

    def users(self, stage: str) -> NDArray[np.int64]:
        """(n,) positions of the users of a stage's queries, in their order.

        At `final` everyone; at `valid` and `test` those with held-out items: the others have
        nothing to be measured by.
        """
        if stage == "final":
            return np.arange(self.interactions.num_users)
        asked = self.split.valid if stage == "valid" else self.split.test
        return asked.lengths.nonzero()[0]

    def _rank(self) -> dict[str, int]:
        if self.trainer is None:
            return {"rank": 0, "world_size": 1}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}

    @override
    def train_dataloader(self) -> DataLoader[Any]:
        return self.view.loader(self.train, seed=self.seed, epoch=self.first_epoch, **self._rank())

    @override
    def val_dataloader(self) -> DataLoader[Query]:
        return self._queries("valid")

    @override
    def test_dataloader(self) -> DataLoader[Query]:
        return self._queries("test")

    @override
    def predict_dataloader(self) -> DataLoader[Query]:
        return self._queries("final")

    def _queries(self, stage: str) -> DataLoader[Query]:
        _, known, asked = self.split.question(stage, self.test_history)
        queries = QueryDataset(self.users(stage), self.rows, known, asked)
        return queries.loader(self.eval_batch_size, **self._rank())
