"""From a configuration to objects."""

from typing import Any

from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from recsys_lightning.errors import InputError


def resolved(config: DictConfig) -> dict[str, Any]:
    """A configuration as plain Python, without interpolations."""
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def make(config: DictConfig, **overrides: Any) -> Any:
    """Instantiate, with the user's mistake in place of Hydra's wrapping of it."""
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
