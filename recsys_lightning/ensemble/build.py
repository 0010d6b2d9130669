"""The ensemble: from the folders of runs to one submission, and what it is worth."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.ensemble.members import (
    AVERAGE,
    SEPARATE,
    find_members,
    metric_of,
    read_stage,
)
from recsys_lightning.ensemble.methods import BEST, Methods
from recsys_lightning.ensemble.output import (
    build_in,
    complete,
    describe_failed,
    describe_members,
    keep_lists,
    places,
    submit,
)
from recsys_lightning.ensemble.search import oracle
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.metrics.names import MetricName
from recsys_lightning.metrics.of_lists import measure, user_values
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.lists import read_split
from recsys_lightning.runs.meter import Stopwatch
from recsys_lightning.runs.record import EnsembleResult
from recsys_lightning.sweeps.jobs import Runs


class Ensemble:
    """What can be chosen about an ensemble; a call builds it.

    Args:
        fusion: see `ensemble.fusion`; of several rules, the first is given weights in all ways, the
            others by coordinate ascent.
        shared_first: whether `interleave` begins with what stands among the first of all lists.
        weights: `single` (the best member alone), `equal`, `coordinate`, `greedy`, `combination`,
            or `best`, the one of these (and the mixer, if asked for) with the highest cross-fitted
            metric, where it gains more than chance, else the best member; or weights by the
            members' names: a member not named has none.
        by: what tells kinds of users apart, see `ensemble.kinds`: for each of these `coordinate` is
            tried with separate weights for each kind, too.
        metric: to search and choose by, such as `recall@10`; None: the runs' `monitor`.
        depth: how many first items of each list are fused.
        k0: of `reciprocal_rank`.
        folds: that the users are split into.
        max_members: of a `combination`.
        per_model: configurations of each model that a sweep's folder gives, the best on validation
            by the mean over their seeds, each with all its seeds.
        seeds: `separate`, or `average`: runs that differ in seed alone are one member, see
            `fusion.average`.
        mixer: whether the learned mixer is tried: kept where it wins. Extra `rank`.
        seed: of the folds, the bags and the mixer.
    """

    def __init__(
        self,
        fusion: str | Sequence[str] = "rank",
        shared_first: bool = True,
        weights: str | Mapping[str, float] = BEST,
        by: Sequence[str] = (),
        metric: str | None = None,
        depth: int = 100,
        k0: float = 60,
        folds: int = 5,
        max_members: int = 6,
        per_model: int = 1,
        seeds: str = SEPARATE,
        mixer: bool = False,
        seed: int = 0,
    ) -> None:
        check_range("ensemble.per_model", per_model, low=1, whole=True)
        if seeds not in (SEPARATE, AVERAGE):
            raise InputError(f"ensemble.seeds={seeds}: expected {SEPARATE} or {AVERAGE}")
        if metric is not None:
            try:
                MetricName.parse(metric)
            except InputError as error:
                raise InputError(f"ensemble.metric={error}") from None
        self.methods = Methods(
            fusion, shared_first, weights, by, depth, k0, folds, max_members, mixer, seed
        )
        self.metric, self.per_model, self.seeds, self.seed = metric, per_model, seeds, seed

    def __call__(
        self, folders: Sequence[Path], out: Path, runs: Runs | None = None
    ) -> EnsembleResult:
        """Read, search, fuse; write lists as a run does, `submission.csv` and `ensemble.json`.

        Args:
            folders: of runs, or above them, or of lists from elsewhere.
            runs: those that were read already.
            out: where to write, see `output.build_in`.

        Returns:
            what ensemble.json says.

        Raises:
            InputError: the runs cannot be fused.
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
            members, failed = find_members(folders, self.metric, self.per_model, self.seeds, runs)
            first = members[0].result
            found |= {
                "data": first.data,
                "split": first.split,
                "split_files": first.split_files,
                "seed": self.seed,
                "fusion": ", ".join(self.methods.rules),
                "left_out": describe_failed(failed, out),
            }
            metric = metric_of(members, self.metric)
            split = read_split(Path(str(first.split_files)), first.split)
            valid = read_stage("valid", members, split, f"val/{metric}")
        k, cutoffs = int(first.config["recommend"]["k"]), list(first.config["metrics"]["k"])
        length = max(k, *cutoffs)

        with clock("search"):
            alone = valid.values
            best = int(np.argmax([np.nanmean(values) for values in alone]))
            single = dict(members[best].metrics)
            if unmeasured := not single:
                single = measure("val", valid.members[best].items, split.valid, split, cutoffs)[0]
            fold = self.methods.draw_folds(split.valid)
            methods = self.methods.fit(members, valid, fold, metric, k, length)
            choice = self.methods.choose(methods, fold, alone[best])
            chosen = choice.method
            found |= {
                "fusion": chosen.fusion,
                "weights": chosen.name,
                "kinds": chosen.kinds and chosen.kinds.described(),
                "members": describe_members(members, chosen.weights, out),
                "methods": [
                    {
                        "name": method.name,
                        "fusion": method.fusion,
                        "kinds": method.kinds and method.kinds.described(),
                        "metrics": {f"val/{metric}": method.value},
                        "gain": {f"val/{metric}": self._gain(method.values, alone[best])},
                        "members": describe_members(members, method.weights, out),
                    }
                    for method in methods
                ],
                "choice": {
                    "name": choice.best.name,
                    "fusion": choice.best.fusion,
                    "gain": {f"val/{metric}": choice.gain._asdict()},
                },
                "oracle": {f"val/{metric}": oracle(valid.members, split.valid, metric)},
                "best_single": {
                    "name": members[best].name,
                    "folder": places(members[best], out),
                    "metrics": single,
                },
            }

        del valid  # of many members as large as their fusion

        with clock("measure"):
            measured = [measure("val", choice.lists, split.valid, split, cutoffs)]
            fused = {"valid": choice.lists}
            gain = choice.gain._asdict()
            if chosen is not choice.best:
                gain = self._gain(chosen.values, alone[best])
            found["gain"] = {f"val/{metric}": gain}
            if split.test.num_interactions:  # what has been chosen stays chosen
                name = f"test/{metric}"
                test = read_stage("test", members, split, name)
                if unmeasured:
                    items = test.members[best].items
                    single |= measure("test", items, split.test, split, cutoffs)[0]
                made = self.methods.apply(methods, test, k, length)
                for method, lists, said in zip(methods, made, found["methods"], strict=True):
                    values = user_values(metric, lists, split.test)
                    said["metrics"][name] = float(np.nanmean(values))
                    said["gain"][name] = self._gain(values, test.values[best])
                    if method is chosen:
                        fused["test"], found["gain"][name] = lists, said["gain"][name]
                found["oracle"][name] = oracle(test.members, split.test, metric)
                measured.append(measure("test", fused["test"], split.test, split, cutoffs))
                del test
            for key, number in (("metrics", 0), ("standard_errors", 1)):
                found[key] = {name: v for both in measured for name, v in both[number].items()}

        with clock("write"):
            [final] = self.methods.apply([chosen], read_stage("final", members, split), k, k)
            fused["final"] = final = complete(final, split.interactions, k)
            for stage, lists in fused.items():
                keep_lists(out, stage, split.interactions, lists)
            path = RunFolder(out).submission
            found["submission"] = submit(path, members, split.interactions, final, k)

    def _gain(self, here: NDArray[np.float64], there: NDArray[np.float64]) -> dict[str, float]:
        return self.methods.gain(here, there)._asdict()
