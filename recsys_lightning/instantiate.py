"""From a configuration to objects."""

from typing import Any

from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from recsys_lightning.errors import InputError


def make(config: DictConfig, **overrides: Any) -> Any:
    """Instantiate, with the user's mistake in place of Hydra's wrapping of it."""
    try:
        plain = OmegaConf.to_container(config, resolve=True)  # a checkpoint keeps plain Python only
        return instantiate(plain, _convert_="all", **overrides)
    except HydraException as error:
        raise error.__cause__ if isinstance(error.__cause__, InputError) else error from None
