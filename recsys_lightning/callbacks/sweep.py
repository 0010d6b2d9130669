"""Hydra's callback at the start of a multirun."""

import os
import time
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from recsys_lightning.sweep import STARTED


class Sweep(Callback):
    """Tells run.py where the sweep's folder is, and all workers when the sweep was started.

    The end of a sweep is run.py's own: Hydra turns what a callback raises into a warning, and
    skips `on_multirun_end` where a job raised.

    Attributes:
        folder: of the multirun in this process; None in a single run.
        config: without what the sweep varies; the ensemble at its end is configured there.
    """

    folder: Path | None = None
    config: DictConfig

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:  # noqa: D102
        Sweep.folder, Sweep.config = Path(config.hydra.sweep.dir), config
        os.environ[STARTED] = str(time.time())
