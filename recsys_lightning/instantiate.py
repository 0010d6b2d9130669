"""From a configuration to objects."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.errors import HydraException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from recsys_lightning.errors import InputError, check_range

# what of Lightning's Trainer the run itself decides on: with these it would lose lists or metrics
DECIDED = (
    *("barebones", "callbacks", "enable_checkpointing", "fast_dev_run", "limit_predict_batches"),
    *("limit_test_batches", "limit_val_batches", "logger", "overfit_batches"),
)


HALF = "16-true", "bf16-true", "transformer-engine", "transformer-engine-float16"
TRAINER_RANGES: dict[str, dict[str, Any]] = {
    "check_val_every_n_epoch": {"low": 1, "whole": True},
    "log_every_n_steps": {"low": 0, "whole": True},
    "gradient_clip_val": {"low": 0},
    "accumulate_grad_batches": {"low": 1, "whole": True},
    "val_check_interval": {"low": 0, "high": 1, "open_low": True},  # of an epoch
}


def resolved(config: DictConfig) -> dict[str, Any]:
    """A configuration as plain Python, without interpolations."""
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def make_each(group: Mapping[Any, Any] | None, key: str) -> list[Any]:
    """All objects of a group such as `callbacks`, whose key is named by errors."""
    for name, config in (group or {}).items():
        if not isinstance(config, DictConfig) or "_target_" not in config:
            raise InputError(f"{key}.{name}={config}: expected a class, as _target_, and options")
    return [make(config) for config in (group or {}).values()]


def class_of(config: DictConfig) -> type[Any]:
    """The class that a part of the configuration names.

    Raises:
        InputError: there is no such class.
    """
    try:
        return get_class(config._target_)
    except Exception as error:  # what importing a module may raise
        reason = " ".join(str(error).split())
        raise InputError(
            f"{config._get_full_key('_target_')}={config._target_}: {reason}"
        ) from None


def check_options(config: DictConfig) -> None:
    """Refuse an option that a class does not have, or a value of another kind than it takes.

    The first is another family's view, most likely. Of values: a flag that is neither true nor
    false, such as `model.center=False_` or `model.center=0.5`, would count as true; text where a
    list of texts is expected would count as a list of its letters.

    Args:
        config: of an object, with a `_target_`.

    Raises:
        InputError: names the key.
    """
    made = class_of(config)
    options = resolved(config)
    parameters = inspect.signature(made).parameters
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    for name, value in options.items():
        key = f"{config._get_full_key(name)}={value}"
        if name.startswith("_"):
            continue
        if name not in parameters:
            if not takes_any:
                known = ", ".join(parameters)
                raise InputError(f"{key}: {made.__name__} has no such option, but {known}")
        elif parameters[name].annotation is bool and not isinstance(value, bool):
            raise InputError(f"{key}: expected true or false")
        elif parameters[name].annotation == Sequence[str] and not isinstance(value, list):
            raise InputError(f"{key}: expected a list, such as [a, b]")


def check_trainer(config: DictConfig) -> None:
    """Refuse options of Lightning's Trainer that it accepts, or meets in the middle of a fit.

    Args:
        config: the whole one.

    Raises:
        InputError: names the key.
    """
    trainer = config.trainer
    for key in DECIDED:
        if key in trainer:
            raise InputError(f"trainer.{key}: the run itself decides on it; leave it out")
    epochs = trainer.get("max_epochs")
    check_range("max_epochs", epochs, low=-1, whole=True)
    if epochs == -1 and not (config.patience or {"max_steps", "max_time"} & set(trainer)):
        raise InputError(
            "max_epochs=-1: the fit would have no end; give a number, or patience, "
            "+trainer.max_steps or +trainer.max_time"
        )
    if trainer.get("precision") in HALF:
        raise InputError(
            f"trainer.precision={trainer.precision}: counts and metrics need 32 bits; expected "
            "32-true or 64-true, or on a GPU 16-mixed or bf16-mixed"
        )
    for key, limits in TRAINER_RANGES.items():
        check_range(f"trainer.{key}", trainer.get(key), or_null=True, **limits)


def make(config: DictConfig, **overrides: Any) -> Any:
    """Instantiate, with the user's mistake in place of Hydra's wrapping of it."""
    check_options(config)
    try:
        return _instantiated(config, overrides)
    except HydraException as error:
        raise error.__cause__ if isinstance(error.__cause__, InputError) else error from None


def make_trainer(config: DictConfig, **overrides: Any) -> Any:
    """Lightning's Trainer.

    Raises:
        InputError: it refuses an option.
    """
    try:
        return _instantiated(config, overrides)
    except HydraException as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise InputError(f"trainer: Lightning refuses its options: {reason}") from None


def _instantiated(config: DictConfig, overrides: dict[str, Any]) -> Any:
    plain = OmegaConf.to_container(config, resolve=True)  # a checkpoint keeps plain Python only
    return instantiate(plain, _convert_="all", **overrides)
