"""The search of weights, and what it is worth: every user is scored by weights fitted without them.

Users are drawn into F folds. A search runs F + 1 times side by side: once without the users of each
fold, once with all. The weights found without a fold score its users (the cross-fitted value, the
only one to be reported); those found with all make the submission. All runs of a search share one
table of values, so that the weights which several of them try are evaluated once.
"""

from collections.abc import Callable, Sequence
from itertools import chain, combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.ensemble import kernels
from recsys_lightning.ensemble.fusion import Fusion, Sum
from recsys_lightning.errors import InputError
from recsys_lightning.metrics.names import MetricName
from recsys_lightning.runs.lists import Lists

GRID = (0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.5, 2)
ROUNDS = 5  # of coordinate ascent; it stops before where nothing is gained
STEPS = 20  # of greedy selection
BAGS = 10
MAX_SUBSETS = 2000  # are tried one by one; of more, a beam of the best of each size is grown
BEAM = 5
VARIANTS = 256  # evaluated at once; each takes a number a user

Weights = NDArray[np.float32]


class Objective:
    """The mean of a metric over the users outside of each fold, and over all.

    Args:
        fusion: whose weights are looked for.
        held_out: the items that are hits.
        metric: such as `recall@10`: one that adds up what hits are worth by their rank.
        fold: (U,) int64 from 0.
        among: (U,) which users to look at; None: all.

    Raises:
        InputError: another metric.
    """

    def __init__(
        self,
        fusion: Fusion,
        held_out: Interactions,
        metric: str,
        fold: NDArray[np.int64],
        among: NDArray[np.bool_] | None = None,
    ) -> None:
        evaluated = held_out.lengths > 0
        users = np.flatnonzero(evaluated if among is None else evaluated & among)
        gains, worth = _gains(metric, held_out.lengths[users])
        self._evaluate = fusion.evaluator(users, held_out, gains)
        num_folds = int(fold.max()) + 1
        outside = np.column_stack(
            [*(fold[users] != f for f in range(num_folds)), np.ones(len(users), dtype=bool)]
        )
        self._share = outside * worth[:, None] / outside.sum(axis=0)  # (n, F + 1)
        self._known: dict[bytes, NDArray[np.float64]] = {}
        self.num_runs = num_folds + 1

    def __call__(self, weights: Weights) -> NDArray[np.float64]:
        """(G, F + 1) values of (G, M) weights; those of no weight at all are worth 0."""
        return self.of_variants(normalised(weights), [0], [0])[:, 0]

    def of_variants(
        self, weights: Weights, which: Sequence[int], more: Sequence[float]
    ) -> NDArray[np.float64]:
        """(G, P, F + 1) values of P variants of each of (G, M) weights.

        Many variants of one take little longer than itself.

        Args:
            weights: (G, M).
            which: (P,) the member that has another weight in a variant.
            more: (P,) how much more it has, not negative.
        """
        variants = np.repeat(weights[:, None], len(which), axis=1).astype(np.float32)
        variants[:, np.arange(len(which)), which] += np.array(more, dtype=np.float32)
        rows = normalised(variants.reshape(-1, weights.shape[1]))
        keys = [row.tobytes() for row in rows]
        of_base = [keys[g : g + len(which)] for g in range(0, len(keys), len(which))]
        new = {
            base.tobytes(): (base, names)
            for base, names in zip(weights.astype(np.float32), of_base, strict=True)
            if any(name not in self._known for name in names)
        }
        changes = np.array(which, dtype=np.int64), np.array(more, dtype=np.float32)
        at_once = max(1, VARIANTS // len(which))
        for start in range(0, len(new), at_once):
            bases, names = zip(*list(new.values())[start : start + at_once], strict=True)
            sums = self._evaluate(np.array(bases), *changes)  # (n, bases, P)
            # no BLAS: what is equal must be equal to the last bit, wherever it stands in a matrix
            values = np.einsum("nv,nr->vr", sums.reshape(len(sums), -1), self._share)
            self._known |= zip(chain.from_iterable(names), values, strict=True)
        known = np.array([self._known[key] for key in keys])
        return known.reshape(len(weights), len(which), -1)


def normalised(weights: NDArray[np.floating], digits: int = 4) -> Weights:
    """(G, M) weights with a largest of 1, rounded; of so few digits, those of a search are legible.

    >>> normalised(np.array([[2.0, 1.0], [0.0, 0.0]]))
    array([[1. , 0.5],
           [0. , 0. ]], dtype=float32)
    """
    largest = weights.max(axis=1, keepdims=True)
    scaled = weights / np.where(largest > 0, largest, 1)
    return scaled.round(digits).astype(np.float32)


def draw_folds(num_users: int, num_folds: int, seed: int) -> NDArray[np.int64]:
    """(U,) the fold of every user; folds differ by one user at most.

    >>> np.bincount(draw_folds(11, 3, seed=0))
    array([4, 4, 3])
    """
    return np.random.default_rng(seed).permutation(np.arange(num_users) % num_folds)


def equal(objective: Objective, num_members: int, seed: int, max_members: int) -> Weights:
    """(F + 1, M) ones: nothing is searched."""
    return np.ones((objective.num_runs, num_members), dtype=np.float32)


def single(objective: Objective, num_members: int, seed: int, max_members: int) -> Weights:
    """(F + 1, M) all weight on the member that is best alone."""
    alone = np.eye(num_members, dtype=np.float32)
    return alone[objective(alone).argmax(axis=0)]


def coordinate(objective: Objective, num_members: int, seed: int, max_members: int) -> Weights:
    """(F + 1, M) coordinate ascent from equal weights (Metzler and Croft, Inf. Retrieval 2007).

    One weight after the other takes the best of `GRID`, in units of the largest.
    """
    return _ascend(objective, equal(objective, num_members, seed, max_members))


def greedy(objective: Objective, num_members: int, seed: int, max_members: int) -> Weights:
    """(F + 1, M) bagged greedy selection with replacement (Caruana et al., ICML 2004).

    From nothing, each step adds one of the members in a bag (a random half of them) to the sum,
    the one that does best; a member's weight is how often it was taken up to the best step, as a
    mean over the bags.
    """
    runs = range(objective.num_runs)
    rng = np.random.default_rng(seed)
    size = max(2, (num_members + 1) // 2)
    bags = {tuple(sorted(rng.permutation(num_members)[:size])) for _ in range(BAGS)}
    if num_members <= 3:
        bags = {tuple(range(num_members))}
    counts = {(bag, run): np.zeros(num_members, dtype=np.float32) for bag in bags for run in runs}
    best = {key: (-1.0, count) for key, count in counts.items()}
    step_of_each = np.eye(num_members, dtype=np.float32)
    for _ in range(STEPS):
        for bag in sorted(bags):
            tried = np.array([counts[bag, run] for run in runs])
            values = objective.of_variants(tried, bag, [1] * len(bag))
            for run in runs:
                of_run = values[run, :, run]
                counts[bag, run] = tried[run] + step_of_each[bag[of_run.argmax()]]
                if of_run.max() > best[bag, run][0]:
                    best[bag, run] = of_run.max(), counts[bag, run]
    shares = [
        np.mean([best[bag, run][1] / best[bag, run][1].sum() for bag in sorted(bags)], axis=0)
        for run in runs
    ]
    return normalised(np.array(shares))


def combination(objective: Objective, num_members: int, seed: int, max_members: int) -> Weights:
    """(F + 1, M) the best subset at equal weights, then coordinate ascent within it.

    All subsets of up to `max_members` are tried where they are at most `MAX_SUBSETS` (11 members
    and six at most: 1,485); of more members, the subsets that a beam search meets.
    """
    largest = min(max_members, num_members)
    count = sum(comb(num_members, size) for size in range(1, largest + 1))
    best = best_subset if count <= MAX_SUBSETS else best_subset_by_beam
    return _ascend(objective, best(objective, num_members, largest))


def best_subset(objective: Objective, num_members: int, largest: int) -> Weights:
    """(F + 1, M) ones at the best of all subsets of up to `largest` members."""
    sizes = range(1, largest + 1)
    chosen = [list(subset) for size in sizes for subset in combinations(range(num_members), size)]
    subsets = np.zeros((len(chosen), num_members), dtype=np.float32)
    for row, members in zip(subsets, chosen, strict=True):
        row[members] = 1
    return subsets[objective(subsets).argmax(axis=0)]


def best_subset_by_beam(
    objective: Objective, num_members: int, largest: int, width: int = BEAM
) -> Weights:
    """(F + 1, M) ones at the best subset of up to `largest` members that a beam search meets.

    Size by size, each run adds every other member to each of its `width` best subsets of the size
    before; at most F + 1 times `width` times M subsets of a size are evaluated. Wide enough, the
    beam holds all subsets. A run grows its own beam: one that borrowed another's would know what
    that one saw of the users it leaves out.
    """
    runs = range(objective.num_runs)
    alone = np.eye(num_members, dtype=np.float32)
    kept = [np.zeros((1, num_members), dtype=np.float32) for _ in runs]  # each (subsets, M)
    best = np.zeros((len(runs), num_members), dtype=np.float32)
    highest = np.full(len(runs), -np.inf)
    for size in range(1, largest + 1):
        values = objective.of_variants(np.concatenate(kept), range(num_members), [1] * num_members)
        of_runs = np.split(values, np.cumsum([len(subsets) for subsets in kept])[:-1])
        for run, of_all in zip(runs, of_runs, strict=True):
            larger = np.maximum(kept[run][:, None], alone).reshape(-1, num_members)
            subsets, at = np.unique(larger, axis=0, return_index=True)
            of_run = of_all[:, :, run].ravel()[at][::-1]  # in lexicographic order
            subsets = subsets[::-1]
            grown = subsets.sum(axis=1) == size
            of_run, subsets = of_run[grown], subsets[grown]
            if of_run.max() > highest[run]:
                highest[run], best[run] = of_run.max(), subsets[of_run.argmax()]
            kept[run] = subsets[np.argsort(-of_run, kind="stable")[:width]]
    return best


# (objective, number of members M, seed of bags, largest subset) to (F + 1, M)
Search = Callable[[Objective, int, int, int], Weights]
SEARCHES: dict[str, Search] = {
    "single": single,
    "equal": equal,
    "coordinate": coordinate,
    "greedy": greedy,
    "combination": combination,
}


def oracle(members: Sequence[Lists], held_out: Interactions, metric: str) -> float:
    """The metric, at k, of who picks all hits out of the first k of every member's list.

    A fusion that looks further down the lists can be above it.
    """
    users = np.flatnonzero(held_out.lengths)
    gains, worth = _gains(metric, held_out.lengths[users])
    union = Sum(members, np.arange(held_out.num_items), "rank", depth=len(gains))
    found = kernels.mark(
        union.starts, union.items, held_out.indptr, held_out.indices, held_out.num_items
    )
    hits = np.diff(np.concatenate([[0], np.cumsum(found)])[union.starts])[users]
    total = np.concatenate([[0], np.cumsum(gains)])
    return float((total[np.minimum(hits, len(gains))] * worth).mean())


def _ascend(objective: Objective, weights: Weights) -> Weights:
    """Coordinate ascent from (F + 1, M); members without weight at the start stay out."""
    weights, inside = weights.copy(), weights > 0
    best = objective(weights).diagonal().copy()  # each run looks at its own value
    for _ in range(ROUNDS):
        before = best.copy()
        for member in range(weights.shape[1]):
            runs = np.flatnonzero(inside[:, member])
            if not len(runs):
                continue
            others = weights[runs]
            others[:, member] = 0
            values = objective.of_variants(others, [member] * len(GRID), GRID)
            for row, run, of_grid in zip(others, runs, values, strict=True):
                of_run = of_grid[:, run]
                if of_run.max() > best[run]:
                    best[run], row[member] = of_run.max(), GRID[of_run.argmax()]
                    weights[run] = normalised(row[None])[0]
        if np.array_equal(best, before):
            break
    return weights


def _gains(
    metric: str, lengths: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(k,) what a hit adds at each rank, and (n,) what a user's sum is multiplied by."""
    try:
        parsed = MetricName.parse(metric)
    except InputError:
        parsed = MetricName("", 1)
    k = parsed.k
    discount = 1 / np.log2(np.arange(1, k + 1) + 1)
    known = {
        "recall": lambda: (np.ones(k), 1 / lengths),
        "recall_capped": lambda: (np.ones(k), 1 / np.minimum(lengths, k)),
        "precision": lambda: (np.ones(k), np.full(len(lengths), 1 / k)),
        "ndcg": lambda: (discount, 1 / discount.cumsum()[np.minimum(lengths, k) - 1]),
    }
    if parsed.name not in known:
        raise InputError(
            f"ensemble.metric={metric}: weights can be searched for {', '.join(known)} at a "
            "cut-off, such as recall@10; if it is null, the metric of monitor is taken"
        )
    return known[parsed.name]()
