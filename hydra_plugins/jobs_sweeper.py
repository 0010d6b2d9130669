"""Hydra's own sweeper, and lists of jobs that are no grid: `jobs:` in an experiment file.

    jobs:
      - model=ease model.l2=300
      - model=multi_vae seed=1,2,3 model.beta=0.1

A line has the overrides of a command line, quoted as in a shell; commas make it a grid.
What is given on the command line goes for every line, and wins over what a line says of the same
key. All jobs are composed before the first starts.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from typing_extensions import override

from recsys_lightning.assembly import CONF, check_sweep
from recsys_lightning.errors import InputError
from recsys_lightning.mistakes import in_one_line

LIST = "jobs"  # the key of the list
ALONE = f"{LIST}=null"  # a job knows nothing of the list: it can be run again by itself


class JobsSweeper(BasicSweeper):
    """The jobs of a list, in its order; without a list, the grid of the command line.

    Args:
        max_batch_size: jobs given to the launcher at once; None: all.
        params: a grid by key, instead of a list.
    """

    @override
    def sweep(self, arguments: list[str]) -> Any:
        try:
            check_sweep(self.config)
            jobs = None if self.config[LIST] is None else self._jobs(arguments)
        except InputError as error:
            raise HydraException(str(error)) from None
        if jobs is None:
            return super().sweep(arguments)
        OmegaConf.save(self.config, Path(self.config.hydra.sweep.dir) / "multirun.yaml")
        started, returns = 0, []
        for batch in self.split_overrides_to_chunks(jobs, self.max_batch_size):
            done = self.launcher.launch(batch, initial_job_idx=started)
            returns.append([job.return_value for job in done])  # raises what the launcher met
            started += len(batch)
        return returns

    def _jobs(self, arguments: Sequence[str]) -> list[list[str]]:
        """The overrides of every job.

        Raises:
            InputError: no such list, or a line of it that does not compose.
        """
        lines = OmegaConf.to_container(self.config, resolve=False)[LIST]
        if not isinstance(lines, list) or not lines:
            raise InputError(
                f"{LIST}: {lines!r}: expected a list of lines such as 'model=ease model.l2=300'"
            )
        if self.params:
            raise InputError(
                f"{LIST} and hydra.sweeper.params ({', '.join(self.params)}) are two ways to say "
                f"which jobs there are: use one; {LIST}=null drops the list"
            )
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        given = {_key(one): one for one in parser.parse_overrides(list(arguments))}
        given.pop(LIST, None)
        jobs = []
        for number, line in enumerate(lines, start=1):
            try:
                of_line = [one for one in _parsed(parser, line) if _key(one) not in given]
                [grid] = self.split_arguments([*of_line, *given.values()], None)
                grid = [[*job, ALONE] for job in grid]
                self.validate_batch_is_legal(grid)
            except (HydraException, ValueError) as error:
                said = in_one_line(error, _words(line), str(CONF))
                raise InputError(f"{LIST}, line {number} ({line}): {said}") from None
            jobs += grid
        return jobs


# as `basic`, Hydra's default: an experiment file needs `jobs:` and nothing else
ConfigStore.instance().store(
    group="hydra/sweeper",
    name="basic",
    node=BasicSweeperConf(_target_=f"{JobsSweeper.__module__}.{JobsSweeper.__name__}"),
)


def _parsed(parser: OverridesParser, line: Any) -> list[Override]:
    """The overrides of a line.

    Raises:
        HydraException: it holds something else.
        ValueError: a quote is not closed.
    """
    if not isinstance(line, str) or not line.strip():
        raise HydraException("expected text such as 'model=ease model.l2=300'")
    overrides = parser.parse_overrides(shlex.split(line))
    for one in overrides:
        if one.is_hydra_override() or _key(one) == LIST:
            raise HydraException(f"{_key(one)} belongs to all jobs: give it outside of the list")
    return overrides


def _key(override: Override) -> str:
    """What an override sets, whether it adds, changes or deletes it."""
    return str(override.get_key_element()).lstrip("+~")


def _words(line: Any) -> list[str]:
    """The overrides of a line, as far as it is one."""
    try:
        return shlex.split(line) if isinstance(line, str) else []
    except ValueError:
        return []
