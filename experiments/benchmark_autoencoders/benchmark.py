"""Speed and memory of the autoencoders at the contest's size: `make bench-autoencoders`.

Prints the table of README.md. Every contestant runs in a process of its own, in turns, on the same
split; the median of the rounds is shown with its range. Run it on a quiet machine.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np

from experiments.peers.processes import median_and_range, output, peer_python, split_of

CONTESTANTS = "experiments.benchmark_autoencoders.contestants"
MODELS = ("autorec", "multi_dae", "multi_vae", "multi_cdae", "recvae", "multi_ease")
IN_RECBOLE = ("multi_vae", "recvae")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("overrides", nargs="*", help="such as data.num_users=2000")
    options = parser.parse_args()
    recbole = peer_python("recbole")
    print(
        "| model | plain PyTorch, s/epoch | ours | ratio | RecBole | ratio | validation, s | RSS |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        data = write_data(Path(scratch) / "data.npz", options.overrides)
        for model in MODELS:
            contestants = {"bare": sys.executable, "ours": sys.executable}
            if model in IN_RECBOLE:
                contestants["recbole"] = recbole
            measured: dict[str, list[dict]] = {name: [] for name in contestants}
            for _ in range(options.rounds):
                for name, python in contestants.items():
                    line = output(python, "-m", CONTESTANTS, name, model, data)
                    measured[name].append(json.loads(line))
            print(row(model, measured), flush=True)


def row(model, measured):
    def ratio(above, below):
        pairs = zip(measured[above], measured[below], strict=True)
        return f"{statistics.median(a['epoch'] / b['epoch'] for a, b in pairs):.2f}"

    with_peer = "recbole" in measured
    cells = [
        f"`{model}`",
        seconds(measured["bare"], "epoch"),
        seconds(measured["ours"], "epoch"),
        ratio("ours", "bare"),
        seconds(measured["recbole"], "epoch") if with_peer else "",
        ratio("recbole", "ours") if with_peer else "",
        seconds(measured["ours"], "validation"),
        f"{max(each['peak_mb'] for each in measured['ours']):.0f} MB",
    ]
    return f"| {' | '.join(cells)} |"


def seconds(measured, key):
    return median_and_range([each[key] for each in measured])


def write_data(path, overrides):
    """The split of `data=synthetic holdout=random` as plain arrays."""
    split = split_of("data=synthetic", *overrides)
    np.savez(
        path,
        indptr=split.train.indptr,
        indices=split.train.indices,
        all_indptr=split.interactions.indptr,
        all_indices=split.interactions.indices,
        part=split.part,
        shape=np.array([split.train.num_users, split.train.num_items]),
    )
    return path


if __name__ == "__main__":
    main()
