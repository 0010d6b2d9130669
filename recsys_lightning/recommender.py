"""Recommender: the one lifecycle of all models."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Adam
from torchmetrics import MetricCollection

from recsys_lightning.checkpoints import FittedOn
from recsys_lightning.data.batches import Query
from recsys_lightning.data.interactions import Interactions, tie_order
from recsys_lightning.functional.ranking import hits, rank_items
from recsys_lightning.metrics.ranking import UserMean, ranking_metrics

log = logging.getLogger(__name__)


class Lists(NamedTuple):
    """Ranked lists, best first.

    Attributes:
        items: (B, K) int64 item positions, distinct and unseen; -1 where a user has none left.
        scores: (B, K) float32, descending; -inf where the item is -1.
    """

    items: Tensor
    scores: Tensor


class Recommender(pl.LightningModule):
    """A model author writes `score`, `loss` for a gradient model, and `prepare` where needed.

    Masking, ranking, metrics, optimiser and prediction are given, the same for every model.
    Everything in a checkpoint is tensors and plain Python: it loads with `weights_only=True`,
    without the data.

    Args:
        num_users: U.
        num_items: I.
    """

    resumable = True  # whether an interrupted fit can be gone on with
    popularity: Tensor
    tie_order: Tensor
    lr: float  # of Adam; the gradient families take them as hyper-parameters
    weight_decay: float

    def __init__(self, *, num_users: int, num_items: int) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)  # loggers get the whole configuration
        self.num_users, self.num_items = num_users, num_items
        self.fitted_on: FittedOn | None = None  # kept in the checkpoint: its users and items
        self.settings: dict[str, Any] = {}  # kept, too: what a resumed fit must have in common
        self.measured: dict[str, float] = {}  # the latest value of every metric, in full precision
        self.standard_errors: dict[str, float] = {}
        self.register_buffer("popularity", torch.zeros(num_items))
        self.register_buffer("tie_order", torch.from_numpy(tie_order(num_items)))
        self.evaluate_at(cutoffs=[min(10, num_items)], list_length=10)

    # What a model author writes

    def score(self, query: Query) -> Tensor:
        """(B, I) scores of all items, higher is better; unmasked, without side effects."""
        raise NotImplementedError

    def loss(self, batch: Any) -> Tensor:
        """() what a gradient model minimises."""
        raise NotImplementedError

    def prepare(self, interactions: Interactions) -> None:
        """Look at the training interactions once, before the first batch; nothing by default."""

    # What is given

    def evaluate_at(self, cutoffs: Sequence[int], list_length: int) -> None:
        """Choose the metrics' cut-offs and the length K of the lists."""
        self.headline = f"recall@{cutoffs[0]}"
        self.list_length = min(max(*cutoffs, list_length), self.num_items)
        self.val_metrics = ranking_metrics(cutoffs, self.num_items)
        self.test_metrics = ranking_metrics(cutoffs, self.num_items)

    def setup(self, stage: str) -> None:  # noqa: D102
        if stage == "fit":
            train = self.trainer.datamodule.train  # type: ignore[attr-defined]
            self.fitted_on = FittedOn.of(train)
            self.popularity = torch.from_numpy(train.popularity).float().to(self.device)
            self.prepare(train)
            on_cpu = self.trainer.strategy.root_device.type == "cpu"
            if on_cpu and self.trainer.precision.startswith("bf16"):
                log.warning(
                    "trainer.precision=%s is for GPUs: on a CPU it is many times slower than "
                    "32-true",
                    self.trainer.precision,
                )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:  # noqa: D102
        checkpoint["model"] = type(self).__name__
        checkpoint["fitted_on"] = self.fitted_on and self.fitted_on.state()
        checkpoint["settings"] = self.settings

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:  # noqa: D102
        self.fitted_on = FittedOn.from_state(checkpoint["fitted_on"])

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Draw the same numbers in an epoch whether the run was interrupted before it or not.

        Not before the first batch: the loader's iterator draws one, and is made at another time
        in a resumed run.
        """
        if batch_idx == 0:
            seed = self.trainer.datamodule.seed  # type: ignore[attr-defined]
            entropy = np.random.SeedSequence((seed, self.current_epoch, self.global_rank))
            torch.manual_seed(int(entropy.generate_state(1)[0]))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: D102
        loss = self.loss(batch)
        self.log_epoch_mean(loss=loss)
        return loss

    def configure_optimizers(self) -> Any:  # noqa: D102
        return self.adam(self.parameters())

    def adam(self, parameters: Iterable[nn.Parameter]) -> Adam:
        """Adam whose weight decay (L2 in the gradient) spares biases, norms and other vectors."""
        trained = [p for p in parameters if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return Adam(groups, lr=self.lr, fused=True)

    def log_epoch_mean(self, **values: Tensor | float) -> None:
        """Log the means over an epoch's batches, as `train/<name>`."""
        for name, value in values.items():
            self.log(
                f"train/{name}",
                value,
                on_step=False,
                on_epoch=True,
                prog_bar=name == "loss",
                sync_dist=True,
                batch_size=1,
            )

    @torch.no_grad()
    def recommend(self, query: Query, k: int) -> Lists:
        """The k best unseen items of every user; see `functional.ranking.rank_items`."""
        items, scores = rank_items(
            self.score(query),
            query.history.items,
            query.history.offsets,
            k,
            self.tie_order,
            self.popularity,
        )
        return Lists(items, scores)

    def validation_step(self, query: Query, batch_idx: int) -> Any:  # noqa: D102
        return self._evaluate(query, self.val_metrics)

    def test_step(self, query: Query, batch_idx: int) -> Any:  # noqa: D102
        return self._evaluate(query, self.test_metrics)

    def predict_step(self, query: Query, batch_idx: int) -> Lists:  # noqa: D102
        return self.recommend(query, self.list_length)

    def on_validation_epoch_end(self) -> None:  # noqa: D102
        self._log_metrics("val", self.val_metrics)

    def on_test_epoch_end(self) -> None:  # noqa: D102
        self._log_metrics("test", self.test_metrics)

    def _evaluate(self, query: Query, metrics: MetricCollection) -> Lists:
        lists = self.recommend(query, self.list_length)
        metrics.update(
            lists=lists.items,
            hits=hits(lists.items, query.target.items, query.target.offsets, self.num_items),
            relevant=query.target.lengths,
            popularity=self.popularity,
            num_users=self.num_users,
        )
        return lists

    def _log_metrics(self, stage: str, metrics: MetricCollection) -> None:
        for name, metric in metrics.items():
            value = float(metric.compute())  # of all processes
            self.measured[f"{stage}/{name}"] = value
            if isinstance(metric, UserMean):
                self.standard_errors[f"{stage}/{name}"] = float(metric.standard_error())
            shown = name == self.headline
            self.log(f"{stage}/{name}", value, prog_bar=shown, sync_dist=True)
        metrics.reset()
