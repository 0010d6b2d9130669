"""What a fit keeps, and when a refit ends."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint

from recsys_lightning.runs.folder import replacing


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and puts it there when it is whole.

    Lightning makes a copy in memory first, as large as the weights, which takes longer than fitting
    EASE where users are few.
    """

    def save_checkpoint(  # noqa: D102
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(Path(path)) as scratch:
            torch.save(checkpoint, scratch)


class MovableCheckpoint(ModelCheckpoint):
    """Resumes in a folder that was moved or copied, where Lightning would forget the best epoch."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:  # noqa: D102
        def here(path: str) -> str:
            return path and str(Path(str(self.dirpath), Path(path).name))

        moved = {
            name: here(state_dict[name])
            for name in ("best_model_path", "kth_best_model_path", "last_model_path")
        }
        scores = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(
            {**state_dict, **moved, "best_k_models": scores, "dirpath": self.dirpath}
        )


class StopAfter(pl.Callback):
    """Ends a fit after so many epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:  # noqa: D102
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs
