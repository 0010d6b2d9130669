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
        lock: of the same, kept until the process ends.
    """

    folder: Path | None = None
    lock: TextIO | None = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:  # noqa: D102
        Sweep.folder = Path(config.hydra.sweep.dir)
        Sweep.lock = take_sweep(Sweep.folder)
