"""`python -m experiments.contest_ml1m.table FOLDER...`: what fusing gains, by holdout.latest_share.

A folder is one of a multirun on `holdout=hybrid`. Each way to fuse is fitted on validation, as the
ensemble does, and measured on test: on all held-out items, and apart on the latest of each user and
on the others.
"""

import argparse
from pathlib import Path

import numpy as np

from recsys_lightning.ensemble.kinds import PROPERTIES
from recsys_lightning.ensemble.members import AVERAGE, find_members, read_stage
from recsys_lightning.ensemble.methods import BEST, Methods
from recsys_lightning.functional.bootstrap import paired_bootstrap
from recsys_lightning.metrics.of_lists import user_values
from recsys_lightning.runs.lists import read_split

SEQUENTIAL = ("sasrec", "bert4rec", "multi_bert4rec", "s3rec")
METRIC, K, LENGTH = "recall@10", 10, 20


def main():
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("folders", nargs="+", type=Path)
    made.add_argument("--mixer", action="store_true", help="LightGBM's, too")
    options = made.parse_args()
    for folder in options.folders:
        print_folder(folder, options.mixer)


def print_folder(folder, mixer):
    members, _ = find_members([folder], None, 1, AVERAGE)
    first = members[0].result
    share = first.config["holdout"]["latest_share"]
    split = read_split(Path(first.split_files), first.split)
    valid, test = (
        read_stage(name, members, split, f"{short}/{METRIC}")
        for name, short in (("valid", "val"), ("test", "test"))
    )
    methods = Methods(
        fusion=["rank", "interleave", "vote"],
        shared_first=True,
        weights=BEST,
        by=list(PROPERTIES),
        depth=100,
        k0=60,
        folds=5,
        max_members=6,
        mixer=mixer,
        seed=0,
    )
    fold = methods.draw_folds(split.valid)
    fitted = methods.fit(members, valid, fold, METRIC, K, LENGTH)
    alone = {
        kind: best(members, valid, names)
        for kind, names in (
            ("static", [m for m in members if m.result.model not in SEQUENTIAL]),
            ("sequential", [m for m in members if m.result.model in SEQUENTIAL]),
        )
        if names
    }
    choice = methods.choose(fitted, fold, max((valid.values[n] for n in alone.values()), key=mean))
    late, early = apart(split.test, share)

    print(f"\n### latest_share={share}\n\n| | val | test | random | latest ", end="")
    print("".join(f"| from {members[n].name}, 95 % " for n in alone.values()) + "|")
    print("|---" * (5 + len(alone)) + "|")
    rows = [
        (f"`{member.name}`", mean(valid.values[n]), test.members[n].items)
        for n, member in enumerate(members)
    ]
    for method, lists in zip(fitted, methods.apply(fitted, test, K, LENGTH), strict=True):
        name = f"{method.fusion}, {method.name}"
        rows.append((f"**{name}**" if method is choice.method else name, method.value, lists))
    for name, value, lists in rows:
        values = user_values(METRIC, lists, split.test)
        parts = [mean(user_values(METRIC, lists, held_out)) for held_out in (early, late)]
        cells = [figure(value), figure(mean(values)), *map(figure, parts)]
        for n in alone.values():
            found = paired_bootstrap(values, test.values[n])
            cells.append(f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]")
        print(f"| {name} | {' | '.join(cells)} |")
    print("\nweights of the chosen:", weights(members, choice.method))


def best(members, stage, among):
    """The position of the best of some members on validation."""
    return max((members.index(m) for m in among), key=lambda n: mean(stage.values[n]))


def apart(held_out, share):
    """The latest items of each user's held-out ones, and the others."""
    latest = np.rint(share * held_out.lengths).astype(np.int64)
    ends = np.repeat(held_out.indptr[1:], held_out.lengths)
    is_late = ends - np.arange(held_out.num_interactions) <= np.repeat(latest, held_out.lengths)
    return held_out.select(is_late), held_out.select(~is_late)


def weights(members, method):
    if method.weights is None:
        return "the mixer"
    found = {
        member.name: np.round(method.weights[:, n], 2).tolist()
        for n, member in enumerate(members)
        if method.weights[:, n].any()
    }
    kinds = method.kinds and f" by {method.kinds.by}, cut at {np.round(method.kinds.cuts, 2)}"
    return f"{found}{kinds or ''}"


def mean(values):
    return float(np.nanmean(values)) if len(values) else np.nan


def figure(value):
    return "" if np.isnan(value) else f"{value:.4f}".removeprefix("0")


if __name__ == "__main__":
    main()
