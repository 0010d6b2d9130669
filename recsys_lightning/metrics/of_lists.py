"""Metrics of lists on disk: a value a user, where the run itself has kept a few sums."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.split import Split
from recsys_lightning.errors import InputError
from recsys_lightning.metrics.names import HIT_METRICS, MetricName, function_of


def user_values(
    metric: str | MetricName, items: NDArray[np.integer], held_out: Interactions
) -> NDArray[Any]:
    """A ranking metric of every user.

    Args:
        metric: such as `recall@10` or `val/recall@10`.
        items: (U, K) item positions, best first, -1 where a list has ended; K is at least k.
        held_out: what the lists should have found.

    Returns:
        (U,) float64; nan for a user without held-out items.

    Raises:
        InputError: no metric of a user, or the lists are too short for it.
    """
    import torch

    from recsys_lightning.functional.ranking import hits

    parsed = MetricName.parse(metric) if isinstance(metric, str) else metric
    if parsed.name not in HIT_METRICS or parsed.k > items.shape[1]:
        raise InputError(
            f"{metric}: expected one of {', '.join(HIT_METRICS)}, then @ and a cut-off from 1 to "
            f"{items.shape[1]}, the length of the lists"
        )
    found = hits(
        torch.from_numpy(items[:, : parsed.k].astype(np.int64)),
        torch.from_numpy(held_out.indices),
        torch.from_numpy(held_out.indptr),
        held_out.num_items,
    )
    relevant = torch.from_numpy(held_out.lengths)
    values = np.full(len(items), np.nan)
    evaluated = relevant > 0
    value = function_of(parsed.name)
    values[evaluated.numpy()] = value(found[evaluated], relevant[evaluated], parsed.k).numpy()
    return values


def measure(
    stage: str,
    lists: NDArray[np.integer],
    held_out: Interactions,
    split: Split,
    cutoffs: Sequence[int],
) -> tuple[dict[str, float], dict[str, float]]:
    """All metrics of lists, and their standard errors, by the names that a run gives them.

    Args:
        stage: `val` or `test`.
        lists: (U, K) item positions, best first, -1 where a list has ended.
        held_out: what the lists should have found; users without any are left out.
        split: whose training part says how popular and how new an item is.
        cutoffs: as in the config key `metrics.k`.

    Raises:
        InputError: the cut-offs are wrong.
    """
    import torch

    from recsys_lightning.functional.ranking import hits
    from recsys_lightning.metrics.ranking import UserMean, ranking_metrics

    users = np.flatnonzero(held_out.lengths)
    lists = np.pad(lists, ((0, 0), (0, max(0, max(cutoffs) - lists.shape[1]))), constant_values=-1)
    ranked = torch.from_numpy(lists[users].astype(np.int64))
    items, offsets = (torch.from_numpy(array) for array in held_out.gather(users))
    metrics = ranking_metrics(cutoffs, held_out.num_items)
    metrics.update(
        lists=ranked,
        hits=hits(ranked, items, offsets, held_out.num_items),
        relevant=offsets.diff(),
        popularity=torch.from_numpy(split.train.popularity).float(),
        num_users=held_out.num_users,
    )
    values = {f"{stage}/{name}": float(metric.compute()) for name, metric in metrics.items()}
    errors = {
        f"{stage}/{name}": float(metric.standard_error())
        for name, metric in metrics.items()
        if isinstance(metric, UserMean)
    }
    return values, {name: error for name, error in errors.items() if np.isfinite(error)}
