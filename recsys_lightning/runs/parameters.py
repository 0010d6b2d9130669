"""What makes a job the job that it is: the hash by which a sweep knows what is done already.

In it are the data and the holdout, the classes and options of model, view and trainer, and all that
changes a fit or its lists. Not in it are how a run is shown, where its files stand, and how many
users are scored at once. Classes are known by the names of their choices, or else by their own
name without the module: a move of code changes no job. A model's class counts beside its choice
where it has another name, as one's own may.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

VERSION = 2  # of the hash; raise it when what stands in it changes

CLASSES = ("model", "view", "trainer")  # groups whose choice stands for their class
TARGET = "_target_"

# where things are written and how they are shown: a job is the same without them
NOT_THE_JOB = frozenset(
    {
        *("logger", "sweep", "jobs", "ensemble", "split_dir", "eval_batch_size", "recommend.users"),
        *("data.cache_dir", "data.root", "data.write_to"),
        *("trainer.enable_progress_bar", "trainer.enable_model_summary"),
        *("trainer.log_every_n_steps", "trainer.default_root_dir", "trainer.profiler"),
    }
)
# keys that came after jobs were recorded, with the value that leaves a job as it was
NEUTRAL = {
    **{"init_from": None, "average_weights": False},
    **{"data.min_user_interactions": 0, "data.min_item_interactions": 0},
    **{"data.separator": None, "data.columns": None, "data.encoding": None},
    **{"holdout.valid_share": None, "holdout.test_share": None},
    **{"trainer.check_val_every_n_epoch": 1, "trainer.gradient_clip_val": None},
    **{"model.side": "item", "model.recency": 0.0, "view.batches": 100},
}
# likewise keys that another model always had
NEUTRAL_OF = {"easer": {"center": False}}
NULL_WAS = {"holdout.valid_items": 10, "holdout.test_items": 10}  # as it stood there before
# callbacks that show a fit and do not change it, by the end of their class's name
SHOWN_BY = (
    *("ProgressBar", "ModelSummary"),
    *("LearningRateMonitor", "DeviceStatsMonitor", "ThroughputMonitor"),
)


def of_the_job(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a resolved configuration makes the job.

    >>> of_the_job({
    ...     "seed": 1, "split_dir": "a", "recommend": {"k": 10, "users": [7]}, "callbacks": {
    ...         "bar": {"_target_": "pytorch_lightning.callbacks.TQDMProgressBar"},
    ...         "swa": {"_target_": "x.y.StochasticWeightAveraging", "swa_lrs": 0.01}}})
    {'seed': 1, 'recommend': {'k': 10}, 'callbacks': {'swa': {'_target_': \
'StochasticWeightAveraging', 'swa_lrs': 0.01}}}
    """
    kept = _kept(config)
    callbacks = kept.get("callbacks") or {}
    kept["callbacks"] = {
        name: options for name, options in callbacks.items() if not _only_shows(options)
    }
    return kept


def job_hash(
    config: Mapping[str, Any],
    choices: Mapping[str, Any],
    data: Mapping[str, Any] | None,
    *,
    overrides: Sequence[str] = (),
    without: str | None = None,
) -> str:
    """The identity of a job.

    Args:
        config: resolved, plain Python.
        choices: of its groups, by name.
        data: `Holdout.identity` of the source; None where there is none to be made: the
            configuration of both stands in its place.
        overrides: of the command line; a class given there (`model._target_=...`) counts by its
            own name.
        without: one more key to leave out: `seed` gives what repeated runs have in common.

    >>> job_hash({"seed": 1, "split_dir": "a"}, {}, {}) == job_hash({"seed": 1}, {}, {})
    True
    >>> job_hash({"seed": 1}, {}, {}) == job_hash({"seed": 2}, {}, {})
    False
    """
    content = identity(config, choices, data, overrides=overrides)
    content["config"].pop(without, None)
    content["config"]["callbacks"] = sorted(map(_text, content["config"]["callbacks"].values()))
    return hashlib.sha256(_text(content).encode()).hexdigest()[:16]


def across_draws(
    config: Mapping[str, Any], choices: Mapping[str, Any], overrides: Sequence[str] = ()
) -> str:
    """What jobs have in common that differ in their seed and in their holdout's alone.

    >>> config = {"seed": 1, "holdout": {"share": 0.1, "seed": 0}}
    >>> again = {"seed": 2, "holdout": {"share": 0.1, "seed": 5}}
    >>> across_draws(config, {}) == across_draws(again, {})
    True
    """
    holdout = config.get("holdout") or {}
    drawn = {key: value for key, value in holdout.items() if key != "seed"}
    return job_hash(
        {**config, "holdout": drawn}, choices, None, overrides=overrides, without="seed"
    )


def identity(
    config: Mapping[str, Any],
    choices: Mapping[str, Any],
    data: Mapping[str, Any] | None,
    *,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """All that `job_hash` is the hash of: its version, choices, data and configuration."""
    kept = of_the_job(config)
    if data is not None:
        kept = {key: value for key, value in kept.items() if key not in ("data", "holdout")}
    given = keys_of(overrides)
    for group in CLASSES:
        options, stands_for_it = kept.get(group), f"{group}.{TARGET}" not in given
        if group == "model" and isinstance(options, dict):
            stands_for_it &= _is_named(str(choices.get(group)), str(options.get(TARGET)))
        if isinstance(options, dict) and stands_for_it:
            options.pop(TARGET, None)
    for key, value in NEUTRAL_OF.get(str(choices.get("model")), {}).items():
        if kept["model"].get(key) == value:
            del kept["model"][key]
    chosen = {group: choices.get(group) for group in CLASSES}
    return {"version": VERSION, "choices": chosen, "data": data, "config": kept}


def _is_named(choice: str, cls: str) -> bool:
    """Whether a class has the name of its choice.

    >>> _is_named("mf_bpr", "MFBPR"), _is_named("mine/knn", "KNN"), _is_named("mine", "SecondTry")
    (True, True, False)
    """
    return re.sub(r"\W|_", "", PurePosixPath(choice).name).lower() == cls.lower()


def keys_of(overrides: Sequence[str]) -> set[str]:
    """The keys, and groups, that a command gives.

    >>> sorted(keys_of(["model=ease", "++model.l2=3"]))
    ['model', 'model.l2']
    """
    return {override.partition("=")[0].lstrip("+") for override in overrides}


def is_neutral(key: str, value: Any) -> bool:
    """Whether a setting is as it was before its key existed."""
    return key in NEUTRAL and value == NEUTRAL[key]


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as dotted keys; lists as text, so that they can be compared and written.

    >>> flat({"model": {"l2": 1.0, "hidden_dims": [600]}, "seed": 1})
    {'model.l2': 1.0, 'model.hidden_dims': '[600]', 'seed': 1}
    """
    return {
        key: str(value) if isinstance(value, list) else value
        for key, value in dotted(config).items()
    }


def dotted(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys, with the values as they are.

    >>> dotted({"model": {"hidden_dims": [600]}, "seed": 1})
    {'model.hidden_dims': [600], 'seed': 1}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= dotted(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys whose values differ among some mappings; a key that one lacks is None there.

    >>> differing([{"l2": 1, "seed": 1}, {"l2": 2, "seed": 1}, {"l2": 1, "seed": 1, "lr": 0.1}])
    ['l2', 'lr']
    """
    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if any(c.get(key) != configs[0].get(key) for c in configs)]


_splits: dict[str, str] = {}


def split_of(data: Mapping[str, Any], make_split: Callable[[], str]) -> str:
    """The SHA-256 of a split, made once in a process for equal data and holdout.

    Args:
        data: as in `job_hash`.
        make_split: makes it and returns its SHA-256.
    """
    key = _text(data)
    if key not in _splits:
        _splits[key] = make_split()
    return _splits[key]


def _text(content: Any) -> str:
    return json.dumps(content, sort_keys=True, default=str)


def _kept(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Without what is not the job's, and with classes in place of their paths."""
    kept: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if name in NOT_THE_JOB or is_neutral(name, value):
            continue
        if value is None:
            value = NULL_WAS.get(name)
        inside = f"{name}."
        if isinstance(value, Mapping):
            kept[key] = _kept(value, inside)
        elif isinstance(value, list):
            kept[key] = [_kept(one, inside) if isinstance(one, Mapping) else one for one in value]
        else:
            kept[key] = str(value).rpartition(".")[2] if key == TARGET else value
    return kept


def _only_shows(callback: Any) -> bool:
    name = callback.get(TARGET) if isinstance(callback, Mapping) else None
    return isinstance(name, str) and name.endswith(SHOWN_BY)
