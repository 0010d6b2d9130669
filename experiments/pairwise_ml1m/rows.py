"""`python rows.py RUN_FOLDER... >> runs.csv`: a row a run, as it ended."""

import csv
import json
import sys
from pathlib import Path

ELSEWHERE = ("model=", "data", "holdout", "metrics", "hydra.")  # columns, or in the README


def main() -> None:
    """Write the rows to the screen."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for folder in sys.argv[1:]:
        result = json.loads(Path(folder, "result.json").read_text())
        metrics, seconds = result["metrics"], result["seconds"]
        k = result["config"]["metrics"]["k"][0]
        options = [o for o in result["overrides"] if not o.startswith(ELSEWHERE)]
        writer.writerow(
            [
                result["model"],
                " ".join(options),
                result["data"],
                k,
                f"{metrics[f'val/recall@{k}']:.5f}",
                f"{metrics[f'val/ndcg@{k}']:.5f}",
                result["best_epoch"],
                result["steps"],
                f"{seconds['fit']:.0f}",
                f"{sum(seconds.values()):.0f}",
                f"{result['peak_rss_mb']:.0f}",
                result["threads"]["torch"],
                result["split"][:16],
                result["git_commit"][:7],
            ]
        )


if __name__ == "__main__":
    main()
