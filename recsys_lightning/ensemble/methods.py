"""A way to fuse, fitted."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Method(NamedTuple):
    """A way to fuse, fitted.

    Attributes:
        name: how the weights were found.
        fusion: the rule; `lambdarank` of the mixer.
        weights: (M,) fitted on all users; None for the mixer.
        model: the mixer fitted on all users, else None.
        lists: (U, length) of validation, each user's made without having looked at that user.
        values: (U,) the metric of these lists; nan for a user who is not evaluated.
        eligible: whether the ensemble may be made by it; else it is there to compare with.
    """

    name: str
    fusion: str
    weights: NDArray[np.float32] | None
    model: Any
    lists: NDArray[np.int32]
    values: NDArray[np.float64]
    eligible: bool

    @property
    def value(self) -> float:
        """The cross-fitted metric."""
        return float(np.nanmean(self.values))
