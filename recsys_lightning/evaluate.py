"""What lists of any program are worth: `python -m recsys_lightning.evaluate lists.csv --split ...`.

The file is CSV (or TSV, Parquet) with columns user, item, and rank (from the best on) or score;
original ids, rows in any order. Users without a list count as misses; items that the user already
has are left out, and those after them move up.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from recsys_lightning.errors import BAD_INPUT, InputError, Interrupted
from recsys_lightning.interruption import signals_raise
from recsys_lightning.metrics.names import FILES
from recsys_lightning.runs.terminal import Terminal


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m recsys_lightning.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="the lists")
    parser.add_argument(
        "--split",
        type=Path,
        required=True,
        help="folder of train, valid and test.parquet, below data/splits; split_files of a run",
    )
    stages = {file: stage for stage, file in FILES.items()}
    parser.add_argument("--stage", choices=stages, default="valid", help="(valid)")
    parser.add_argument("--k", type=int, nargs="+", default=[10, 20], help="cut-offs (10 20)")
    parser.add_argument(
        "--against", type=Path, nargs="+", default=[], metavar="RUN", help="runs to compare with"
    )
    parser.add_argument(
        "--metric", nargs="+", help="to compare by; default: recall and ndcg at the first cut-off"
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    options = parser.parse_args(arguments)
    from recsys_lightning.reports.evaluation import evaluate, show

    try:
        with signals_raise():
            found = evaluate(
                options.file,
                options.split,
                stages[options.stage],
                list(dict.fromkeys(options.k)),
                options.against,
                options.metric,
            )
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except Interrupted as interruption:
        print(f"error: {interruption}: the same command starts again", file=sys.stderr)
        return interruption.code
    if options.json:
        print(json.dumps(asdict(found), indent=2))
    else:
        show(Terminal(), found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
