"""Experiment: one run from split data to lists, metrics and a submission, in that order."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from recsys_lightning.callbacks.candidates import CandidateWriter
from recsys_lightning.data.datamodule import RecommendationData, View
from recsys_lightning.data.holdout import NoHoldout, Split
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import InputError, Interrupted, check_range
from recsys_lightning.recommender import Recommender
from recsys_lightning.results import (
    Stopwatch,
    is_first_process,
    peak_rss_mb,
    write_submission,
)

RESUME = "last"  # as ckpt_path: go on with the interrupted run in this folder


@dataclass(frozen=True)
class Options:
    """What is neither data, model nor trainer; the keys are those of `conf/config.yaml`."""

    seed: int
    cutoffs: Sequence[int]  # metrics.k
    monitor: str
    patience: int | None  # epochs without a better one before the fit stops
    refit: bool
    ckpt_path: str | None
    test_history: str
    eval_batch_size: int
    num_candidates: int  # recommend.candidates, the K of candidates/*.parquet
    num_recommended: int  # recommend.k, the items a user in submission.csv


@dataclass
class Outcome:
    """What a run found, apart from the files it wrote.

    Attributes:
        metrics: by name, such as `val/recall@10`.
        standard_errors: over users, of the same names where there is one.
        num_evaluated: users by stage.
        best_epoch: from 1; the one whose weights were evaluated.
        steps: optimiser steps of the fit.
        parameters: numbers that the model holds, parameters and buffers.
        final: (U, K) ranked item positions from all interactions.
        submission: path of submission.csv.
        num_unknown: users of the submission that the data does not know.
        num_short: users with fewer unseen items than asked for.
        peak_rss_mb: of this process.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    standard_errors: dict[str, float] = field(default_factory=dict)
    num_evaluated: dict[str, int] = field(default_factory=dict)
    best_epoch: int = 0
    steps: int = 0
    parameters: int = 0
    final: NDArray[np.int32] | None = None
    submission: Path | None = None
    num_unknown: int = 0
    num_short: int = 0
    peak_rss_mb: float = 0.0


class Experiment:
    """Fit, evaluate, refit, recommend, write.

    With several processes every one fits, and the first alone evaluates and writes: padded
    duplicates would falsify metrics.

    Args:
        folder: the run's folder.
        split: the data and its holdout.
        view: how the model's family makes batches.
        build_model: `(num_users=, num_items=)` to a fresh model.
        build_trainer: `(callbacks=, logged=, **overrides)` to a Trainer, with loggers if logged.
        options: the rest.
        clock: times the stages.
    """

    def __init__(
        self,
        *,
        folder: Path,
        split: Split,
        view: View,
        build_model: Callable[..., Recommender],
        build_trainer: Callable[..., pl.Trainer],
        options: Options,
        clock: Stopwatch,
    ) -> None:
        self.folder, self.split, self.view = folder, split, view
        self._build_model, self._build_trainer = build_model, build_trainer
        self.options, self.clock = options, clock
        check_range("seed", options.seed, low=0, whole=True)
        if options.patience is not None:
            check_range("patience", options.patience, low=1, whole=True)
        check_range("recommend.k", options.num_recommended, low=1, whole=True)
        check_range(
            "recommend.candidates", options.num_candidates, low=options.num_recommended, whole=True
        )
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Run all stages; the files are complete when this returns.

        Raises:
            InputError: an option does not fit the data or the checkpoint.
        """
        data = self._data(self.split)
        if fits := self.options.ckpt_path in (None, RESUME):
            with self.clock("fit"):
                model, epochs = self._fit(data)
        else:
            model, epochs = self._load(str(self.options.ckpt_path))
        if is_first_process():
            self.outcome.best_epoch = epochs
            self.outcome.parameters = sum(value.numel() for value in model.state_dict().values())
            self._evaluate(model, data)
        if self.options.refit and fits:
            del model  # its weights may be as large as the refitted ones
            with self.clock("refit"):
                model = self._refit(epochs)
        if is_first_process():
            self._recommend(model, data)
        self.outcome.peak_rss_mb = peak_rss_mb()
        return self.outcome

    def _data(self, split: Split) -> RecommendationData:
        return RecommendationData(
            split,
            self.view,
            eval_batch_size=self.options.eval_batch_size,
            test_history=self.options.test_history,
            seed=self.options.seed,
        )

    def _model(self, split: Split, **hyper_parameters: Any) -> Recommender:
        pl.seed_everything(self.options.seed, workers=True, verbose=False)
        x = split.interactions
        sizes = {"num_users": x.num_users, "num_items": x.num_items}
        model = self._build_model(**(sizes | hyper_parameters))
        model.evaluate_at(self.options.cutoffs, self.options.num_candidates)
        model.fitted_on = fingerprint(split)
        return model

    def _fit(self, data: RecommendationData) -> tuple[Recommender, int]:
        """Fit, and go back to the best epoch; returns it, counted from 1, too."""
        model = self._model(data.split)
        resumed_from = None
        if self.options.ckpt_path:
            resumed_from, data.first_epoch = self._resumable(model)
        has_valid = self.split.valid.num_interactions > 0
        names = [f"val/{name}" for name in model.val_metrics]
        if has_valid and self.options.monitor not in names:
            raise InputError(f"monitor={self.options.monitor}: expected one of {', '.join(names)}")
        best = ModelCheckpoint(
            dirpath=self.folder / "checkpoints",
            filename="best",
            monitor=self.options.monitor if has_valid else None,
            mode="max",
            save_weights_only=True,
            enable_version_counter=False,
        )
        callbacks: list[pl.Callback] = [best]
        if model.resumable:
            last = ModelCheckpoint(
                dirpath=self.folder / "checkpoints",
                filename="last",
                save_on_train_epoch_end=True,
                enable_version_counter=False,
            )
            callbacks.append(last)
        if has_valid and self.options.patience is not None:
            stop = EarlyStopping(self.options.monitor, mode="max", patience=self.options.patience)
            callbacks.append(stop)
        overrides = {} if has_valid else {"limit_val_batches": 0}
        trainer = self._build_trainer(callbacks=callbacks, logged=True, **overrides)
        if trainer.max_epochs == 0:
            raise InputError("max_epochs=0: expected at least 1")
        try:
            trainer.fit(model, datamodule=data, ckpt_path=resumed_from, weights_only=True)
        except SystemExit:  # Lightning's answer to Ctrl-C
            if not trainer.interrupted:
                raise
            raise Interrupted(self._interruption(trainer, best)) from None
        _leave_process_group()
        self.outcome.steps = trainer.global_step
        checkpoint = torch.load(
            best.best_model_path, map_location="cpu", weights_only=True, mmap=True
        )
        model.load_state_dict(checkpoint["state_dict"])
        return model, checkpoint["epoch"] + 1

    def _refit(self, epochs: int) -> Recommender:
        """A fresh model fitted on everything for as many epochs as were best."""
        everything = self._data(NoHoldout().split(self.split.interactions))
        model = self._model(everything.split)
        trainer = self._build_trainer(
            callbacks=[_StopAfter(epochs)],  # of as many planned: schedules stay the same
            logged=False,
            limit_val_batches=0,
            enable_checkpointing=False,
        )
        trainer.fit(model, datamodule=everything)
        trainer.save_checkpoint(self.folder / "checkpoints" / "final.ckpt")
        _leave_process_group()
        return model

    def _load(self, path: str) -> tuple[Recommender, int]:
        """A fitted model from a checkpoint, or from the folder of a run."""
        file = Path(path)
        if file.is_dir():
            file = file / "checkpoints" / "best.ckpt"
        if not file.is_file():
            raise InputError(f"ckpt_path={path}: no checkpoint at {file}")
        checkpoint = self._open(file)
        try:
            model = self._model(self.split, **checkpoint["hyper_parameters"])
        except TypeError as error:  # its hyper-parameters are not this model's
            raise _wrong_model(file, checkpoint) from error
        if type(model).__name__ != checkpoint["model"]:
            raise _wrong_model(file, checkpoint)
        model.load_state_dict(checkpoint["state_dict"])
        return model, checkpoint["epoch"] + 1

    def _resumable(self, model: Recommender) -> tuple[Path, int]:
        """The checkpoint that an interrupted fit of the same model left, and the next epoch."""
        file = self.folder / "checkpoints" / "last.ckpt"
        if not file.is_file():
            raise InputError(
                f"ckpt_path={RESUME}: no checkpoint at {file}; name the interrupted run's folder "
                "by hydra.run.dir="
            )
        checkpoint = self._open(file)
        if type(model).__name__ != checkpoint["model"]:
            raise _wrong_model(file, checkpoint)
        for key, value in checkpoint["hyper_parameters"].items():
            if model.hparams[key] != value:
                raise InputError(
                    f"ckpt_path={RESUME}: the interrupted run had model.{key}={value}, not "
                    f"{model.hparams[key]}; go on with the same, or start anew without ckpt_path"
                )
        return file, checkpoint["epoch"] + 1

    def _open(self, file: Path) -> dict[str, Any]:
        """The content of a checkpoint that was fitted on these training interactions."""
        try:
            checkpoint: dict[str, Any] = torch.load(
                file, map_location="cpu", weights_only=True, mmap=True
            )
            told, fitted_on = checkpoint["hyper_parameters"], checkpoint["fitted_on"]
        except Exception as error:
            raise InputError(f"{file} is not a checkpoint of this project: {error}") from error
        x, here = self.split.interactions, fingerprint(self.split)
        if (told["num_users"], told["num_items"]) != (x.num_users, x.num_items) or (
            fitted_on["items"] != here["items"]
        ):
            raise InputError(
                f"{file} was fitted on other data: {told['num_users']} users and "
                f"{told['num_items']} items, not these {x.num_users} and {x.num_items}"
            )
        evaluated = self.split.valid.num_interactions + self.split.test.num_interactions
        if evaluated and fitted_on["train"] != here["train"]:
            raise InputError(
                f"{file} was fitted on other training interactions, so metrics on this holdout "
                "could be a leak. Use the holdout it was fitted with, or holdout=none to recommend"
            )
        return checkpoint

    def _interruption(self, trainer: pl.Trainer, best: ModelCheckpoint) -> str:
        """What the user is told after Ctrl-C."""
        told = f"interrupted in epoch {trainer.current_epoch + 1}"
        if best.best_model_score is None or not best.best_model_path:
            return f"{told}, before the first was complete: nothing is kept"
        score = f"{self.options.monitor} {best.best_model_score:.4f}"
        return (
            f"{told}; the best so far ({score}) is {best.best_model_path}. To go on: the same "
            f"command with hydra.run.dir={self.folder} ckpt_path={RESUME}; to recommend from the "
            f"best: with ckpt_path={self.folder}"
        )

    def _evaluate(self, model: Recommender, data: RecommendationData) -> None:
        for stage, name, part in (
            ("validate", "valid", self.split.valid),
            ("test", "test", self.split.test),
        ):
            if not part.num_interactions:
                continue
            with self.clock(stage):
                trainer = self._evaluator(name)
                evaluate = trainer.validate if stage == "validate" else trainer.test
                evaluate(model, datamodule=data, verbose=False)
            self.outcome.num_evaluated[name] = int(np.count_nonzero(part.lengths))
        self.outcome.metrics = dict(model.measured)
        self.outcome.standard_errors = {
            name: value for name, value in model.standard_errors.items() if np.isfinite(value)
        }

    def _recommend(self, model: Recommender, data: RecommendationData) -> None:
        with self.clock("recommend"):
            trainer = self._evaluator("final")
            trainer.predict(model, datamodule=data, return_predictions=False)
            [writer] = (c for c in trainer.callbacks if isinstance(c, CandidateWriter))  # type: ignore[attr-defined]
        with self.clock("write"):
            x, k = self.split.interactions, self.options.num_recommended
            self.outcome.final = writer.items
            self.outcome.submission = self.folder / "submission.csv"
            self.outcome.num_unknown, self.outcome.num_short = write_submission(
                self.outcome.submission, x, writer.items, np.argsort(-x.popularity)[:k], k
            )

    def _evaluator(self, name: str) -> pl.Trainer:
        """One device, and a file of candidates; loggers are told by the one who has the outcome."""
        writer = CandidateWriter(self.folder / "candidates" / f"{name}.parquet")
        return self._build_trainer(callbacks=[writer], logged=False, devices=1, strategy="auto")


class _StopAfter(pl.Callback):
    """Ends a fit after so many epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


def _wrong_model(file: Path, checkpoint: dict[str, Any]) -> InputError:
    return InputError(f"{file} holds a {checkpoint['model']}: choose it by model=")


def fingerprint(split: Split) -> dict[str, str]:
    """SHA-256 of the item ids, and of the training interactions, that a model is fitted on."""

    def sha256(*arrays: NDArray[Any]) -> str:
        digest = hashlib.sha256()
        for array in arrays:
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    train: Interactions = split.train
    return {
        "items": sha256(train.items),
        "train": sha256(train.users, train.items, train.indptr, train.indices),
    }


def _leave_process_group() -> None:
    """One process evaluates: metrics must not wait for the others."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()  # the checkpoint is written
        torch.distributed.destroy_process_group()
