"""What a sweep, or any set of runs, has shown: `python -m recsys_lightning.report FOLDER...`.

Writes leaderboard.csv, runs.csv, differences.csv, report.md, report.html (self-contained; with the
extra `html`) and best/<model>.yaml.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from recsys_lightning.errors import BAD_INPUT, InputError, Interrupted
from recsys_lightning.interruption import signals_raise
from recsys_lightning.reports.rendering import print_report
from recsys_lightning.reports.writing import write_report
from recsys_lightning.runs.terminal import Terminal


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m recsys_lightning.report", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="runs or sweeps")
    parser.add_argument("--out", type=Path, help="for the files; default: the first folder")
    parser.add_argument(
        "--scores",
        type=Path,
        help="a file of run, score: what a leaderboard said; which holdout's metrics follow it",
    )
    parser.add_argument(
        "--latex",
        action="store_true",
        help="also report.tex, the table of a paper: best bold, second underlined, significance",
    )
    options = parser.parse_args(arguments)
    out = options.out or options.folders[0]
    try:
        with signals_raise():
            report = write_report(out, options.folders, scores=options.scores, latex=options.latex)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except Interrupted as interruption:
        print(f"error: {interruption}: the same command starts again", file=sys.stderr)
        return interruption.code
    print_report(Terminal(), report, out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
