"""The ensemble: from the folders of runs to one submission, and what it is worth."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.ensemble import mixer
from recsys_lightning.ensemble.fusion import RULES, Fusion, make_fusion
from recsys_lightning.ensemble.members import (
    AVERAGE,
    SEPARATE,
    Member,
    Stage,
    find_members,
    metric_of,
    read_stage,
)
from recsys_lightning.ensemble.methods import Method
from recsys_lightning.ensemble.output import (
    clear,
    complete,
    describe_members,
    keep_lists,
    places,
    submit,
)
from recsys_lightning.ensemble.search import (
    SEARCHES,
    Objective,
    coordinate,
    draw_folds,
    normalised,
    oracle,
)
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.functional.bootstrap import paired_bootstrap
from recsys_lightning.metrics.of_lists import measure, user_values
from recsys_lightning.runs.folder import RunFolder, relative
from recsys_lightning.runs.lists import read_split
from recsys_lightning.runs.meter import Stopwatch, forget_peak_rss, peak_rss_mb
from recsys_lightning.runs.provenance import git_commit, versions
from recsys_lightning.runs.record import EnsembleResult
from recsys_lightning.sweeps.jobs import Runs

log = logging.getLogger(__name__)

BEST, MIXER, GIVEN = "best", "mixer", "given"


class Ensemble:
    """What can be chosen about an ensemble; a call builds it.

    Args:
        fusion: see `ensemble.fusion`.
        weights: `single` (the best member alone), `equal`, `coordinate`, `greedy`, `combination`,
            or `best`, the one of these (and the mixer, if asked for) with the highest cross-fitted
            metric; or weights by the members' names: a member not named has none.
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
        fusion: str = "rank",
        weights: str | Mapping[str, float] = BEST,
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
        if fusion not in RULES:
            raise InputError(f"ensemble.fusion={fusion}: expected one of {', '.join(RULES)}")
        if isinstance(weights, str) and weights not in (BEST, *SEARCHES):
            raise InputError(
                f"ensemble.weights={weights}: expected one of {', '.join((BEST, *SEARCHES))}, "
                "or weights by name, such as {ease: 1, recvae: 0.7}"
            )
        if not isinstance(weights, str):
            for name, weight in weights.items():
                check_range(f"ensemble.weights.{name}", weight, low=0, open_high=True)
            if not any(weights.values()):
                raise InputError("ensemble.weights: all are 0, so there is nothing to fuse")
        check_range("ensemble.depth", depth, low=1, high=2**15 - 1, whole=True)
        check_range("ensemble.k0", k0, low=0)
        check_range("ensemble.folds", folds, low=2, whole=True)
        check_range("ensemble.max_members", max_members, low=1, whole=True)
        check_range("ensemble.per_model", per_model, low=1, whole=True)
        if seeds not in (SEPARATE, AVERAGE):
            raise InputError(f"ensemble.seeds={seeds}: expected {SEPARATE} or {AVERAGE}")
        check_range("ensemble.seed", seed, low=0, whole=True)
        self.fusion, self.weights, self.metric = fusion, weights, metric
        self.depth, self.k0, self.folds, self.max_members = depth, k0, folds, max_members
        self.per_model, self.seeds, self.mixer, self.seed = per_model, seeds, mixer, seed

    def __call__(
        self, folders: Sequence[Path], out: Path, runs: Runs | None = None
    ) -> EnsembleResult:
        """Read, search, fuse; write lists as a run does, `submission.csv` and `ensemble.json`.

        Args:
            folders: of runs, or above them, or of lists from elsewhere.
            runs: those that were read already.
            out: where to write. Whatever is raised, ensemble.json says so, and no submission and
                no lists are left there, not even those of an earlier ensemble.

        Returns:
            what ensemble.json says.

        Raises:
            InputError: the runs cannot be fused.
        """
        if RunFolder(out).result.exists():
            raise InputError(f"{out} is the folder of a run: write the ensemble to another")
        out.mkdir(parents=True, exist_ok=True)
        clear(out)
        found: dict[str, Any] = {"status": "done", "model": "ensemble"}  # fields of the result
        clock = Stopwatch()
        forget_peak_rss()
        try:
            self._build(folders, out, runs or Runs(), clock, found)
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
            found |= {
                "status": "failed",
                "error": str(error) if isinstance(error, InputError) else said,
            }
            clear(out)
            raise
        finally:
            found |= {
                "seconds": clock.seconds,
                "peak_rss_mb": peak_rss_mb(),
                "versions": versions(),
                "git_commit": git_commit(Path(__file__).parent),
            }
            result = EnsembleResult(**found)
            result.write(RunFolder(out).ensemble)
        return result

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
                "fusion": self.fusion,
                "left_out": [
                    {"folder": relative(run, out), "reason": error} for run, error in failed
                ],
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
            methods = self._methods(members, valid, metric, k, length)
            eligible = [n for n, method in enumerate(methods) if method.eligible]
            at = max(eligible, key=lambda n: methods[n].value)  # the first of equal ones
            chosen = methods[at]
            found |= {
                "fusion": chosen.fusion,
                "weights": chosen.name,
                "members": describe_members(members, chosen.weights, out),
                "methods": [
                    {
                        "name": method.name,
                        "fusion": method.fusion,
                        "metrics": {f"val/{metric}": method.value},
                        "gain": {f"val/{metric}": self._gain(method.values, alone[best])},
                        "members": describe_members(members, method.weights, out),
                    }
                    for method in methods
                ],
                "oracle": {f"val/{metric}": oracle(valid.members, split.valid, metric)},
                "best_single": {
                    "name": members[best].name,
                    "folder": places(members[best], out),
                    "metrics": single,
                },
            }

        with clock("measure"):
            measured = [measure("val", chosen.lists, split.valid, split, cutoffs)]
            fused = {"valid": chosen.lists}
            if split.test.num_interactions:  # what has been chosen stays chosen
                name = f"test/{metric}"
                test = read_stage("test", members, split, name)
                if unmeasured:
                    items = test.members[best].items
                    single |= measure("test", items, split.test, split, cutoffs)[0]
                made = self._apply(methods, test, k, length)
                for lists, said in zip(made, found["methods"], strict=True):
                    values = user_values(metric, lists, split.test)
                    said["metrics"][name] = float(np.nanmean(values))
                    said["gain"][name] = self._gain(values, test.values[best])
                fused["test"] = made[at]
                found["oracle"][name] = oracle(test.members, split.test, metric)
                measured.append(measure("test", fused["test"], split.test, split, cutoffs))
            for key, number in (("metrics", 0), ("standard_errors", 1)):
                found[key] = {name: v for both in measured for name, v in both[number].items()}
            found["gain"] = found["methods"][at]["gain"]

        with clock("write"):
            [final] = self._apply([chosen], read_stage("final", members, split), k, k)
            fused["final"] = final = complete(final, split.interactions, k)
            for stage, lists in fused.items():
                keep_lists(out, stage, split.interactions, lists)
            path = RunFolder(out).submission
            found["submission"] = submit(path, members, split.interactions, final, k)

    def _methods(
        self, members: Sequence[Member], valid: Stage, metric: str, k: int, length: int
    ) -> list[Method]:
        """What there is to choose from and to compare, simple ones first."""
        assert valid.held_out is not None
        fold = self._draw_folds(valid.held_out)
        methods: list[Method] = []

        def add(name: str, rule: str, lists: NDArray[np.int32], **fitted: Any) -> None:
            values = user_values(metric, lists, valid.held_out)  # type: ignore[arg-type]
            methods.append(Method(name, rule, lists=lists, values=values, **fitted))

        fusion = self._fusion(self.fusion, valid, k)
        names = list(SEARCHES) if self.weights == BEST else ["single", "equal"]
        if isinstance(self.weights, str) and self.weights not in (BEST, *names):
            names.append(self.weights)
        if len(members) == 1:
            names = ["single"]
        objective = Objective(fusion, valid.held_out, metric, fold)
        for name in names:
            with self._left_out_if_refused(name):
                found = SEARCHES[name](objective, len(members), self.seed, self.max_members)
                lists = fusion.lists(found, length, fold)
                eligible = self.weights in (BEST, name) or len(members) == 1
                add(name, self.fusion, lists, weights=found[-1], model=None, eligible=eligible)
        if not isinstance(self.weights, str):
            given = self._given(members)
            lists = fusion.lists(given[None], length)
            add(GIVEN, self.fusion, lists, weights=given, model=None, eligible=True)
        if len(members) > 1 and self.weights == BEST and self.fusion != "interleave":
            turns = self._fusion("interleave", valid, k)
            objective = Objective(turns, valid.held_out, metric, fold)
            with self._left_out_if_refused("coordinate, interleave"):
                found = coordinate(objective, len(members), self.seed, self.max_members)
                lists = turns.lists(found, length, fold)
                weights = found[-1]
                add("coordinate", "interleave", lists, weights=weights, model=None, eligible=False)
        if self.mixer and len(members) > 1:
            with self._left_out_if_refused(MIXER):
                model, lists = mixer.cross_fit(valid, fold, length, self.seed)
                add(MIXER, "lambdarank", lists, weights=None, model=model, eligible=True)
        return methods

    @contextmanager
    def _left_out_if_refused(self, method: str) -> Iterator[None]:
        """Under `weights=best`, go on without a method that refuses these members, and say so."""
        try:
            yield
        except InputError as error:
            if self.weights != BEST or method == "single":  # one is always there
                raise
            log.warning("%s is left out of the ensemble's methods: %s", method, error)

    def _draw_folds(self, held_out: Interactions) -> NDArray[np.int64]:
        """(U,) the fold of every user; those who are evaluated are spread evenly."""
        evaluated = held_out.lengths > 0
        if (number := int(np.count_nonzero(evaluated))) < self.folds:
            raise InputError(
                f"ensemble.folds={self.folds}: only {number} users have validation items; "
                "choose fewer folds"
            )
        fold = np.zeros(len(evaluated), dtype=np.int64)
        fold[evaluated] = draw_folds(number, self.folds, self.seed)
        return fold

    def _fusion(self, rule: str, stage: Stage, k: int) -> Fusion:
        return make_fusion(
            rule, stage.members, stage.tie_order, k0=self.k0, depth=self.depth, head=k
        )

    def _apply(
        self, methods: Sequence[Method], stage: Stage, k: int, length: int
    ) -> list[NDArray[np.int32]]:
        """(U, length) lists of a stage by each method, as fitted on all users of validation."""
        fusions: dict[str, Fusion] = {}
        made = []
        for method in methods:
            if method.weights is None:
                lists = mixer.apply(method.model, stage, length)
            else:
                if method.fusion not in fusions:
                    fusions[method.fusion] = self._fusion(method.fusion, stage, k)
                lists = fusions[method.fusion].lists(method.weights[None], length)
            made.append(lists)
        return made

    def _given(self, members: Sequence[Member]) -> NDArray[np.float32]:
        """(M,) the weights that the user chose."""
        assert isinstance(self.weights, Mapping)
        names = [member.name for member in members]
        if unknown := sorted(set(self.weights) - set(names)):
            raise InputError(
                f"ensemble.weights.{unknown[0]}: no member of this name; there are "
                f"{', '.join(names)}"
            )
        return normalised(np.array([[self.weights.get(name, 0.0) for name in names]]))[0]

    def _gain(self, here: NDArray[np.float64], there: NDArray[np.float64]) -> dict[str, float]:
        return paired_bootstrap(here, there, seed=self.seed)._asdict()
