"""Fits on several devices: Lightning starts a process for each of the others, by a command line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, Node, flag_override

from recsys_lightning.errors import InputError


def check_devices(trainer: DictConfig) -> None:
    """Refuse jobs on several devices where the command line is the launcher's, not ours."""
    launcher, devices = HydraConfig.get().runtime.choices["hydra/launcher"], trainer.get("devices")
    is_one = len(devices) == 1 if isinstance(devices, ListConfig) else devices in (1, "auto", None)
    if launcher != "basic" and not is_one:
        raise InputError(
            f"trainer.devices={devices}: a job on several devices needs hydra/launcher=basic, not "
            f"{launcher}"
        )


@contextmanager
def command_of_the_job(folder: Path, *also: str) -> Iterator[None]:
    """Inside, a process that Lightning starts runs this job of a multirun, in the job's folder.

    It would else be started with the multirun's own command line, and run all of it once more.

    Args:
        folder: of the job.
        also: overrides that the job has beyond its own.
    """
    config = HydraConfig.get()
    if config.mode != RunMode.MULTIRUN:
        yield
        return
    typed, run_dir = list(sys.argv), config.run.dir
    sys.argv[1:] = [*_flags(typed[1:]), *config.overrides.task, *also, "hydra.mode=RUN"]
    with flag_override(cast(Node, config.run), ["readonly", "struct"], False):
        config.run.dir = str(folder)
        try:
            yield
        finally:
            config.run.dir, sys.argv[:] = run_dir, typed


def _flags(arguments: list[str]) -> list[str]:
    """The flags but `-m`, with their values.

    >>> _flags(["-m", "--config-dir", "my_conf", "model=ease,recvae", "-cn=other"])
    ['--config-dir', 'my_conf', '-cn=other']
    """
    kept: list[str] = []
    for argument in (one for one in arguments if one not in ("-m", "--multirun")):
        follows = kept and kept[-1].startswith("-") and "=" not in f"{kept[-1]}{argument}"
        if argument.startswith("-") or follows:
            kept.append(argument)
    return kept
