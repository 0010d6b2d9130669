"""Closed form: sufficient statistics accumulated over batches of rows, then one solve.

So a linear model runs under Lightning as any other: on one device or several, validated,
checkpointed and reloaded. Two facts of Lightning shape the code: validation runs before
`on_train_epoch_end`, so the solve happens after the last batch; and DDP refuses a module without a
parameter, so there is an empty one.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recsys_lightning.data.batches import Rows
from recsys_lightning.recommender import Recommender


class ClosedForm(Recommender):
    """A model author writes `accumulate`, `statistics`, `solve` and `score`."""

    def __init__(self, *, num_users: int, num_items: int) -> None:
        super().__init__(num_users=num_users, num_items=num_items)
        self.anchor = nn.Parameter(torch.empty(0))

    def accumulate(self, rows: Rows) -> None:
        """Add a batch to the statistics."""
        raise NotImplementedError

    def statistics(self) -> Sequence[Tensor]:
        """The tensors to sum over ranks before the solve; summed in place."""
        raise NotImplementedError

    def solve(self) -> None:
        """Turn the statistics of all users into the weights that `score` needs, and free them."""
        raise NotImplementedError

    def configure_optimizers(self) -> None:  # noqa: D102
        return None

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
