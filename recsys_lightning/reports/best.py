"""The configuration of a run, as a file that repeats it."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from recsys_lightning.errors import InputError
from recsys_lightning.runs.parameters import NOT_THE_JOB, TARGET
from recsys_lightning.runs.record import RunResult


def best_name(model: str) -> str:
    """What `+best=` calls a model's configuration: its file in `best/`, without the ending.

    >>> best_name("mine/knn (2 seeds)")
    'mine_knn_2_seeds_'
    """
    return re.sub(r"[^\w-]+", "_", model)


def best_config(result: RunResult, command: str) -> str:
    """A Hydra configuration that repeats a run.

    Args:
        result: what it says of itself.
        command: stands in the first line.

    Raises:
        InputError: the result names code (`_target_`), which nobody else's file may do, or a choice
            that is no name.
    """
    choices, config = result.choices, result.config
    groups = {group: choices[group] for group in ("data", "holdout", "model")}
    # an experiment may say MULTIRUN, list jobs and fuse them
    groups["ensemble"] = "none"
    content: dict[str, Any] = {"hydra": {"mode": "RUN"}, "jobs": None}
    for override in result.overrides:
        key = override.partition("=")[0].lstrip("+~")
        if key in choices and key not in ("sweep", "logger", "ensemble"):
            groups[key] = choices[key]
        if key in choices or key in NOT_THE_JOB or key.split(".")[0] in NOT_THE_JOB:
            continue
        *parents, last = key.split(".")
        source, target = config, content
        for parent in parents:
            source, target = source.get(parent) or {}, target.setdefault(parent, {})
        if last == TARGET or _names_code(source.get(last)):
            raise InputError(f"{key} names a class or a function: give it on the command line")
        if last in source:
            target[last] = source[last]
    for group, choice in groups.items():
        if not re.fullmatch(r"[\w-]+(/[\w-]+)*", f"{choice}"):
            raise InputError(f"its choice of {group} is {choice!r}: expected a name")
    defaults = [{f"override /{group}": choice} for group, choice in groups.items()]
    text = yaml.safe_dump({"defaults": defaults} | content, sort_keys=False)
    return f"# @package _global_\n# {command}\n{text}"


def _names_code(value: Any) -> bool:
    if isinstance(value, Mapping):
        return TARGET in value or any(map(_names_code, value.values()))
    return isinstance(value, list) and any(map(_names_code, value))
