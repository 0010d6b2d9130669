"""From a configuration to an Experiment that has run.

Nothing heavy is imported before the data is read and split, so that bad input is reported at once.
"""

import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.devices import check_devices, command_of_the_job
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.instantiate import (
    check_options,
    check_trainer,
    class_of,
    make,
    make_each,
    make_trainer,
    resolved,
)
from recsys_lightning.options import Options
from recsys_lightning.processes import is_first_process
from recsys_lightning.runs import secrets
from recsys_lightning.runs.console import describe, summarise
from recsys_lightning.runs.examples import examples_of, positions_of
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.meter import Stopwatch
from recsys_lightning.runs.outcome import Outcome
from recsys_lightning.runs.parameters import flat, is_neutral, keys_of, of_the_job
from recsys_lightning.runs.stored import typed
from recsys_lightning.runs.terminal import Terminal
from recsys_lightning.starts import digests
from recsys_lightning.tracking import base as tracking

log = logging.getLogger(__name__)

CONF = Path(__file__).parents[1] / "conf"

# a fit may be resumed with other ones
MAY_CHANGE = {
    "trainer.max_epochs",
    "trainer.accelerator",
    "trainer.log_every_n_steps",
    "trainer.num_sanity_val_steps",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
}


def load(overrides: Sequence[str]) -> Interactions:
    """The data of a configuration without a run; relative paths are from the working directory.

    Args:
        overrides: as for run.py.

    Raises:
        InputError: the files or the options are wrong.
    """
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", list(overrides))
    interactions: Interactions = make(config.data).load()
    return interactions


def run(
    cfg: DictConfig,
    folder: Path,
    clock: Stopwatch,
    trackers: Sequence[tracking.Tracker],
    begin: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Load, split, and run the Experiment, which calls `begin`.

    Returns:
        What a `RunResult` says of it; nothing in any but the first of several processes.
    """
    console = Terminal(quiet=not is_first_process())
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise InputError(f"{missing[0]}=???: a value is missing; give it on the command line")
    if cfg.jobs is not None:
        raise InputError("jobs: a list of several runs: give -m; or jobs=null, for a single one")
    is_single = HydraConfig.get().mode != RunMode.MULTIRUN
    if cfg.get("ensemble") and is_single and is_first_process():  # the others are of one job each
        raise InputError("ensemble= is made of several runs: give -m, and model=ease,recvae,...")
    check_sweep(cfg)
    config = resolved(cfg)
    options = _options(config)
    check_trainer(cfg)
    check_devices(cfg.trainer)
    if cfg.split_dir is None:
        raise InputError("split_dir=null: expected a folder")
    source, holdout = make(cfg.data), make(cfg.holdout)
    split = holdout(source, clock)
    options = replace(options, header=source.submission_header())
    _check_lengths(options, split.interactions)
    shown = positions_of(split.interactions, config["recommend"]["users"])
    describe(console, source.name, split)
    with clock("split"):
        split_folder = split.write(Path(cfg.split_dir))

    in_search = cfg.sweep.trial is not None and not cfg.sweep.refit
    reports = in_search and is_first_process()  # the others do not know their sweep
    _share_threads()

    from recsys_lightning.experiment import Experiment

    def build_trainer(
        *, callbacks: list[Any], logged: bool, first_epoch: int = 0, **overrides: Any
    ) -> Any:
        chosen = dict(cfg.get("callbacks") or {})
        alone = HydraConfig.get().runtime.choices["hydra/launcher"] == "basic"
        if not (alone and cfg.trainer.enable_progress_bar):  # several would overwrite each other
            chosen.pop("progress_bar", None)
            overrides["enable_progress_bar"] = False
        extra = make_each(chosen, "callbacks")
        if reports and HydraConfig.get().sweeper.pruner:
            extra.append(_pruning(cfg))
        loggers = [tracker.logger(first_epoch) for tracker in trackers] if logged else []
        return make_trainer(
            cfg.trainer, callbacks=callbacks + extra, logger=loggers or False, **overrides
        )

    experiment = Experiment(
        folder=folder,
        split=split,
        view=make(cfg.view),
        build_model=model_builder(cfg.model),
        build_trainer=build_trainer,
        # the search lets its best do so in the end
        options=replace(options, refit=options.refit and not in_search),
        clock=clock,
        begin=begin,
    )
    # the sweep may have said what to resume, or to fit again on everything
    start = [] if cfg.ckpt_path is None else shlex.split(typed("ckpt_path", cfg.ckpt_path))
    try:
        with command_of_the_job(folder, *start):
            outcome = experiment.run()
    finally:
        experiment.end_processes()
    if outcome.final is None:
        return {}
    x = split.interactions
    found = outcome.for_result() | {
        "sizes": {
            "users": x.num_users,
            "items": x.num_items,
            "interactions": x.num_interactions,
        },
        "users": {**outcome.users, "too_short": split.num_too_short},
        "split": split.sha256,
        "split_files": str(split_folder),
        "threads": _threads(),
    }
    if outcome.hyper_parameters:  # a checkpoint's, which had its own
        of_model = {
            name: outcome.hyper_parameters.get(name, value)
            for name, value in config["model"].items()
        }
        found["config"] = secrets.masked(config | {"model": of_model})
    examples = examples_of(split.interactions, shown, outcome.final[:, : cfg.recommend.k])
    tracking.log_examples(trackers, examples)
    _log_outcome(outcome, folder)
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        value = outcome.metrics.get(cfg.monitor)
        ended = f"{cfg.monitor} {value:.4f}" if value is not None else "done"
        console.print(f"{folder.name}: {ended}", soft_wrap=True)
        return found
    for what, file in outcome.checkpoints.items():
        console.print(f"{what} from {file}", highlight=False, soft_wrap=True)
    summarise(
        console,
        metrics=outcome.metrics,
        standard_errors=outcome.standard_errors,
        headline=cfg.monitor,
        examples=examples,
        seconds=clock.seconds,
        files=[RunFolder(folder).result, RunFolder(folder).submission],
    )
    return found


def check_sweep(cfg: DictConfig) -> None:
    """Refuse what is asked of the end of a sweep, before its first job and not after its last.

    Raises:
        InputError: names the key.
    """
    check_range("sweep.keep", cfg.sweep.keep, low=0, whole=True)
    if not isinstance(cfg.sweep.fail_fast, bool):
        raise InputError(f"sweep.fail_fast={cfg.sweep.fail_fast}: expected true or false")
    if cfg.get("ensemble"):
        make(cfg.ensemble)


def _options(config: Mapping[str, Any]) -> Options:
    """Those of a resolved configuration."""
    return Options(
        seed=config["seed"],
        cutoffs=config["metrics"]["k"],
        monitor=config["monitor"],
        patience=config["patience"],
        average_weights=config["average_weights"],
        refit=config["refit"],
        ckpt_path=config["ckpt_path"],
        init_from=config["init_from"],
        test_history=config["test_history"],
        eval_batch_size=config["eval_batch_size"],
        num_candidates=config["recommend"]["candidates"],
        num_recommended=config["recommend"]["k"],
        settings=_fit_settings(config),
        given=_given(config["model"]),
        named=sorted(keys_of(HydraConfig.get().overrides.task)),
    )


def _check_lengths(options: Options, data: Interactions) -> None:
    """Refuse lists that are longer than the catalogue."""
    if options.num_recommended > data.num_items:
        raise InputError(
            f"recommend.k={options.num_recommended}: more than the {data.num_items} items there are"
        )


def _log_outcome(outcome: Outcome, folder: Path) -> None:
    """What was found, and where it is, as the last lines of the run's log."""
    log.info("evaluated after epoch %d, %d steps", outcome.best_epoch, outcome.steps)
    for stage in ("val", "test"):
        of_stage = [f"{n} {v:.4f}" for n, v in outcome.metrics.items() if n.startswith(stage)]
        log.info(", ".join(of_stage) or f"no {stage} metrics")
    files = RunFolder(folder)
    log.info("lists in %s, %s", files.all_candidates, files.submission)


def model_builder(config: DictConfig) -> Any:
    """Makes a model of the configuration, with sizes or a checkpoint's hyper-parameters over it.

    The class is called, and nothing in these is instantiated: a checkpoint may come from anybody.
    """
    from recsys_lightning.recommender import Recommender

    made = class_of(config)
    if not issubclass(made, Recommender):
        raise InputError(f"model._target_={config._target_}: expected a Recommender")
    check_options(config)
    parameters = resolved(config)
    del parameters["_target_"]
    return partial(made, **parameters)


def _given(model: Mapping[str, Any]) -> dict[str, Any]:
    """The model's hyper-parameters that the command names."""
    keys = keys_of(HydraConfig.get().overrides.task)
    return {name: value for name, value in model.items() if f"model.{name}" in keys}


def _fit_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What decides, beside data and model, on what a fit does: seed, batches, precision, ..."""
    keys = "seed", "monitor", "average_weights", "view", "trainer"
    chosen = {key: config[key] for key in keys}
    chosen["callbacks"] = of_the_job(config)["callbacks"]
    named = flat(chosen | {"init_from": digests(config["init_from"])}).items()
    return {
        key: value
        for key, value in named
        if key.startswith("callbacks.")
        or not (key in MAY_CHANGE or key.endswith("_target_") or is_neutral(key, value))
    }


def _share_threads() -> None:
    """Give numba, unless it is imported already, as many threads as torch has.

    They share OpenMP: the first parallel kernel of numba's sets the number for torch, too, and so
    would change in the middle of a fit how torch rounds. What the environment says of numba alone
    may come from a process that had more threads, as of several devices the first has.
    """
    import torch

    if "numba" not in sys.modules:
        os.environ["NUMBA_NUM_THREADS"] = str(torch.get_num_threads())


def _threads() -> dict[str, int]:
    """What a run may use of each library that computes."""
    import numba
    import torch

    return {"torch": torch.get_num_threads(), "numba": numba.get_num_threads()}


def _pruning(cfg: DictConfig) -> Any:
    """Reports to the study whose trial this job is."""
    from recsys_lightning.callbacks.pruning import Pruning, storage_name

    pruner = instantiate(HydraConfig.get().sweeper.pruner)
    sweeper, folder = HydraConfig.get().sweeper, Path(HydraConfig.get().sweep.dir)
    storage = storage_name(sweeper.storage, folder)
    return Pruning(storage, sweeper.study_name, cfg.sweep.trial, pruner, cfg.monitor)
