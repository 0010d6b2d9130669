"""`python -m recsys_lightning.ensemble RUNS... --out FOLDER`: the ensemble of any runs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from recsys_lightning.ensemble.bag import Bag
from recsys_lightning.ensemble.build import Ensemble
from recsys_lightning.ensemble.fusion import RULES
from recsys_lightning.ensemble.kinds import PROPERTIES
from recsys_lightning.ensemble.members import AVERAGE, SEPARATE
from recsys_lightning.ensemble.methods import BEST
from recsys_lightning.ensemble.search import SEARCHES
from recsys_lightning.ensemble.show import show
from recsys_lightning.errors import BAD_INPUT, FAILED, InputError, Interrupted
from recsys_lightning.interruption import signals_raise
from recsys_lightning.runs.terminal import Terminal

OF_A_BAG = ("fusion", "depth", "k0")


def main(arguments: Sequence[str] | None = None) -> int:
    """Build one; returns the exit code: 2 for bad input, 1 if a run failed that was left out."""
    parser = argparse.ArgumentParser(
        prog="python -m recsys_lightning.ensemble",
        description="Fuse the lists of runs into one submission.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        help="run folders, folders with runs (a sweep's), or folders of another program's lists: "
        "valid.csv, test.csv and final.csv of user, item, and rank or score",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--bag",
        action="store_true",
        help="one configuration on several draws of its holdout: their final lists, at equal "
        f"weights; of the options, it takes --{', --'.join(OF_A_BAG)}",
    )
    parser.add_argument(
        "--fusion",
        type=_names,
        help=f"some of {', '.join(RULES)}: rank,interleave; by default rank, and of a bag, which "
        "takes one, combsum_zscore",
    )
    parser.add_argument(
        "--no-shared-first",
        action="store_false",
        dest="shared_first",
        help="interleave without beginning with what all lists share",
    )
    parser.add_argument(
        "--weights",
        type=_weights,
        default=BEST,
        help=f"{', '.join((BEST, *SEARCHES))}, or by name: ease=1,recvae=0.7",
    )
    parser.add_argument(
        "--by",
        type=_names,
        default=[],
        help=f"weights for kinds of users, by some of {', '.join(PROPERTIES)}",
    )
    parser.add_argument("--metric", help="such as ndcg@10; by default the runs' monitor")
    parser.add_argument("--depth", type=int, default=100, help="first items of a list that count")
    parser.add_argument("--k0", type=float, default=60, help="of reciprocal_rank")
    parser.add_argument("--folds", type=int, default=5, help="of the users, to cross-fit weights")
    parser.add_argument("--max-members", type=int, default=6, help="of a combination")
    parser.add_argument(
        "--per-model", type=int, default=1, help="best configurations a model, of a sweep"
    )
    parser.add_argument(
        "--seeds",
        default=SEPARATE,
        help=f"runs that differ in seed alone: {SEPARATE} members, or one, their {AVERAGE}",
    )
    parser.add_argument("--mixer", action="store_true", help="try LightGBM, too (extra rank)")
    parser.add_argument("--seed", type=int, default=0, help="of folds, bags and mixer")
    given = vars(parser.parse_args(arguments))
    runs, out, bag = (given.pop(name) for name in ("runs", "out", "bag"))
    options = {name: value for name, value in given.items() if value is not None}
    if bag:
        asked = [name for name in options if options[name] != parser.get_default(name)]
        if unused := [name for name in asked if name not in OF_A_BAG]:
            parser.error(f"--{unused[0].replace('_', '-')}: not of a --bag, which searches nothing")
        options = {name: options[name] for name in OF_A_BAG if name in options}
        if "fusion" in options:
            options["fusion"] = ",".join(options["fusion"])
    try:
        with signals_raise():
            result = (Bag if bag else Ensemble)(**options)(runs, out)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except Interrupted as interruption:
        print(f"error: {interruption}: the same command starts again", file=sys.stderr)
        return interruption.code
    show(Terminal(), result, out)
    return FAILED if result.left_out else 0


def _names(text: str) -> list[str]:
    return text.split(",")


def _weights(text: str) -> str | dict[str, float]:
    if "=" not in text:
        return text
    pairs = (pair.rpartition("=") for pair in text.split(","))
    return {name: float(weight) for name, _, weight in pairs}


if __name__ == "__main__":
    sys.exit(main())
