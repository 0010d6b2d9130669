"""RecBole's models and trainer on the rows of a benchmark; runs in RecBole's environment."""

import os
import sys
import tempfile
import time
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np


def train(model, data, options, steps=None, in_order=False):
    """Two epochs.

    Args:
        model: RecBole's name.
        data: `indptr`, `indices` and `shape` of the training rows.
        options: of RecBole's configuration.
        steps: of the second epoch, and at most three of the first; None: all.
        in_order: whether the rows are in time order, and the model is of the next item.

    Returns:
        of the second epoch `epoch`, its seconds, and `step`, the mean from one batch to the next;
        and `steps`, of a whole epoch.
    """
    with started(model, data, options, in_order) as (trainer, batches):
        for epoch, count in enumerate((steps and min(steps, 3), steps)):
            clocked = Clocked(batches, count)
            start = time.perf_counter()
            trainer._train_epoch(clocked, epoch)
            seconds = time.perf_counter() - start
    return {"epoch": seconds, "step": clocked.step, "steps": len(batches)}


@contextmanager
def started(model, data, options, in_order):
    """RecBole's trainer and the batches of an epoch; see `train`."""
    import torch
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data" / "data.inter"
        path.parent.mkdir()
        users = np.repeat(np.arange(data["shape"][0]), np.diff(data["indptr"]))
        with path.open("w") as file:
            file.write("user_id:token\titem_id:token\ttimestamp:float\n")
            columns = users, data["indices"], np.arange(len(users))
            np.savetxt(file, np.column_stack(columns), fmt="%d", delimiter="\t")
        fixed = {
            "data_path": folder,
            "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            # it trains on one less
            "eval_args": {"split": {"LS": "valid_only"}, "order": "TO" if in_order else "RO"},
            "use_gpu": False,
            "checkpoint_dir": folder,
            "state": "ERROR",
        }
        sys.argv = sys.argv[:1]  # RecBole reads it
        config = Config(model=model, dataset="data", config_dict=fixed | options)
        batches, _, _ = data_preparation(config, create_dataset(config))
        model = get_model(config["model"])(config, batches.dataset)
        trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
        yield trainer, batches


class Clocked:
    """The first batches of a loader, and when each was there."""

    def __init__(self, loader, steps):
        self.loader, self.steps = loader, steps

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def __iter__(self):
        self.times = []
        for batch in islice(self.loader, self.steps):
            self.times.append(time.perf_counter())
            yield batch

    @property
    def step(self):
        return (self.times[-1] - self.times[0]) / max(len(self.times) - 1, 1)
