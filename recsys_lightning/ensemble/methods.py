"""The ways to fuse: fitted side by side, cross-fitted, and the choice between them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.ensemble import mixer
from recsys_lightning.ensemble.fusion import Fusion, check_rule, make_fusion
from recsys_lightning.ensemble.kinds import PROPERTIES, Kinds, find_kinds
from recsys_lightning.ensemble.members import Member, Stage
from recsys_lightning.ensemble.search import (
    SEARCHES,
    Objective,
    coordinate,
    draw_folds,
    normalised,
)
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.functional.bootstrap import (
    Difference,
    bootstrap_of_choice,
    choose_without,
    paired_bootstrap,
)
from recsys_lightning.metrics.of_lists import user_values

log = logging.getLogger(__name__)

BEST, SINGLE, COORDINATE, MIXER, GIVEN = "best", "single", "coordinate", "mixer", "given"


class Method(NamedTuple):
    """A way to fuse, fitted.

    Attributes:
        name: how the weights were found.
        fusion: the rule; `lambdarank` of the mixer.
        weights: (B, M) fitted on all users, of each of B kinds; None for the mixer.
        kinds: of users, where each has separate weights; None: all are of one.
        model: the mixer fitted on all users, else None.
        lists: (U, length) of validation, each user's made without having looked at that user.
        values: (U,) the metric of these lists; nan for a user who is not evaluated.
        eligible: whether the ensemble may be made by it; else it is there to compare with.
    """

    name: str
    fusion: str
    weights: NDArray[np.float32] | None
    kinds: Kinds | None
    model: Any
    lists: NDArray[np.int32]
    values: NDArray[np.float64]
    eligible: bool

    @property
    def value(self) -> float:
        """The cross-fitted metric."""
        return float(np.nanmean(self.values))


class Choice(NamedTuple):
    """What makes the submission, and what the choosing is worth.

    Attributes:
        method: that makes it.
        lists: (U, length) of validation, each user's by a method chosen without the user's fold.
        best: the method of the highest value.
        gain: over the best single member, of lists chosen so.
    """

    method: Method
    lists: NDArray[np.int32]
    best: Method
    gain: Difference


class Methods:
    """What can be chosen about the ways to fuse; see `ensemble.build.Ensemble` for each."""

    def __init__(
        self,
        fusion: str | Sequence[str],
        shared_first: bool,
        weights: str | Mapping[str, float],
        by: Sequence[str],
        depth: int,
        k0: float,
        folds: int,
        max_members: int,
        mixer: bool,
        seed: int,
    ) -> None:
        self.rules = [fusion] if isinstance(fusion, str) else list(fusion)
        for rule in self.rules or ["[]"]:
            check_rule(rule, depth, k0)
        if isinstance(weights, str) and weights not in (BEST, *SEARCHES):
            raise InputError(
                f"ensemble.weights={weights}: expected one of {', '.join((BEST, *SEARCHES))}, "
                "or weights by name, such as {ease: 1, recvae: 0.7}"
            )
        if not isinstance(weights, str | Mapping):
            raise InputError(
                f"ensemble.weights={weights}: expected a word, or weights by name, such as "
                "{ease: 1, recvae: 0.7}"
            )
        if not isinstance(weights, str):
            for name, weight in weights.items():
                check_range(f"ensemble.weights.{name}", weight, low=0, open_high=True)
            if not any(weights.values()):
                raise InputError("ensemble.weights: all are 0, so there is nothing to fuse")
        for name in [by] if isinstance(by, str) else by:
            if isinstance(by, str) or name not in PROPERTIES:
                raise InputError(
                    f"ensemble.by={name}: expected a list, [{', '.join(PROPERTIES)}] or some of it"
                )
        if by and weights not in (BEST, COORDINATE):
            raise InputError(
                f"ensemble.by={list(by)}: only with ensemble.weights={BEST} or {COORDINATE}"
            )
        check_range("ensemble.folds", folds, low=2, whole=True)
        check_range("ensemble.max_members", max_members, low=1, whole=True)
        check_range("ensemble.seed", seed, low=0, whole=True)
        self.shared_first, self.weights, self.by = shared_first, weights, by
        self.depth, self.k0, self.folds, self.max_members = depth, k0, folds, max_members
        self.mixer, self.seed = mixer, seed

    def draw_folds(self, held_out: Interactions) -> NDArray[np.int64]:
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

    def fit(
        self,
        members: Sequence[Member],
        valid: Stage,
        fold: NDArray[np.int64],
        metric: str,
        k: int,
        length: int,
    ) -> list[Method]:
        """What there is to choose from and to compare, simple ones first.

        Args:
            members: M.
            valid: their lists of validation.
            fold: (U,) of `draw_folds`.
            metric: such as `recall@10`.
            k: of the submission.
            length: of the lists.
        """
        held_out = valid.held_out
        assert held_out is not None
        methods: list[Method] = []

        def add(name: str, rule: str, lists: NDArray[np.int32], **fitted: Any) -> None:
            values = user_values(metric, lists, held_out)
            nothing = {"weights": None, "kinds": None, "model": None}
            methods.append(Method(name, rule, lists=lists, values=values, **(nothing | fitted)))

        for rule, names, eligible in self._searches(len(members)):
            fusion = self._fusion(rule, valid, k)
            objective = Objective(fusion, held_out, metric, fold)
            for name in names:
                with self._left_out_if_refused(f"{rule}, {name}"):
                    found = SEARCHES[name](objective, len(members), self.seed, self.max_members)
                    lists = fusion.lists(found, length, fold)
                    chosen = eligible and (self.weights in (BEST, name) or len(members) == 1)
                    add(name, rule, lists, weights=found[-1:], eligible=chosen)
            for by in self.by if COORDINATE in names else ():
                name = f"{COORDINATE} by {by}"
                with self._left_out_if_refused(f"{rule}, {name}"):
                    kinds = find_kinds(by, valid.history, held_out.lengths > 0)
                    kind = kinds.of(valid.history)
                    found = np.stack(
                        [
                            coordinate(
                                Objective(fusion, held_out, metric, fold, kind == b),
                                len(members),
                                self.seed,
                                self.max_members,
                            )
                            for b in range(kinds.number)
                        ],
                        axis=1,
                    )  # (F + 1, B, M)
                    rows = found.reshape(-1, len(members))
                    lists = fusion.lists(rows, length, fold * kinds.number + kind)
                    add(name, rule, lists, weights=found[-1], kinds=kinds, eligible=eligible)
            if not isinstance(self.weights, str):
                given = self._given(members)[None]
                add(GIVEN, rule, fusion.lists(given, length), weights=given, eligible=True)
        if self.mixer and len(members) > 1:
            with self._left_out_if_refused(MIXER):
                model, lists = mixer.cross_fit(valid, fold, length, self.seed)
                add(MIXER, "lambdarank", lists, model=model, eligible=True)
        return methods

    def choose(
        self, methods: Sequence[Method], fold: NDArray[np.int64], single: NDArray[np.float64]
    ) -> Choice:
        """The eligible method of the highest value; under `weights=best`, where it gains anything.

        Its gain is that of `bootstrap_of_choice`, and the lists of validation are of the same
        kind: those of each fold by the method that is the best on all other folds. (A method's
        values there come from weights that have seen this fold, which is not nested any further.)
        Under `weights=best` the best single member is submitted where the interval reaches 0.

        Args:
            methods: of `fit`.
            fold: (U,) as there.
            single: (U,) values of the best single member.
        """
        eligible = [method for method in methods if method.eligible]
        best = max(eligible, key=lambda method: method.value)  # the first of equal ones
        if len(eligible) == 1:
            return Choice(best, best.lists, best, self.gain(best.values, single))
        values = np.array([method.values for method in eligible])
        gain = bootstrap_of_choice(values, single, fold, seed=self.seed)
        if self.weights == BEST and gain.low <= 0:
            alone = next(method for method in eligible if method.name == SINGLE)
            return Choice(alone, alone.lists, best, gain)
        chosen = choose_without(values, fold)
        lists = np.array([method.lists for method in eligible])
        return Choice(best, lists[chosen[fold], np.arange(len(fold))], best, gain)

    def apply(
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
                kind = method.kinds and method.kinds.of(stage.history)
                lists = fusions[method.fusion].lists(method.weights, length, kind)
            made.append(lists)
        return made

    def gain(self, here: NDArray[np.float64], there: NDArray[np.float64]) -> Difference:
        """How much better values (U,) are than others."""
        return paired_bootstrap(here, there, seed=self.seed)

    def _searches(self, num_members: int) -> Iterator[tuple[str, list[str], bool]]:
        """Rules, which weights each is given, and whether the ensemble may be made by it."""
        first, *others = self.rules
        if num_members == 1:
            yield first, [SINGLE], True
            return
        names = list(SEARCHES) if self.weights == BEST else [SINGLE, "equal"]
        if isinstance(self.weights, str) and self.weights not in (BEST, *names):
            names.append(self.weights)
        yield first, names, True
        for rule in others:
            wanted = COORDINATE if self.weights == BEST else self.weights
            yield rule, [wanted] if isinstance(wanted, str) else [], True
        if self.rules != ["interleave"] and not others and self.weights == BEST:
            yield "interleave", [COORDINATE], False

    @contextmanager
    def _left_out_if_refused(self, method: str) -> Iterator[None]:
        """Under `weights=best`, leave out a method that refuses these members, with a warning."""
        try:
            yield
        except InputError as error:
            if self.weights != BEST or method.endswith(SINGLE):  # one is always there
                raise
            log.warning("%s is left out of the ensemble's methods: %s", method, error)

    def _fusion(self, rule: str, stage: Stage, k: int) -> Fusion:
        return make_fusion(
            rule,
            stage.members,
            stage.tie_order,
            k0=self.k0,
            depth=self.depth,
            head=k if rule != "interleave" or self.shared_first else 0,
        )

    def _given(self, members: Sequence[Member]) -> NDArray[np.float32]:
        """(M,) the weights that the user chose."""
        assert isinstance(self.weights, Mapping)
        names = [member.name for member in members]
        if unknown := sorted(set(self.weights) - set(names)):
            raise InputError(
                f"ensemble.weights.{unknown[0]}: no member of this name; there are "
                f"{', '.join(names)}"
            )
        given = np.array([[self.weights.get(name, 0.0) for name in names]])
        return normalised(given, digits=9)[0]  # all that float32 has
