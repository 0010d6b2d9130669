"""Members: the runs, and the lists from elsewhere, that an ensemble is made of."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.holdout import Split
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.ensemble.fusion import average
from recsys_lightning.errors import InputError
from recsys_lightning.metrics.names import MetricName
from recsys_lightning.metrics.of_lists import user_values
from recsys_lightning.runs.elsewhere import holds_lists, lists_file, read_elsewhere
from recsys_lightning.runs.folder import RESULT, RunFolder
from recsys_lightning.runs.lists import Lists, read_lists
from recsys_lightning.runs.record import RunResult
from recsys_lightning.sweeps.jobs import Run, Runs

log = logging.getLogger(__name__)

SEPARATE, AVERAGE = "separate", "average"  # what runs that differ in seed alone are


@dataclass(frozen=True, eq=False)
class Member:
    """A finished run, or several that differ in seed alone, whose lists are averaged.

    Lists from elsewhere are a run that says nothing of itself but its folder's name as the model.

    Attributes:
        name: its model, or its folder's name where several members share the model; of several
            runs the first one's, and how many seeds there are.
        runs: one, or several by seed.
    """

    name: str
    runs: tuple[Run, ...]

    @property
    def folders(self) -> list[Path]:
        """Of the runs."""
        return [folder for folder, _ in self.runs]

    @property
    def result(self) -> RunResult:
        """What the (first) run says of itself."""
        return self.runs[0][1]

    @property
    def metrics(self) -> Mapping[str, float]:
        """Those that its run has measured; none of several runs, nor of lists from elsewhere."""
        return self.result.metrics if len(self.runs) == 1 else {}


class Stage(NamedTuple):
    """What the members recommend at one stage.

    Attributes:
        members: the lists of each, (U, K).
        history: what is known of the users, and in no list.
        tie_order: (I,) items, the more popular in the history first.
        held_out: what the lists should find; None at `final`.
        values: (U,) the metric of each member's lists; empty where none was asked for.
    """

    members: list[Lists]
    history: Interactions
    tie_order: NDArray[np.int64]
    held_out: Interactions | None
    values: list[NDArray[np.float64]]


def find_members(
    folders: Sequence[Path],
    metric: str | None,
    per_model: int,
    seeds: str = SEPARATE,
    runs: Runs | None = None,
) -> tuple[list[Member], list[tuple[Path, str]]]:
    """The runs to fuse, in an order that does not depend on where they were found.

    Args:
        folders: a run whose own folder is named is a member, and so are lists from elsewhere,
            which come last; of all the runs below any other folder, those of the best `per_model`
            configurations of each model.
        metric: by whose mean over the seeds they are the best; None: the runs' `monitor`.
        per_model: configurations of a model.
        seeds: whether runs that differ in seed alone are `separate` members, or one (`average`).
        runs: those that were read already.

    Returns:
        the members, and the failed runs, each with its error.

    Raises:
        InputError: there is none, or they do not go together.
    """
    elsewhere = {folder.resolve(): folder for folder in folders if holds_lists(folder)}
    if len(elsewhere) == len({folder.resolve() for folder in folders}):
        raise InputError(
            f"{folders[0]} holds lists of another program: name a run beside it, which says what "
            "the split is"
        )
    named, others, failed = find_runs(
        [folder for folder in folders if folder.resolve() not in elsewhere], runs
    )
    _check_one_split(others)
    kept = sorted([*named, *_best(others, metric, per_model)], key=in_order)
    _check_alike(kept, metric)
    groups = _configurations(kept) if seeds == AVERAGE else [[run] for run in kept]
    by_name = sorted(elsewhere.values(), key=lambda folder: (folder.absolute().name, str(folder)))
    members = name_members([*groups, *([_from_elsewhere(folder)] for folder in by_name)])
    return members, failed


def find_runs(
    folders: Sequence[Path], runs: Runs | None = None
) -> tuple[list[Run], list[Run], list[tuple[Path, str]]]:
    """The runs in and below some folders, a folder that is found twice once.

    Args:
        folders: where to look.
        runs: those that were read already.

    Returns:
        the finished runs whose own folder is named, the other finished ones, and the failed ones,
        each with its error.

    Raises:
        InputError: there is no run in a folder, or none has succeeded.
    """
    named: dict[Path, Run] = {}
    swept: dict[Path, Run] = {}
    failed: dict[Path, Run] = {}
    for folder in folders:
        found = _results(folder, runs or Runs())
        if not found:
            raise InputError(
                f"{folder}: there is no run in it (no {RESULT}), nor lists of another program "
                "(valid.csv and final.csv)"
            )
        for run, result in found:
            if result.status == "failed":
                failed[run.resolve()] = run, result
            elif result.status == "done":
                (named if run == folder else swept)[run.resolve()] = run, result
    if not (named or swept):
        where = ", ".join(map(str, folders))
        raise InputError(f"none of the {len(failed)} runs in {where} has succeeded")
    others = [run for place, run in swept.items() if place not in named]
    errors = [(run, str(result.error)) for run, result in sorted(failed.values(), key=in_order)]
    return list(named.values()), others, errors


def once_each(runs: Iterable[Run]) -> list[Run]:
    """A job that was run twice counts once."""
    once: dict[str, Run] = {}
    for run in sorted(runs, key=in_order):
        once.setdefault(str(run[1].job), run)
    return list(once.values())


def read_stage(name: str, members: Sequence[Member], split: Split, key: str | None = None) -> Stage:
    """The lists of all members at a stage.

    Args:
        name: valid, test or final.
        members: of the ensemble.
        split: of all of them.
        key: a metric such as `val/recall@10`, to compute and to check against each run's result.

    Raises:
        InputError: a file is missing, unreadable or of other data, lacks users, or has another
            value of the metric than the run.
    """
    x = split.interactions
    _, history, held_out = split.question(name, members[0].result.config["test_history"])
    due = history.lengths < x.num_items if held_out is None else held_out.lengths > 0
    tie_order = np.argsort(-history.popularity, kind="stable")
    read, values = [], []
    for member in members:
        of_runs = [_read_run(folder, name, history, due) for folder in member.folders]
        lists = of_runs[0] if len(of_runs) == 1 else average(of_runs, tie_order)
        read.append(lists)
        if key is None or held_out is None:
            continue
        try:
            of_each = [user_values(key, of_run.items, held_out) for of_run in of_runs]
        except InputError as error:
            raise InputError(f"{member.folders[0]}: {error}") from None
        for of_run, (folder, result) in zip(of_each, member.runs, strict=True):
            _check_mean(of_run, result, key, RunFolder(folder).candidates(name))
        alone = len(of_runs) == 1
        values.append(of_each[0] if alone else user_values(key, lists.items, held_out))
    return Stage(read, history, tie_order, held_out, values)


def read_member(folder: Path, described: Mapping[str, Any], stage: str, split: Split) -> Lists:
    """The lists of a member of an ensemble: its run's, or the average of several.

    Args:
        folder: the ensemble's.
        described: one of `members` of its result, or `best_single`.
        stage: valid, test or final.
        split: of all members.

    Raises:
        InputError: a file is missing, unreadable or of other data, or lacks users.
    """
    places = described["folder"]
    runs = [folder / place for place in ([places] if isinstance(places, str) else places)]
    found = [
        _from_elsewhere(run) if holds_lists(run) else (run, RunResult.read(RunFolder(run).result))
        for run in runs
    ]
    return read_stage(stage, [Member(described["name"], tuple(found))], split).members[0]


def metric_of(members: Sequence[Member], metric: str | None) -> str:
    """The name, such as `recall@10`, of the metric that members are compared by."""
    return _plain(metric, members[0].result)


def in_order(run: Run) -> tuple[Any, ...]:
    """A key that does not depend on where runs were found, unless two are the same job."""
    folder, result = run
    return result.model, result.seed, result.job, str(folder)


def _results(folder: Path, runs: Runs) -> list[Run]:
    """The runs in and below a folder; reading them reports any file that is not one."""
    try:
        found = runs.below(folder)
    except OSError as error:
        raise InputError(f"{folder}: a {RESULT} in it cannot be read: {error}") from error
    for run, result in found:
        needed = {"model": result.model, "job": result.job, "split": result.split}
        if result.status == "done" and (missing := [key for key in needed if not needed[key]]):
            file = RunFolder(run).result
            raise InputError(f"{file}: no {missing[0]}; written by another version?")
    return found


def _from_elsewhere(folder: Path) -> Run:
    """Lists of another program as a run, which took for known at test time what runs do."""
    return folder, RunResult(model=folder.absolute().name, config={"test_history": "train_valid"})


def _read_run(folder: Path, stage: str, history: Interactions, due: NDArray[np.bool_]) -> Lists:
    """The lists of a run, or from elsewhere, of which the users that are `due` must have one."""
    if holds_lists(folder):
        path = lists_file(folder, stage)
        lists, had = read_elsewhere(path, history)
        if had:
            log.warning("%s: %s items that the user already has are left out", path, f"{had:,}")
    else:
        path = RunFolder(folder).candidates(stage)
        lists = read_lists(path, history.users, history.items)
    missing = due & ~(lists.items >= 0).any(axis=1)
    if missing.any():
        raise InputError(
            f"{path}: no list for {np.count_nonzero(missing):,} of {np.count_nonzero(due):,} "
            f"users, such as {history.users[missing][0]}"
        )
    return lists


def _check_mean(values: NDArray[np.float64], result: RunResult, key: str, path: Path) -> None:
    """The mean of a run's values must be that in its result.json."""
    mean, said = float(np.nanmean(values)), result.metrics.get(key)
    if said is not None and abs(mean - said) > 1e-6:
        raise InputError(
            f"{path}: its lists have {key} {mean:.6f}, {RESULT} says {said:.6f}: these are not "
            "the run's candidates"
        )


def _configurations(runs: Iterable[Run]) -> list[list[Run]]:
    """The runs that differ in seed alone, together, in the order given."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run[1].configuration, []).append(run)
    return list(found.values())


def _best(runs: Sequence[Run], metric: str | None, per_model: int) -> list[Run]:
    """All runs of the best configurations of each model; a job that was run twice counts once.

    Raises:
        InputError: they would be ranked by different metrics.
    """
    by = {str(result.config["monitor"]): folder for folder, result in sorted(runs, key=in_order)}
    if len(by) > 1 and metric is None:
        (one, first), (other, second), *_ = by.items()
        raise InputError(
            f"{first} has monitor={one} and {second} monitor={other}, by which members are chosen: "
            "give runs of one, or another folder"
        )
    kept, count = [], Counter[str]()
    for of_one in sorted(
        _configurations(once_each(runs)),
        key=lambda of_one: (-fmean(_value(run, metric) for run in of_one), in_order(of_one[0])),
    ):
        model = of_one[0][1].model
        if count[model] < per_model:
            kept += of_one
            count[model] += 1
    return kept


def name_members(groups: Sequence[list[Run]]) -> list[Member]:
    """A member of each group of runs, by a distinct name."""
    models = Counter(result.model for (_, result), *_ in groups)
    names = [
        result.model if models[result.model] == 1 else folder.absolute().name
        for (folder, result), *_ in groups
    ]
    count = Counter(names)
    return [
        Member(
            (name if count[name] == 1 else str(runs[0][0]))
            + (f" ({len(runs)} seeds)" if len(runs) > 1 else ""),
            tuple(runs),
        )
        for name, runs in zip(names, groups, strict=True)
    ]


def _value(run: Run, metric: str | None) -> float:
    """A run's value of the metric, on validation."""
    folder, result = run
    name = f"val/{_plain(metric, result)}"
    if name not in result.metrics:
        known = ", ".join(key for key in result.metrics if MetricName.parse(key).stage == "val")
        raise InputError(
            f"{folder}: its result has no {name}, by which members are weighted; "
            + (f"it has {known}" if known else "choose a holdout with validation items")
        )
    return float(result.metrics[name])


def _plain(metric: str | None, result: RunResult) -> str:
    """The metric, or a run's `monitor`, without its stage."""
    return MetricName.parse(metric or str(result.config["monitor"])).plain


def _check_one_split(runs: Sequence[Run]) -> None:
    """Refuse several splits: among values that cannot be compared there is no best run."""
    on: dict[str, list[Path]] = {}
    for run, result in sorted(runs, key=lambda of_run: str(of_run[1].finished)):
        on.setdefault(str(result.split), []).append(run)
    if len(on) > 1:
        named = "; ".join(f"{split[:16]} (such as {runs[-1]})" for split, runs in on.items())
        raise InputError(
            f"the runs have {len(on)} different splits: {named}. Their lists cannot be compared, "
            "so cannot be fused: name the folders of the runs on one split; for draws of one "
            "configuration there is ensemble=bag (--bag)"
        )


def _check_alike(runs: Sequence[Run], metric: str | None) -> None:
    first, reference = runs[0]
    jobs: dict[str | None, Path] = {}
    for run, result in runs:
        if (job := result.job) in jobs:
            raise InputError(f"{jobs[job]} and {run} are the same job ({job}): leave one out")
        jobs[job] = run
        _value((run, result), metric)
        if result.split != reference.split:
            raise InputError(
                f"{first} and {run} have different splits ({str(reference.split)[:16]} and "
                f"{str(result.split)[:16]}): their lists cannot be compared, so cannot be fused"
            )
        for key, get in {
            "monitor": lambda config: metric or config["monitor"],
            "test_history": lambda config: config["test_history"],
            "recommend.k": lambda config: config["recommend"]["k"],
            # the last of a list counts as the lowest, which is another item in a longer one
            "recommend.candidates": lambda config: config["recommend"].get("candidates"),
        }.items():
            here, there = get(result.config), get(reference.config)
            if here != there:
                raise InputError(f"{first} has {key}={there} and {run} {key}={here}: use one")
