"""A fit: its callbacks, its processes, and what an interrupted one has kept."""

import logging
import os
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from recsys_lightning.callbacks.averaging import AverageWeights
from recsys_lightning.callbacks.candidates import ListCollector
from recsys_lightning.callbacks.fitting import (
    MovableCheckpoint,
    OwnSignals,
    StopAfter,
    ValidatedEpochs,
    WholeCheckpoints,
)
from recsys_lightning.data.datamodule import RecommendationData
from recsys_lightning.errors import InputError
from recsys_lightning.recommender import Recommender
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.stored import typed
from recsys_lightning.starts import RESUME

log = logging.getLogger(__name__)

_OF_SEVERAL = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")
"""What Lightning leaves in the environment where it starts processes."""


def fit_callbacks(
    folder: Path,
    model: Recommender,
    monitor: str | None,
    patience: int | None,
    *,
    average_weights: bool,
) -> tuple[ModelCheckpoint, ListCollector, list[pl.Callback]]:
    """The callbacks of a fit: its best checkpoint, its latest lists, and the others.

    Args:
        folder: of the run.
        model: to be fitted.
        monitor: the metric by which the best epoch is chosen; None: the last epoch is.
        patience: epochs without a better one before the fit stops; None: it does not.
        average_weights: see `AverageWeights`.
    """
    files = RunFolder(folder)
    best = MovableCheckpoint(
        dirpath=files.checkpoints,
        filename=files.best.stem,
        monitor=monitor,
        mode="max",
        save_weights_only=True,
        save_on_train_epoch_end=monitor is None,  # else after a validation
        enable_version_counter=False,
    )
    others = _averaging(average_weights)
    if model.resumable:
        last = MovableCheckpoint(
            dirpath=files.checkpoints,
            filename=files.last.stem,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        others.append(last)
    stop = None
    if monitor is not None and patience is not None:
        stop = EarlyStopping(monitor, mode="max", patience=patience, check_on_train_epoch_end=False)
        others.append(stop)
    return best, ListCollector(), [ValidatedEpochs(stop), OwnSignals(), *others]


def refit_callbacks(epochs: int, *, average_weights: bool) -> list[pl.Callback]:
    """The callbacks of a fit that is not judged: it ends after so many of the planned epochs."""
    return [StopAfter(epochs), OwnSignals(), *_averaging(average_weights)]


def _averaging(average_weights: bool) -> list[pl.Callback]:
    return [AverageWeights()] if average_weights else []


def check_epochs(trainer: pl.Trainer, model: Recommender) -> None:
    """Refuse a fit that would end before there is an epoch to evaluate."""
    least = model.unjudged_epochs + 1
    if trainer.max_epochs is not None and 0 <= trainer.max_epochs < least:
        why = "" if least == 1 else f", since the first {least - 1} are not judged"
        raise InputError(f"max_epochs={trainer.max_epochs}: expected at least {least}{why}")


def check_validated(
    trainer: pl.Trainer, monitor: str | None, best: ModelCheckpoint, lists: ListCollector
) -> None:
    """Say what of a fit that has ended was not validated; refuse one of which nothing was."""
    if not best.best_model_path:
        raise InputError(
            "the fit ended before an epoch was validated: give it more epochs, steps or time"
        )
    if monitor is not None and 0 <= lists.at[1] < trainer.global_step:
        log.warning(
            "the fit ended at step %d; the epochs after step %d were not validated",
            trainer.global_step,
            lists.at[1],
        )


def train(
    trainer: pl.Trainer, model: Recommender, data: RecommendationData, path: Path | None = None
) -> None:
    """Fit, from a checkpoint if there is a path.

    Raises:
        InputError: Lightning refuses an option for this model, such as clipping for two optimisers.
    """
    trainer.strategy.checkpoint_io = WholeCheckpoints()
    try:
        trainer.fit(model, datamodule=data, ckpt_path=path, weights_only=True)
    except MisconfigurationException as error:
        raise InputError(f"trainer, with {type(model).__name__}: {error}") from None


def end_processes(launcher: Any) -> None:
    """End those that a fit on several devices has started: their work is done, or in vain.

    They write nothing. One that waits for this one in a library hears no signal, so all are killed.

    Args:
        launcher: of the fit's trainer; it need not have started any.
    """
    started: list[Popen] = getattr(launcher, "procs", [])
    for process in started:
        process.kill()
    for process in started:
        process.wait()
    if started:
        for name in _OF_SEVERAL:  # else the next fit of this process would wait for these
            os.environ.pop(name, None)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    started.clear()  # else Lightning's observer kills this process, too, within five seconds


def leave_process_group() -> None:
    """One process evaluates: metrics must not wait for the others."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()  # the checkpoint is written
        torch.distributed.destroy_process_group()


def kept(
    folder: Path,
    monitor: str | None = None,
    trainer: pl.Trainer | None = None,
    best: ModelCheckpoint | None = None,
    *,
    refit: bool = False,
) -> str:
    """What an interrupted run has kept, and the command that uses it.

    Args:
        folder: of the run.
        monitor: by which the best epoch is chosen.
        trainer: of the fit that was interrupted; None: another stage was.
        best: its best checkpoint so far.
        refit: whether the run was to be fitted again on everything.
    """
    files = RunFolder(folder)
    stored = typed("ckpt_path", folder)
    from_best = f"with {stored} a run evaluates the best epoch and recommends from it"
    if files.final.is_file():
        from_best = f"with {stored} a run evaluates it and recommends from {files.final}"
    elif refit:
        from_best += "; with refit=true and the options of its trainer, too, it is fitted again"
    if trainer is None or best is None:
        file = files.best
        return f"{file} is kept: {from_best}" if file.is_file() else "nothing is kept"
    epoch = f"in epoch {trainer.current_epoch + 1}"
    resume = ""
    if files.last.is_file():
        here = typed("hydra.run.dir", folder)
        resume = f"To resume: the same command with {here} ckpt_path={RESUME}"
    if best.best_model_score is None or not best.best_model_path:
        if resume:
            return f"{epoch}{', before the first was judged' if monitor else ''}. {resume}"
        return f"{epoch}, before the first was complete: nothing is kept"
    score = f"the best so far ({monitor} {best.best_model_score:.4f}) is"
    usable = f". {resume}; {from_best}" if resume else f"; {from_best}"
    return f"{epoch}; {score} {best.best_model_path}{usable}"
