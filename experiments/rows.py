"""`python experiments/rows.py RUN_FOLDER...`: a row a run, also if it was ended by hand."""

import csv
import json
import sys
from pathlib import Path

ELSEWHERE = ("model=", "data", "holdout", "metrics", "hydra.")  # columns, or in the README


def main() -> None:
    """Write the rows to the screen."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for folder in map(Path, sys.argv[1:]):
        result = json.loads((folder / "result.json").read_text())
        k = result["config"]["metrics"]["k"][0]
        with (folder / "metrics.csv").open() as file:
            epochs = [row for row in csv.DictReader(file) if row["epoch"]]
        valid, test = (
            [f"{stage}/{name}@{k}" for name in ("recall", "ndcg")] for stage in ("val", "test")
        )
        validated = [row for row in epochs if row.get(valid[0])]
        best = max(validated or epochs[-1:], key=lambda row: float(row.get(valid[0]) or 0))
        seconds, metrics = result["seconds"], result["metrics"]
        writer.writerow(
            [
                result["model"],
                " ".join(o for o in result["overrides"] if not o.startswith(ELSEWHERE)),
                result["data"],
                k,
                *(f"{float(best[name]):.5f}" if validated else "" for name in valid),
                *(f"{metrics[name]:.5f}" if name in metrics else "" for name in test),
                int(best["epoch"]) + 1,
                int(epochs[-1]["step"]) + 1,
                f"{seconds['fit']:.0f}",
                f"{sum(seconds.values()):.0f}",
                f"{result['peak_rss_mb'] or 0:.0f}",
                result["threads"].get("torch", ""),
                (result["split"] or "")[:16],
                (result["git_commit"] or "")[:7],
                result["status"] if result["status"] in ("done", "pruned") else "ended by hand",
            ]
        )


if __name__ == "__main__":
    main()
