"""Fits models on two processes; test_processes.py runs this script, and Lightning its copy."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
from pytorch_lightning.loggers import CSVLogger

from recsys_lightning.data.holdout import RandomHoldout, Split
from recsys_lightning.data.views.rows import RowView
from recsys_lightning.families.pairwise import Pairwise
from recsys_lightning.families.sequential import Sequential
from recsys_lightning.models.ease import EASE
from recsys_lightning.models.easer import EASER
from recsys_lightning.models.popularity import Popularity
from tests.conftest import make_interactions, run_experiment, two_tastes, with_features
from tests.models.test_contract import NAMES, case_of, class_of
from tests.models.toys import PairView, ToyFeatures, ToyPairs

CLOSED = {
    "popularity": Popularity,
    "ease": EASE,
    "ease_of_few": EASE,  # users, fewer than items: every process sees all rows
    "easer": partial(EASER, num_pairs=50),
}
MODELS = {
    **{name: (model, 1, None) for name, model in CLOSED.items()},
    "pairs": (ToyPairs, 4, None),
    "cut": (ToyPairs, 2, None),
    "features": (partial(ToyFeatures, pretrain_epochs=2), 4, "pairs"),
}
CLASSES = {name: class_of(name) for name in NAMES}
DRAWN = {n: cls for n, cls in CLASSES.items() if issubclass(cls, (Pairwise, Sequential))}
ROWS = {  # with a vector a user, and no chance but the batches'; with two optimisers in turns
    "multi_cdae": {"dropout": 0.0, "user_dropout": 0.0},
    "recvae": {},
}


def strategy(*, trains_in_turns: bool) -> str:
    """As conf/trainer/ddp.yaml has it."""
    return "ddp_find_unused_parameters_true" if trains_in_turns else "ddp"


def made_split(name: str = "") -> Split:
    data = with_features(two_tastes())
    if name == "ease_of_few":
        rng = np.random.default_rng(0)
        rows = [rng.choice(100, 30, replace=False).tolist() for _ in range(60)]
        data = make_interactions(rows, 100)
    return RandomHoldout(valid_items=2, test_items=2).split(data)


def fit(folder: Path, name: str, epochs: int | None = None, **options) -> None:
    model, planned, start = MODELS[name]
    by = strategy(trains_in_turns=name == "features")  # its pre-training leaves parameters out
    trainer = {"max_epochs": epochs or planned, "devices": 2, "strategy": by}
    view = RowView(16, shuffle=False) if name in CLOSED else PairView(150)
    split = made_split(name)
    options |= {"view": view, "trainer": trainer}
    options["init_from"] = start and str(folder / start)
    run_experiment(folder / name, split, model, **options)


def fit_rows(folder: Path, name: str, devices: int) -> None:
    """In batches of 30 users, which the processes share."""
    case = case_of(name)
    model = partial(case.model, lr=0.01, **ROWS[name])
    logger = CSVLogger(folder, name=name, version="")
    trainer = {"max_epochs": 5, "devices": devices, "logger": logger}
    if devices > 1:  # else its variables would stay in this process, and in those that it starts
        trainer["strategy"] = strategy(trains_in_turns=case.trains_in_turns)
    options = {"view": RowView(30 // devices, shuffle=True), "trainer": trainer, "refit": False}
    run_experiment(folder / name, made_split(), model, **options)


if __name__ == "__main__":
    for name in MODELS:
        fit(Path(sys.argv[1]), name)
    fit(Path(sys.argv[1]), "cut", epochs=4, ckpt_path="last")
    for name in DRAWN:
        case = case_of(name)
        epochs = 3 if case.trains_in_turns else 2  # the first two are not judged
        by = strategy(trains_in_turns=case.trains_in_turns)
        trainer = {"max_epochs": epochs, "devices": 2, "strategy": by}
        options = {"view": case.view, "trainer": trainer, "refit": False}
        run_experiment(Path(sys.argv[1], name), made_split(), case.model, **options)
    for name in ROWS:
        fit_rows(Path(sys.argv[1]), name, devices=2)
