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

from recsys_lightning.data.batches import Rows
from recsys_lightning.functional.memory import require_memory
from recsys_lightning.functional.sparse import gram
from recsys_lightning.recommender import Recommender

REMEDIES = (
    "keep fewer items (data.min_rating, or your own file), lower model.num_pairs where there "
    "is one, or choose another model"
)


class ClosedForm(Recommender):
    """A model author writes `fit_bytes`, `solve` and `score`.

    The statistic is the Gram matrix X^T X, in `self.gram`; a model that needs another writes
    `begin`, `accumulate` and `statistics`, too. Statistics are no buffers: a checkpoint does not
    keep them, and DDP, which copies the first process's buffers to the others, leaves them alone.
    """

    resumable = False  # one pass
    weight: Tensor

    def __init__(self, *, num_users: int, num_items: int) -> None:
        super().__init__(num_users=num_users, num_items=num_items)
        self.anchor = nn.Parameter(torch.empty(0))

    # What a model author writes

    def fit_bytes(self, itemsize: int, device: str) -> int:
        """Peak memory of the statistics and the solve, for the guard before the fit."""
        raise NotImplementedError

    def solve(self) -> None:
        """Turn the statistics of all users into what `score` needs, and free them."""
        raise NotImplementedError

    def begin(self) -> None:
        """Allocate the statistics."""
        self.gram = self.weight.new_zeros(self.num_items, self.num_items)

    def accumulate(self, rows: Rows) -> None:
        """Add a batch to the statistics."""
        gram(rows.history.items, rows.history.offsets, self.num_items, out=self.gram)

    def statistics(self) -> Sequence[Tensor]:
        """The tensors to sum over processes before the solve; summed in place."""
        return [self.gram]

    # What is given

    def register_weight(self, num_features: int) -> None:
        """A buffer `weight` (num_features, I) of its final shape, so that a checkpoint loads.

        Raises:
            InputError: there is not even memory for the weights.
        """
        self._require_memory(4 * num_features * self.num_items, "its weights", self.device)
        # untouched, it takes no memory yet
        self.register_buffer("weight", torch.empty(num_features, self.num_items))

    def progress(self, what: str, total: int) -> Callable[[int], None]:
        """Show a long solve in the trainer's Rich bar, if there is one; call it with the steps."""
        callback = self._trainer and self._trainer.progress_bar_callback
        bar = getattr(callback, "progress", None)
        if bar is None:
            return lambda done: None
        task = bar.add_task(what, total=total)
        return lambda done: bar.update(task, completed=done)

    def setup(self, stage: str) -> None:  # noqa: D102
        if stage == "fit":
            device = self.trainer.strategy.root_device  # Lightning moves the module later
            needed = self.fit_bytes(self.weight.itemsize, device.type)
            self._require_memory(needed, "the fit", device)
        super().setup(stage)

    def configure_optimizers(self) -> None:  # noqa: D102
        return None

    def on_train_start(self) -> None:  # noqa: D102
        self.begin()

    def training_step(self, rows: Rows, batch_idx: int) -> Tensor:  # noqa: D102
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            self.accumulate(rows)
        return self.anchor.sum()  # a zero that backward and DDP accept

    def on_train_batch_end(self, *_: Any) -> None:  # noqa: D102
        if self.trainer.is_last_batch:
            with torch.no_grad():
                if self.trainer.world_size > 1:
                    for statistic in self.statistics():
                        torch.distributed.all_reduce(statistic)
                self.solve()

    def on_train_epoch_end(self) -> None:  # noqa: D102
        self.trainer.should_stop = True  # solved, whatever max_epochs the models beside it need

    def _require_memory(self, needed: int, what: str, device: torch.device) -> None:
        """Refuse what does not fit, with the number and the remedies."""
        described = f"{type(self).__name__} of {self.num_items:,} items needs for {what}"
        require_memory(needed, described, REMEDIES, device)
