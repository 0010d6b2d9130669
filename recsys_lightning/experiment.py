"""Experiment: one run from split data to lists, metrics and a submission, in that order."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch

from recsys_lightning.callbacks.candidates import ListCollector
from recsys_lightning.checkpoints import (
    check_fit_settings,
    check_given,
    check_items,
    check_model,
    check_no_leak,
    check_resumes,
    check_weights,
    open_checkpoint,
    wrong_model,
)
from recsys_lightning.data.datamodule import RecommendationData, View
from recsys_lightning.data.holdout import NoHoldout, Split
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import InputError, Interrupted
from recsys_lightning.fitting import (
    check_epochs,
    check_validated,
    end_processes,
    fit_callbacks,
    kept,
    leave_process_group,
    refit_callbacks,
    train,
)
from recsys_lightning.memory import require_room_for
from recsys_lightning.options import Options
from recsys_lightning.processes import is_first_process
from recsys_lightning.recommender import Recommender
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.lists import write_lists
from recsys_lightning.runs.meter import Stopwatch
from recsys_lightning.runs.outcome import Outcome
from recsys_lightning.runs.submission import write_submission
from recsys_lightning.starts import RESUME, starts_of, stored


class Experiment:
    """Fit, evaluate, refit, recommend, write.

    With several processes every one fits, and the first alone evaluates and writes: padded
    duplicates would falsify metrics.

    Args:
        folder: the run's folder.
        split: the data and its holdout.
        view: how the model's family makes batches.
        build_model: the model's class with its hyper-parameters; called with the sizes.
        build_trainer: `(callbacks=, logged=, first_epoch=, **overrides)` to a Trainer, with loggers
            if `logged`, which keep what they have of the epochs before `first_epoch`.
        options: the rest.
        clock: times the stages.
        begin: called once all is known to fit, before anything is written.
    """

    def __init__(
        self,
        *,
        folder: Path,
        split: Split,
        view: View,
        build_model: partial[Recommender],
        build_trainer: Callable[..., pl.Trainer],
        options: Options,
        clock: Stopwatch,
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        self.begin = begin
        self.folder, self.split, self.view, self.clock = folder, split, view, clock
        self.files = RunFolder(folder)
        self._build_model, self._build_trainer, self.options = build_model, build_trainer, options
        self._class = cast(type[Recommender], build_model.func)
        self.outcome = Outcome()
        self._launcher: Any = None  # of the processes that a fit on several devices starts

    def run(self) -> Outcome:
        """Run all stages; the files are complete when this returns.

        Raises:
            InputError: an option does not fit the data or the checkpoint.
            Interrupted: by a signal; it says what is kept.
        """
        data = self._data(self.split)
        try:
            weights = stored(self.options.ckpt_path)
            if weights is None:
                self._fit_and_recommend(data)
            else:
                self._recommend_from(weights, data)
        except Interrupted as interruption:
            interruption.kept = interruption.kept or kept(self.folder, refit=self.options.refit)
            raise
        return self.outcome

    def end_processes(self) -> None:
        """End the other processes of a fit on several devices, after `run`, however it ended.

        Until then the next experiment of this process is theirs, too.
        """
        end_processes(self._launcher)

    def _fit_and_recommend(self, data: RecommendationData) -> None:
        with self.clock("fit"):
            model, epochs, lists = self._fit(data)
        self.outcome.best_epoch = epochs
        if is_first_process():
            self._evaluate(model, data, lists)
        if self.options.refit:
            del model  # its weights may be as large as the refitted ones
            with self.clock("refit"):
                model = self._refit(epochs)
        if is_first_process():
            self._recommend(model, data)

    def _recommend_from(self, path: Path, data: RecommendationData) -> None:
        """Evaluate and recommend without fitting, from a checkpoint or from the folder of a run.

        Of a folder the best epoch is evaluated, and the model that was fitted again on everything
        recommends, where there is one: so did the run itself. Where `refit` asks for such a model,
        and there is none that has learned from these very interactions, it is fitted here, for as
        many epochs as were best there.
        """
        best = final = path
        refit = False
        if path.is_dir():
            best, final = RunFolder(path).best, RunFolder(path).final
            refit = self.options.refit and not self._has_all(final)
            if not final.is_file():
                final = best
        model = None
        asked = [part for part in (self.split.valid, self.split.test) if part.num_interactions]
        if asked or refit:
            model = self._load(best, asked, refit)
        self.begin()
        if model and asked and is_first_process():
            self.outcome.checkpoints["evaluate"] = str(best)
            self._evaluate(model, data)
        if model and refit:
            sizes = self._sizes(self.split.interactions, model.features)
            stored = {**model.hparams, **sizes}
            del model  # its weights may be as large as the other's
            with self.clock("refit"):
                model = self._refit(self.outcome.best_epoch, **stored)
            final = self.files.final
        elif model is None or best != final:
            del model
            evaluated = self.outcome.best_epoch
            model = self._load(final)
            if final != best:  # saved after its fit, when an epoch more is counted
                self.outcome.best_epoch = evaluated or self.outcome.best_epoch - 1
        self.outcome.checkpoints["recommend"] = str(final)
        if is_first_process():
            self._recommend(model, data)

    def _has_all(self, final: Path) -> bool:
        """Whether there is a refitted model, and it has learned from the interactions there are."""
        if not final.is_file():
            return False
        _, fitted_on = open_checkpoint(final)
        return fitted_on.learned_from(self.split.interactions)

    def _data(self, split: Split) -> RecommendationData:
        return RecommendationData(
            split,
            self.view,
            eval_batch_size=self.options.eval_batch_size,
            test_history=self.options.test_history,
            seed=self.options.seed,
        )

    def _sizes(self, x: Interactions, features: Sequence[str] | None) -> dict[str, Any]:
        """What a model of this data is built with; its features are all that there are if None."""
        sizes: dict[str, Any] = {"num_users": x.num_users, "num_items": x.num_items}
        if self._class.uses_features:
            found = x.feature_sizes(features)
            sizes |= {"features": list(found), "num_values": list(found.values())}
        return sizes

    def _model(self, split: Split, **stored: Any) -> Recommender:
        """A fresh model of the data's sizes, or of a checkpoint's hyper-parameters."""
        asked = self._build_model.keywords.get("features")
        build = partial(self._build_model, **(stored or self._sizes(split.interactions, asked)))
        fitted_here = not (stored or torch.accelerator.is_available())
        in_a_fit = 5 if self.options.average_weights else 4
        require_room_for(build, copies=in_a_fit if fitted_here else 1)
        pl.seed_everything(self.options.seed, workers=True, verbose=False)
        model = build()
        model.evaluate_at(self.options.cutoffs, self.options.num_candidates)
        model.settings = dict(self.options.settings)
        if str(model.settings.get("trainer.precision")) in ("64", "64-true"):
            model.double()  # before a checkpoint's weights come, which Lightning would do after
        return model

    def _starting_model(self, split: Split, **stored: Any) -> Recommender:
        """A fresh model that has what `init_from` names."""
        model = self._model(split, **stored)
        init_from, accepted = self.options.init_from, model.starts_from
        model.starts = starts_of(init_from, type(model).__name__, accepted, split.interactions)
        return model

    def _fit(self, data: RecommendationData) -> tuple[Recommender, int, ListCollector | None]:
        """Fit, and return to the best epoch.

        Returns:
            the model; its epoch, from 1; and its lists of the validation set, if they are still
            there because that epoch was the last one validated.
        """
        model = self._starting_model(data.split)
        model.settings["split"] = data.split.sha256  # by which its best epoch is chosen
        for start in model.starts.values():
            for part in (self.split.valid, self.split.test):
                check_no_leak(start.file, start.fitted_on, self.split.train, part)
        resumed_from = None
        if self.options.ckpt_path:
            resumed_from, data.first_epoch = self._resumable(model)
        has_valid = self.split.valid.num_interactions > 0
        monitor = self.options.monitor if has_valid else None
        patience, average_weights = self.options.patience, self.options.average_weights
        best, lists, others = fit_callbacks(
            self.folder, model, monitor, patience, average_weights=average_weights
        )
        overrides = {} if has_valid else {"limit_val_batches": 0}
        trainer = self._build_trainer(
            callbacks=[best, lists, *others], logged=True, first_epoch=data.first_epoch, **overrides
        )
        check_epochs(trainer, model)
        self._launcher = trainer.strategy.launcher
        self.begin()
        try:
            train(trainer, model, data, resumed_from)
        except Interrupted as interruption:
            interruption.kept = kept(self.folder, monitor, trainer, best)
            raise
        several = trainer.world_size > 1  # each has its users' lists only
        leave_process_group()
        self.outcome.steps = trainer.global_step
        check_validated(trainer, monitor, best, lists)
        checkpoint, _ = open_checkpoint(Path(best.best_model_path))
        if model.resumable:  # else these are the weights that it has: of its only epoch
            model.load_state_dict(checkpoint["state_dict"])
        still_there = not several and lists.at == (checkpoint["epoch"], checkpoint["global_step"])
        return model, checkpoint["epoch"] + 1, lists if still_there else None

    def _refit(self, epochs: int, **stored: Any) -> Recommender:
        """A fresh model fitted on everything for as many epochs as were best."""
        everything = self._data(NoHoldout().split(self.split.interactions))
        model = self._starting_model(everything.split, **stored)
        trainer = self._build_trainer(
            # of as many planned: schedules stay the same
            callbacks=refit_callbacks(epochs, average_weights=self.options.average_weights),
            logged=False,
            limit_val_batches=0,
            enable_checkpointing=False,
        )
        self._launcher = self._launcher or trainer.strategy.launcher
        train(trainer, model, everything)
        trainer.save_checkpoint(self.files.final)
        leave_process_group()
        return model

    def _load(
        self, file: Path, asked: Sequence[Interactions] = (), refit: bool = False
    ) -> Recommender:
        """A fitted model from a checkpoint.

        Args:
            file: the checkpoint.
            asked: what it will be evaluated on.
            refit: whether it will be fitted again, as it was.
        """
        checkpoint, fitted_on = open_checkpoint(file)
        if asked or not refit:  # else it only says how to fit one that learns these items
            check_items(file, fitted_on, self.split.interactions.items)
        for part in asked:
            check_no_leak(file, fitted_on, self.split.train, part)
        given, at_scoring = self.options.given, self._class.at_scoring
        changed = {name: given[name] for name in at_scoring if name in given}
        try:
            model = self._model(self.split, **(checkpoint["hyper_parameters"] | changed))
        except TypeError as error:  # its hyper-parameters are not this model's
            raise wrong_model(file, checkpoint) from error
        check_model(file, checkpoint, model)
        check_given(file, given, model)
        fitted, now = checkpoint["settings"], self.options.settings
        named = [key for key in self.options.named if key == "seed" or key.startswith("view.")]
        alike = (fitted.keys() | now.keys()) - {"monitor", "split"} if refit else named
        check_fit_settings(file, fitted, now, alike)
        check_weights(file, checkpoint, model)
        model.load_state_dict(checkpoint["state_dict"])
        model.fitted_on = fitted_on
        self.outcome.hyper_parameters = dict(model.hparams)
        self.outcome.best_epoch = checkpoint["epoch"] + 1
        return model

    def _resumable(self, model: Recommender) -> tuple[Path, int]:
        """The checkpoint that an interrupted fit of the same model left, and the next epoch."""
        file = self.files.last
        if not file.is_file():
            raise InputError(
                f"ckpt_path={RESUME}: no checkpoint at {file}; name the interrupted run's folder "
                "by hydra.run.dir="
            )
        checkpoint, fitted_on = open_checkpoint(file)
        check_model(file, checkpoint, model)
        check_resumes(checkpoint, fitted_on, model, self.split.train)
        check_weights(file, checkpoint, model)
        return file, checkpoint["epoch"] + 1

    def _evaluate(
        self, model: Recommender, data: RecommendationData, valid: ListCollector | None = None
    ) -> None:
        """Metrics and lists of the validation and the test set.

        Args:
            model: fitted.
            data: the split.
            valid: lists of the validation set by this very model, whose metrics it has, too.
        """
        for stage, name, part in (
            ("validate", "valid", self.split.valid),
            ("test", "test", self.split.test),
        ):
            if not part.num_interactions:
                continue
            lists = valid if name == "valid" else None
            if lists is None:
                with self.clock(stage):
                    lists = self._ask(model, data, stage)
            with self.clock("write"):
                self._write(name, data, lists)
            self.outcome.users[name] = len(data.users(name))
        self.outcome.metrics = dict(model.measured)
        self.outcome.standard_errors = {
            name: value for name, value in model.standard_errors.items() if np.isfinite(value)
        }

    def _recommend(self, model: Recommender, data: RecommendationData) -> None:
        with self.clock("recommend"):
            lists = self._ask(model, data, "predict")
        with self.clock("write"):
            self._write("final", data, lists)
            x, k = self.split.interactions, self.options.num_recommended
            self.outcome.parameters = sum(v.numel() for v in model.state_dict().values())
            self.outcome.final = lists.items
            self.outcome.submission = write_submission(
                self.files.submission, x, lists.items, k, self.options.header
            )

    def _ask(self, model: Recommender, data: RecommendationData, stage: str) -> ListCollector:
        """Lists of all queries of `validate`, `test` or `predict`, on one device.

        Loggers are not given: they get the metrics of the one run that has the outcome.
        """
        assert model.fitted_on is not None
        data.rows = model.fitted_on.rows_of(data.interactions.users)
        lists = ListCollector()
        trainer = self._build_trainer(callbacks=[lists], logged=False, devices=1, strategy="auto")
        if stage == "predict":
            trainer.predict(model, datamodule=data, return_predictions=False)
        else:
            getattr(trainer, stage)(model, datamodule=data, verbose=False)
        return lists

    def _write(self, name: str, data: RecommendationData, lists: ListCollector) -> None:
        path = self.files.candidates(name)
        write_lists(path, data.interactions, data.users(name), lists.items, lists.scores)
