"""Recommender: the one lifecycle of all models."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from inspect import signature
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MetricCollection
from typing_extensions import override

from recsys_lightning.checkpoints import FittedOn, has_shape
from recsys_lightning.data.batches import Bag, Query
from recsys_lightning.data.datamodule import RecommendationData
from recsys_lightning.data.interactions import Interactions, tie_order
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.functional.ranking import hits, rank_items
from recsys_lightning.metrics.ranking import UserMean, ranking_metrics
from recsys_lightning.starts import Start

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

    A model is built from numbers. One with `uses_features` takes two lists beside U and I:
    `features`, names of item features, for which its users may ask by `model.features` (null: all
    that the data has), and `num_values`, how many values each has.

    Args:
        num_users: U.
        num_items: I.
    """

    resumable = True  # whether an interrupted fit can be resumed
    uses_features = False
    # hyper-parameters that a fit does not read: a checkpoint can be given others
    at_scoring: ClassVar[Sequence[str]] = ()
    unjudged_epochs = 0  # the first ones, such as pre-training: neither validated nor the best
    learns_from: ClassVar[type | None] = None  # what a batch of its view is; None: anything
    # which runs a fit may start from (`init_from`): by name, the models' classes; no class: any
    starts_from: ClassVar[Mapping[str, Sequence[str]]] = {}
    popularity: Tensor
    tie_order: Tensor
    lr: float  # of Adam; the gradient families take them as hyper-parameters
    weight_decay: float

    def __init__(self, *, num_users: int, num_items: int) -> None:
        super().__init__()
        self.shapes: dict[str, tuple[int | str, ...]] = {}  # of `register_from_data`
        # what builds the class again, and not what it gives to its family; loggers get all
        own = signature(type(self)).parameters
        passes_on = any(each.kind is each.VAR_KEYWORD for each in own.values())
        self.save_hyperparameters(*([] if passes_on else own), logger=False)
        self.num_users, self.num_items = num_users, num_items
        self.features: Sequence[str] = self.hparams.get("features") or ()
        self.fitted_on: FittedOn | None = None  # kept in the checkpoint: its users and items
        self.starts: Mapping[str, Start] = {}  # by name, there while `prepare` runs
        self.settings: dict[str, Any] = {}  # kept, too: what a resumed fit must have in common
        self.measured: dict[str, float] = {}  # the latest value of every metric, in full precision
        self.standard_errors: dict[str, float] = {}
        self._sums: dict[str, tuple[Tensor | float, int]] = {}  # of what is logged, in this epoch
        self.register_buffer("popularity", torch.zeros(num_items))
        self.register_buffer("tie_order", torch.from_numpy(tie_order(num_items)))
        self.evaluate_at(cutoffs=[min(10, num_items)], list_length=10)

    # What a model author writes

    def score(self, query: Query) -> Tensor:
        """(B, I) scores of all items, higher is better; unmasked, without side effects."""
        raise NotImplementedError(f"{type(self).__name__} has no score(query) -> (B, I): write it")

    def loss(self, batch: Any) -> Tensor:
        """() what a gradient model minimises."""
        raise NotImplementedError(f"{type(self).__name__} has no loss(batch) -> (): write it")

    def prepare(self, interactions: Interactions) -> None:
        """Look at the training interactions once, before the first batch; nothing by default.

        A model with `starts_from` takes its initial values from `self.starts` here.
        """

    def schedule(self, optimizer: Optimizer) -> LRScheduler | None:
        """The learning rate by optimiser steps, from `self.planned_steps`; constant by default."""
        return None

    # What is given

    def register_from_data(
        self, name: str, *shape: int | str, dtype: torch.dtype = torch.float32
    ) -> None:
        """A buffer for `prepare` to assign, of a shape that only the data knows.

        A checkpoint loads without the data: the buffer takes the stored tensor's shape, and its
        precision where it is floating-point.

        Args:
            name: of the buffer.
            shape: a number where the sizes fix it, else a name such as "nnz"; what has one name is
                equal in all tensors of the model.
            dtype: of the buffer.
        """
        self.shapes[name] = shape
        size = [0 if isinstance(length, str) else length for length in shape]
        self.register_buffer(name, torch.empty(size, dtype=dtype))  # untouched: takes no memory

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Make room for what only the checkpoint knows the shape or precision of."""
        lengths: dict[str, int] = {}
        for name, shape in self.shapes.items():
            stored, buffer = state_dict.get(f"{prefix}{name}"), getattr(self, name)
            if stored is None or not has_shape(stored, shape, lengths):
                continue  # an error of torch's
            if (stored.shape, stored.dtype) != (buffer.shape, buffer.dtype):
                setattr(self, name, torch.empty_like(stored, device=buffer.device))
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def datamodule(self) -> RecommendationData:
        """The data of the run that the model is in."""
        trainer: Any = self.trainer  # Lightning's class does not declare it
        data: RecommendationData = trainer.datamodule
        return data

    def evaluate_at(self, cutoffs: Sequence[int], list_length: int) -> None:
        """Choose the metrics' cut-offs and the length K of the lists."""
        self.headline = f"recall@{cutoffs[0]}"
        self.list_length = min(max(*cutoffs, list_length), self.num_items)
        self.val_metrics = ranking_metrics(cutoffs, self.num_items)
        self.test_metrics = ranking_metrics(cutoffs, self.num_items)

    @override
    def setup(self, stage: str) -> None:
        if stage == "fit":
            train = self.datamodule.train
            self.fitted_on = FittedOn.of(train, self.features)
            self.popularity = torch.from_numpy(train.popularity).float().to(self.device)
            self.prepare(train)
            self.starts = {}
            on_cpu = self.trainer.strategy.root_device.type == "cpu"
            if on_cpu and self.trainer.precision.startswith("bf16"):
                log.warning(
                    "trainer.precision=%s is for GPUs: on a CPU it is many times slower than "
                    "32-true",
                    self.trainer.precision,
                )

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["model"] = type(self).__name__
        checkpoint["fitted_on"] = self.fitted_on and self.fitted_on.state()
        checkpoint["settings"] = self.settings

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.fitted_on = FittedOn.from_state(checkpoint["fitted_on"])

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Draw the same numbers in an epoch whether the run was interrupted before it or not.

        Not before the first batch: the loader's iterator draws one, and is made at another time
        in a resumed run.
        """
        if batch_idx == 0:
            if self.learns_from is not None and not isinstance(batch, self.learns_from):
                raise InputError(
                    f"view: its batches are {type(batch).__name__}, and {type(self).__name__} "
                    f"learns from {self.learns_from.__name__}: leave the view to the model's family"
                )
            self._sums = {}
            parts = self.datamodule.seed, self.current_epoch, self.global_rank
            entropy = np.random.SeedSequence(parts)
            torch.manual_seed(int(entropy.generate_state(1)[0]))

    @override
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.log_epoch_mean(loss=loss)
        return loss

    @override
    def configure_optimizers(self) -> Any:
        optimizer = self.adam(self.parameters())
        schedule = self.schedule(optimizer)
        if schedule is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def adam(self, parameters: Iterable[nn.Parameter]) -> Adam:
        """Adam whose weight decay (L2 in the gradient) spares biases, norms and other vectors.

        And every `nn.Embedding`: its L2 belongs in the loss, on the rows of the batch.
        """
        tables = {id(m.weight) for m in self.modules() if isinstance(m, nn.Embedding)}
        decayed: list[nn.Parameter] = []
        spared: list[nn.Parameter] = []
        for p in parameters:
            if p.requires_grad:
                (decayed if p.ndim > 1 and id(p) not in tables else spared).append(p)
        groups = [
            {"params": decayed, "weight_decay": self.weight_decay},
            {"params": spared, "weight_decay": 0.0},
        ]
        return Adam(groups, lr=self.lr, fused=True)

    @property
    def planned_steps(self) -> int:
        """Optimiser steps of the whole plan, `max_epochs`; a refit, which ends earlier, has it too.

        Raises:
            InputError: there is no end to the plan.
        """
        steps = self.trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise InputError("max_epochs=-1: a schedule goes by the planned steps: set max_epochs")
        return int(steps)

    def log_epoch_mean(self, **values: Tensor | float) -> None:
        """Log the means over an epoch's batches, as `train/<name>`, at its end.

        Summed here: Lightning's own sum takes longer than the step of a small model. A model that
        overrides `on_train_epoch_end` calls that of the superclass, which logs.
        """
        for name, value in values.items():
            total, count = self._sums.get(name, (0.0, 0))
            value = value.detach() if isinstance(value, Tensor) else value
            self._sums[name] = total + value, count + 1

    @override
    def on_train_epoch_end(self) -> None:
        names = [f"train/{name}" for name in self._sums]
        for name, (total, count) in zip(names, self._sums.values(), strict=True):
            shown = name == "train/loss"
            self.log(name, total / count, prog_bar=shown, logger=False, sync_dist=True)
        means = {name: float(self.trainer.callback_metrics[name]) for name in names}
        # Lightning would do this after the epoch's checkpoint: a fit that is interrupted between
        # the two, and resumed, would lack them
        for logger in self.trainer.loggers if means else ():
            step = self.global_step - 1  # as of the epoch's validation
            logger.log_metrics({**means, "epoch": self.current_epoch}, step)
            logger.save()

    @torch.no_grad()
    def recommend(self, query: Query, k: int) -> Lists:
        """The k best unseen items of every user; see `functional.ranking.rank_items`.

        In full precision: half of it has too few digits to rank thousands of items.
        """
        with torch.autocast(self.device.type, enabled=False):
            scores = self.score(query)
        items, scores = rank_items(
            scores,
            query.history.items,
            query.history.offsets,
            k,
            self.tie_order,
            self.popularity,
        )
        return Lists(items, scores)

    def recommend_to(
        self, histories: Sequence[Sequence[Any]], k: int = 10, users: Sequence[Any] | None = None
    ) -> list[list[Any]]:
        """The k best items for some histories, all by their original ids: for use without a run.

        >>> model = EASE.load_from_checkpoint(f"{run}/checkpoints/final.ckpt", weights_only=True)
        ... # doctest: +SKIP
        >>> model.recommend_to([["m12", "m7"], []], k=3)  # doctest: +SKIP
        [['m9', 'm31', 'm2'], ['m1', 'm3', 'm9']]

        Args:
            histories: items from the oldest to the latest, which are not recommended; one that
                comes again counts where it came first.
            k: items for each, fewer where a history leaves fewer.
            users: whose histories these are, for a model with vectors of the users it has learned
                from; None, as any other id: users it has not learned from.

        Raises:
            InputError: k; a history that is no list; an item that the model does not know; not as
                many users as histories.
        """
        check_range("k", k, low=1, high=self.num_items, whole=True)
        fitted_on = self.fitted_on
        if fitted_on is None:
            raise InputError(f"{type(self).__name__} has not been fitted: load a checkpoint")
        if users is not None and len(users) != len(histories):
            raise InputError(
                f"{len(users)} users: expected one for each of {len(histories)} histories"
            )
        for history in histories:
            if isinstance(history, str) or not isinstance(history, Iterable):
                raise InputError(
                    f"histories: {history!r} is not a list: expected the items of each user, "
                    "such as [[5, 8], [2]]"
                )
        of_each = [list(dict.fromkeys(history)) for history in histories]
        flat = [item for history in of_each for item in history]
        known = fitted_on.item_rows_of(np.array(flat)) if flat else np.empty(0, np.int64)
        if (known < 0).any():
            unknown = ", ".join(str(flat[i]) for i in (known < 0).nonzero()[0][:3])
            raise InputError(f"{type(self).__name__} was not fitted on some items: {unknown}")
        rows = np.full(len(histories), -1) if users is None else fitted_on.rows_of(np.array(users))
        positions = torch.from_numpy(known.astype(np.int32))
        bag = Bag(positions, torch.from_numpy(np.cumsum([0, *map(len, of_each)])))
        found: list[list[Any]] = []
        training = self.training
        self.eval()
        for start in range(0, len(of_each), 1024):
            some = torch.arange(start, min(start + 1024, len(of_each)))
            query = Query(torch.from_numpy(rows)[some], bag.take(some), Bag.empty(len(some)))
            lists = self.recommend(move_data_to_device(query, self.device), k).items.cpu().numpy()
            found += [fitted_on.items[items[items >= 0]].tolist() for items in lists]
        self.train(training)
        return found

    @override
    def validation_step(self, query: Query, batch_idx: int) -> Any:
        return self._evaluate(query, self.val_metrics)

    @override
    def test_step(self, query: Query, batch_idx: int) -> Any:
        return self._evaluate(query, self.test_metrics)

    @override
    def predict_step(self, query: Query, batch_idx: int) -> Lists:
        return self.recommend(query, self.list_length)

    @override
    def on_validation_epoch_end(self) -> None:
        self._log_metrics("val", self.val_metrics)

    @override
    def on_test_epoch_end(self) -> None:
        self._log_metrics("test", self.test_metrics)

    def _evaluate(self, query: Query, metrics: MetricCollection) -> Lists:
        lists = self.recommend(query, self.list_length)
        metrics.update(
            lists=lists.items,
            hits=hits(lists.items, query.target.items, query.target.offsets, self.num_items),
            relevant=query.target.lengths,
            popularity=self.popularity,
            num_users=len(self.fitted_on.users) if self.fitted_on else self.num_users,
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
