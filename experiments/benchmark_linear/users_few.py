"""The linear models where users are few: items x items (before) and users x users (after).

Prints the table "Where users are few" of README.md: `python users_few.py`, on a quiet machine. Both
forms are in the code, are warmed up first, and take turns in one process on the same split of
`data=movielens_small`; seconds are of the statistics and the solve.
"""

import statistics
import time
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from recsys_lightning.functional.admm_slim import admm_slim
from recsys_lightning.functional.ease import ease, edlae_ridge
from recsys_lightning.functional.higher_order_ease import (
    choose_pairs,
    feature_gram,
    higher_order_ease,
    pair_features,
    pair_gram,
    pair_rows,
)
from recsys_lightning.functional.ranking import rank_items
from recsys_lightning.functional.ridge import DenseInverse, FewUsers
from recsys_lightning.functional.sparse import Ragged, gram

ROUNDS = 3
RHO, ITERATIONS = 4000.0, 5


def main():
    x = rows()
    popularity = x.column_sums().double()
    few = x.transpose().rows(slice(0, 500)).transpose()
    for forms in (ease_forms(500.0), admm_forms(300.0 + RHO), easer_forms()):
        for fit in forms.values():
            fit(few)  # compiles the kernels
    print(f"{x.num_rows} users, {x.num_columns:,} items, {len(x.columns):,} interactions\n")
    print("| | items x items | users x users | ratio | users with the same top-10 |")
    print("|---|---|---|---|---|")
    for name, forms in {
        "EASE, `l2=500`": ease_forms(torch.full_like(popularity, 500.0)),
        "EDLAE, `l2=400 dropout=0.5`": ease_forms(edlae_ridge(popularity, 400.0, 0.5)),
        f"ADMM-SLIM, {ITERATIONS} iterations": admm_forms(300.0 + RHO),
        "EASER, 2,000 pairs": easer_forms(),
    }.items():
        seconds, lists = {form: [] for form in forms}, {}
        for _ in range(ROUNDS):
            for form, fit in forms.items():
                start = time.perf_counter()
                weight, *pairs = fit(x)
                seconds[form].append(time.perf_counter() - start)
                lists[form] = top_10(x, weight, *pairs)
                del weight
        before, after = seconds.values()
        ratios = [a / b for a, b in zip(before, after, strict=True)]
        same = [np.array_equal(*pair) for pair in zip(*lists.values(), strict=True)]
        print(
            f"| {name} | {shown(before)} s | {shown(after)} s | {statistics.median(ratios):.1f} "
            f"| {sum(same)} of {len(same)} |"
        )


def rows():
    """What is trained on."""
    with initialize_config_dir(str(Path(__file__).parents[2] / "conf"), version_base="1.3"):
        config = compose("config", overrides=["data=movielens_small"])
    train = instantiate(config.holdout)(instantiate(config.data)).train
    offsets = torch.from_numpy(train.indptr)
    return Ragged(torch.from_numpy(train.indices), offsets, train.num_items).nonempty()


def gram_of(x):
    return gram(x.columns, x.offsets, x.num_columns)


def ease_forms(ridge):
    return {
        "before": lambda x: [ease(DenseInverse(gram_of(x), ridge).dense())],
        "after": lambda x: [ease(FewUsers(x, ridge, torch.float32).dense())],
    }


def admm_forms(ridge):
    options = {"l1": 5.0, "rho": RHO, "max_iterations": ITERATIONS, "nonnegative": False}
    double = {"inverse_dtype": torch.float64}
    return {
        "before": lambda x: admm_slim(
            DenseInverse(gram_of(x), ridge, **double), eps_abs=0.0, eps_rel=0.0, **options
        )[:1],
        "after": lambda x: admm_slim(
            FewUsers(x, ridge, torch.float32, **double), eps_abs=0.0, eps_rel=0.0, **options
        )[:1],
    }


def easer_forms():
    def ridges(x, pairs):
        return torch.tensor([500.0] * x.num_columns + [5000.0] * len(pairs))

    def weights(x, s, pairs):
        return [higher_order_ease(s, pairs, out=torch.empty(len(s), x.num_columns)), pairs]

    def before(x):
        counts = gram_of(x)
        pairs = choose_pairs(counts, 2000)
        of_pairs = torch.zeros(len(pairs), x.num_columns + len(pairs))
        pair_gram(x.columns, x.offsets, pairs, of_pairs)
        joint = feature_gram(counts, of_pairs)
        return weights(x, DenseInverse(joint, ridges(x, pairs)).dense(), pairs)

    def after(x):
        pairs = choose_pairs(gram_of(x), 2000)
        inverse = FewUsers(pair_rows(x, pairs), ridges(x, pairs), torch.float64)
        return weights(x, inverse.dense(), pairs)

    return {"before": before, "after": after}


def top_10(x, weight, pairs=None):
    """(U, 10) unseen items of every user, as a set."""
    scores = x @ weight[: x.num_columns].contiguous()
    if pairs is not None:
        scores += pair_features(x.dense(), pairs) @ weight[x.num_columns :]
    popularity, ties = x.column_sums(), torch.arange(x.num_columns)
    items, _ = rank_items(scores, x.columns, x.offsets, 10, ties, popularity)
    return items.sort().values.numpy()


def shown(seconds):
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    main()
