"""The options of a run beside its data, model and trainer; refused before any data is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recsys_lightning.data.interactions import SUBMISSION_COLUMNS
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.metrics.names import METRICS, MetricName, check_cutoffs
from recsys_lightning.starts import InitFrom, check_weights_at, stored

LONGEST_LIST = 2**15 - 1  # ranks are kept in 16 bits
LARGEST_SEED = 2**32 - 1  # of numpy's global generator


@dataclass(frozen=True)
class Options:
    """What is neither data, model nor trainer; the keys are those of `conf/config.yaml`.

    Raises:
        InputError: names the key.
    """

    seed: int
    cutoffs: Sequence[int]  # metrics.k
    monitor: str
    patience: int | None  # epochs without a better one before the fit stops
    average_weights: bool
    refit: bool
    ckpt_path: str | None
    init_from: InitFrom
    test_history: str
    eval_batch_size: int
    num_candidates: int  # recommend.candidates, the K of candidates/*.parquet
    num_recommended: int  # recommend.k, the items a user in submission.csv
    settings: Mapping[str, Any] = field(default_factory=dict)  # that a resumed fit must share
    given: Mapping[str, Any] = field(default_factory=dict)  # the model's that the command names
    named: Sequence[str] = ()  # keys that the command names
    header: Sequence[str] = SUBMISSION_COLUMNS  # of submission.csv

    def __post_init__(self) -> None:
        check_range("seed", self.seed, low=0, high=LARGEST_SEED, whole=True)
        check_cutoffs(self.cutoffs)
        names = [str(MetricName(name, k, "val")) for name in METRICS for k in self.cutoffs]
        if self.monitor not in names:
            raise InputError(f"monitor={self.monitor}: expected one of {', '.join(names)}")
        check_range("patience", self.patience, low=1, whole=True, or_null=True)
        for name in ("average_weights", "refit"):
            if not isinstance(value := getattr(self, name), bool):
                raise InputError(f"{name}={value}: expected true or false")
        check_range("eval_batch_size", self.eval_batch_size, low=1, whole=True)
        if self.test_history not in ("train", "train_valid"):
            raise InputError(f"test_history={self.test_history}: expected train or train_valid")
        check_range("recommend.k", self.num_recommended, low=1, whole=True)
        check_range(
            "recommend.candidates",
            self.num_candidates,
            low=self.num_recommended,
            high=LONGEST_LIST,
            whole=True,
        )
        weights = stored(self.ckpt_path)
        if weights and self.init_from and not (self.refit and weights.is_dir()):
            raise InputError(
                "init_from and ckpt_path: a checkpoint is not fitted; give one of them"
            )
        if weights:
            check_weights_at(weights)
            if self.refit and "refit" in self.named and weights.is_file():
                raise InputError(
                    f"refit=true: {weights} is one checkpoint, which is not fitted; give the "
                    "folder of its run as ckpt_path, or leave refit out"
                )
