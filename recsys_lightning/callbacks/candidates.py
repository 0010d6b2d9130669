"""Writes the ranked lists of an evaluation: what the ensemble and the submission are made of."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray

from recsys_lightning.lists import write_lists
from recsys_lightning.recommender import Lists


class CandidateWriter(pl.Callback):
    """Collects the lists of one `validate`, `test` or `predict` and writes them at its end.

    Attributes:
        users: (n,) int64 positions, in the order of the queries.
        items: (n, K) int32 positions, best first; -1 where a user has none left.

    Args:
        path: a parquet file of columns user, item (original ids), rank (from 1) and score.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int32]

    def __init__(self, path: Path) -> None:
        self.path = path
        self._batches: list[Lists] = []

    def on_validation_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:  # noqa: D102
        self._keep(outputs)

    def on_test_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:  # noqa: D102
        self._keep(outputs)

    def on_predict_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:  # noqa: D102
        self._keep(outputs)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:  # noqa: D102
        self._write(trainer)

    def on_test_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:  # noqa: D102
        self._write(trainer)

    def on_predict_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:  # noqa: D102
        self._write(trainer)

    def _keep(self, lists: Lists) -> None:
        self._batches.append(
            Lists(lists.users.cpu(), lists.items.int().cpu(), lists.scores.float().cpu())
        )

    def _write(self, trainer: pl.Trainer) -> None:
        users, items, scores = (
            np.concatenate([getattr(batch, name).numpy() for batch in self._batches])
            for name in Lists._fields
        )
        self._batches.clear()
        self.users, self.items = users, items
        write_lists(self.path, trainer.datamodule.interactions, users, items, scores)  # type: ignore[attr-defined]
