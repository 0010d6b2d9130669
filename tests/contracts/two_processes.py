"""Fits models on two processes; test_processes.py runs this script, and Lightning its copy."""

import sys
from functools import partial
from pathlib import Path

from recsys_lightning.data.holdout import RandomHoldout, Split
from recsys_lightning.data.views.rows import RowView
from recsys_lightning.families.pairwise import Pairwise
from recsys_lightning.families.sequential import Sequential
from recsys_lightning.models.ease import EASE
from recsys_lightning.models.easer import EASER
from recsys_lightning.models.popularity import Popularity
from tests.conftest import run_experiment, two_tastes, with_features
from tests.models.test_contract import NAMES, case_of, class_of
from tests.models.toys import PairView, ToyFeatures, ToyPairs

CLOSED = {
    "popularity": Popularity,
    "ease": EASE,
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
LEFT_OUT = ("features", "s3rec")  # their pre-training leaves parameters out: `trains_in_turns`


def strategy(name: str) -> str:
    return "ddp_find_unused_parameters_true" if name in LEFT_OUT else "ddp"


def made_split() -> Split:
    return RandomHoldout(valid_items=2, test_items=2).split(with_features(two_tastes()))


def fit(folder: Path, name: str, epochs: int | None = None, **options) -> None:
    model, planned, start = MODELS[name]
    trainer = {"max_epochs": epochs or planned, "devices": 2, "strategy": strategy(name)}
    view = RowView(16, shuffle=False) if name in CLOSED else PairView(150)
    split = made_split()
    options |= {"view": view, "trainer": trainer}
    options["init_from"] = start and str(folder / start)
    run_experiment(folder / name, split, model, **options)


if __name__ == "__main__":
    for name in MODELS:
        fit(Path(sys.argv[1]), name)
    fit(Path(sys.argv[1]), "cut", epochs=4, ckpt_path="last")
    for name in DRAWN:
        case = case_of(name)
        epochs = 3 if name in LEFT_OUT else 2  # the first two are not judged
        trainer = {"max_epochs": epochs, "devices": 2, "strategy": strategy(name)}
        folder = Path(sys.argv[1], name)
        run_experiment(folder, made_split(), case.model, view=case.view, trainer=trainer)
