"""Members: the runs that an ensemble is made of."""

import json
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
from recsys_lightning.runs.lists import Lists, read_lists, user_values
from recsys_lightning.sweeps.jobs import results

Run = tuple[Path, dict[str, Any]]  # its folder, and what result.json says
KEYS = {"status", "error", "model", "seed", "job", "split", "metrics", "config"}


SEPARATE, AVERAGE = "separate", "average"  # what runs that differ in seed alone are


@dataclass(frozen=True, eq=False)
class Member:
    """A finished run, or several that differ in seed alone, whose lists are averaged.

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
    def result(self) -> dict[str, Any]:
        """What the result.json of the (first) run says."""
        return self.runs[0][1]


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
    folders: Sequence[Path], metric: str | None, per_model: int, seeds: str = SEPARATE
) -> tuple[list[Member], list[tuple[Path, str]]]:
    """The runs to fuse, in an order that does not depend on where they were found.

    Args:
        folders: a run's own folder is in; of all the runs below any other folder, those of the
            best `per_model` configurations of each model are.
        metric: by whose mean over the seeds they are the best; None: the runs' `monitor`.
        per_model: configurations of a model.
        seeds: whether runs that differ in seed alone are `separate` members, or one (`average`).

    Returns:
        the members, and the failed runs, each with its error.

    Raises:
        InputError: there is none, or they do not go together.
    """
    named: dict[Path, Run] = {}
    swept: dict[Path, Run] = {}
    failed: dict[Path, Run] = {}
    for folder in folders:
        found = _results(folder)
        if not found:
            raise InputError(f"{folder}: there is no run in it (no result.json)")
        for run, result in found:
            if result["status"] == "failed":
                failed[run.resolve()] = run, result
            elif result["status"] == "done":
                (named if run == folder else swept)[run.resolve()] = run, result
    others = [run for place, run in swept.items() if place not in named]
    _check_one_split(others)
    kept = [*named.values(), *_best(others, metric, per_model)]
    if not kept:
        where = ", ".join(map(str, folders))
        raise InputError(f"none of the {len(failed)} runs in {where} has succeeded")
    kept.sort(key=_order)
    _check_alike(kept, metric)
    members = _members(_configurations(kept) if seeds == AVERAGE else [[run] for run in kept])
    told = [(run, str(result["error"])) for run, result in sorted(failed.values(), key=_order)]
    return members, told


def read_stage(
    name: str, members: Sequence[Member], split: Split, metric: str | None = None
) -> Stage:
    """The lists of all members at a stage.

    Args:
        name: valid, test or final.
        members: of the ensemble.
        split: of all of them.
        metric: such as `recall@10`: to compute, and to check against each run's result.json.

    Raises:
        InputError: a file is missing, unreadable or of other data, lacks users, or has another
            value of the metric than the run.
    """
    x = split.interactions
    _, history, held_out = split.question(name, members[0].result["config"]["test_history"])
    due = history.lengths < x.num_items if held_out is None else held_out.lengths > 0
    tie_order = np.argsort(-history.popularity, kind="stable")
    key = f"{name.removesuffix('id')}/{metric}"
    read, values = [], []
    for member in members:
        of_runs = [_read_run(folder, name, x, due) for folder, _ in member.runs]
        lists = of_runs[0] if len(of_runs) == 1 else average(of_runs, tie_order)
        read.append(lists)
        if metric is None or held_out is None:
            continue
        of_each = [user_values(key, of_run.items, held_out) for of_run in of_runs]
        for of_run, (folder, result) in zip(of_each, member.runs, strict=True):
            _check_mean(of_run, result, key, _candidates(folder, name))
        alone = len(of_runs) == 1
        values.append(of_each[0] if alone else user_values(key, lists.items, held_out))
    return Stage(read, history, tie_order, held_out, values)


def metric_of(members: Sequence[Member], metric: str | None) -> str:
    """The name, such as `recall@10`, of the metric that members are compared by."""
    return (metric or str(members[0].result["config"]["monitor"])).rpartition("/")[2]


def _order(run: Run) -> tuple[Any, ...]:
    """A key that does not depend on where runs were found, unless two are the same job."""
    folder, result = run
    return result["model"], result["seed"], result["job"], str(folder)


def _results(folder: Path) -> list[Run]:
    """The runs in and below a folder; reading them tells about any file that is none."""
    try:
        found = list(results(folder))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"{folder}: a result.json in it cannot be read: {error}") from error
    for run, result in found:
        if missing := sorted(KEYS - set(result)):
            raise InputError(f"{run / 'result.json'}: no {missing[0]}; written by another version?")
    return found


def _candidates(folder: Path, stage: str) -> Path:
    return folder / "candidates" / f"{stage}.parquet"


def _read_run(folder: Path, stage: str, x: Interactions, due: NDArray[np.bool_]) -> Lists:
    """A run's lists, of which the users that are `due` must have one."""
    path = _candidates(folder, stage)
    lists = read_lists(path, x.users, x.items)
    missing = due & ~(lists.items >= 0).any(axis=1)
    if missing.any():
        raise InputError(
            f"{path}: no list for {np.count_nonzero(missing):,} of {np.count_nonzero(due):,} "
            f"users, such as {x.users[missing][0]}"
        )
    return lists


def _check_mean(
    values: NDArray[np.float64], result: Mapping[str, Any], key: str, path: Path
) -> None:
    """The mean of a run's values must be that in its result.json."""
    mean, said = float(np.nanmean(values)), result["metrics"].get(key)
    if said is not None and abs(mean - said) > 1e-6:
        raise InputError(
            f"{path}: its lists have {key} {mean:.6f}, result.json says {said:.6f}: these are not "
            "the run's candidates"
        )


def _configurations(runs: Iterable[Run]) -> list[list[Run]]:
    """The runs that differ in seed alone, together, in the order given."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run[1].get("repeated") or run[1]["job"], []).append(run)
    return list(found.values())


def _best(runs: Sequence[Run], metric: str | None, per_model: int) -> list[Run]:
    """All runs of the best configurations of each model; a job that was run twice counts once."""
    once: dict[str, Run] = {}
    for run in sorted(runs, key=_order):
        once.setdefault(run[1]["job"], run)
    kept, count = [], Counter[str]()
    for of_one in sorted(
        _configurations(once.values()),
        key=lambda of_one: (-fmean(_value(run, metric) for run in of_one), _order(of_one[0])),
    ):
        model = of_one[0][1]["model"]
        if count[model] < per_model:
            kept += of_one
            count[model] += 1
    return kept


def _members(groups: Sequence[list[Run]]) -> list[Member]:
    """A member of each group of runs, by a name of its own."""
    models = Counter(result["model"] for (_, result), *_ in groups)
    names = [
        result["model"] if models[result["model"]] == 1 else folder.name
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
    name = f"val/{(metric or result['config']['monitor']).rpartition('/')[2]}"
    if name not in result["metrics"]:
        known = ", ".join(key for key in result["metrics"] if key.startswith("val/"))
        raise InputError(
            f"{folder}: its result has no {name}, by which members are weighted; "
            + (f"it has {known}" if known else "choose a holdout with validation items")
        )
    return float(result["metrics"][name])


def _check_one_split(runs: Sequence[Run]) -> None:
    """The best of each model on whatever split would be chosen among what does not compare."""
    on: dict[str, list[Path]] = {}
    for run, result in sorted(runs, key=lambda of_run: str(of_run[1].get("finished"))):
        on.setdefault(result["split"], []).append(run)
    if len(on) > 1:
        told = "; ".join(f"{split[:16]} (such as {runs[-1]})" for split, runs in on.items())
        raise InputError(
            f"the runs have {len(on)} different splits: {told}. Their lists cannot be compared, so "
            "not fused: name the folders of the runs on one split"
        )


def _check_alike(runs: Sequence[Run], metric: str | None) -> None:
    first, reference = runs[0]
    jobs: dict[str, Path] = {}
    for run, result in runs:
        if (job := result["job"]) in jobs:
            raise InputError(f"{jobs[job]} and {run} are the same job ({job}): leave one out")
        jobs[job] = run
        _value((run, result), metric)
        if result["split"] != reference["split"]:
            raise InputError(
                f"{first} and {run} have different splits ({reference['split'][:16]} and "
                f"{result['split'][:16]}): their lists cannot be compared, so not fused"
            )
        for key, get in {
            "monitor": lambda config: metric or config["monitor"],
            "test_history": lambda config: config["test_history"],
            "recommend.k": lambda config: config["recommend"]["k"],
        }.items():
            here, there = get(result["config"]), get(reference["config"])
            if here != there:
                raise InputError(f"{first} has {key}={there} and {run} {key}={here}: use one")
