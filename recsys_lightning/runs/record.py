"""What a run, or an ensemble, says of itself: the content of its result.json, or ensemble.json.

The names of the fields are the keys of these files, and stand nowhere else. A file of an earlier
version may lack some, or have others: what it lacks has its default.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from recsys_lightning.errors import InputError
from recsys_lightning.runs.folder import RunFolder, write_json


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run and an ensemble say alike.

    Attributes:
        status: `done`, `failed` or `pruned`.
        error: of one that failed.
        model: its name.
        data: the name of the data set.
        split: SHA-256.
        split_files: the folder of its files.
        seed: of the model.
        metrics: by name, such as `val/recall@10`.
        standard_errors: over users, of the same names where there is one.
        submission: how many users were `unknown`, and how many lists are `short`.
        seconds: by stage.
        peak_rss_mb: MiB.
        versions: of packages.
        git_commit: of the code.
    """

    status: str = "done"
    error: str | None = None
    model: str = ""
    data: str | None = None
    split: str | None = None
    split_files: str | None = None
    seed: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    standard_errors: Mapping[str, float] = field(default_factory=dict)
    submission: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_rss_mb: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    git_commit: str | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """What `to_json` has made, whatever it lacks or has beside."""
        return cls(**{name: content[name] for name in cls.names() if name in content})

    def to_json(self) -> dict[str, Any]:
        """All fields by name, as JSON can hold them."""
        return {name: getattr(self, name) for name in self.names()}

    @classmethod
    def read(cls, path: Path) -> Self:
        """The content of a file.

        Raises:
            FileNotFoundError: there is none.
            InputError: it is damaged.
        """
        text = path.read_text()
        try:
            content = json.loads(text)
            if not isinstance(content, dict):
                raise ValueError("it holds no object")
            return cls.from_json(content)
        except ValueError as error:
            raise InputError(f"{path}: cannot be read: {error}; remove it, or its folder") from None

    def write(self, path: Path) -> None:
        """Write a file, whole or not at all."""
        write_json(path, self.to_json())

    @classmethod
    def names(cls) -> list[str]:
        """Of all fields."""
        return [each.name for each in fields(cls)]


@dataclass(frozen=True, kw_only=True)
class RunResult(Result):
    """The content of result.json.

    Attributes:
        job: hash; see `runs.parameters`.
        repeated: the same but for the seed.
        code: SHA-256 of the file in which the model's class stands; not a part of `job`.
        config: resolved.
        choices: of the configuration's groups.
        overrides: of the command line.
        sizes: of the data: `users`, `items`, `interactions`.
        users: evaluated, by stage, and `too_short`.
        best_epoch: from 1; the one whose weights were evaluated.
        steps: optimiser steps of the fit.
        parameters: numbers that the model holds.
        checkpoints: of a run that did not fit, the files that were evaluated and recommended from.
        threads: by library.
        finished: time, as ISO 8601; of one that died None.
    """

    job: str | None = None
    repeated: str | None = None
    code: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    overrides: Sequence[str] = field(default_factory=list)
    sizes: Mapping[str, int] = field(default_factory=dict)
    users: Mapping[str, int] = field(default_factory=dict)
    best_epoch: int | None = None
    steps: int | None = None
    parameters: int | None = None
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    threads: Mapping[str, int] = field(default_factory=dict)
    finished: str | None = None

    @property
    def configuration(self) -> str:
        """What runs that differ in seed alone have in common; an earlier version has the job."""
        return self.repeated or str(self.job)


@dataclass(frozen=True, kw_only=True)
class EnsembleResult(Result):
    """The content of ensemble.json; see `ensemble.build`.

    Attributes:
        fusion: the rule that was chosen.
        weights: how they were found; of a bag, `bag`: they are equal.
        kinds: of users, where each has separate weights: `by` what, and its `cuts`.
        left_out: `folder` and `reason` of each run that failed.
        members: `name`, `folder`, `model`, `seed` and `weight` (or that of each kind) of each;
            in a bag, `holdout_seed`, `split` and `metrics` (the means over its seeds), too.
        methods: what there was to choose from, each with its metrics and gain.
        choice: `name` and `fusion` of the best method, and its `gain` by metric if what chose it is
            taken into account; it was chosen where that is more than chance.
        oracle: the metric of who picks all hits, by stage.
        best_single: `name`, `folder` and `metrics` of the best member.
        gain: over the best member by metric: `mean`, `low`, `high`, `p`.
        draws: of a bag, `mean` and `std` over its draws of each of their metrics; it has no split
            and no metrics, see `ensemble.bag`. None: no bag.
    """

    fusion: str | None = None
    weights: str | None = None
    kinds: Mapping[str, Any] | None = None
    left_out: Sequence[Mapping[str, Any]] = field(default_factory=list)
    members: Sequence[Mapping[str, Any]] = field(default_factory=list)
    methods: Sequence[Mapping[str, Any]] = field(default_factory=list)
    choice: Mapping[str, Any] = field(default_factory=dict)
    oracle: Mapping[str, float] = field(default_factory=dict)
    best_single: Mapping[str, Any] = field(default_factory=dict)
    gain: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    draws: Mapping[str, Mapping[str, float]] | None = None


def read_result(folder: Path) -> RunResult | EnsembleResult:
    """What a run says of itself, or an ensemble, where no run has the folder.

    Raises:
        InputError: the file is missing or damaged.
    """
    files = RunFolder(folder)
    try:
        return RunResult.read(files.result)
    except FileNotFoundError:
        pass
    try:
        return EnsembleResult.read(files.ensemble)
    except FileNotFoundError:
        raise InputError(
            f"{folder}: no {files.result.name} or {files.ensemble.name} in it; expected the folder "
            "of a run or an ensemble"
        ) from None


def config_of(folder: Path) -> Mapping[str, Any]:
    """The configuration of the run in a folder, or of the first run of the ensemble there."""
    files = RunFolder(folder)
    runs = [folder]
    if not files.result.is_file() and files.ensemble.is_file():
        places = [member["folder"] for member in EnsembleResult.read(files.ensemble).members]
        runs = [folder / (each if isinstance(each, str) else each[0]) for each in places]
    found = (RunFolder(run).result for run in runs if RunFolder(run).result.is_file())
    return next((RunResult.read(result).config for result in found), {})
