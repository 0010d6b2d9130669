"""The metrics by name, and their names at a stage and a cut-off; light, and the only listing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recsys_lightning.errors import InputError

# by name: the function of `functional.ranking` from a user's hits to the value
HIT_METRICS = {
    "recall": "recall",
    "recall_capped": "recall_capped",
    "ndcg": "ndcg",
    "hit_rate": "hit_rate",
    "precision": "precision",
    "map": "average_precision",
    "mrr": "reciprocal_rank",
}
METRICS = (*HIT_METRICS, "novelty", "coverage")  # the last two are of lists, found or not
FILES = {"val": "valid", "test": "test"}  # stage of a metric -> stage of split and lists


@dataclass(frozen=True)
class MetricName:
    """A metric's name in its parts.

    Attributes:
        name: one of `METRICS`.
        k: cut-off.
        stage: `val` or `test`; None where only the metric is meant.

    >>> MetricName.parse("val/recall_capped@10")
    MetricName(name='recall_capped', k=10, stage='val')
    >>> str(MetricName.parse("recall@10").at("test"))
    'test/recall@10'
    """

    name: str
    k: int
    stage: str | None = None

    @classmethod
    def parse(cls, text: str) -> "MetricName":
        """The parts of `recall@10` or `val/recall@10`.

        Raises:
            InputError: there is no such metric.
        """
        stage, slash, rest = text.rpartition("/")
        name, _, cutoff = rest.partition("@")
        k = int(cutoff) if cutoff.isdecimal() else 0
        if name not in METRICS or k < 1 or (slash and stage not in FILES):
            raise InputError(
                f"{text}: expected one of {', '.join(METRICS)}, then @ and a cut-off, such as "
                "recall@10 or val/recall@10"
            )
        return cls(name, k, stage or None)

    def __str__(self) -> str:
        return f"{self.stage}/{self.plain}" if self.stage else self.plain

    @property
    def plain(self) -> str:
        """Without the stage."""
        return f"{self.name}@{self.k}"

    @property
    def file(self) -> str:
        """The stage in the names of files: `valid` or `test`."""
        return FILES[self.stage or "val"]

    def at(self, stage: str) -> "MetricName":
        """The same metric at another stage."""
        return replace(self, stage=stage)


def check_cutoffs(cutoffs: Any, num_items: int | None = None) -> None:
    """Refuse anything but a list of different whole numbers from 1 on, or to the number of items.

    >>> check_cutoffs([10, 20])
    >>> check_cutoffs([0])
    Traceback (most recent call last):
        ...
    recsys_lightning.errors.InputError: metrics.k=0: expected a whole number, 1 or more
    """
    if not isinstance(cutoffs, Sequence) or isinstance(cutoffs, str) or not cutoffs:
        raise InputError(f"metrics.k={cutoffs}: expected a list of numbers, like [10, 20]")
    for k in cutoffs:
        if not isinstance(k, int) or isinstance(k, bool) or k < 1:
            raise InputError(f"metrics.k={k}: expected a whole number, 1 or more")
    if len(set(cutoffs)) < len(cutoffs):
        raise InputError(f"metrics.k={cutoffs}: expected different numbers, like [10, 20]")
    if num_items is not None and max(cutoffs) > num_items:
        raise InputError(
            f"metrics.k={cutoffs}: {max(cutoffs)} is more than the {num_items} items there are"
        )


def function_of(name: str) -> Callable[..., Any]:
    """`functional.ranking`'s function of one of `HIT_METRICS`."""
    from recsys_lightning.functional import ranking

    function: Callable[..., Any] = getattr(ranking, HIT_METRICS[name])
    return function
