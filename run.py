"""The one entry point: `python run.py model=ease`. Exits with 0, 2 for bad input, or 1.

Nothing heavy is imported before the data is read and split, so that bad input is told at once.
"""

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from recsys_lightning.errors import BAD_INPUT, FAILED, InputError, Interrupted, Pruned
from recsys_lightning.instantiate import make
from recsys_lightning.interruption import signals_kill, signals_raise
from recsys_lightning.processes import is_first_process
from recsys_lightning.runs import secrets
from recsys_lightning.runs.console import describe, summarise
from recsys_lightning.runs.deaths import leaving_word
from recsys_lightning.runs.examples import examples_of, positions_of
from recsys_lightning.runs.folder import write_json
from recsys_lightning.runs.meter import Stopwatch, forget_peak_rss, peak_rss_mb
from recsys_lightning.runs.parameters import job_hash, split_of
from recsys_lightning.runs.provenance import git_commit, versions
from recsys_lightning.runs.stored import with_stored_run
from recsys_lightning.sweeps.end import Sweep, end_sweep
from recsys_lightning.sweeps.jobs import drop_all_but_best, find_done, has_failed, make_room
from recsys_lightning.sweeps.locks import take_job
from recsys_lightning.tracking import base as tracking
from recsys_lightning.tracking.wandb import tell_how_to_sync

log = logging.getLogger("recsys_lightning")

exit_codes: list[int] = []  # of the jobs that failed: a job never raises, or a sweep would stop

# Known, harmless, and nothing that a user could act on.
SILENCED = (
    ".*does not have many workers.*",
    ".*configure_optimizers` returned `None`.*",  # closed form
    "Experiment logs directory .* exists and is not empty.*",  # Hydra made it
    "Checkpoint directory .* exists and is not empty.*",  # a run in the folder of an earlier one
    ".*smaller than the logging interval.*",
    ".*`broadcast_buffers` is deprecated.*",  # and no other option does what it does
    r".*isinstance\(treespec, LeafSpec\).*",  # torch, of Lightning
)


def run(
    cfg: DictConfig, folder: Path, clock: Stopwatch, trackers: Sequence[tracking.Tracker]
) -> dict[str, Any]:
    """Load, split, and run the Experiment.

    Returns:
        What result.json says of it; nothing in any but the first of several processes.
    """
    console = Console(quiet=int(os.environ.get("LOCAL_RANK", 0)) > 0)
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise InputError(f"{missing[0]}=???: a value is missing; give it on the command line")
    if cfg.jobs is not None:
        raise InputError("jobs: a list of several runs: give -m; or jobs=null, for a single one")
    if cfg.get("ensemble"):
        if HydraConfig.get().mode != RunMode.MULTIRUN:
            raise InputError(
                "ensemble= is made of several runs: give -m, and model=ease,recvae,..."
            )
        make(cfg.ensemble)  # a mistake in it is told now, not when all jobs are done
    source, holdout = make(cfg.data), make(cfg.holdout)
    split = holdout(source, clock)
    shown = positions_of(split.interactions, cfg.recommend.users)
    describe(console, source.name, split)
    with clock("split"):
        split_folder = split.write(Path(cfg.split_dir))

    from recsys_lightning.experiment import Experiment, Options

    def build_trainer(
        *, callbacks: list[Any], logged: bool, first_epoch: int = 0, **overrides: Any
    ) -> Any:
        chosen = dict(cfg.get("callbacks") or {})
        if HydraConfig.get().runtime.choices["hydra/launcher"] != "basic":
            chosen.pop("progress_bar", None)  # several at once would overwrite each other
            overrides["enable_progress_bar"] = False
        extra = [make(callback) for callback in chosen.values()]
        if cfg.sweep.trial is not None and HydraConfig.get().sweeper.pruner:
            extra.append(_pruning(cfg))
        loggers = [tracker.logger(first_epoch) for tracker in trackers] if logged else []
        return make(cfg.trainer, callbacks=callbacks + extra, logger=loggers or False, **overrides)

    outcome = Experiment(
        folder=folder,
        split=split,
        view=make(cfg.view),
        build_model=_model_builder(cfg.model),
        build_trainer=build_trainer,
        options=Options(
            seed=cfg.seed,
            cutoffs=list(cfg.metrics.k),
            monitor=cfg.monitor,
            patience=cfg.patience,
            refit=cfg.refit,
            ckpt_path=cfg.ckpt_path,
            test_history=cfg.test_history,
            eval_batch_size=cfg.eval_batch_size,
            num_candidates=cfg.recommend.candidates,
            num_recommended=cfg.recommend.k,
            settings=_fit_settings(cfg),
        ),
        clock=clock,
    ).run()
    if outcome.final is None:
        return {}
    told = {
        "metrics": outcome.metrics,
        "standard_errors": outcome.standard_errors,
        "users": {**outcome.num_evaluated, "too_short": split.num_too_short},
        "submission": {"unknown": outcome.num_unknown, "short": outcome.num_short},
        "split": split.sha256,
        "split_files": str(split_folder),
        "best_epoch": outcome.best_epoch,
        "steps": outcome.steps,
        "parameters": outcome.parameters,
        "checkpoints": outcome.checkpoints,
        "threads": _threads(),
    }
    examples = examples_of(split.interactions, shown, outcome.final[:, : cfg.recommend.k])
    tracking.log_examples(trackers, examples)
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        value = outcome.metrics.get(cfg.monitor)
        ended = f"{cfg.monitor} {value:.4f}" if value is not None else "done"
        console.print(f"{folder.name}: {ended}", soft_wrap=True)
        return told
    for what, file in outcome.checkpoints.items():
        console.print(f"{what} from {file}", markup=False, highlight=False, soft_wrap=True)
    summarise(
        console,
        metrics=outcome.metrics,
        standard_errors=outcome.standard_errors,
        headline=cfg.monitor.split("/")[-1],
        examples=examples,
        seconds=clock.seconds,
        files=[folder / "result.json", folder / "submission.csv"],
    )
    return told


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def job(cfg: DictConfig) -> float | None:
    """One run; or a job of a sweep, unless it is done already."""
    for message in SILENCED:
        warnings.filterwarnings("ignore", message=message)
    _limit_threads()
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    if hydra_config.output_subdir:
        secrets.hide_in_files(folder / hydra_config.output_subdir)
    result, data = _head(cfg)
    word = leaving_word(folder, result) if is_first_process() else nullcontext()
    if hydra_config.mode != RunMode.MULTIRUN:
        with word:
            return record(cfg, folder, result, None)
    sweep_folder = Path(hydra_config.sweep.dir)
    if cfg.sweep.fail_fast and has_failed(sweep_folder):
        print(f"not started, as another job has failed: {folder}")
        return None
    with take_job(sweep_folder, result["job"], folder):
        if found := find_done(sweep_folder, result["job"], lambda: _split_of(cfg, data)):
            print(f"done already: {found[0]}")
            return found[1]["metrics"].get(cfg.monitor)
        make_room(folder)
        with word:
            return record(cfg, folder, result, sweep_folder)


def _head(cfg: DictConfig) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What result.json says of a run before it begins; and the identity of its data and holdout.

    Where these cannot be made there is none: the run will fail by the same error.
    """
    hydra_config = HydraConfig.get()
    choices, overrides = dict(hydra_config.runtime.choices), list(hydra_config.overrides.task)
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    data: dict[str, Any] | None = None
    with suppress(InputError, OSError, HydraException, OmegaConfBaseException):
        data = make(cfg.holdout).identity(make(cfg.data))
    known = config, choices, data
    return {
        "status": "done",
        "error": None,
        "model": choices["model"],
        "data": choices["data"],
        "split": None,
        "seed": cfg.seed,
        "metrics": {},
        "job": job_hash(*known, overrides=overrides),
        "repeated": job_hash(*known, overrides=overrides, without="seed"),
        "config": secrets.masked(config),
        "choices": choices,
        "overrides": secrets.masked(overrides),
    }, data


def _split_of(cfg: DictConfig, data: dict[str, Any] | None) -> str:
    """The SHA-256 of the split that a job has now."""
    try:
        return split_of(data, lambda: make(cfg.holdout)(make(cfg.data)).sha256) if data else "none"
    except (InputError, OSError):  # the run will say so
        return "none"


def record(
    cfg: DictConfig, folder: Path, result: dict[str, Any], sweep_folder: Path | None
) -> float | None:
    """Run, and write result.json last, whatever happens; returns the monitored metric."""
    if is_first_process():  # what an earlier run left must not pass for this one's
        left = ["result.json", "submission.csv", *folder.glob("candidates/*.parquet")]
        for earlier in left + ([] if cfg.ckpt_path == "last" else ["metrics.csv"]):
            (folder / earlier).unlink(missing_ok=True)
    result["git_commit"] = git_commit(Path(__file__).parent)
    clock = Stopwatch()
    forget_peak_rss()
    trackers: list[tracking.Tracker] = []  # those that have begun
    interruption: Interrupted | None = None
    try:
        if is_first_process():
            chosen = [make(logger) for logger in (cfg.get("logger") or {}).values()]
            tracking.begin(chosen, trackers, folder, sweep_folder, result)
        told = run(cfg, folder, clock, trackers)
        if not told:
            return None
        result |= told
    except (InputError, OSError, OmegaConfBaseException) as error:
        _fail(result, str(error), BAD_INPUT)
    except Pruned as pruned:
        result["status"] = "pruned"
        print(pruned)
    except Interrupted as error:
        interruption = error
        signals_kill()
        message = f"{error} during {clock.stage}: {_what_next(error, sweep_folder)}"
        _fail(result, message, error.code)
    except Exception as error:
        log.exception("the run failed")
        _fail(result, f"{type(error).__name__}: {error}", FAILED)
    if not is_first_process():
        if interruption:
            raise interruption
        return None
    result |= {
        "seconds": clock.seconds,
        "peak_rss_mb": peak_rss_mb(),
        "versions": versions(),
        "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    try:
        write_json(folder / "result.json", result)
    except OSError as error:  # a full disk, most likely; said once is enough
        if result["status"] == "done":
            _fail(result, str(error), BAD_INPUT)
    finally:
        tracking.end(trackers, result)
    if sweep_folder is None:
        tell_how_to_sync(folder)
    else:
        minimize = HydraConfig.get().sweeper.get("direction") == "minimize"
        drop_all_but_best(sweep_folder, result, cfg.monitor, cfg.sweep.keep, minimize=minimize)
    if interruption:
        raise interruption  # ends a sweep, too
    return result["metrics"].get(cfg.monitor)


def _model_builder(config: DictConfig) -> Any:
    """Makes a model of the configuration, with sizes or a checkpoint's hyper-parameters over it.

    The class is called, and nothing in these is instantiated: a checkpoint may come from anybody.
    """
    parameters = OmegaConf.to_container(config, resolve=True)
    assert isinstance(parameters, dict)
    return partial(get_class(parameters.pop("_target_")), **parameters)


# a fit may be resumed with other ones
MAY_CHANGE = {
    "trainer.max_epochs",
    "trainer.accelerator",
    "trainer.log_every_n_steps",
    "trainer.num_sanity_val_steps",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
}


def _fit_settings(cfg: DictConfig) -> dict[str, Any]:
    """What decides, beside data and model, on what a fit does: seed, batches, precision, ..."""
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    named = tracking.scalars({key: config[key] for key in ("seed", "view", "trainer")})
    return {k: v for k, v in named if k not in MAY_CHANGE and not k.endswith("_target_")}


def _what_next(interruption: Interrupted, sweep_folder: Path | None) -> str:
    """What an interrupted run has kept, and how to start again."""
    if sweep_folder is None:
        return interruption.kept or "nothing is kept"
    return f"the same command with hydra.sweep.dir={sweep_folder} skips the jobs that are done"


def _limit_threads() -> None:
    """Make numba, which has a variable of its own, follow the one that all others obey."""
    if limit := os.environ.get("OMP_NUM_THREADS"):
        os.environ.setdefault("NUMBA_NUM_THREADS", limit.split(",")[0])


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


def _fail(result: dict[str, Any], message: str, code: int) -> None:
    message = secrets.mask(message)
    result |= {"status": "failed", "error": message}
    exit_codes.append(code)
    if code < 128 or is_first_process():  # a signal is said once, by the first of several
        print(f"error: {message}", file=sys.stderr)


def main() -> int:
    """Run the job or the sweep; returns the exit code."""
    with_trace = "HYDRA_FULL_ERROR" in os.environ
    sys.argv[1:] = map(secrets.hide, sys.argv[1:])
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra exits with 1, after half a traceback
    try:
        sys.argv[1:] = with_stored_run(sys.argv[1:])
        with signals_raise():
            job()
    except (HydraException, OmegaConfBaseException, InputError, OSError) as error:
        if with_trace:
            raise
        print(f"error: {secrets.mask(str(error))}", file=sys.stderr)
        if error.__cause__ is not None:
            print(error.__cause__, file=sys.stderr)
        return BAD_INPUT
    except Interrupted as interruption:
        if not exit_codes:  # it came outside of any job of this process
            again = f": {_what_next(interruption, Sweep.folder)}" if Sweep.folder else ""
            print(f"error: {interruption}{again}", file=sys.stderr)
        if Sweep.folder is not None:
            tell_how_to_sync(Sweep.folder)
        return interruption.code
    except Exception as error:  # a launcher's: a job never raises
        if with_trace or Sweep.folder is None:
            raise
        print(f"error: {secrets.mask(str(error))}", file=sys.stderr)
        if str(error).startswith("Unknown plugin class"):
            print("Not installed? pip install -e '.[submitit]'", file=sys.stderr)
            return BAD_INPUT
        end_sweep(Sweep.folder, Sweep.config)  # Hydra has not called the callback
        return FAILED
    if Sweep.folder is not None:
        return Sweep.exit_code
    return max(exit_codes, default=0)


if __name__ == "__main__":
    sys.exit(main())
