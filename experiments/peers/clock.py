"""A callback that run.py is given: `+callbacks.clock._target_=...Clock`."""

import json
import time
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch

from experiments.peers.recall import recall_at_10


class Clock(pl.Callback):
    """Seconds of a fit's epochs and steps, without validations.

    When the fit ends it writes, of every epoch, `seconds` from its begin to its last batch and
    `recall` of the validation; of the last epoch its number of `steps`, `step`, the mean seconds
    from one batch to the next, and the `parts` of that.

    Args:
        path: of the JSON.
        rows: .npz; then the recall, of mf_bpr, is that of `recall_at_10`, as the peers'.
    """

    def __init__(self, path, rows=None):
        self.path, self.rows = Path(path), rows and dict(np.load(rows))
        self.seconds, self.recall = [], []

    def _part(self, name):
        now = time.perf_counter()
        self.parts[name].append(now - self.latest)
        self.latest = now

    def on_train_epoch_start(self, trainer, module):
        self.begun = self.latest = time.perf_counter()
        self.parts = {name: [] for name in ("batch", "forward", "backward", "optimiser")}
        self.batches = []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if batch_idx:  # the first one waits for the epoch's order
            self._part("batch")
        self.latest = time.perf_counter()
        self.batches.append(self.latest)

    def on_before_backward(self, trainer, module, loss):
        self._part("forward")

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self._part("backward")

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self._part("optimiser")
        if trainer.is_last_batch:
            self.seconds.append(self.latest - self.begun)

    def on_validation_end(self, trainer, module):
        if self.rows is None:
            self.recall.append(float(trainer.callback_metrics["val/recall@10"]))
            return
        with torch.no_grad():
            users, items = (table.numpy() for table in module.vectors())
        self.recall.append(recall_at_10(users, items, self.rows))

    def on_fit_end(self, trainer, module):
        steps = len(self.batches)
        found = {
            "seconds": self.seconds,
            "recall": self.recall,
            "steps": steps,
            "step": (self.batches[-1] - self.batches[0]) / max(steps - 1, 1),
            "parts": {name: sum(each) / max(len(each), 1) for name, each in self.parts.items()},
        }
        self.path.write_text(json.dumps(found))
