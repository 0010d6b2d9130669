"""The tables of README.md: `python table.py MULTIRUN_FOLDER`, made by the commands there."""

import sys
from pathlib import Path

import numpy as np

from recsys_lightning.ensemble.fusion import Sum
from recsys_lightning.ensemble.members import find_members, read_stage
from recsys_lightning.reports.analysis import jaccard
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.lists import read_split
from recsys_lightning.runs.record import EnsembleResult
from recsys_lightning.sweeps.jobs import ensembles, results

KEYS = "val/recall@10", "test/recall@10", "test/ndcg@10"


def main(folder):
    print("| member | val recall@10 | test recall@10 | test ndcg@10 | seconds |")
    print("|---|---|---|---|---|")
    for _, result in results(folder):
        values = " | ".join(figure(result.metrics[key]) for key in KEYS)
        print(f"| `{result.model}` | {values} | {sum(result.seconds.values()):.0f} |")
    fused = EnsembleResult.read(RunFolder(folder).ensemble)
    print(
        f"\n| fusion | weights | val, cross-fitted | gain over `{fused.best_single['name']}` ",
        end="",
    )
    print("| test | gain | weights found |")
    print("|---|---|---|---|---|---|---|")
    print_methods(fused.methods)
    oracle = [figure(value) for value in fused.oracle.values()]
    print(f"| oracle | any hit in a member's first ten | {oracle[0]} | | {oracle[1]} | | |")
    print("\n| fusion | weights | val, cross-fitted | gain | test | gain | weights found |")
    print("|---|---|---|---|---|---|---|")
    for _, other in ensembles(folder / "fusions"):
        chosen = [m for m in other.methods if m["name"] == other.weights]
        print_methods(chosen)
    print_overlap(folder)


def print_overlap(folder):
    """How much the members' lists of validation have in common."""
    members, _ = find_members([folder], None, 1)
    split = read_split(Path(members[0].result.split_files), members[0].result.split)
    stage = read_stage("valid", members, split)
    names = " | ".join(f"`{member.name}`" for member in members)
    print(f"\n| items in both first tens / in any | {names} |")
    print("|---" * (len(members) + 1) + "|")
    heads = [lists.items[:, :10] for lists in stage.members]
    for member, row in zip(members, heads, strict=True):
        shared = [np.nanmean(jaccard(row, other)) for other in heads]
        print(f"| `{member.name}` |", " | ".join(f"{value:.2f}" for value in shared), "|")
    sizes = np.diff(Sum(stage.members, stage.tie_order, "rank", depth=100).starts)
    evaluated = split.valid.lengths > 0
    print(f"\nitems a user in the union of the lists: {sizes[evaluated].mean():.0f}")


def print_methods(methods):
    for method in methods:
        cells = []
        for key in KEYS[:2]:
            gain = method["gain"][key]
            cells.append(figure(method["metrics"][key]))
            cells.append(f"{sign(gain['mean'])} [{sign(gain['low'])}, {sign(gain['high'])}]")
        weights = [
            f"`{m['name']}`"
            + ("" if m["weight"] is None else f" {m['weight']:.2g}".replace("0.", "."))
            for m in method["members"]
        ]
        print(f"| `{method['fusion']}` | {method['name']} | {' | '.join(cells)} ", end="")
        print(f"| {', '.join(weights)} |")


def figure(value):
    return f"{value:.4f}".removeprefix("0")


def sign(value):
    return f"{value:+.4f}".replace("0.", ".")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
