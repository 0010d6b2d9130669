"""Speed of the ensemble at the contest's size: `make bench-ensemble`.

Prints the table of README.md. Eight made-up members of `data=synthetic holdout=random`, whose
scores share a part and find what is held out by some skill, are written as runs are; then the
command builds their ensemble in a process of its own, three times. Run it on a quiet machine.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from recsys_lightning.ensemble.fusion import RULES, make_fusion
from recsys_lightning.ensemble.members import find_members, read_stage
from recsys_lightning.ensemble.search import Objective, combination, draw_folds
from recsys_lightning.functional.ranking import rank_items
from recsys_lightning.metrics.of_lists import user_values
from recsys_lightning.runs.folder import write_json
from recsys_lightning.runs.lists import read_split, write_lists
from recsys_lightning.runs.submission import write_submission

ROOT = Path(__file__).parent.parent.parent
ROUNDS, MEMBERS, CANDIDATES, BLOCK = 3, 8, 100, 1024
SHARED, SKILL = 0.8, 0.9  # of a score's variance; of the best member, in standard deviations
METRIC = "recall@10"


def main():
    with tempfile.TemporaryDirectory() as scratch:
        folders = make_members(Path(scratch))
        print_fusions(folders)
        print_combinations(folders)
        print("\n| options | whole command | load | search | measure | write | peak RSS |")
        print("|---|---|---|---|---|---|---|")
        for options in ([], ["--mixer"]):
            print_command(folders, Path(scratch) / "ensemble", options)


def make_members(scratch):
    """Run folders with candidates of every stage."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("config", overrides=["data=synthetic"])
    split = instantiate(config.holdout)(instantiate(config.data))
    files = split.write(scratch / "splits")
    folders = [scratch / f"{number}_member" for number in range(MEMBERS)]
    results = [
        {
            "status": "done",
            "error": None,
            "model": f"member{number}",
            "data": "synthetic",
            "split": split.sha256,
            "split_files": str(files),
            "seed": 0,
            "job": str(number),
            "metrics": {},
            "config": {
                "monitor": f"val/{METRIC}",
                "test_history": "train_valid",
                "metrics": {"k": [10, 20]},
                "recommend": {"k": 10},
            },
        }
        for number in range(MEMBERS)
    ]
    stages = {
        "valid": (split.train, split.valid),
        "test": (split.question("test").known, split.test),
        "final": (split.interactions, None),
    }
    for stage, (history, held_out) in stages.items():
        members = zip(folders, results, made_up(history, held_out), strict=True)
        for folder, result, (items, scores) in members:
            path = folder / "candidates" / f"{stage}.parquet"
            write_lists(path, split.interactions, np.arange(len(items)), items, scores)
            if held_out is not None:
                key = f"{stage.removesuffix('id')}/{METRIC}"
                values = user_values(METRIC, items, held_out)
                result["metrics"][key] = float(np.nanmean(values))
            else:
                write_submission(folder / "submission.csv", history, items, 10)
    for folder, result in zip(folders, results, strict=True):
        write_json(folder / "result.json", result)
    return folders


def made_up(history, held_out):
    """The lists of every member: (U, K) items and scores."""
    rng = np.random.default_rng(0)
    num_users, num_items = history.num_users, history.num_items
    made = [
        (np.empty((num_users, CANDIDATES), np.int32), np.empty((num_users, CANDIDATES), np.float32))
        for _ in range(MEMBERS)
    ]
    popularity = np.log1p(history.popularity).astype(np.float32)
    popularity = (popularity - popularity.mean()) / popularity.std()
    for start in range(0, num_users, BLOCK):
        users = np.arange(start, min(start + BLOCK, num_users))
        shared = rng.standard_normal((len(users), num_items), dtype=np.float32) + popularity
        seen, offsets = (torch.from_numpy(array) for array in history.gather(users))
        for number, (items, scores) in enumerate(made):
            own = rng.standard_normal((len(users), num_items), dtype=np.float32)
            mixed = SHARED**0.5 * shared + (1 - SHARED) ** 0.5 * own
            if held_out is not None:
                targets, target_offsets = held_out.gather(users)
                row = np.repeat(np.arange(len(users)), np.diff(target_offsets))
                mixed[row, targets] += SKILL * (1 - number / MEMBERS / 2)
            ranked, values = rank_items(
                torch.from_numpy(mixed),
                seen,
                offsets,
                CANDIDATES,
                torch.arange(num_items),
                torch.from_numpy(history.popularity),
            )
            items[users], scores[users] = ranked.int().numpy(), values.numpy()
    return made


def print_fusions(folders):
    """One fusion of all lists with its metric, and one of a search's evaluations."""
    members, _ = find_members(folders, None, 1)
    split = read_split(Path(members[0].result.split_files), members[0].result.split)
    stage = read_stage("valid", members, split)
    weights = np.linspace(0.5, 1, MEMBERS, dtype=np.float32)[None]
    fold = draw_folds(split.valid.num_users, 5, 0)
    print("| fusion | lists and their metric | 16 weights in a search | recall@10 |")
    print("|---|---|---|---|")
    for rule in RULES:
        fusion = make_fusion(rule, stage.members, stage.tie_order, k0=60, depth=CANDIDATES, head=10)
        objective = Objective(fusion, split.valid, METRIC, fold)
        grid = np.repeat(weights, 16, axis=0)
        fused, searched = [], []
        for number in range(ROUNDS + 1):  # the first compiles
            start = time.perf_counter()
            lists = fusion.lists(weights, 10)
            value = np.nanmean(user_values(METRIC, lists, split.valid))
            fused.append(time.perf_counter() - start)
            grid[:, 0] = np.linspace(0, 0.9, 16) + 0.001 * number  # others than before
            start = time.perf_counter()
            objective(grid)
            searched.append(time.perf_counter() - start)
        print(f"| `{rule}` | {seconds(fused[1:])} | {seconds(searched[1:])} | {value:.4f} |")
    union = make_fusion("rank", stage.members, stage.tie_order, k0=60, depth=CANDIDATES, head=10)
    print(f"\nitems a user in the union of the lists: {np.diff(union.starts).mean():.0f}")


def print_combinations(folders):
    """The search for the best combination of up to six of many members: the eight, over again."""
    members, _ = find_members(folders, None, 1)
    split = read_split(Path(members[0].result.split_files))
    stage = read_stage("valid", members, split)
    fold = draw_folds(split.valid.num_users, 5, 0)
    print("\n| members | combination | members in it | recall@10 in sample |\n|---|---|---|---|")
    for number in (8, 11, 12, 17, 25):
        lists = [stage.members[n % MEMBERS] for n in range(number)]
        fusion = make_fusion("rank", lists, stage.tie_order, k0=60, depth=CANDIDATES, head=10)
        objective = Objective(fusion, split.valid, METRIC, fold)
        start = time.perf_counter()
        found = combination(objective, number, 0, 6)
        passed = time.perf_counter() - start
        value, size = objective(found[-1:])[0, -1], np.count_nonzero(found[-1])
        print(f"| {number} | {passed:.1f} s | {size} | {value:.4f} |", flush=True)


def print_command(folders, out, options):
    command = [sys.executable, "-m", "recsys_lightning.ensemble", *map(str, folders)]
    whole, told = [], []
    for _ in range(ROUNDS):
        start = os.times().elapsed
        subprocess.run(
            [*command, "--out", str(out), *options], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
        whole.append(os.times().elapsed - start)
        told.append(json.loads((out / "ensemble.json").read_text()))
    stages = [
        seconds([result["seconds"][stage] for result in told]) for stage in told[0]["seconds"]
    ]
    peak = max(result["peak_rss_mb"] for result in told)
    print(f"| {' '.join(options)} | {seconds(whole)} | {' | '.join(stages)} | {peak:.0f} MB |")


def seconds(values):
    return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
