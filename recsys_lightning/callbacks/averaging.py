"""Evaluates, and keeps, the average of the weights that a fit has gone through."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn
from typing_extensions import override


class AverageWeights(pl.Callback):
    """After step t the average is `(1 - c) average + c weights`, `c = 9 / (t + 8)`.

    Polynomial-decay averaging (Shamir and Zhang, Stochastic gradient descent for non-smooth
    optimization, ICML 2013, with its eta = 8): about the last ninth of the steps counts, however
    many there were, so nothing has to be chosen for the size of the data. It takes out the noise
    that a constant learning rate leaves in the weights, as a falling one would.

    It begins with what a pre-training (`unjudged_epochs`) has left.

    The model has the averages from the end of an epoch, and in a validation, until the next step:
    so they are in every checkpoint, whose state of this callback has the weights that learn.
    """

    def __init__(self) -> None:
        self.steps = 0  # that are in the average
        self.seen = 0  # the trainer's count of them; of two optimisers each has its own
        self.others: list[Tensor] = []  # the averages in a step; the weights that learn elsewhere
        self.averaged = False  # whether the model has the averages

    @override
    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if not self.others:
            self.others = [p.detach().clone() for p in module.parameters()]
        self.others = [each.to(module.device) for each in self.others]

    @override
    def on_train_batch_start(self, trainer: Any, module: pl.LightningModule, *_: Any) -> None:
        self._have(module, averaged=False)

    @override
    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if trainer.global_step == self.seen:  # gradients are still being accumulated
            return
        self.seen = trainer.global_step
        # what learns from another loss, as in a pre-training, is left out
        self.steps = 1 if trainer.current_epoch < module.unjudged_epochs else self.steps + 1
        weights = [p.detach() for p in module.parameters()]
        get_ema_multi_avg_fn(1 - 9 / (self.steps + 8))(self.others, weights, None)

    @override
    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._have(module, averaged=True)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._have(module, averaged=True)

    @override
    def state_dict(self) -> dict[str, Any]:
        names = "steps", "seen", "others", "averaged"
        return {name: getattr(self, name) for name in names}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)

    def _have(self, module: pl.LightningModule, *, averaged: bool) -> None:
        """Exchange what the model has and the others, unless it has what is asked for."""
        if averaged == self.averaged:
            return
        self.averaged = averaged
        with torch.no_grad():
            for weights, others in zip(module.parameters(), self.others, strict=True):
                had = weights.clone()
                weights.copy_(others)
                others.copy_(had)
