"""`python table.py FOLDER > search.csv`: a row a run in it, by what its metrics.csv says.

So a run that was ended by hand counts, too: `epochs` says how far it came.
"""

import csv
import sys
from pathlib import Path

import yaml

SHOWN = ("model.", "view.", "max_epochs", "patience", "seed")


def main():
    rows = []
    for path in Path(sys.argv[1]).glob("*/metrics.csv"):
        with path.open() as file:
            values = [row["val/recall@10"] for row in csv.DictReader(file)]
        values = [float(value) for value in values if value]
        overrides = yaml.safe_load((path.parent / ".hydra/overrides.yaml").read_text())
        [model] = (o.removeprefix("model=") for o in overrides if o.startswith("model="))
        rows.append(
            {
                "model": model,
                "options": " ".join(o for o in overrides if o.startswith(SHOWN)),
                "val/recall@10": f"{max(values):.5f}",
                "best epoch": values.index(max(values)) + 1,
                "epochs": len(values),
            }
        )
    rows.sort(key=lambda row: (row["model"], -float(row["val/recall@10"])))
    writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


if __name__ == "__main__":
    main()
