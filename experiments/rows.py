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
        best = max(epochs, key=lambda row: float(row[f"val/recall@{k}"] or 0))
        seconds, tested = result["seconds"], result["metrics"]
        test_names = (f"test/recall@{k}", f"test/ndcg@{k}")
        writer.writerow(
            [
                result["model"],
                " ".join(o for o in result["overrides"] if not o.startswith(ELSEWHERE)),
                result["data"],
                k,
                f"{float(best[f'val/recall@{k}']):.5f}",
                f"{float(best[f'val/ndcg@{k}']):.5f}",
                *(f"{tested[name]:.5f}" if name in tested else "" for name in test_names),
                int(best["epoch"]) + 1,
                int(epochs[-1]["step"]) + 1,
                f"{seconds['fit']:.0f}",
                f"{sum(seconds.values()):.0f}",
                f"{result['peak_rss_mb'] or 0:.0f}",
                result["threads"].get("torch", ""),
                (result["split"] or "")[:16],
                (result["git_commit"] or "")[:7],
                "done" if result["status"] == "done" else "ended by hand",
            ]
        )


if __name__ == "__main__":
    main()
