"""Metrics of lists on disk: a value a user, where the run itself has kept a few sums."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.split import Split
from recsys_lightning.errors import InputError
from recsys_lightning.metrics.names import (
    HIT_METRICS,
    METRICS,
    MetricName,
    check_cutoffs,
    function_of,
)


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

    from recsys_lightning.functional.ranking import hits, novelty

    check_cutoffs(cutoffs, held_out.num_items)
    users = np.flatnonzero(held_out.lengths)
    lists = np.pad(lists, ((0, 0), (0, max(0, max(cutoffs) - lists.shape[1]))), constant_values=-1)
    ranked = torch.from_numpy(lists[users].astype(np.int64))
    items, offsets = (torch.from_numpy(array) for array in held_out.gather(users))
    found = hits(ranked, items, offsets, held_out.num_items)
    trained = int(np.count_nonzero(split.train.lengths))
    known = torch.from_numpy(split.train.popularity).float(), trained
    values: dict[str, float] = {}
    errors: dict[str, float] = {}
    for metric in (MetricName(name, k, stage) for name in sorted(METRICS) for k in cutoffs):
        if metric.name == "coverage":
            top = ranked[:, : metric.k]
            values[str(metric)] = len(top[top >= 0].unique()) / held_out.num_items
            continue
        if metric.name == "novelty":
            of_users = novelty(ranked[ranked[:, 0] >= 0], *known, metric.k)
        else:
            of_users = function_of(metric.name)(found, offsets.diff(), metric.k)
        values[str(metric)] = float(of_users.mean())
        if len(of_users) > 1:
            errors[str(metric)] = float(of_users.std() / len(of_users) ** 0.5)
    return values, errors
