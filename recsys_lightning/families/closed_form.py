"""Closed form: sufficient statistics accumulated over batches of rows, then one solve.

So a linear model runs under Lightning as any other: on one device or several, validated,
checkpointed and reloaded. Two facts of Lightning shape the code: validation runs before
`on_train_epoch_end`, so the solve happens after the last batch; and DDP refuses a module without a
parameter, so there is an empty one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from recsys_lightning.data.batches import Bag, Rows
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import InputError
from recsys_lightning.functional.recency import recency_factors
from recsys_lightning.functional.ridge import (
    DenseInverse,
    FewUsers,
    center_,
    few_users,
    inverse_bytes,
    stable_dtype,
)
from recsys_lightning.functional.sparse import Ragged, gram
from recsys_lightning.memory import require_memory
from recsys_lightning.recommender import Recommender

REMEDIES = (
    "keep fewer items (data.min_rating, or your own file), lower model.num_pairs where there "
    "is one, or choose another model"
)


class ClosedForm(Recommender):
    """A model author writes `solve` and `score`, and calls `register_weight` in `__init__`.

    `solve` finds the Gram matrix X^T X (lower triangle) in `self.gram`. A model that says its
    `ridge` takes `self.inverse()` instead, P = (X^T X + diag(ridge))^-1, which is made from the
    rows themselves where users are few; `self.gram` is None then. A model that needs another
    statistic writes `begin`, `accumulate` and `statistics`, too. Statistics are no buffers: a
    checkpoint does not keep them, and DDP, which copies the first process's buffers to the others,
    leaves them alone.

    Attributes:
        rows: the training interactions of the users that have any, until solved.
        gram: their Gram matrix; None where it is not needed.
        ridges: (I,) float64 ridges; None where the model states none.
        recency: for `factors`; at least 0, and 0 where a model has no such parameter.
        solver_dtype: of the Gram matrix, P and the weights: float64 where the ridge is too small
            for that of `weight`.
    """

    learns_from = Rows
    resumable = False  # one pass
    weight: Tensor
    rows: Ragged
    ridges: Tensor | None
    solver_dtype: torch.dtype
    gram: Tensor | None = None
    recency: float = 0.0

    def __init__(self, *, num_users: int, num_items: int) -> None:
        super().__init__(num_users=num_users, num_items=num_items)
        self.anchor = nn.Parameter(torch.empty(0))

    # What a model author writes

    def ridge(self, popularity: Tensor, num_users: int) -> Tensor | None:
        """(I,) what is added to the diagonal of X^T X, from the items' users; None: nothing.

        Args:
            popularity: (I,) float64.
            num_users: users with a training interaction.
        """
        return None

    def fit_bytes(self, device: str) -> int:
        """Peak memory of the statistics and the solve, for the guard before the fit.

        By default what `inverse` needs; without a ridge that of the Gram matrix and the weights.
        """
        if self.ridges is None:
            return self.weight.itemsize * (self.num_items**2 + self.weight.numel())
        return inverse_bytes(self.rows, self.solver_dtype, device)

    def solve(self) -> None:
        """Turn the statistics of all users into `self.weight`, or whatever `score` needs."""
        raise NotImplementedError(f"{type(self).__name__} has no solve(): write it")

    def begin(self) -> None:
        """Allocate the statistics."""
        if self.ridges is None or not few_users(*self.rows.sizes):
            size = self.num_items
            self.gram = self.weight.new_zeros(size, size, dtype=self.solver_dtype)

    def accumulate(self, rows: Rows) -> None:
        """Add a batch to the statistics."""
        if self.gram is not None:
            gram(rows.history.items, rows.history.offsets, self.num_items, out=self.gram)

    def statistics(self) -> Sequence[Tensor]:
        """The tensors to sum over processes before the solve; summed in place."""
        return [] if self.gram is None else [self.gram]

    # What is given

    def register_weight(self, num_features: int) -> None:
        """A buffer `weight` (num_features, I) of its final shape, so that a checkpoint loads.

        Raises:
            InputError: there is not even memory for the weights.
        """
        self._require_memory(4 * num_features * self.num_items, "its weights", self.device)
        self.register_from_data("weight", num_features, self.num_items)  # or solved in float64

    def inverse(
        self, center: bool = False, inverse_dtype: torch.dtype | None = None
    ) -> DenseInverse | FewUsers:
        """P = (X^T X + diag(ridge))^-1; uses up `self.gram`.

        Args:
            center: whether to centre the columns of X.
            inverse_dtype: in which the inverse is made, `solver_dtype` if None.
        """
        if self.ridges is None:
            raise TypeError(f"{type(self).__name__}.ridge returns None: there is no inverse")
        if self.gram is None:
            rows = self.rows.to(self.device)
            return FewUsers(rows, self.ridges, self.solver_dtype, center, inverse_dtype)
        if center:
            mean = self.rows.column_sums().double() / self.rows.num_rows
            center_(self.gram, mean, self.rows.num_rows)
        return DenseInverse(self.gram, self.ridges, inverse_dtype)

    def factors(self, history: Bag) -> Tensor | None:
        """(N,) how much each item of the histories counts, by `self.recency`; None: all alike.

        The rows are in time order, or in that of the file where the data has no times.
        """
        if not self.recency:
            return None
        return recency_factors(history.ages, self.recency).to(self.weight.dtype)

    def progress(self, what: str, total: int) -> Callable[[int], None]:
        """Show a long solve in the trainer's Rich bar, if there is one; call it with the steps."""
        callback = self._trainer and self._trainer.progress_bar_callback
        bar = getattr(callback, "progress", None)
        if bar is None:
            return lambda done: None
        task = bar.add_task(what, total=total)
        return lambda done: bar.update(task, completed=done)

    def prepare(self, interactions: Interactions) -> None:
        """Choose how to solve, and refuse what does not fit; before anything is allocated."""
        if not hasattr(self, "weight"):
            raise TypeError(f"{type(self).__name__}: call self.register_weight in __init__")
        offsets = torch.from_numpy(interactions.indptr)
        items = torch.from_numpy(interactions.indices)
        self.rows = Ragged(items, offsets, self.num_items).nonempty()
        self.ridges = self.ridge(self.rows.column_sums().double(), self.rows.num_rows)
        self.solver_dtype, what = self.weight.dtype, "the fit"
        if self.ridges is not None:
            self.solver_dtype = stable_dtype(self.rows, self.ridges, self.weight.dtype)
            if self.solver_dtype != self.weight.dtype:
                what += " in float64 (a larger model.l2 allows float32)"
        # Lightning moves the module later
        device = self._trainer.strategy.root_device if self._trainer else self.device
        self._require_memory(self.fit_bytes(device.type), what, device)

    @override
    def configure_optimizers(self) -> None:
        return None

    @override
    def on_train_start(self) -> None:
        if (passes := getattr(self.datamodule.view, "passes", 1)) != 1:
            raise InputError(
                f"view.passes={passes}: {type(self).__name__} sees every row once: leave it out"
            )
        if (share := self.trainer.limit_train_batches) != 1.0:
            raise InputError(
                f"trainer.limit_train_batches={share}: {type(self).__name__} sees every row: leave "
                "it out"
            )
        self.begin()

    @override
    def training_step(self, rows: Rows, batch_idx: int) -> Tensor:
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            self.accumulate(rows)
        return self.anchor.sum()  # a zero that backward and DDP accept

    @override
    def on_train_batch_end(self, *_: Any) -> None:
        if self.trainer.is_last_batch:
            with torch.no_grad():
                if self.trainer.world_size > 1:
                    for statistic in self.statistics():
                        torch.distributed.all_reduce(statistic)
                self.solve()
            self.gram = None
            del self.rows

    @override
    def on_validation_start(self) -> None:
        self._require_solved("was to be validated before: leave out trainer.val_check_interval")

    @override
    def on_train_epoch_end(self) -> None:
        self._require_solved("ended before: leave out trainer.max_steps and trainer.max_time")
        self.trainer.should_stop = True  # solved, whatever max_epochs the models beside it need

    def _require_solved(self, otherwise: str) -> None:
        if hasattr(self, "rows"):
            raise InputError(
                f"{type(self).__name__} is solved after its last batch of rows, and the fit "
                f"{otherwise}"
            )

    def _require_memory(self, needed: int, what: str, device: torch.device) -> None:
        """Refuse what does not fit, with the number and the remedies."""
        described = f"{type(self).__name__} of {self.num_items:,} items needs for {what}"
        require_memory(needed, described, REMEDIES, device)
