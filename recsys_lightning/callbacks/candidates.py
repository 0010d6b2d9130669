"""Keeps the ranked lists of an evaluation: what candidates and the submission are made of."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from typing_extensions import override

from recsys_lightning.recommender import Lists


class ListCollector(pl.Callback):
    """Keeps the lists of the latest `validate`, `test` or `predict`, in the order of the queries.

    Attributes:
        items: (n, K) int32 positions, best first; -1 where a user has none left.
        scores: (n, K) float32.
        at: epoch (from 0) and optimiser steps at which the lists were made.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    at = (-1, -1)

    def __init__(self) -> None:
        self._batches: list[Lists] = []

    @override
    def on_validation_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
        self._keep(outputs)

    @override
    def on_test_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
        self._keep(outputs)

    @override
    def on_predict_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
        self._keep(outputs)

    @override
    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._join(trainer)

    @override
    def on_test_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._join(trainer)

    @override
    def on_predict_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._join(trainer)

    def _keep(self, lists: Lists) -> None:
        self._batches.append(Lists(lists.items.int().cpu(), lists.scores.float().cpu()))

    def _join(self, trainer: pl.Trainer) -> None:
        self.items, self.scores = (
            np.concatenate([getattr(batch, name).numpy() for batch in self._batches])
            for name in Lists._fields
        )
        self._batches.clear()
        self.at = trainer.current_epoch, trainer.global_step
