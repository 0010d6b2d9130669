"""A bag: one configuration, fitted on several draws of its holdout, recommends as one."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from recsys_lightning.data.holdout import NoHoldout
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.ensemble.fusion import check_rule, make_fusion
from recsys_lightning.ensemble.members import (
    Member,
    find_runs,
    in_order,
    name_members,
    once_each,
    read_stage,
)
from recsys_lightning.ensemble.output import (
    build_in,
    complete,
    describe_failed,
    describe_members,
    keep_lists,
    submit,
)
from recsys_lightning.errors import InputError
from recsys_lightning.metrics.names import FILES, MetricName
from recsys_lightning.runs.elsewhere import holds_lists
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.lists import read_split
from recsys_lightning.runs.meter import Stopwatch
from recsys_lightning.runs.parameters import across_draws, differing, flat, of_the_job
from recsys_lightning.runs.record import EnsembleResult, RunResult
from recsys_lightning.sweeps.jobs import Run, Runs

log = logging.getLogger(__name__)
DRAWN = ("seed", "holdout.seed")  # what the runs of a bag may differ in


class Bag:
    """What can be chosen about a bag; a call builds it.

    A draw of the holdout is a member, its runs of several seeds averaged (`fusion.average`); all
    weigh the same. Only their final lists, those from the whole history, are fused. On validation
    and test the fused lists have no honest value: what is held out in one draw, the models of the
    others were fitted on. So there is none; each draw has its own, of its own split.

    Args:
        fusion: see `ensemble.fusion`; `combsum_zscore` does with draws what is done with seeds.
        depth: how many first items of each list are fused.
        k0: of `reciprocal_rank`.
    """

    def __init__(self, fusion: str = "combsum_zscore", depth: int = 100, k0: float = 60) -> None:
        check_rule(fusion, depth, k0)
        self.fusion, self.depth, self.k0 = fusion, depth, k0

    def __call__(
        self, folders: Sequence[Path], out: Path, runs: Runs | None = None
    ) -> EnsembleResult:
        """Read, fuse; write the final lists, `submission.csv` and `ensemble.json`.

        Args:
            folders: of runs, or above them.
            out: where to write, see `output.build_in`.
            runs: those that were read already.

        Returns:
            what ensemble.json says.

        Raises:
            InputError: the runs are not draws of one configuration.
        """
        return build_in(out, partial(self._build, folders, out, runs or Runs()))

    def _build(
        self,
        folders: Sequence[Path],
        out: Path,
        runs: Runs,
        clock: Stopwatch,
        found: dict[str, Any],
    ) -> None:
        """Do all that a call does, and fill in what is `found` on the way."""
        with clock("load"):
            draws, failed = find_draws(folders, runs)
            first, weights = draws[0].result, np.ones((1, len(draws)), np.float32)
            metrics = _metrics(draws)
            members = describe_members(draws, weights, out)
            for member, draw, values in zip(members, draws, metrics, strict=True):
                of = draw.result
                member |= {"holdout_seed": _drawn_by(of), "split": of.split, "metrics": values}
            found |= {
                "data": first.data,
                "split_files": first.split_files,
                "fusion": self.fusion,
                "weights": "bag",
                "left_out": describe_failed(failed, out),
                "members": members,
                "draws": _over_draws(metrics),
            }
            split = read_split(Path(str(first.split_files)), first.split)
            for draw in draws[1:]:
                _check_same_data(draws[0], split.interactions, draw)
            stage = read_stage("final", draws, split)

        with clock("write"):
            lists, k = stage.members, int(first.config["recommend"]["k"])
            if all(np.array_equal(of.items[:, :k], lists[0].items[:, :k]) for of in lists):
                log.warning("all draws recommend the same, and so does the bag: try refit=false")
            fusion = make_fusion(
                self.fusion, lists, stage.tie_order, k0=self.k0, depth=self.depth, head=k
            )
            final = complete(fusion.lists(weights, k), split.interactions, k)
            keep_lists(out, "final", split.interactions, final)
            at = RunFolder(out).submission
            found["submission"] = submit(at, draws, split.interactions, final, k)


def find_draws(
    folders: Sequence[Path], runs: Runs | None = None
) -> tuple[list[Member], list[tuple[Path, str]]]:
    """The draws of one configuration, by the holdout's seed, each a member of all its seeds.

    Args:
        folders: of runs, or above them.
        runs: those that were read already.

    Returns:
        the draws, and the failed runs, each with its error.

    Raises:
        InputError: there is no run, or they are of several configurations or of one split.
    """
    if elsewhere := [folder for folder in folders if holds_lists(folder)]:
        raise InputError(f"{elsewhere[0]} holds lists of another program: a bag is of runs alone")
    named, others, failed = find_runs(folders, runs)
    found = once_each([*named, *others])
    found.sort(key=lambda run: (_drawn_by(run[1]), in_order(run)))
    for run in found[1:]:
        _check_one_configuration(found[0], run)
    by_split: dict[str, list[Run]] = {}
    for run in found:
        by_split.setdefault(str(run[1].split), []).append(run)
    if len(by_split) < 2:
        raise InputError(
            f"one split alone, of {len(found)} run(s) such as {found[0][0]}: a bag is of two draws "
            "of the holdout or more (sweep=holdouts); for seeds there is ensemble.seeds=average"
        )
    return name_members(list(by_split.values())), failed


def _drawn_by(result: RunResult) -> int:  # -1: by a holdout without a seed
    return int((result.config.get("holdout") or {}).get("seed", -1))


def _check_one_configuration(first: Run, other: Run) -> None:
    """They are the same job but for the seeds."""
    results = first[1], other[1]
    if len({across_draws(of.config, of.choices, of.overrides) for of in results}) == 1:
        return
    configs = [{"model": of.model} | flat(of_the_job(of.config)) for of in results]
    keys = [key for key in differing(configs) if key not in DRAWN][:3]
    said = [f"{key}={configs[0].get(key)} and {configs[1].get(key)}" for key in keys]
    raise InputError(
        f"{first[0]} and {other[0]} are of two configurations ({', '.join(said) or 'classes'}), "
        f"and a bag is of runs that differ in {' and '.join(DRAWN)} alone: name the folders of one"
    )


def _check_same_data(first: Member, interactions: Interactions, other: Member) -> None:
    """Their splits are of the same users, items and interactions, in whatever parts these are."""
    files, sha256 = Path(str(other.result.split_files)), other.result.split
    others = NoHoldout().split(read_split(files, sha256).interactions)
    if others.sha256 != NoHoldout().split(interactions).sha256:
        raise InputError(
            f"{first.folders[0]} and {other.folders[0]} have splits of different data "
            f"({first.result.split_files}, {files}): name runs on the same interactions"
        )


def _metrics(draws: Sequence[Member]) -> list[dict[str, float]]:
    """Each draw's means over its seeds of what all runs have measured; the monitor's first."""
    measured = [[result.metrics for _, result in draw.runs] for draw in draws]
    monitor = MetricName.parse(draws[0].result.config["monitor"])
    names = dict.fromkeys([*(str(monitor.at(stage)) for stage in FILES), *measured[0][0]])
    common = [name for name in names if all(name in of for runs in measured for of in runs)]
    return [{name: fmean(of[name] for of in runs) for name in common} for runs in measured]


def _over_draws(metrics: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The mean of each metric over the draws, and the standard deviation between them."""
    columns = {name: [of_draw[name] for of_draw in metrics] for name in metrics[0]}
    return {name: {"mean": fmean(of), "std": stdev(of)} for name, of in columns.items()}
