"""`python table.py SWEEP_FOLDER... > search.csv`: a row a run, best validation recall@10 first."""

import csv
import json
import sys
from pathlib import Path

import yaml

METRICS = ("val/recall@10", "val/ndcg@10")


def main() -> None:
    rows = []
    for path in (path for folder in sys.argv[1:] for path in Path(folder).glob("*/result.json")):
        result = json.loads(path.read_text())
        overrides = yaml.safe_load((path.parent / ".hydra/overrides.yaml").read_text())
        rows.append(
            {
                "model": result["model"],
                "options": " ".join(o for o in overrides if o.startswith("model.")),
                **{name: f"{result['metrics'].get(name, float('nan')):.5f}" for name in METRICS},
                "split": result["split"][:16],
            }
        )
    rows.sort(key=lambda row: (row["model"], -float(row["val/recall@10"])))
    writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


if __name__ == "__main__":
    main()
