"""Speed and memory of the linear models at the contest's size: `make bench-linear`.

Prints the tables of README.md. Every contestant runs in a process of its own, in turns
(A B C A B C ...), on the same split; the median of the rounds is shown with its range. Run it on
a quiet machine.
"""

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from experiments.peers.processes import median_and_range, output, peer_python, write_rows

CONTESTANTS = "experiments.benchmark_linear.contestants"
ROUNDS = 3


def main():
    peers = {name: peer_python(name) for name in ("rectools", "irspack")}
    with tempfile.TemporaryDirectory() as scratch:
        data = write_rows(Path(scratch) / "data.npz", "data=synthetic")
        rows: dict[str, list[dict]] = {"ours": [], "irspack": [], "rectools": []}
        for _ in range(ROUNDS):
            for name, measured in rows.items():
                python = peers.get(name, sys.executable)
                measured.append(json.loads(output(python, "-m", CONTESTANTS, name, data)))
        print_contestants(rows)
        print_runs(Path(scratch))


def print_contestants(rows):
    print(
        "| EASE, l2 500 | gram | solve | fit | top-100 of all users | both | recall@10 | peak RSS |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, measured in rows.items():
        cells = [
            seconds([row[key] for row in measured if key in row])
            for key in ("gram", "solve", "fit", "recommend")
        ]
        cells.append(seconds([row["fit"] + row["recommend"] for row in measured]))
        print(
            f"| {name} | {' | '.join(cells)} | {measured[0]['recall@10']:.4f} | {peak(measured)} |"
        )
    total = {
        name: [row["fit"] + row["recommend"] for row in measured] for name, measured in rows.items()
    }
    faster = min(("irspack", "rectools"), key=lambda name: statistics.median(total[name]))
    ratios = [theirs / our for theirs, our in zip(total[faster], total["ours"], strict=True)]
    print(f"\nfit plus top-100: {statistics.median(ratios):.1f} times faster than {faster}")


def print_runs(scratch):
    """Whole runs of the command; the first has no cached data."""
    print(
        "\n| python run.py data=synthetic ... | whole command | stages | peak RSS | val/recall@10 |"
    )
    print("|---|---|---|---|---|")
    for number, arguments in enumerate(
        (
            ["model=ease"],
            ["model=ease"],
            ["model=admm_slim", "model.max_iterations=50", "model.tolerance=0", "refit=false"],
            ["model=easer", "model.num_pairs=2000", "refit=false"],
        )
    ):
        folder = scratch / f"run{number}"
        command = ["data=synthetic", *arguments, f"data.cache_dir={scratch}/cache"]
        command += [f"split_dir={scratch}/splits", f"hydra.run.dir={folder}"]
        start = os.times().elapsed
        output(sys.executable, "run.py", *command)
        whole = os.times().elapsed - start
        result = json.loads((folder / "result.json").read_text())
        stages = ", ".join(f"{stage} {value:.1f}" for stage, value in result["seconds"].items())
        cached = " (cached)" if number else ""
        print(
            f"| `{' '.join(arguments)}`{cached} | {whole:.1f} s | {stages} "
            f"| {result['peak_rss_mb']:.0f} MB | {result['metrics']['val/recall@10']:.4f} |"
        )


def seconds(values):
    return median_and_range(values, unit=" s") if values else ""


def peak(measured):
    return f"{max(row['peak_mb'] for row in measured):.0f} MB"


if __name__ == "__main__":
    main()
