"""What a fit keeps, what ends it, and when a refit ends."""

import os
import signal
import threading
from io import FileIO
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io import TorchCheckpointIO
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from typing_extensions import override

from recsys_lightning.errors import check_range
from recsys_lightning.interruption import signals_wait
from recsys_lightning.writing import replacing


class SyncedFile(FileIO):
    """A file for writing that reaches the disk step by step, and leaves the page cache then.

    So it outlives a loss of power; and large weights do not fill new memory with unwritten pages,
    which is slower than a disk where a virtual machine must first get that memory from its host.
    """

    step = 16 << 20  # bytes

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w")
        self.unsynced = 0

    def write(self, data: Any) -> int:
        """Write all of it."""
        left = memoryview(data).cast("B")
        size = left.nbytes
        while left:
            written = super().write(left[: self.step - self.unsynced]) or 0
            left, self.unsynced = left[written:], self.unsynced + written
            if self.unsynced == self.step:
                self.sync()
        return size

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        os.fsync(self.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.unsynced = 0

    def close(self) -> None:
        """The rest reaches the disk, too."""
        if not self.closed:
            self.sync()
        super().close()


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and puts it there when it is whole.

    A signal waits until then: raised within PyTorch's archive it would become an error of that.

    Lightning makes a copy in memory first, as large as the weights, which takes longer than fitting
    EASE where users are few.
    """

    @override
    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        with signals_wait(), replacing(Path(path)) as scratch, SyncedFile(scratch) as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # of PyTorch's archive, after the error of the file
                cause = error.__context__
                if not isinstance(cause, OSError):
                    raise
                raise OSError(cause.errno, cause.strerror, str(path)) from None


class MovableCheckpoint(ModelCheckpoint):
    """Resumes in a folder that was moved or copied, where Lightning would forget the best epoch."""

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
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

    @override
    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        self.every = trainer.check_val_every_n_epoch or 0
        check_range("trainer.check_val_every_n_epoch", self.every, low=1, whole=True)
        if self.stop is not None:
            self.patience = self.stop.patience  # the checkpoint of a resumed fit puts back its own

    @override
    def on_train_start(self, trainer: Any, module: pl.LightningModule) -> None:
        if self.stop is not None:
            # more than one validation an epoch: trainer.val_check_interval
            each = max(int(trainer.num_training_batches // trainer.val_check_batch), 1)
            self.stop.patience = -(-self.patience * each // self.every)

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        epoch = trainer.current_epoch + 1
        due = epoch % self.every == 0 or epoch == trainer.max_epochs
        # Lightning validates where this divides the epoch
        trainer.check_val_every_n_epoch = 1 if due and epoch > module.unjudged_epochs else epoch + 1


class StopAfter(pl.Callback):
    """Ends a fit after so many epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


class OwnSignals(pl.Callback):
    """Leaves SIGTERM to who had it before the fit.

    Lightning's handler tells the other devices of it by a broadcast, in which the process waits for
    ever where they are in another collective.
    """

    def __init__(self) -> None:
        self.handler = signal.getsignal(signal.SIGTERM)

    @override
    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.handler)
