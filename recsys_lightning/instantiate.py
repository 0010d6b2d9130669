"""From a configuration to objects."""

import inspect
from typing import Any

from hydra.errors import HydraException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from recsys_lightning.errors import InputError


def resolved(config: DictConfig) -> dict[str, Any]:
    """A configuration as plain Python, without interpolations."""
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def check_options(config: DictConfig) -> None:
    """Refuse an option that a class does not have, and a flag that is neither true nor false.

    The first is another family's view, most likely. The second would count as true:
    `model.center=False_` as well as `model.center=0.5`.

    Args:
        config: of an object, with a `_target_`.
    """
    options = resolved(config)
    made = get_class(options["_target_"])
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
