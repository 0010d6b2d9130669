"""Which epochs are validated, and what waits for them."""

import re
import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_lightning.callbacks import Checkpoint

from recsys_lightning.data.holdout import RandomHoldout
from recsys_lightning.data.split import TEST, TEST_KNOWN, TRAIN, VALID, VALID_KNOWN
from recsys_lightning.data.views import pairs
from recsys_lightning.data.views.rows import RowView
from recsys_lightning.errors import InputError
from recsys_lightning.interruption import Interrupted
from recsys_lightning.models.ease import EASE
from recsys_lightning.models.lightgcn import LightGCN
from recsys_lightning.models.ngcf import NGCF
from recsys_lightning.models.xsimgcl import XSimGCL
from recsys_lightning.tracking.csv import CSV
from tests.conftest import pressing_ctrl_c, run_experiment, two_tastes, with_features
from tests.models.toys import PairView, ToyFeatures, ToyPairs


@pytest.fixture(scope="module")
def split():
    return RandomHoldout(valid_items=2, test_items=2).split(with_features(two_tastes()))


def fit(folder, split, model, epochs, every=1, **options):
    trainer = {"max_epochs": epochs, "check_val_every_n_epoch": every}
    options = {"view": PairView(300), "trainer": trainer, "refit": False} | options
    return run_experiment(folder, split, model, **options)


def recorded(model):
    """The class, which notes the epochs (from 1) that were validated and trained in its fits."""

    class Recorded(model):
        validated, trained = [], []

        def on_validation_epoch_end(self):
            super().on_validation_epoch_end()
            if self.trainer.state.fn == "fit":
                self.validated.append(self.current_epoch + 1)

        def on_train_epoch_end(self):
            self.trained.append(self.current_epoch + 1)

    return Recorded


@pytest.mark.parametrize(
    ("unjudged", "every", "validated"),
    [(0, 3, [3, 6, 7]), (3, 1, [4, 5, 6, 7]), (3, 2, [4, 6, 7]), (6, 4, [7])],
)
def test_unjudged_epochs_are_left_out_and_the_last_never_is(
    unjudged, every, validated, split, tmp_path
):
    model = recorded(ToyFeatures)
    outcome = fit(
        tmp_path, split, partial(model, pretrain_epochs=unjudged), 7, every, refit=True
    ).outcome
    assert model.validated == validated
    assert outcome.best_epoch in validated
    assert model.trained == [*range(1, 8), *range(1, outcome.best_epoch + 1)]  # refitted, too


@pytest.mark.parametrize(("every", "last"), [(1, 8), (2, 10), (5, 10)])
def test_patience_is_in_epochs(every, last, split, tmp_path):
    """No epoch is better than the first judged one: 5 epochs are 5, 3 or 1 validations."""

    class Level(recorded(ToyFeatures)):
        def score(self, query):
            return self.popularity.expand(len(query.users), -1)

    fit(tmp_path, split, partial(Level, pretrain_epochs=2), 40, every, patience=5)
    assert Level.validated[0] == -(-3 // every) * every
    assert Level.trained[-1] == Level.validated[-1] == last


class Level(recorded(ToyPairs)):
    """No epoch is better than the first."""

    def score(self, query):
        return self.popularity.expand(len(query.users), -1)


def test_patience_is_in_epochs_of_several_validations(split, tmp_path):
    model = partial(type("Halves", (Level,), {"validated": [], "trained": []}))
    trainer = {"max_epochs": 40, "val_check_interval": 0.5}
    fit(tmp_path, split, model, 40, view=PairView(150), trainer=trainer, patience=3)
    assert model.func.validated[:4] == [1, 1, 2, 2]
    assert model.func.trained[-1] == 4  # half an epoch more than three, since the first validation


def test_a_resumed_fit_has_the_patience_that_it_is_given(split, tmp_path, monkeypatch):
    model = type("Resumed", (Level,), {"validated": [], "trained": []})
    with pressing_ctrl_c(monkeypatch, 2, 1):
        fit(tmp_path, split, model, 40, patience=20)
    fit(tmp_path, split, model, 40, patience=4, ckpt_path="last")
    assert model.trained[-1] == 5


def test_a_fit_interrupted_before_it_was_judged_resumes(split, tmp_path, monkeypatch):
    model = partial(ToyFeatures, pretrain_epochs=4)
    fit(tmp_path / "whole", split, model, 7)
    with pressing_ctrl_c(monkeypatch, 2, 1) as interruption:
        fit(tmp_path / "cut", split, model, 7)
    assert re.search(r"^in epoch 3, before .* judged.*ckpt_path=last", interruption.value.kept)
    fit(tmp_path / "cut", split, model, 7, ckpt_path="last")
    ours, theirs = (
        torch.load(tmp_path / name / "checkpoints/best.ckpt", weights_only=True)
        for name in ("whole", "cut")
    )
    assert ours["epoch"] == theirs["epoch"] >= 4
    for key, tensor in ours["state_dict"].items():
        assert torch.equal(tensor, theirs["state_dict"][key]), key


def test_a_fit_is_not_resumed_with_another_validation_set(split, tmp_path, monkeypatch):
    """Its best epoch so far, and its patience, are of the one it had."""
    with pressing_ctrl_c(monkeypatch, 2, 1):
        fit(tmp_path, split, ToyPairs, 4)
    swapped = np.array([TRAIN, TEST, VALID, VALID_KNOWN, TEST_KNOWN], split.part.dtype)[split.part]
    other = replace(split, part=swapped)
    with pytest.raises(InputError, match="ckpt_path=last: the interrupted run had split="):
        fit(tmp_path, other, ToyPairs, 4, ckpt_path="last")


def test_what_an_epoch_logs_is_written_before_its_checkpoint(split, tmp_path):
    """Else a fit that is interrupted between the two, and resumed, would lack it."""

    class Interrupting(Checkpoint):  # Lightning calls checkpoints last, in their order
        def on_train_epoch_end(self, trainer, module):
            if trainer.current_epoch == 1:
                raise Interrupted(signal.SIGINT)

    tracker = CSV()
    tracker.begin(tmp_path, None, {})
    trainer = {"logger": tracker.logger(0), "callbacks": [Interrupting()], "max_epochs": 4}
    with pytest.raises(Interrupted):
        fit(tmp_path, split, ToyPairs, 4, trainer=trainer)
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["epoch"] == 1
    rows = pd.read_csv(tmp_path / "metrics.csv")
    assert list(rows["epoch"][rows["train/loss"].notna()]) == [0, 1]
    assert list(rows["step"][rows["train/loss"].notna()]) == list(
        rows["step"][rows["val/recall@5"].notna()]
    )


def test_a_fit_without_a_judged_epoch_is_refused(split, tmp_path):
    with pytest.raises(InputError, match="max_epochs=2: expected at least 3, since the first 2"):
        fit(tmp_path, split, ToyFeatures, 2)
    trainer = {"max_epochs": 9, "max_steps": 2}
    with pytest.raises(InputError, match="before an epoch was validated"):
        fit(tmp_path, split, ToyFeatures, 9, trainer=trainer)
    with pytest.raises(InputError, match=r"trainer\.check_val_every_n_epoch=0"):
        fit(tmp_path, split, ToyPairs, 9, every=0)


def test_epochs_after_the_last_validation_are_said(split, tmp_path, caplog):
    trainer = {"max_epochs": 9, "max_steps": 9, "check_val_every_n_epoch": 2}
    fit(tmp_path, split, ToyPairs, 9, trainer=trainer)
    assert "the fit ended at step 9; the epochs after step 8 were not validated" in caplog.text


def test_a_pruner_hears_of_judged_epochs_only(split, tmp_path):
    import optuna

    from recsys_lightning.callbacks.pruning import Pruning, open_storage

    storage = str(tmp_path / "study.journal")
    study = optuna.create_study(study_name="s", storage=open_storage(storage))
    trial = study.ask()
    callback = Pruning(storage, "s", trial.number, optuna.pruners.NopPruner(), "val/recall@5")
    fit(
        tmp_path / "run",
        split,
        partial(ToyFeatures, pretrain_epochs=2),
        6,
        trainer={"max_epochs": 6, "check_val_every_n_epoch": 2, "callbacks": [callback]},
    )
    assert sorted(study.trials[0].intermediate_values) == [3, 5]


MIDDLE = {"max_epochs": 4, "max_steps": 8, "val_check_interval": 2}  # of three steps an epoch


@pytest.mark.parametrize("judged", [True, False])
@pytest.mark.parametrize("model", [LightGCN, NGCF, XSimGCL])
def test_a_graphs_scores_are_of_its_tables_in_the_middle_of_an_epoch_too(model, judged, tmp_path):
    compared = []
    split = RandomHoldout(valid_items=2 if judged else 0, test_items=2).split(two_tastes())

    class Watched(model):
        def score(self, query):
            assert not self.training
            found = super().score(query)
            if hasattr(self, "graph"):  # in a fit
                with torch.no_grad():
                    self.keep()
                compared.append(torch.equal(super().score(query), found))
            return found

    view = pairs.PairView(split.train.num_interactions // 3)
    trainer = MIDDLE if judged else {"max_epochs": 4, "max_steps": 8}
    fit(tmp_path, split, partial(Watched, embedding_dim=4), 4, view=view, trainer=trainer)
    assert compared
    assert all(compared)


def test_a_closed_form_is_neither_validated_nor_ended_before_it_is_solved(split, tmp_path):
    rows = RowView(20, shuffle=False)
    trainer = {"max_epochs": 1, "val_check_interval": 2}
    with pytest.raises(InputError, match=r"was to be validated before.*val_check_interval"):
        fit(tmp_path, split, EASE, 1, view=rows, trainer=trainer)
    trainer = {"max_epochs": 1, "max_steps": 1}
    with pytest.raises(InputError, match=r"ended before: leave out trainer\.max_steps"):
        fit(tmp_path, split, EASE, 1, view=rows, trainer=trainer)


def test_a_closed_form_sees_every_row_once(split, tmp_path):
    with pytest.raises(InputError, match=r"view\.passes=2: EASE sees every row once"):
        fit(tmp_path, split, EASE, 1, view=RowView(20, shuffle=False, passes=2))
    trainer = {"max_epochs": 1, "limit_train_batches": 0.5}
    with pytest.raises(InputError, match=r"limit_train_batches=0\.5: EASE sees every row"):
        fit(tmp_path, split, EASE, 1, trainer=trainer)
