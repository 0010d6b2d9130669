"""Hydra's callback of a multirun: what happens before its jobs and after them."""

import logging
import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write

from recsys_lightning.errors import BAD_INPUT, FAILED, InputError
from recsys_lightning.instantiate import make
from recsys_lightning.runs.secrets import hide
from recsys_lightning.runs.terminal import Terminal
from recsys_lightning.session import session
from recsys_lightning.sweeps.jobs import Runs, begin, failures, splits
from recsys_lightning.sweeps.keep import settle
from recsys_lightning.sweeps.locks import take_sweep, wait_for_jobs
from recsys_lightning.tracking.wandb import tell_how_to_sync
from recsys_lightning.tracking.wandb_report import log_ensemble, log_report

log = logging.getLogger(__name__)


class Sweep(Callback):
    """Keeps other starts of a sweep away from its folder, and ends it: see `end_sweep`.

    Hydra makes a warning of what a callback raises, and exits with 0; run.py exits with the
    session's code. Hydra does not call `on_multirun_end` where a launcher raised; run.py does.
    """

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Take the folder, when nothing of an earlier start is at work in it."""
        folder = Path(config.hydra.sweep.dir)
        now = session()
        now.sweep, now.config, now.lock = folder, config, take_sweep(folder)
        hide_passwords(config)  # which the sweeper writes to multirun.yaml as it is
        begin(folder)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """End the sweep, and keep for run.py how."""
        session().sweep_code = end_sweep(Path(config.hydra.sweep.dir), config)


def hide_passwords(config: DictConfig) -> None:
    """Replace the passwords in a configuration by interpolations: see `secrets.hide`."""
    nodes: list[tuple[str, Any]] = [("", OmegaConf.to_container(config, resolve=False))]
    with read_write(config):
        for prefix, node in nodes:
            inner = node.items() if isinstance(node, dict) else enumerate(node)
            for key, value in inner:
                if isinstance(value, dict | list):
                    nodes.append((f"{prefix}{key}.", value))
                elif isinstance(value, str) and (hidden := hide(value)) != value:
                    OmegaConf.update(config, f"{prefix}{key}", hidden)


def end_sweep(folder: Path, cfg: DictConfig) -> int:
    """Tell how the jobs of a sweep ended, failures first; fuse, report; returns the exit code."""
    wait_for_jobs(folder)  # of a launcher that gave up
    runs = Runs()  # that have ended: each is read once
    settle(folder, runs.below(folder), cfg.sweep.keep)
    failed = failures(folder, runs.below(folder))
    for run, error in failed:
        print(f"failed: {run}: {error}", file=sys.stderr)
    code = FAILED if failed else 0
    if len(on := splits(runs.below(folder))) > 1:
        counts = ", ".join(
            f"{len(of_split)} of {split[:8]} ({of_split[-1].name} is the latest)"
            for split, of_split in on.items()
        )
        print(f"runs on {len(on)} splits, whose figures cannot be compared: {counts}")
    if cfg.get("ensemble"):
        code = max(code, _fuse(folder, cfg.ensemble, runs))
    if runs.below(folder):
        code = max(code, _report(folder, runs))
    tell_how_to_sync(folder)
    return code


def _fuse(folder: Path, options: DictConfig, runs: Runs) -> int:
    """Build the ensemble of a sweep in its folder; returns the exit code."""
    from recsys_lightning.ensemble.show import show

    try:
        result = make(options)([folder], folder, runs)
    except (InputError, OSError) as error:
        print(f"error: no ensemble: {error}", file=sys.stderr)
        return BAD_INPUT
    except Exception as error:
        log.exception("the ensemble failed")
        print(f"error: no ensemble: {type(error).__name__}: {error}", file=sys.stderr)
        return FAILED
    show(Terminal(), result, folder)
    log_ensemble(folder, result, runs)
    return 0


def _report(folder: Path, runs: Runs) -> int:
    """Write the report of a sweep into its folder; returns the exit code."""
    from recsys_lightning.reports.rendering import print_report
    from recsys_lightning.reports.writing import write_report

    try:
        print_report(Terminal(), write_report(folder, [folder], runs), folder)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    log_report(folder, runs)
    return 0
