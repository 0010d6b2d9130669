"""Outcome: what an experiment has found by its end, on its way to result.json."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class Outcome:
    """What a run found, apart from the files it wrote; names are those of `runs.record.RunResult`.

    Attributes:
        metrics: by name, such as `val/recall@10`.
        standard_errors: over users, of the same names where there is one.
        users: evaluated, by stage.
        best_epoch: from 1; the one whose weights were evaluated.
        steps: optimiser steps of the fit.
        parameters: numbers that the model holds, parameters and buffers.
        checkpoints: of a run that did not fit, the files that were evaluated and recommended from.
        hyper_parameters: of such a run's model, the sizes of the data among them.
        final: (U, K) ranked item positions from all interactions.
        submission: users of the submission whom the data does not know, `unknown`, and those with
            fewer unseen items than asked for, `short`.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    standard_errors: dict[str, float] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)
    best_epoch: int = 0
    steps: int = 0
    parameters: int = 0
    checkpoints: dict[str, str] = field(default_factory=dict)
    hyper_parameters: dict[str, Any] = field(default_factory=dict)
    final: NDArray[np.int32] | None = None
    submission: dict[str, int] = field(default_factory=dict)

    def for_result(self) -> dict[str, Any]:
        """All but the lists and the hyper-parameters, by name."""
        others = ("final", "hyper_parameters")
        return {name: value for name, value in vars(self).items() if name not in others}
