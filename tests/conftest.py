"""Small data and settings that many tests share."""

import gc
import os
import signal
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_lightning.data.interactions import Feature, Interactions
from recsys_lightning.errors import Interrupted

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores: more threads only wait
# numba and torch share OpenMP: a parallel kernel of numba's sets how many threads torch has, too
os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])


def pytest_collection_finish():
    """What was imported stays, and no collection of garbage looks at it: 3 % of the time, not 7."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


def make_interactions(rows: list[list[int]], num_items: int, *, times: bool = True) -> Interactions:
    """Users 100, 101, ... with the given items, in time order; items have ids 1000, 1001, ..."""
    lengths = [len(row) for row in rows]
    indices = np.array([item for row in rows for item in row], dtype=np.int32)
    users = np.arange(100, 100 + len(rows))
    return Interactions(
        users=users,
        items=np.arange(1000, 1000 + num_items),
        indptr=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        indices=indices,
        times=np.arange(len(indices), dtype=np.int64) if times else None,
        titles=None,
        features={},
        submission_users=users,
    )


def two_tastes() -> Interactions:
    """60 users of two tastes over 40 items: the first half like even items, the second odd ones."""
    rng = np.random.default_rng(3)
    rows = []
    for user in range(60):
        liked = np.arange(user % 2, 40, 2)
        others = rng.choice(np.setdiff1d(np.arange(40), liked), 2, replace=False)
        row = np.concatenate([rng.choice(liked, 12, replace=False), others])
        rows.append(rng.permutation(row).tolist())
    return make_interactions(rows, 40)


def with_features(x: Interactions) -> Interactions:
    """The same, with two features: `taste`, which of the two it is of, and `shelf`, a few a value.

    Item 39 has no shelf, and item 38 two.
    """
    items = np.arange(x.num_items)
    shelves = np.zeros((x.num_items, 5), np.float32)
    shelves[items, items % 5] = 1
    shelves[[39, 38], [4, 0]] = 0, 1
    taste = np.eye(2, dtype=np.float32)[items % 2]
    features = {
        "shelf": Feature(np.array(list("abcde")), csr_array(shelves)),
        "taste": Feature(np.array(["even", "odd"]), csr_array(taste)),
    }
    return replace(x, features=features)


@pytest.fixture
def tastes() -> Interactions:
    return two_tastes()


def run_experiment(folder, split, model, *, view=None, trainer=None, **options):
    """An Experiment without Hydra; returns it, with its outcome.

    The model is a class, or a partial of one with its hyper-parameters.
    """
    import pytorch_lightning as pl

    from recsys_lightning.data.views.rows import RowView
    from recsys_lightning.experiment import Experiment, Options
    from recsys_lightning.runs.meter import Stopwatch

    def build_trainer(*, callbacks, logged, first_epoch=0, **overrides):
        settings = {
            "accelerator": "cpu",
            "max_epochs": 1,
            "enable_model_summary": False,
            "enable_progress_bar": False,
            "num_sanity_val_steps": 0,
            "use_distributed_sampler": False,
            "logger": False,
        }
        given = dict(trainer or {})
        callbacks = callbacks + given.pop("callbacks", [])
        return pl.Trainer(callbacks=callbacks, **(settings | given | overrides))

    experiment = Experiment(
        folder=folder,
        split=split,
        view=view or RowView(16, shuffle=False),
        build_model=partial(model),
        build_trainer=build_trainer,
        options=Options(
            **{
                "seed": 1,
                "cutoffs": [5],
                "monitor": "val/recall@5",
                "patience": None,
                "average_weights": False,
                "refit": True,
                "ckpt_path": None,
                "init_from": None,
                "test_history": "train_valid",
                "eval_batch_size": 25,
                "num_candidates": 15,
                "num_recommended": 5,
            }
            | options
        ),
        clock=Stopwatch(),
    )
    experiment.run()
    return experiment


@pytest.fixture
def obeyed():
    """Signals end this process and those it starts, even where the tests ignore them: in nohup."""
    from tests.forked import obey_signals  # which reads the environment as it is imported

    earlier = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    obey_signals()
    yield
    for number, handler in earlier.items():
        signal.signal(number, handler)


@contextmanager
def pressing_ctrl_c(monkeypatch, epoch, batch):
    """Within it a fit is interrupted in a training batch, both counted from 0, and must end so."""
    from recsys_lightning.recommender import Recommender

    start = Recommender.on_train_batch_start

    def press_ctrl_c(model, data, number):
        if (model.current_epoch, number) == (epoch, batch):
            raise Interrupted(signal.SIGINT)
        start(model, data, number)

    with monkeypatch.context() as patch:
        patch.setattr(Recommender, "on_train_batch_start", press_ctrl_c)
        with pytest.raises(Interrupted) as interruption:
            yield interruption
