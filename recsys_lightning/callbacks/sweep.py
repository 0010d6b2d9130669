"""Hydra's callback at the start of a multirun."""

from pathlib import Path
from typing import Any, TextIO

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from recsys_lightning.sweep import take_sweep


class Sweep(Callback):
    """Tells run.py where the sweep's folder is, and keeps other starts of the sweep away from it.

    The end of a sweep is run.py's own: Hydra turns what a callback raises into a warning, and
    skips `on_multirun_end` where a job raised.

    Attributes:
        folder: of the multirun in this process; None in a single run.
        config: without what the sweep varies; the ensemble at its end is configured there.
        lock: of the folder, kept until the process ends.
    """

    folder: Path | None = None
    config: DictConfig
    lock: TextIO | None = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:  # noqa: D102
        Sweep.folder, Sweep.config = Path(config.hydra.sweep.dir), config
        Sweep.lock = take_sweep(Sweep.folder)
