"""`python -m experiments.seventeen_ml1m.rows RUN_FOLDER... --ease FOLDER >> runs.csv`: a row a run.

The difference from EASE is that of the run's own lists from those of the given run of EASE, for the
same users, by the paired bootstrap.
"""

import argparse
import csv
import sys
from pathlib import Path

from recsys_lightning.functional.bootstrap import paired_bootstrap
from recsys_lightning.metrics.of_lists import user_values
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.lists import read_lists, read_split
from recsys_lightning.runs.record import RunResult

METRICS = "recall@10", "ndcg@10", "coverage@10", "novelty@10"
COLUMNS = (
    *("model", "holdout", "seed", "options", "stage", *METRICS, "se", "gain", "low", "high", "p"),
    *("best epoch", "fit s", "recommend s", "peak MB", "parameters", "threads", "split", "commit"),
)
# columns, or in the README; and what changes no figure here
ELSEWHERE = ("model=", "data", "holdout", "metrics", "hydra.", "seed=", "refit=")


def row(folder, ease):
    result, reference = (RunResult.read(RunFolder(run).result) for run in (folder, ease))
    if result.split != reference.split:
        sys.exit(f"{folder} and {ease} have different splits")
    stage, file = ("test", "test") if "test/recall@10" in result.metrics else ("val", "valid")
    split = read_split(Path(str(result.split_files)), result.split)
    held_out = split.test if stage == "test" else split.valid
    values = [
        user_values(
            f"{stage}/recall@10",
            read_lists(RunFolder(run).candidates(file), held_out.users, held_out.items).items,
            held_out,
        )
        for run in (folder, ease)
    ]
    options = [o for o in result.overrides if not o.startswith(ELSEWHERE)]
    seconds = result.seconds
    return [
        result.model,
        result.choices["holdout"],
        result.seed,
        " ".join(options),
        stage,
        *(f"{result.metrics[f'{stage}/{name}']:.5f}" for name in METRICS),
        f"{result.standard_errors[f'{stage}/recall@10']:.5f}",
        *(f"{value:.5f}" for value in paired_bootstrap(*values)),
        result.best_epoch,
        *(f"{seconds[name]:.1f}" for name in ("fit", "recommend")),
        f"{result.peak_rss_mb:.0f}",
        result.parameters,
        result.threads["torch"],
        str(result.split)[:16],
        str(result.git_commit)[:7],
    ]


def main():
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("runs", nargs="+", type=Path)
    made.add_argument("--ease", type=Path, required=True, help="its run on the same split")
    asked = made.parse_args()
    csv.writer(sys.stdout, lineterminator="\n").writerows(
        row(run, asked.ease) for run in asked.runs
    )


if __name__ == "__main__":
    main()
