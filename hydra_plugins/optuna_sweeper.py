"""A Hydra sweeper on Optuna 4 and later: `hydra/sweeper=optuna`.

The released hydra-optuna-sweeper needs Optuna 2; this one has its keys, so that a user can go over
to a newer one. Beyond it: `n_trials` is a total that a restarted sweep completes, trials that
failed or were killed run again, bad ones are pruned, and a failed trial does not end the search.

Hydra imports this module at every start: Optuna is imported where it is used.
"""

import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    RangeSweep,
)
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from recsys_lightning.sweep import results, wait_for_jobs

log = logging.getLogger(__name__)


class OptunaSweeper(Sweeper):
    """Asks Optuna for trials, launches them as jobs, tells it what their `result.json` says.

    Args:
        sampler: configuration of an `optuna.samplers` class.
        pruner: configuration of an `optuna.pruners` class; None: no trial is ended early.
        direction: `maximize` or `minimize`.
        storage: `sqlite:///...` or another URL of Optuna, or the path of a journal file; None:
            `study.journal` in the sweep's folder.
        study_name: in the storage.
        n_trials: in all, over restarts: done or pruned.
        n_jobs: trials launched at once, in parallel if the launcher can.
        params: search space by key: `choice(...)`, `range(...)`, `interval(...)`, `tag(log, ...)`
            or a fixed value.
    """

    def __init__(
        self,
        sampler: DictConfig,
        pruner: DictConfig | None,
        direction: str,
        storage: str | None,
        study_name: str,
        n_trials: int,
        n_jobs: int,
        params: DictConfig,
    ) -> None:
        self.sampler, self.pruner, self.direction = sampler, pruner, direction
        self.storage, self.study_name = storage, study_name
        self.n_trials, self.n_jobs, self.params = n_trials, n_jobs, params

    def setup(  # noqa: D102
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:  # noqa: D102
        if importlib.util.find_spec("optuna") is None:
            raise HydraException("hydra/sweeper=optuna needs Optuna: pip install -e '.[tune]'")
        space, fixed = self._space(arguments)
        self._refuse_what_does_not_compose(space, fixed)
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        study = self._study(folder)
        self._take_up(study, folder)
        failed_now, broken = 0, None
        while (missing := self.n_trials - _finished(study) - failed_now) > 0:
            trials = [study.ask(space) for _ in range(min(self.n_jobs, missing))]
            reached = f"{_finished(study)} of {self.n_trials} trials finished"
            log.info("%s, best %s", reached, _best(study))
            overrides = [
                [f"{key}={value}" for key, value in (fixed | trial.params).items()]
                + [f"sweep.trial={trial.number}", f"sweep.study='{self.study_name}'"]
                + [f"sweep.storage='{self._storage_name(folder)}'"]
                for trial in trials
            ]
            try:
                jobs = self.launcher.launch(overrides, initial_job_idx=trials[0].number)
                values = [job.return_value for job in jobs]
            except Exception as error:  # a worker was killed; that must not end the search
                log.exception("the launcher failed")
                broken, values = error, [None] * len(trials)
                wait_for_jobs(folder)
            told = _by_trial(folder)
            for trial, value in zip(trials, values, strict=True):
                failed_now += not self._tell(study, trial.number, told, value)
        if broken:
            raise broken

    def _space(self, arguments: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
        """The distributions to search and the values that stay, the command line's last."""
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        lines = [f"{key}={value}" for key, value in self.params.items()]
        space: dict[str, Any] = {}
        fixed: dict[str, str] = {}
        for override in parser.parse_overrides([*lines, *arguments]):
            key = override.get_key_element()
            space.pop(key, None)
            fixed.pop(key, None)
            if override.is_sweep_override():
                space[key] = _distribution(override)
            else:
                fixed[key] = override.get_value_element_as_str()
        return space, fixed

    def _refuse_what_does_not_compose(self, space: dict[str, Any], fixed: dict[str, str]) -> None:
        """An unknown key must fail before any job starts."""
        some = {key: _any_value(distribution) for key, distribution in space.items()}
        overrides = [f"{key}={value}" for key, value in (fixed | some).items()]
        self.hydra_context.config_loader.load_sweep_config(self.config, overrides)

    def _storage_name(self, folder: Path) -> str:
        return self.storage or str(folder / "study.journal")

    def _study(self, folder: Path) -> Any:
        import optuna

        from recsys_lightning.callbacks.pruning import open_storage

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            storage=open_storage(self._storage_name(folder)),
            study_name=self.study_name,
            pruner=instantiate(self.pruner) if self.pruner else optuna.pruners.NopPruner(),
            direction=self.direction,
            load_if_exists=True,
        )
        # of another seed after a restart, else it would propose its first trials again
        seed = self.sampler.seed + len(study.get_trials(deepcopy=False))
        study.sampler = instantiate(self.sampler, seed=seed)
        return study

    def _take_up(self, study: Any, folder: Path) -> None:
        """Of an earlier start: tell what was not told, queue again what failed or was killed."""
        from optuna.trial import TrialState

        told = _by_trial(folder)
        for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            self._tell(study, trial.number, told, None)
        again = {t.user_attrs.get("again") for t in study.get_trials(deepcopy=False)}
        for trial in study.get_trials(deepcopy=False, states=[TrialState.FAIL]):
            if trial.number not in again:
                study.enqueue_trial(trial.params, user_attrs={"again": trial.number})

    def _tell(
        self, study: Any, number: int, told: dict[int, dict[str, Any]], returned: float | None
    ) -> bool:
        """Tell Optuna how a trial ended; returns whether it counts."""
        from optuna.trial import TrialState

        result = told.get(number)
        status = result["status"] if result else "failed" if returned is None else "done"
        if status == "done":
            value = (
                returned if result is None else result["metrics"].get(result["config"]["monitor"])
            )
            study.tell(number, value)
        else:
            pruned = status == "pruned"
            study.tell(number, state=TrialState.PRUNED if pruned else TrialState.FAIL)
        return status in ("done", "pruned")


def _by_trial(folder: Path) -> dict[int, dict[str, Any]]:
    """The results of a sweep by the number of their trial."""
    return {result["config"]["sweep"]["trial"]: result for _, result in results(folder)}


def _finished(study: Any) -> int:
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED]))


def _best(study: Any) -> str:
    try:
        return f"{study.best_value:.4f} of trial {study.best_trial.number}"
    except ValueError:  # there is none yet
        return "none yet"


def _distribution(override: Override) -> Any:
    """A search space of Hydra's grammar as one of Optuna's."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    value, key = override.value(), override.get_key_element()
    if isinstance(value, ChoiceSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    if isinstance(value, RangeSweep):
        items = [float(item) for item in override.sweep_string_iterator()]
        if all(isinstance(part, int) for part in (value.start, value.stop, value.step)):
            return IntDistribution(int(items[0]), int(items[-1]), step=int(value.step))
        return FloatDistribution(items[0], items[-1], step=float(value.step))
    if isinstance(value, IntervalSweep):
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        kind = IntDistribution if whole else FloatDistribution
        return kind(value.start, value.end, log="log" in value.tags)
    raise HydraException(
        f"{key}: no search space; use choice, range, interval or tag(log, interval)"
    )


def _any_value(distribution: Any) -> Any:
    return distribution.choices[0] if hasattr(distribution, "choices") else distribution.low
