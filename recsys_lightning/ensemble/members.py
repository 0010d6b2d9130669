"""Members: the runs that an ensemble is made of."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.holdout import Split
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import InputError
from recsys_lightning.metrics.names import MetricName
from recsys_lightning.metrics.of_lists import user_values
from recsys_lightning.runs.folder import RESULT, RunFolder
from recsys_lightning.runs.lists import Lists, read_lists
from recsys_lightning.runs.record import RunResult
from recsys_lightning.sweeps.jobs import Run, Runs


@dataclass(frozen=True, eq=False)
class Member:
    """A finished run.

    Attributes:
        name: its model, or its folder's name where several members share the model.
        folder: of the run.
        result: what it says of itself.
    """

    name: str
    folder: Path
    result: RunResult


class Stage(NamedTuple):
    """What the members recommend at one stage.

    Attributes:
        members: the lists of each, (U, K).
        history: what is known of the users, and in no list.
        tie_order: (I,) items, the more popular in the history first.
        held_out: what the lists should find; None at `final`.
    """

    members: list[Lists]
    history: Interactions
    tie_order: NDArray[np.int64]
    held_out: Interactions | None


def find_members(
    folders: Sequence[Path], metric: str | None, per_model: int, runs: Runs | None = None
) -> tuple[list[Member], list[tuple[Path, str]]]:
    """The runs to fuse, in an order that does not depend on where they were found.

    Args:
        folders: a run's own folder is a member; of all the runs below any other folder, the best
            `per_model` of each model are.
        metric: by which they are the best; None: the runs' `monitor`.
        per_model: runs of a model.
        runs: those that were read already.

    Returns:
        the members, and the failed runs, each with its error.

    Raises:
        InputError: there is none, or they do not go together.
    """
    named: dict[Path, Run] = {}
    swept: dict[Path, Run] = {}
    failed: dict[Path, Run] = {}
    for folder in folders:
        found = _results(folder, runs or Runs())
        if not found:
            raise InputError(f"{folder}: there is no run in it (no {RESULT})")
        for run, result in found:
            if result.status == "failed":
                failed[run.resolve()] = run, result
            elif result.status == "done":
                (named if run == folder else swept)[run.resolve()] = run, result
    others = [run for place, run in swept.items() if place not in named]
    _check_one_split(others)
    kept, count = list(named.values()), Counter[str]()
    for run, result in sorted(others, key=lambda one: (-_value(one, metric), *_order(one))):
        if count[result.model] < per_model:
            kept.append((run, result))
            count[result.model] += 1
    if not kept:
        where = ", ".join(map(str, folders))
        raise InputError(f"none of the {len(failed)} runs in {where} has succeeded")
    kept.sort(key=_order)
    _check_alike(kept, metric)
    models = Counter(result.model for _, result in kept)
    members = [
        Member(result.model if models[result.model] == 1 else run.name, run, result)
        for run, result in kept
    ]
    clash = [name for name, number in Counter(m.name for m in members).items() if number > 1]
    members = [Member(str(m.folder), m.folder, m.result) if m.name in clash else m for m in members]
    told = [(run, str(result.error)) for run, result in sorted(failed.values(), key=_order)]
    return members, told


def read_stage(name: str, members: Sequence[Member], split: Split) -> Stage:
    """The lists of all members at a stage.

    Args:
        name: valid, test or final.
        members: of the ensemble.
        split: of all of them.

    Raises:
        InputError: a file is missing, unreadable or of other data, or lacks users.
    """
    x = split.interactions
    _, history, held_out = split.question(name, members[0].result.config["test_history"])
    due = history.lengths < x.num_items if held_out is None else held_out.lengths > 0
    read = []
    for member in members:
        path = RunFolder(member.folder).candidates(name)
        lists = read_lists(path, x.users, x.items)
        missing = due & ~(lists.items >= 0).any(axis=1)
        if missing.any():
            raise InputError(
                f"{path}: no list for {np.count_nonzero(missing):,} of {np.count_nonzero(due):,} "
                f"users, such as {x.users[missing][0]}"
            )
        read.append(lists)
    return Stage(read, history, np.argsort(-history.popularity, kind="stable"), held_out)


def check_values(
    member: Member, lists: Lists, held_out: Interactions, key: str
) -> NDArray[np.float64]:
    """(U,) a member's values of a metric, whose mean must be that in its result.json.

    Raises:
        InputError: it is another.
    """
    values = user_values(key, lists.items, held_out)
    mean, told = float(np.nanmean(values)), member.result.metrics.get(key)
    if told is not None and abs(mean - told) > 1e-6:
        stage = MetricName.parse(key).file
        raise InputError(
            f"{RunFolder(member.folder).candidates(stage)}: its lists have {key} {mean:.6f}, "
            f"{RESULT} says {told:.6f}: these are not the run's candidates"
        )
    return values


def metric_of(members: Sequence[Member], metric: str | None) -> str:
    """The name, such as `recall@10`, of the metric that members are compared by."""
    return _plain(metric, members[0].result)


def _order(run: Run) -> tuple[Any, ...]:
    """A key that does not depend on where runs were found, unless two are the same job."""
    folder, result = run
    return result.model, result.seed, result.job, str(folder)


def _results(folder: Path, runs: Runs) -> list[Run]:
    """The runs in and below a folder; reading them tells about any file that is none."""
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
    """The best of each model on whatever split would be chosen among what does not compare."""
    on: dict[str, list[Path]] = {}
    for run, result in sorted(runs, key=lambda of_run: str(of_run[1].finished)):
        on.setdefault(str(result.split), []).append(run)
    if len(on) > 1:
        told = "; ".join(f"{split[:16]} (such as {runs[-1]})" for split, runs in on.items())
        raise InputError(
            f"the runs have {len(on)} different splits: {told}. Their lists cannot be compared, so "
            "not fused: name the folders of the runs on one split"
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
                f"{str(result.split)[:16]}): their lists cannot be compared, so not fused"
            )
        for key, get in {
            "monitor": lambda config: metric or config["monitor"],
            "test_history": lambda config: config["test_history"],
            "recommend.k": lambda config: config["recommend"]["k"],
        }.items():
            here, there = get(result.config), get(reference.config)
            if here != there:
                raise InputError(f"{first} has {key}={there} and {run} {key}={here}: use one")
