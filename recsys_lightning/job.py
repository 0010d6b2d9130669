"""One run, or a job of a sweep: whether it is done already, and what is said of it in the end."""

import json
import logging
import shutil
import sys
import warnings
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from recsys_lightning.assembly import CONF, run
from recsys_lightning.checkpoints import open_checkpoint
from recsys_lightning.errors import (
    BAD_INPUT,
    FAILED,
    INTERRUPTED,
    InputError,
    Interrupted,
    Pruned,
)
from recsys_lightning.instantiate import make, make_each, resolved
from recsys_lightning.interruption import signals_kill, signals_wait
from recsys_lightning.metrics.names import check_cutoffs
from recsys_lightning.mistakes import in_one_line
from recsys_lightning.processes import is_first_process
from recsys_lightning.runs import secrets
from recsys_lightning.runs.deaths import dead_run, leaving_word
from recsys_lightning.runs.folder import STAGES, RunFolder
from recsys_lightning.runs.meter import Stopwatch, forget_peak_rss, peak_rss_mb
from recsys_lightning.runs.parameters import TARGET, job_hash, split_of
from recsys_lightning.runs.provenance import code_of, git_commit, versions
from recsys_lightning.runs.record import RunResult
from recsys_lightning.runs.stored import typed
from recsys_lightning.session import session
from recsys_lightning.starts import RESUME, digests, stored, weights
from recsys_lightning.sweeps.jobs import (
    find_done,
    has_failed,
    make_room,
    mark_failed,
    running,
    take_over,
)
from recsys_lightning.sweeps.keep import drop_all_but_best
from recsys_lightning.sweeps.locks import JobLock
from recsys_lightning.tracking import base as tracking
from recsys_lightning.tracking.wandb import tell_how_to_sync

log = logging.getLogger(__name__)

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


def run_job(cfg: DictConfig) -> float | None:
    """One run; or a job of a sweep, unless it is done already."""
    for message in SILENCED:
        warnings.filterwarnings("ignore", message=message)
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    if hydra_config.output_subdir:
        secrets.hide_in_files(folder / hydra_config.output_subdir)
    try:
        result, data, wrong = _head(cfg)
    except (InputError, OmegaConfBaseException) as error:
        if hydra_config.mode == RunMode.MULTIRUN:
            raise
        typed = OmegaConf.to_container(hydra_config.overrides.task, resolve=False)
        _fail(in_one_line(error, cast(list[str], typed), str(CONF)), BAD_INPUT)
        return None
    word = leaving_word(folder, result) if is_first_process() else nullcontext()
    if hydra_config.mode != RunMode.MULTIRUN:
        given = stored(cfg.ckpt_path) if is_first_process() else None  # a sweep refits its runs so
        if given and given.resolve() == folder:
            _fail(
                f"ckpt_path={cfg.ckpt_path}: this run would take its place; name another folder by "
                "hydra.run.dir=, or resume it by ckpt_path=last",
                BAD_INPUT,
            )
            return None
        with word:
            return record(cfg, folder, result, None, wrong)
    sweep_folder = Path(hydra_config.sweep.dir)
    if cfg.sweep.fail_fast and has_failed(sweep_folder):
        print(f"not started, as another job has failed: {folder}")
        return None
    job = str(result.job)
    with JobLock(sweep_folder, job) as lock:
        if found := find_done(lock.runs, job, lambda: _split_of(cfg, data)):
            code = result.code
            run_folder, result = found
            if result.code not in (None, code):
                print(f"{cfg.model._target_} has changed since: remove the folder to run it again:")
            # a search puts it off, and may have been interrupted before
            put_off = cfg.refit and cfg.sweep.trial is None and cfg.ckpt_path is None
            if (cfg.sweep.refit or put_off) and "refit" not in result.seconds:
                with running(sweep_folder, job, run_folder), word:
                    _refit(cfg, run_folder, result)
            else:
                print(f"done already: {run_folder}")
            return result.metrics.get(cfg.monitor)
        make_room(sweep_folder, folder)
        lock.name(folder)
        started = [] if cfg.ckpt_path else [folder, *reversed(lock.runs[:-1])]
        begun = next((run for run in started if _has_begun(run, result)), None)
        with running(sweep_folder, job, folder), word:
            if begun:
                print(f"resumes its fit: {begun}")
                take_over(begun, folder)
                cfg = cfg.copy()
                cfg.ckpt_path = RESUME
            return record(cfg, folder, result, sweep_folder, wrong)


def _head(cfg: DictConfig) -> tuple[RunResult, dict[str, Any] | None, InputError | None]:
    """What is said of a run before it begins; and the identity of its data and holdout.

    Where these cannot be made there is none, but the error by which the run will fail: nothing is
    downloaded twice.

    Raises:
        InputError: a value that others are made of is wrong.
        OmegaConfBaseException: a value refers to nothing.
    """
    if not OmegaConf.is_list(cfg.metrics.k) or not cfg.metrics.k:  # to whose first others refer
        check_cutoffs(cfg.metrics.k)
    hydra_config = HydraConfig.get()
    choices, overrides = dict(hydra_config.runtime.choices), list(hydra_config.overrides.task)
    config = resolved(cfg)
    data: dict[str, Any] | None = None
    wrong: InputError | None = None
    identified = config | {"ckpt_path": weights(config["ckpt_path"])}
    try:
        check_cutoffs(config["metrics"]["k"])
        identified["init_from"] = digests(config["init_from"])
        source, holdout = _source_and_holdout(cfg, config)
        data = holdout.identity(source)
    except InputError as error:
        wrong = error
    except (OSError, HydraException, OmegaConfBaseException):
        pass  # the run will say so
    known = identified, choices, data
    result = RunResult(
        model=choices["model"],
        data=choices["data"],
        seed=cfg.seed,
        job=job_hash(*known, overrides=overrides),
        repeated=job_hash(*known, overrides=overrides, without="seed"),
        code=code_of(str(config["model"].get(TARGET))),
        config=secrets.masked(config),
        choices=choices,
        overrides=secrets.masked(overrides),
    )
    return result, data, wrong


def _has_begun(folder: Path, job: RunResult) -> bool:
    """Whether a signal has ended a fit of the very job in the folder, and it can be resumed.

    Not where the file of its model has changed since, or its checkpoint is damaged: that is said.
    """
    files = RunFolder(folder)
    if not files.last.is_file():
        return False
    try:
        ended = files.result.exists()
        earlier = RunResult.read(files.result) if ended else dead_run(folder)
        if earlier is None or earlier.job != job.job:
            return False
        if ended and not str(earlier.error).startswith(INTERRUPTED):
            return False
        if earlier.code != job.code:
            raise InputError("the file of its model has changed")
        open_checkpoint(files.last)
    except InputError as error:
        print(f"fitted from the start: {folder}: {error}")
        return False
    return True


def _is_done(folder: Path) -> bool:
    """Whether a run in the folder has ended well."""
    try:
        return RunResult.read(RunFolder(folder).result).status == "done"
    except (OSError, InputError):
        return False


_made: dict[str, tuple[Any, Any]] = {}  # source and holdout by their configurations


def _source_and_holdout(cfg: DictConfig, config: dict[str, Any]) -> tuple[Any, Any]:
    """Made once in a process for equal configurations: making takes longer than all else here.

    Args:
        cfg: of the job.
        config: the same, resolved.
    """
    key = json.dumps([config["data"], config["holdout"]], default=str)
    if key not in _made:
        _made[key] = make(cfg.data), make(cfg.holdout)
    return _made[key]


def _split_of(cfg: DictConfig, data: dict[str, Any] | None) -> str:
    """The SHA-256 of the split that a job has now."""
    try:
        return split_of(data, lambda: make(cfg.holdout)(make(cfg.data)).sha256) if data else "none"
    except (InputError, OSError):  # the run will say so
        return "none"


def record(
    cfg: DictConfig,
    folder: Path,
    result: RunResult,
    sweep_folder: Path | None,
    wrong: InputError | None,
) -> float | None:
    """Run, and write result.json last, whatever happens; returns the monitored metric.

    Args:
        cfg: of the run.
        folder: of the run.
        result: what is known before it begins.
        sweep_folder: of the multirun it is in, if any.
        wrong: what is wrong with its data, if that is known already.
    """
    spared = _is_done(folder)  # what is there, until the data of this run is

    files, resumed = RunFolder(folder), cfg.ckpt_path == RESUME

    def clear() -> None:
        if is_first_process():  # what an earlier run left must not pass for this one's
            left = [files.result, files.submission, *map(files.candidates, STAGES)]
            for earlier in left + ([] if resumed else [files.metrics]):
                earlier.unlink(missing_ok=True)

    def begin() -> None:
        nonlocal spared
        spared = False
        clear()
        if is_first_process():
            files.final.unlink(missing_ok=True)
            if not resumed:
                for earlier in files.checkpoints, files.tensorboard:
                    shutil.rmtree(earlier, ignore_errors=True)

    if not spared:
        clear()
    result = replace(result, git_commit=git_commit(Path(__file__).parent))
    clock = Stopwatch()
    forget_peak_rss()
    trackers: list[tracking.Tracker] = []  # those that have begun
    interruption: Interrupted | None = None
    try:
        if is_first_process():
            chosen = make_each(cfg.get("logger"), "logger")
            tracking.begin(chosen, trackers, folder, sweep_folder, result)
        if wrong:
            raise wrong
        found = run(cfg, folder, clock, trackers, begin)
        if not found:
            return None
        result = replace(result, **found)
    except (InputError, OSError, OmegaConfBaseException) as error:
        result = _failed(result, in_one_line(error, result.overrides, str(CONF)), BAD_INPUT)
    except Pruned as pruned:
        result = replace(result, status="pruned")
        print(pruned)
    except Interrupted as error:
        interruption = error
        signals_kill()
        message = f"{error} during {clock.stage}: {what_next(error, sweep_folder)}"
        result = _failed(result, message, error.code)
    except Exception as error:
        log.exception("the run failed")
        result = _failed(result, f"{type(error).__name__}: {error}", FAILED)
    if not is_first_process():
        if interruption:
            raise interruption
        return None
    try:
        with signals_wait():  # or a run that is done would end without a word of it
            result = replace(
                result,
                seconds=clock.seconds,
                peak_rss_mb=peak_rss_mb(),
                versions=versions(),
                finished=_now(),
            )
            if not spared:
                result.write(files.result)
    except OSError as error:  # a full disk, most likely; said once is enough
        if result.status == "done":
            result = _failed(result, str(error), BAD_INPUT)
    finally:
        tracking.end(trackers, result)
    if sweep_folder is None:
        tell_how_to_sync(folder)
    else:
        monitor, keep = cfg.monitor, cfg.sweep.keep
        if result.status == "failed":
            mark_failed(sweep_folder)
        else:
            drop_all_but_best(sweep_folder, folder, result, monitor, keep)
    if interruption:
        raise interruption  # ends a sweep, too
    return result.metrics.get(cfg.monitor)


def _refit(cfg: DictConfig, folder: Path, result: RunResult) -> None:
    """Let a run that is done recommend from a model that has seen everything, in its folder.

    Until that is written the run stays as it is; unlike a job's, an error is raised.
    """
    clock = Stopwatch()
    forget_peak_rss()
    with open_dict(cfg):
        cfg.ckpt_path = str(folder)
    found = run(cfg, folder, clock, [])
    if found:
        # 0: an earlier attempt, killed since, has left the refitted model
        again = {stage: clock.seconds.get(stage, 0.0) for stage in ("refit", "recommend")}
        result = replace(
            result,
            submission=found["submission"],
            seconds={**result.seconds, **again},
            peak_rss_mb=max(result.peak_rss_mb or 0, peak_rss_mb()),
        )  # finished when it was: by that a report orders the trials
        result.write(RunFolder(folder).result)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def what_next(interruption: Interrupted, sweep_folder: Path | None) -> str:
    """What an interrupted run has kept, and how to start again."""
    if sweep_folder is None:
        return interruption.kept or "nothing is kept"
    here = typed("hydra.sweep.dir", sweep_folder)
    return f"the same command with {here} skips the jobs that are done"


def _failed(result: RunResult, message: str, code: int) -> RunResult:
    message = secrets.mask(message)
    _fail(message, code)
    return replace(result, status="failed", error=message)


def _fail(message: str, code: int) -> None:
    session().exit_codes.append(code)
    if code < 128 or is_first_process():  # a signal is said once, by the first of several
        print(f"error: {message}", file=sys.stderr)
