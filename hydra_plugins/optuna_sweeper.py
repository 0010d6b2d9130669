"""A Hydra sweeper on Optuna 4 and later: `hydra/sweeper=optuna`.

The released hydra-optuna-sweeper needs Optuna 2; this one has its keys, so that a user can go over
to a newer one. Beyond it: `n_trials` is a total that a restarted sweep completes, trials that
failed or were killed run again (a killed one's fit is resumed), bad ones are pruned, and a failed
trial does not end the search, unless `MAX_FAILURES` fail in a row. No trial is fitted again on
everything (`refit`) but the best, when the search ends. A study knows what it searches: a sweep of
another model, space, data or holdout is refused in its storage.

Hydra imports this module at every start: Optuna is imported where it is used.
"""

import importlib.util
import json
import logging
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from typing_extensions import override

from recsys_lightning.assembly import check_sweep
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.instantiate import make
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.parameters import flat, identity
from recsys_lightning.runs.record import RunResult
from recsys_lightning.runs.secrets import mask, masked
from recsys_lightning.sweeps.jobs import Known, results
from recsys_lightning.sweeps.keep import settle
from recsys_lightning.sweeps.locks import wait_for_jobs
from recsys_lightning.sweeps.space import any_value, read_space

log = logging.getLogger(__name__)

MAX_FAILURES = 10  # in a row; what fails so often will fail again
SHOWN = 3  # differences to a study
OF = "folder"  # the attribute of a trial that says which sweep has asked for it
SEARCHED = "searched"  # the attribute of a study that says what it searches


class OptunaSweeper(Sweeper):
    """Asks Optuna for trials, launches them as jobs, tells it what their `result.json` says.

    Args:
        sampler: configuration of an `optuna.samplers` class.
        pruner: configuration of an `optuna.pruners` class; None: no trial is ended early.
        direction: `maximize`, as every metric is the better the higher it is.
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
        self.known: Known = {}

    @override
    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    @override
    def sweep(self, arguments: list[str]) -> None:
        if importlib.util.find_spec("optuna") is None:
            raise HydraException("hydra/sweeper=optuna needs Optuna: pip install -e '.[tune]'")
        folder = Path(self.config.hydra.sweep.dir)
        try:
            if self.config.jobs is not None:
                raise InputError(
                    "jobs: a list leaves nothing to search; jobs=null drops it, and "
                    "hydra/sweeper=basic the search"
                )
            check_sweep(self.config)
            check_range("hydra.sweeper.n_trials", self.n_trials, low=1, whole=True)
            check_range("hydra.sweeper.n_jobs", self.n_jobs, low=1, whole=True)
            if self.direction != "maximize":
                raise InputError(
                    f"hydra.sweeper.direction={self.direction}: expected maximize; every metric is "
                    "the better the higher it is"
                )
            parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
            lines = [f"{key}={value}" for key, value in self.params.items()]
            space, fixed = read_space(parser.parse_overrides([*lines, *arguments]))
            searched = self._searched(space, fixed)
            folder.mkdir(parents=True, exist_ok=True)
            study = self._study(folder, searched)
        except InputError as error:
            raise HydraException(str(error)) from None
        OmegaConf.save(self.config, folder / "multirun.yaml")
        self._take_up(study, folder)
        failed_now, in_a_row, broken = 0, 0, None
        while (missing := self.n_trials - _finished(study) - failed_now) > 0:
            trials = [study.ask(space) for _ in range(min(self.n_jobs, missing))]
            for trial in trials:
                trial.set_user_attr(OF, str(folder.resolve()))
            reached = f"{_finished(study)} of {self.n_trials} trials finished"
            log.info("%s, best %s", reached, _best(study))
            overrides = [self._job(fixed, trial) for trial in trials]
            try:
                jobs = self.launcher.launch(overrides, initial_job_idx=trials[0].number)
                values = [job.return_value for job in jobs]
            except Exception as error:  # a worker was killed; that must not end the search
                log.exception("the launcher failed")
                broken, values = error, [None] * len(trials)
                wait_for_jobs(folder)
            by_trial = self._by_trial(folder)
            for trial, value in zip(trials, values, strict=True):
                counts = self._tell(study, trial.number, by_trial, value)
                failed_now, in_a_row = failed_now + (not counts), 0 if counts else in_a_row + 1
            if in_a_row >= MAX_FAILURES:
                raise RuntimeError(
                    f"{in_a_row} trials in a row failed, so the search has ended: look at the "
                    f"first failure in {folder}; the same command resumes the search"
                )
        if broken:
            raise broken
        self._refit_best(study, folder, fixed)

    def _job(self, fixed: dict[str, str], trial: Any) -> list[str]:
        """The overrides of a trial's job."""
        options = [f"{key}={value}" for key, value in (fixed | trial.params).items()]
        study = QuotedString(str(self.study_name), Quote.single).with_quotes()
        return [*options, f"sweep.trial={trial.number}", f"sweep.study={study}"]

    def _refit_best(self, study: Any, folder: Path, fixed: dict[str, str]) -> None:
        """Fit again on everything, for the final lists, those whose lists the sweep keeps.

        Each is its trial's job once more, in the folder of its run, so one is launched at a time.
        """
        runs = list(results(folder, self.known))
        settle(folder, runs, self.config.sweep.keep)
        trials = study.get_trials(deepcopy=False)
        failed = []
        for run, result in runs:
            job = result.config["sweep"]
            if job.get("study") != self.study_name or result.status != "done":
                continue
            is_due = result.config.get("refit") and "refit" not in result.seconds
            if is_due and RunFolder(run).best.exists():
                log.info("fitting %s again on everything", run.name)
                [trial] = trials[job["trial"] : job["trial"] + 1] or [None]
                is_its = trial is not None and _is_of(result, trial)
                options = self._job(fixed, trial) if is_its else result.overrides
                overrides = [*options, "sweep.refit=true"]
                try:
                    [done] = self.launcher.launch([overrides], initial_job_idx=job["trial"])
                    _ = done.return_value  # raises what the job has raised
                except Exception as error:
                    failed.append(f"{run}: not fitted again on everything: {error}")
        if failed:
            raise RuntimeError("; ".join(failed))

    def _searched(self, space: dict[str, Any], fixed: dict[str, str]) -> dict[str, Any]:
        """What the study searches, by dotted key: the space, and all that its jobs have in common.

        Raises:
            HydraException: an unknown key; it must fail before any job starts.
            InputError: the data or the holdout is wrong, or no job will have the monitored metric.
        """
        some = {key: any_value(distribution) for key, distribution in space.items()}
        overrides = [f"{key}={value}" for key, value in (fixed | some).items()]
        cfg = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        choices = dict(cfg.hydra.runtime.choices)
        task = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        config = OmegaConf.to_container(task, resolve=True)
        varied = {key.split(".")[0] for key in space}
        data = split = None
        if not varied & {"data", "holdout"}:  # else a trial may have what another lacks
            source, holdout = make(cfg.data), make(cfg.holdout)
            data = holdout.identity(source)
            if varied.isdisjoint({"metrics", "monitor"}):
                split = _split_with(cfg.monitor, config["metrics"]["k"], holdout, source)
        same = identity(config, choices, data, overrides=list(fixed))
        shared = flat(same["choices"]) | flat(same["data"] or {}) | flat(same["config"])
        searched = {key: value for key, value in shared.items() if key not in space}
        searched |= flat({"space": {key: str(value) for key, value in space.items()}})
        searched |= {"direction": self.direction, "split": split, "version": same["version"]}
        return dict(masked(searched))

    def _study(self, folder: Path, searched: dict[str, Any]) -> Any:
        """The study in the storage, made if missing.

        Raises:
            InputError: it searches something else, or cannot be opened.
        """
        import optuna

        from recsys_lightning.callbacks.pruning import check_whole, open_storage, storage_name

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        name = storage_name(self.storage, folder)
        pruner = instantiate(self.pruner) if self.pruner else optuna.pruners.NopPruner()
        options = {"study_name": self.study_name, "pruner": pruner}
        try:
            check_whole(name)
            try:
                options["storage"] = optuna.storages.get_storage(open_storage(name))
            except (KeyError, TypeError) as error:  # a line is no record of Optuna's
                raise ValueError("is no journal of Optuna; name another, or remove it") from error
            try:
                study = optuna.load_study(**options)
            except KeyError:
                study = optuna.create_study(**options, direction=self.direction)
        except Exception as error:  # of as many kinds as there are databases
            raise InputError(f"hydra.sweeper.storage={mask(f'{name}: {error}')}") from None
        trials = len(study.get_trials(deepcopy=False))
        if trials:
            self._refuse_another(study.user_attrs.get(SEARCHED), searched, mask(name), trials)
        study.set_user_attr(SEARCHED, searched)
        # of another seed after a restart, else it would propose its first trials again
        study.sampler = instantiate(self.sampler, seed=self.sampler.seed + trials)
        return study

    def _refuse_another(
        self, known: dict[str, Any] | None, searched: dict[str, Any], storage: str, trials: int
    ) -> None:
        """Trials of another search must not pass for this one's."""
        where = f"study {self.study_name} in {storage} has {trials} trials"
        way_out = (
            "give hydra.sweeper.study_name=<another>, hydra.sweep.dir=<another folder>, or the "
            "options as they were"
        )
        if known is None:
            raise InputError(
                f"{where}, and nothing in it says of which model, space and data (an earlier "
                f"version made it): {way_out}"
            )
        here = json.loads(json.dumps(searched))
        keys = [key for key in known | here if known.get(key) != here.get(key)]
        if keys:
            changes = [
                f"{key} was {known.get(key, 'not given')} and is {here.get(key, 'not given')}"
                for key in keys
            ]
            more = f" (and {len(keys) - SHOWN} more)" if len(keys) > SHOWN else ""
            raise InputError(
                f"{where} of another search; {'; '.join(changes[:SHOWN])}{more}: {way_out}"
            )

    def _take_up(self, study: Any, folder: Path) -> None:
        """Of an earlier start: tell how trials ended, queue again what failed or was killed.

        Another sweep may share the storage, and be at work: its trials are left alone.
        """
        from optuna.trial import TrialState

        from recsys_lightning.callbacks.pruning import AGAIN

        def ours(state: TrialState) -> list[Any]:
            here = None if self.storage is None else str(folder.resolve())
            trials = study.get_trials(deepcopy=False, states=[state])
            return [t for t in trials if here is None or t.user_attrs.get(OF) == here]

        by_trial = self._by_trial(folder)
        for trial in ours(TrialState.RUNNING):
            self._tell(study, trial.number, by_trial, None)
        again = {t.user_attrs.get(AGAIN) for t in study.get_trials(deepcopy=False)}
        for trial in ours(TrialState.FAIL):
            if trial.number not in again:
                study.enqueue_trial(trial.params, user_attrs={AGAIN: trial.number})

    def _by_trial(self, folder: Path) -> dict[int, RunResult]:
        """The results of the study's jobs by the number of their trial; of two, the later one."""
        found = [result for _, result in results(folder, self.known)]
        found.sort(key=lambda result: result.finished or "later: it died")
        of_jobs = [(result.config["sweep"], result) for result in found]
        return {
            job["trial"]: result for job, result in of_jobs if job.get("study") == self.study_name
        }

    def _tell(
        self, study: Any, number: int, by_trial: dict[int, RunResult], returned: float | None
    ) -> bool:
        """Tell Optuna how a trial ended; returns whether it counts."""
        from optuna.trial import TrialState

        result = by_trial.get(number)
        if result and not _is_of(result, study.get_trials(deepcopy=False)[number]):
            result = None  # of another study by this name
        status = result.status if result else "failed" if returned is None else "done"
        if status == "done":
            value = returned if result is None else result.metrics.get(result.config["monitor"])
            status = "failed" if value is None else "done"
        if status == "done":
            study.tell(number, value)
        else:
            pruned = status == "pruned"
            study.tell(number, state=TrialState.PRUNED if pruned else TrialState.FAIL)
        return status in ("done", "pruned")


def _is_of(result: RunResult, trial: Any) -> bool:
    """Whether a run has the values of a trial."""
    return {f"{key}={value}" for key, value in trial.params.items()} <= set(result.overrides)


def _split_with(monitor: str, cutoffs: list[int], holdout: Any, source: Any) -> str:
    """The SHA-256 of the split, once it is clear that every job will have the monitored metric."""
    from recsys_lightning.metrics.ranking import ranking_metrics

    split = holdout(source)
    names = [f"val/{name}" for name in ranking_metrics(cutoffs, split.interactions.num_items)]
    if monitor not in names:
        raise InputError(
            f"monitor={monitor}: no job will have this metric, so there is nothing to search by; "
            f"expected one of {', '.join(names)}"
        )
    if not split.valid.num_interactions:
        raise InputError(
            f"monitor={monitor}: the holdout has no validation part, so there is nothing to search "
            "by; choose another holdout, or holdout.valid_items=10"
        )
    return str(split.sha256)


def _finished(study: Any) -> int:
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED]))


def _best(study: Any) -> str:
    try:
        return f"{study.best_value:.4f} of trial {study.best_trial.number}"
    except ValueError:  # there is none yet
        return "none yet"
