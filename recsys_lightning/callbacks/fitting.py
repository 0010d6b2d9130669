"""What a fit keeps, and when a refit ends."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io import TorchCheckpointIO
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from recsys_lightning.errors import check_range
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


class ValidatedEpochs(pl.Callback):
    """Validates every n-th epoch (`trainer.check_val_every_n_epoch`), and the last one in any case.

    The model's `unjudged_epochs` are left out. So the best checkpoint, the kept lists, early
    stopping and a pruner see the others only: they all wait for a validation.

    Args:
        stop: whose patience, in epochs, becomes one in validations, rounded up.
    """

    def __init__(self, stop: EarlyStopping | None = None) -> None:
        self.stop = stop

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:  # noqa: D102
        self.every = trainer.check_val_every_n_epoch or 0
        check_range("trainer.check_val_every_n_epoch", self.every, low=1, whole=True)
        if self.stop is not None:
            self.stop.patience = -(-self.stop.patience // self.every)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:  # noqa: D102
        epoch = trainer.current_epoch + 1
        due = epoch % self.every == 0 or epoch == trainer.max_epochs
        # Lightning validates where this divides the epoch
        trainer.check_val_every_n_epoch = 1 if due and epoch > module.unjudged_epochs else epoch + 1


class StopAfter(pl.Callback):
    """Ends a fit after so many epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:  # noqa: D102
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs
