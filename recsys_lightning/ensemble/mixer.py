"""The learned mixer: LightGBM's LambdaRank over the items that members recommend.

Burges, From RankNet to LambdaRank to LambdaMART, MSR-TR-2010-82. What it sees of a user and an item
is in `features`. Extra `rank`.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.ensemble import kernels
from recsys_lightning.ensemble.features import features
from recsys_lightning.ensemble.fusion import Sum
from recsys_lightning.ensemble.members import Stage
from recsys_lightning.errors import InputError
from recsys_lightning.runs.lists import Lists

DEPTH = 30  # of the members' lists: beyond it there is little to find, and much to compute
TREES = 100
LEARNED_FROM = 8000  # users, drawn where there are more: the cost of a fit grows with them
SETTINGS = {
    "objective": "lambdarank",
    "lambdarank_truncation_level": 30,
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.8,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


class Candidates:
    """The items that members recommend at one stage, with what the mixer sees of them.

    Args:
        members: the lists of each, (U, K).
        tie_order: (I,) items, the preferred first.
        history: what is known at this stage.
    """

    def __init__(
        self, members: Sequence[Lists], tie_order: NDArray[np.integer], history: Interactions
    ) -> None:
        self.union = Sum(members, tie_order, "rank", depth=DEPTH)
        self.sizes = np.diff(self.union.starts)
        self.features = features(self.union, members, history)

    def relevant(self, held_out: Interactions) -> NDArray[np.bool_]:
        """(N,) which of them were held out."""
        targets = held_out.indptr, held_out.indices
        marked: NDArray[np.bool_] = kernels.mark(
            self.union.starts, self.union.items, *targets, held_out.num_items
        )
        return marked

    def lists(self, scores: NDArray[np.float64], length: int) -> NDArray[np.int32]:
        """(U, length) items by descending score (N,); -1 where none is left."""
        positive = (scores - scores.min(initial=0) + 1).astype(np.float32)
        made: NDArray[np.int32] = kernels.sum_lists(
            self.union.starts,
            self.union.items,
            positive[None],
            self.union.ranks[:1],
            False,
            np.ones((1, 1), dtype=np.float32),
            np.zeros(len(self.sizes), dtype=np.int64),
            length,
        )
        return made


def cross_fit(
    stage: Stage, fold: NDArray[np.int64], length: int, seed: int
) -> tuple[Any, NDArray[np.int32]]:
    """Fit a mixer without the users of each fold, and one with all.

    Args:
        stage: validation.
        fold: (U,) from 0.
        length: of the lists.
        seed: of the features drawn for each tree.

    Returns:
        the LightGBM booster fitted on all users, and (U, length) lists, each user's by the one
        that was fitted without that user.

    Raises:
        InputError: LightGBM is not installed, or there is nothing to learn from.
    """
    assert stage.held_out is not None
    candidates = Candidates(stage.members, stage.tie_order, stage.history)
    relevant = candidates.relevant(stage.held_out)
    evaluated = stage.held_out.lengths > 0
    fold_of_row = np.repeat(fold, candidates.sizes)
    num_folds = int(fold.max()) + 1
    learned_from = [*(evaluated & (fold != number) for number in range(num_folds)), evaluated]
    rows_of_fold = [fold_of_row == number for number in range(num_folds)]
    scores = np.empty(len(relevant))
    with _threads(len(learned_from)) as pool:
        fits = pool.map(lambda users: _fit(candidates, relevant, users, seed), learned_from)
        *models, model = fits
        made = pool.map(
            lambda of_others, rows: of_others.predict(candidates.features[rows]),
            models,
            rows_of_fold,
        )
        for rows, of_rows in zip(rows_of_fold, made, strict=True):
            scores[rows] = of_rows
    return model, candidates.lists(scores, length)


def apply(model: Any, stage: Stage, length: int) -> NDArray[np.int32]:
    """(U, length) lists of a stage by a fitted LightGBM booster."""
    candidates = Candidates(stage.members, stage.tie_order, stage.history)
    parts = np.array_split(candidates.features, _processors())
    with _threads(len(parts)) as pool:
        scores = np.concatenate(list(pool.map(model.predict, parts)))
    return candidates.lists(scores, length)


def _threads(most: int) -> ThreadPoolExecutor:
    """Threads of ours: LightGBM's own spin as they wait, and crawl on a busy machine."""
    return ThreadPoolExecutor(min(most, _processors()))


def _processors() -> int:
    """As many as this process may use."""
    return numba.get_num_threads()


def _fit(
    candidates: Candidates, relevant: NDArray[np.bool_], users: NDArray[np.bool_], seed: int
) -> Any:
    """A LightGBM booster that learned from the users (U,), or from some of them."""
    try:
        import lightgbm
    except ImportError:
        raise InputError("ensemble.mixer=true needs LightGBM: pip install -e '.[rank]'") from None
    if (there := np.flatnonzero(users)).size > LEARNED_FROM:
        users = np.zeros_like(users)
        users[np.random.default_rng(seed).choice(there, LEARNED_FROM, replace=False)] = True
    rows = np.repeat(users, candidates.sizes)
    if not relevant[rows].any():
        raise InputError("ensemble.mixer=true: no member found any held-out item to learn from")
    sizes = candidates.sizes[users]
    data = lightgbm.Dataset(
        candidates.features[rows], relevant[rows].astype(np.int8), group=sizes[sizes > 0]
    )
    return lightgbm.train(SETTINGS | {"seed": seed}, data, num_boost_round=TREES)
