"""LightGCN's recall against seconds: `python -m experiments.benchmark_pairwise.lightgcn_batches`.

Whole runs of run.py on MovieLens-1M, one a batch size and learning rate. Seconds are of training,
without validations. `--curves FILE` keeps every epoch as a CSV.
"""

import csv

from experiments.peers.measuring import contest, parser
from experiments.peers.recall import cells

WITHIN = 0.002
RUNS = ["2048:0.003", "2048:0.005", "8192:0.01", "8192:0.02", "32768:0.02", "32768:0.03"]


def main():
    made = parser(__doc__)
    made.add_argument("--runs", nargs="+", default=RUNS, help="batch:rate; default %(default)s")
    made.add_argument("--epochs", type=int, default=200, help="of a run, at most")
    made.add_argument("--patience", type=int, default=10, help="epochs")
    made.add_argument("--curves", help="a CSV to be written")
    made.add_argument("overrides", nargs="*", help="of all runs, such as model.embedding_dim=64")
    options = made.parse_args()
    options.synthetic = ""
    curves = {}
    with contest(options, __package__) as here:
        for run in options.runs:
            batch, rate = run.split(":")
            curves[batch, rate] = here.run(
                "ML-1M",
                *("model=lightgcn", f"view.batch_size={batch}", f"model.lr={rate}"),
                *(f"max_epochs={options.epochs}", f"patience={options.patience}"),
                *options.overrides,
            )["clock"]
    if options.curves:
        write(options.curves, curves)
    best = max(max(curve["recall"]) for curve in curves.values())
    print(f"| batch | lr | best recall@10 | in epoch | s/epoch | s to {best - WITHIN:.4f} |")
    print("|---|---|---|---|---|---|")
    for (batch, rate), curve in curves.items():
        print(f"| {int(batch):,} | {rate} | {' | '.join(cells(curve, best - WITHIN))} |")


def write(path, curves):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["batch", "lr", "epoch", "seconds", "recall@10"])
        for key, curve in curves.items():
            total = 0.0
            for epoch, (seconds, recall) in enumerate(
                zip(curve["seconds"], curve["recall"], strict=True), start=1
            ):
                total += seconds
                writer.writerow([*key, epoch, f"{total:.2f}", f"{recall:.5f}"])


if __name__ == "__main__":
    main()
