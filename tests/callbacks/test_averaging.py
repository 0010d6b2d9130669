"""The average of a fit's weights is what is evaluated and kept; the weights learn on."""

from functools import partial

import numpy as np
import pytest
import torch

from recsys_lightning.data.holdout import RandomHoldout
from tests.conftest import pressing_ctrl_c, run_experiment, two_tastes, with_features
from tests.models.toys import PairView, ToyFeatures, ToyPairs

EPOCHS = 5


def recorded(model):
    """A model whose class notes its users after every step, and those that are validated."""

    class Recorded(model):
        steps, judged = [], []

        def on_train_batch_end(self, *_):
            self.steps.append(self.users.weight.detach().clone())

        def on_validation_epoch_end(self):
            super().on_validation_epoch_end()
            if self.trainer.state.fn == "fit":
                self.judged.append((len(self.steps), self.users.weight.detach().clone()))

    return Recorded


@pytest.fixture(scope="module")
def split():
    return RandomHoldout(valid_items=2, test_items=2).split(with_features(two_tastes()))


def fit(folder, split, model=ToyPairs, *, epochs=EPOCHS, **options):
    options = {"view": PairView(60), "refit": False, "average_weights": True} | options
    trainer = {"max_epochs": epochs} | options.pop("trainer", {})
    return run_experiment(folder, split, model, trainer=trainer, **options)


def average(steps):
    """The last but t'th of T steps counts as the product of what later ones leave of it."""
    rates = [9 / (t + 8) for t in range(1, len(steps) + 1)]
    shares = [c * np.prod([1 - later for later in rates[i + 1 :]]) for i, c in enumerate(rates)]
    assert sum(shares) == pytest.approx(1)
    return sum(share * weights.double() for share, weights in zip(shares, steps, strict=True))


def checkpoint(folder, name):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


@pytest.mark.parametrize("accumulated", [1, 3])
def test_every_validation_and_checkpoint_has_the_average(accumulated, split, tmp_path):
    model, trainer = recorded(ToyPairs), {"accumulate_grad_batches": accumulated}
    best_epoch = fit(tmp_path, split, model, trainer=trainer).outcome.best_epoch
    steps, judged = model.steps, model.judged
    batches = len(steps) // EPOCHS
    assert batches * EPOCHS == len(steps)
    assert batches > 3
    ends = {*range(accumulated, batches + 1, accumulated), batches}  # where there was a step
    taken = [(i % batches) + 1 in ends for i in range(len(steps))]
    for number, weights in judged:
        seen = [w for w, new in zip(steps[:number], taken[:number], strict=True) if new]
        assert torch.allclose(weights.double(), average(seen), atol=1e-6)
        assert not torch.allclose(weights, steps[number - 1], atol=1e-3)  # these learn on
    assert len(judged) == EPOCHS
    for name, epoch in (("best", best_epoch), ("last", EPOCHS)):
        kept = checkpoint(tmp_path, name)["state_dict"]["users.weight"]
        assert torch.equal(kept, judged[epoch - 1][1]), name


def test_the_average_begins_with_what_a_pre_training_has_left(split, tmp_path):
    model = recorded(ToyFeatures)
    fit(tmp_path, split, partial(model, pretrain_epochs=2))
    last = len(model.steps) // EPOCHS * 2 - 1
    assert len(model.judged) == EPOCHS - 2
    for number, weights in model.judged:
        assert torch.allclose(weights.double(), average(model.steps[last:number]), atol=1e-6)


def test_the_weights_learn_as_they_would_without(split, tmp_path):
    learnt = {}
    for averaged in (True, False):
        fit(tmp_path / str(averaged), split, average_weights=averaged)
        learnt[averaged] = checkpoint(tmp_path / str(averaged), "last")
    [state] = [s for name, s in learnt[True]["callbacks"].items() if "AverageWeights" in name]
    for ours, table in zip(state["others"], ("users", "items"), strict=True):
        assert torch.equal(ours, learnt[False]["state_dict"][f"{table}.weight"])


@pytest.mark.parametrize("accumulated", [1, 3])
def test_a_resumed_fit_goes_on_with_both(accumulated, split, tmp_path, monkeypatch):
    trainer = {"accumulate_grad_batches": accumulated}
    fit(tmp_path / "whole", split, trainer=trainer)
    with pressing_ctrl_c(monkeypatch, 2, 1):
        fit(tmp_path / "cut", split, trainer=trainer)
    fit(tmp_path / "cut", split, trainer=trainer, ckpt_path="last")
    for name in ("best", "last"):
        ours, theirs = (checkpoint(tmp_path / folder, name) for folder in ("whole", "cut"))
        assert ours["epoch"] == theirs["epoch"]
        for key, tensor in ours["state_dict"].items():
            assert torch.equal(tensor, theirs["state_dict"][key]), (name, key)


def test_a_refit_and_a_fit_without_validation_keep_the_average(split, tmp_path):
    """Fitted on everything for as many epochs, they are one another's equal."""
    refitted = fit(tmp_path, split, refit=True)
    everything = RandomHoldout(valid_items=0, test_items=0).split(two_tastes())
    epochs = refitted.outcome.best_epoch
    fit(tmp_path / "plain", everything, epochs=epochs)
    fit(tmp_path / "other", everything, epochs=epochs, average_weights=False)
    final = torch.load(tmp_path / "checkpoints/final.ckpt", weights_only=True)["state_dict"]
    plain, other = (
        checkpoint(tmp_path / name, "best")["state_dict"] for name in ("plain", "other")
    )
    assert torch.equal(final["items.weight"], plain["items.weight"])
    assert not torch.allclose(plain["items.weight"], other["items.weight"], atol=1e-3)
