"""Where a run is told of, beside its folder: a CSV file, W&B, MLflow, TensorBoard, any at once.

A tracker of `conf/logger/` begins before the data is read, so that a package or a server that is
not there is told at once; it gives Lightning the logger for the metrics of every epoch; and it ends
with what `result.json` says, however the run ended. One that fails on the way is warned of: the
run's folder has everything, and a run is not lost for its mirror.

Their packages, and Lightning, are imported where they are used.
"""

import csv
import importlib.util
import io
import json
import logging
import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from recsys_lightning.errors import InputError
from recsys_lightning.secrets import mask
from recsys_lightning.summary import Example
from recsys_lightning.sweep import results

log = logging.getLogger(__name__)

REPORT_FILES = ("leaderboard.csv", "runs.csv", "report.md", "report.html")
EXAMPLE_COLUMNS = ["user", "rank", "last_watched", "recommended"]


class Tracker:
    """What all have in common; see `begin` and `end` below for when each method is called."""

    def begin(self, folder: Path, sweep: Path | None, parameters: Mapping[str, Any]) -> None:
        """Start the record of a run.

        Args:
            folder: the run's.
            sweep: the folder of the sweep that it is a job of.
            parameters: scalars by dotted name.

        Raises:
            InputError: a package is missing, or a server does not answer.
        """
        raise NotImplementedError

    def logger(self, first_epoch: int) -> Any:
        """The Lightning logger that the run's Trainer is given.

        Args:
            first_epoch: from 0; what the record has of earlier ones, of a resumed run, stays.
        """
        raise NotImplementedError

    def log_examples(self, examples: Sequence[Example]) -> None:
        """Some users' latest items beside what is recommended to them."""

    def end(self, result: Mapping[str, Any]) -> None:
        """Complete the record with the content of result.json."""
        raise NotImplementedError


def begin(
    trackers: Iterable[Tracker],
    begun: list[Tracker],
    folder: Path,
    sweep: Path | None,
    result: Mapping[str, Any],
) -> None:
    """Begin trackers one by one.

    Args:
        trackers: those of the configuration.
        begun: takes those that began, also where a later one raises.
        folder: the run's.
        sweep: the sweep's, of a job of one.
        result: what result.json will say, as far as it is known.

    Raises:
        InputError: a package is missing, or a server does not answer.
    """
    for tracker in trackers:
        tracker.begin(folder, sweep, parameters_of(result))
        begun.append(tracker)


def log_examples(begun: Iterable[Tracker], examples: Sequence[Example]) -> None:
    """Log them to every tracker, whatever one of them says."""
    for tracker in begun:
        try:
            tracker.log_examples(examples)
        except Exception as error:
            _warn(tracker, error)


def end(begun: Iterable[Tracker], result: Mapping[str, Any]) -> None:
    """End every tracker, whatever one of them says."""
    for tracker in begun:
        try:
            tracker.end(result)
        except Exception as error:
            _warn(tracker, error)


def parameters_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved configuration as scalars by dotted name, with model, data, job and commit.

    >>> config = {"seed": 1, "model": {"l2": 3.0, "hidden_dims": [600]}, "logger": {"csv": {}}}
    >>> told = {"config": config, "model": "ease", "data": "files", "job": "a", "git_commit": None}
    >>> parameters_of(told)  # doctest: +NORMALIZE_WHITESPACE
    {'model': 'ease', 'data': 'files', 'job': 'a', 'git_commit': None, 'seed': 1, 'model.l2': 3.0,
     'model.hidden_dims': '[600]'}
    """
    named = {key: result[key] for key in ("model", "data", "job", "git_commit")}
    config = {k: value for k, value in result["config"].items() if k not in ("logger", "sweep")}
    return named | dict(scalars(config))


def scalars(config: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """A configuration as scalars by dotted name; lists as JSON."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from scalars(value, f"{prefix}{key}.")
        else:
            scalar = value is None or isinstance(value, bool | int | float | str)
            yield f"{prefix}{key}", value if scalar else json.dumps(value, default=str)


def _numbers(result: Mapping[str, Any]) -> dict[str, float]:
    """The final metrics under their names, and what the run took."""
    seconds = {f"seconds/{stage}": value for stage, value in result["seconds"].items()}
    counts = {
        key: result[key] for key in ("best_epoch", "parameters", "peak_rss_mb") if key in result
    }
    return result["metrics"] | seconds | counts


def _succeeded(result: Mapping[str, Any]) -> bool:
    return result["status"] in ("done", "pruned")


def _rows(examples: Sequence[Example]) -> list[list[Any]]:
    """Columns as in `EXAMPLE_COLUMNS`."""
    return [
        [example.user, rank, watched, recommended]
        for example in examples
        for rank, (watched, recommended) in enumerate(example.pairs(), start=1)
    ]


def _name(folder: Path) -> str:
    return "/".join(folder.parts[-2:])


def _warn(tracker: Tracker, error: Exception) -> None:
    [told, *_] = str(error).splitlines() or [""]
    log.warning("%s: %s: %s", type(tracker).__name__, type(error).__name__, told)


def _require(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise InputError(f"logger={package} needs {package}: pip install -e '.[{package}]'")


class CSV(Tracker):
    """`metrics.csv` in the run's folder."""

    _logger: Any = None

    def begin(self, folder: Path, sweep: Path | None, parameters: Mapping[str, Any]) -> None:  # noqa: D102
        self.folder = folder

    def logger(self, first_epoch: int) -> Any:  # noqa: D102
        from pytorch_lightning.loggers import CSVLogger

        file, rows = self.folder / "metrics.csv", []
        if file.is_file():  # which Lightning deletes
            with file.open(newline="") as lines:
                rows = [row for row in csv.DictReader(lines) if int(row["epoch"]) < first_epoch]
        self._logger = CSVLogger(self.folder, name="", version="")
        self._logger.experiment.metrics = rows
        return self._logger

    def end(self, result: Mapping[str, Any]) -> None:  # noqa: D102
        if self._logger and result["status"] == "done":
            self._logger.log_metrics(result["metrics"], step=result["steps"])
            self._logger.save()


class TensorBoard(Tracker):
    """Event files in `tensorboard/` of the run's folder."""

    _logger: Any = None

    def begin(self, folder: Path, sweep: Path | None, parameters: Mapping[str, Any]) -> None:  # noqa: D102
        _require("tensorboard")
        self.folder, self.parameters = folder, parameters

    def logger(self, first_epoch: int) -> Any:  # noqa: D102
        from pytorch_lightning.loggers import TensorBoardLogger

        self._logger = TensorBoardLogger(
            self.folder, name="", version="tensorboard", default_hp_metric=False
        )
        return self._logger

    def log_examples(self, examples: Sequence[Example]) -> None:  # noqa: D102
        lines = [EXAMPLE_COLUMNS, ["---"] * len(EXAMPLE_COLUMNS), *_rows(examples)]
        table = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
        self._logger.experiment.add_text("examples", table)

    def end(self, result: Mapping[str, Any]) -> None:  # noqa: D102
        if self._logger is None:  # the run failed before its fit
            return
        told = {key: result[key] for key in ("split", "status", "error")}
        self._logger.log_hyperparams(
            {**self.parameters, **told}, metrics=result["metrics"], step=result.get("steps")
        )
        self._logger.finalize(result["status"])


class WandB(Tracker):
    """A W&B run of its own for every job, all those of a sweep in one group and one directory.

    Args:
        project: of W&B.
        entity: a user or team; None: the default one of the key.
        job_type: `train`, `ensemble` or `report`.
        mode: of `wandb.init`; None: what WANDB_MODE says, or else online with a key (WANDB_API_KEY
            or netrc) and offline without one.
        tags: to find the run by.
    """

    def __init__(
        self,
        project: str,
        entity: str | None,
        job_type: str,
        mode: str | None,
        tags: Sequence[str],
    ) -> None:
        self.project, self.entity, self.job_type = project, entity, job_type
        self.mode, self.tags = mode, tags

    def begin(self, folder: Path, sweep: Path | None, parameters: Mapping[str, Any]) -> None:  # noqa: D102
        import wandb

        try:
            self.run = wandb.init(
                project=self.project,
                entity=self.entity,
                group=sweep.name if sweep else None,
                job_type=self.job_type,
                name=_name(folder),
                tags=self.tags,
                dir=sweep or folder,
                mode=self._mode(),
                config=dict(parameters),
                settings=wandb.Settings(silent=True),
            )
        except wandb.Error as error:
            raise InputError(
                f"logger=wandb: {error}; logger.wandb.mode=offline does without the server"
            ) from error
        self.run.define_metric("*", step_metric="epoch")

    def _mode(self) -> Any:
        import wandb

        if chosen := self.mode or os.environ.get("WANDB_MODE"):
            return chosen
        return "online" if wandb.login(prompt=False) else "offline"

    def logger(self, first_epoch: int) -> Any:  # noqa: D102
        from pytorch_lightning.loggers import WandbLogger

        return WandbLogger(experiment=self.run)

    def log_examples(self, examples: Sequence[Example]) -> None:  # noqa: D102
        self.log_table("examples", EXAMPLE_COLUMNS, _rows(examples))

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Show a table in the run."""
        import wandb

        self.run.log({name: wandb.Table(columns=list(columns), data=list(rows))})

    def end(self, result: Mapping[str, Any]) -> None:  # noqa: D102
        try:
            self.run.config.update({"split": result["split"]})
            self.run.summary.update({key: result[key] for key in ("status", "error")})
            self.run.summary.update(_numbers(result))
            if result["metrics"]:
                errors = result["standard_errors"]
                rows = [
                    [name, value, errors.get(name)] for name, value in result["metrics"].items()
                ]
                self.log_table("metrics", ["metric", "value", "standard_error"], rows)
        finally:
            self.run.finish(exit_code=0 if _succeeded(result) else 1)
        if not self.run.offline:
            print(f"W&B: {self.run.url}")


class MLflow(Tracker):
    """A run on an MLflow server, or in a database.

    Its names of metrics have no `@`: `val/recall@10` is `val/recall_at_10` there.

    Args:
        tracking_uri: the server's address, or `sqlite:///` and a file.
        experiment: its name; it is made where it is not there.
        artifacts: files of the run's folder to store.
    """

    def __init__(self, tracking_uri: str, experiment: str, artifacts: Sequence[str]) -> None:
        self.tracking_uri, self.experiment, self.artifacts = tracking_uri, experiment, artifacts

    def begin(self, folder: Path, sweep: Path | None, parameters: Mapping[str, Any]) -> None:  # noqa: D102
        _require("mlflow")
        # by default MLflow tries for minutes before it says that a server does not answer
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # tells of every try
        self.folder = folder
        tags = {"git_commit": parameters["git_commit"], "job": parameters["job"]}
        tags |= {"sweep": sweep.name} if sweep else {}
        values = [mlflow.entities.Param(name, str(value)) for name, value in parameters.items()]
        try:
            self.client = mlflow.MlflowClient(self.tracking_uri)
            run = self.client.create_run(self._experiment_id(), tags=tags, run_name=_name(folder))
            self.run_id = run.info.run_id
            for start in range(0, len(values), 100):  # a server takes no more at once
                self.client.log_batch(self.run_id, params=values[start : start + 100])
        except mlflow.MlflowException as error:
            raise InputError(f"logger.mlflow.tracking_uri={self.tracking_uri}: {error}") from error

    def _experiment_id(self) -> str:
        import mlflow

        found = self.client.get_experiment_by_name(self.experiment)
        if found is None:
            try:
                return self.client.create_experiment(self.experiment)
            except mlflow.MlflowException:  # another job has made it meanwhile, most likely
                found = self.client.get_experiment_by_name(self.experiment)
                if found is None:
                    raise
        return found.experiment_id

    def logger(self, first_epoch: int) -> Any:  # noqa: D102
        import mlflow
        from pytorch_lightning.loggers import MLFlowLogger

        tracker = self

        class Logger(MLFlowLogger):
            def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
                try:
                    super().log_metrics(_without_at(metrics), step)
                except mlflow.MlflowException as error:
                    _warn(tracker, error)

            def finalize(self, status: str = "success") -> None:
                """A fit's end is not the run's."""

        return Logger(self.experiment, tracking_uri=self.tracking_uri, run_id=self.run_id)

    def log_examples(self, examples: Sequence[Example]) -> None:  # noqa: D102
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([EXAMPLE_COLUMNS, *_rows(examples)])
        self.client.log_text(self.run_id, text.getvalue(), "examples.csv")

    def end(self, result: Mapping[str, Any]) -> None:  # noqa: D102
        import mlflow

        now = mlflow.utils.time.get_current_time_millis()
        metrics = [
            mlflow.entities.Metric(name, value, now, result.get("steps", 0))
            for name, value in _without_at(_numbers(result)).items()
        ]
        told = {key: str(result[key])[:5000] for key in ("split", "status", "error") if result[key]}
        tags = [mlflow.entities.RunTag(key, value) for key, value in told.items()]
        try:
            self.client.log_batch(self.run_id, metrics=metrics, tags=tags)
            for name in self.artifacts:
                if (self.folder / name).is_file():
                    self.client.log_artifact(self.run_id, self.folder / name)
        finally:
            status = "FINISHED" if _succeeded(result) else "FAILED"
            with redirect_stdout(io.StringIO()) as said:  # the run's address, with its password
                self.client.set_terminated(self.run_id, status)
            print(mask(said.getvalue()), end="")


def _without_at(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name.replace("@", "_at_"): value for name, value in metrics.items()}


def tell_how_to_sync(folder: Path) -> None:
    """Print what uploads the offline W&B runs of a run or sweep, if there are any."""
    if any((folder / "wandb").glob("offline-run-*")):
        place = shlex.quote(str(folder))
        print(f"W&B, offline; to upload: wandb sync {place}/wandb/offline-run-*")


def log_report(folder: Path) -> None:
    """Log a sweep's report as a W&B run in its group, and as a W&B Report where one can be saved.

    Logged are those of these files that are there: `leaderboard.csv` and `runs.csv` as tables, with
    the best value of every metric of the first in the summary; `report.html`; `report.md` as the
    run's notes. Saving a W&B Report takes a login and the extra `report`. What W&B refuses is
    warned of.

    Args:
        folder: the sweep's. Nothing is done if none of its jobs was logged to W&B.
    """
    files = [file for name in REPORT_FILES if (file := folder / name).is_file()]
    if files:
        _log_of_sweep(folder, "report", {}, lambda tracker: _log_files(tracker.run, folder, files))


def log_ensemble(folder: Path, ensemble: Mapping[str, Any]) -> None:
    """Log a sweep's ensemble as a W&B run in its group; what W&B refuses is warned of.

    Args:
        folder: the sweep's. Nothing is done if none of its jobs was logged to W&B.
        ensemble: the content of ensemble.json.
    """
    settings = {key: ensemble[key] for key in ("model", "data", "seed", "fusion", "weights")}
    members = {f"members.{told['name']}": told["weight"] for told in ensemble["members"]}

    def log_content(tracker: WandB) -> None:
        tracker.run.summary.update(dict(scalars({"gain": ensemble["gain"]})))
        methods = ensemble["methods"]
        names = list(methods[0]["metrics"])
        rows = [[told["fusion"], told["name"], *told["metrics"].values()] for told in methods]
        tracker.log_table("methods", ["fusion", "weights", *names], rows)

    _log_of_sweep(folder, "ensemble", settings | members, log_content, ensemble)


def _log_of_sweep(
    folder: Path,
    job_type: str,
    parameters: Mapping[str, Any],
    log_content: Callable[["WandB"], None],
    result: Mapping[str, Any] | None = None,
) -> None:
    """A W&B run about a whole sweep, in its group, set up as its jobs' runs were.

    Args:
        folder: the sweep's.
        job_type: of the run.
        parameters: its configuration.
        log_content: told to it.
        result: what to end it with, as a job is with result.json; None: as done.
    """
    jobs = [job for _, job in results(folder)]
    options = next((o["wandb"] for o in map(_trackers_of, jobs) if "wandb" in o), None)
    if options is None:
        return
    told = {key: value for key, value in options.items() if key != "_target_"}
    tracker = WandB(**{**told, "job_type": job_type})
    try:
        tracker.begin(folder, folder, {"jobs": len(jobs), **parameters})
        try:
            log_content(tracker)
        finally:
            if result is None:
                tracker.run.finish()
            else:
                tracker.end(result)
    except Exception as error:
        _warn(tracker, error)


def _log_files(run: Any, folder: Path, files: Sequence[Path]) -> None:
    import pandas
    import wandb

    for file in files:
        if file.suffix == ".csv":
            table = pandas.read_csv(file)
            run.log({file.stem: wandb.Table(dataframe=table)})
        if file.name == "leaderboard.csv":
            best = (
                table.filter(regex=r"^(val|test)/\w+@\d+$").select_dtypes("number").max().dropna()
            )
            run.summary.update({f"best/{name}": float(value) for name, value in best.items()})
        if file.suffix == ".html":
            run.log({file.stem: wandb.Html(file.read_text(), inject=False)})
        if file.suffix == ".md":
            run.notes = file.read_text()
    if not run.offline and importlib.util.find_spec("wandb_workspaces"):
        report = build_report(folder, run.project, run.entity)
        print(f"W&B report: {report.save().url}")


def build_report(folder: Path, project: str, entity: str) -> Any:
    """A `wandb_workspaces` Report of a sweep: not saved, and built without a login.

    Args:
        folder: the sweep's.
        project: of W&B.
        entity: a user or team; "" where there is no login.
    """
    import wandb_workspaces.expr as expr
    import wandb_workspaces.reports.v2 as wr

    class Parameter(wr.ParallelCoordinatesPlotColumn):
        def _to_model(self) -> Any:
            column = super()._to_model()
            name = self.metric.name  # type: ignore[union-attr]
            column.accessor = f"config:{name}.value"  # a dot in it is no nesting
            return column

    jobs = [result for _, result in results(folder)]
    monitor = jobs[0]["config"]["monitor"]
    tested = monitor.replace("val/", "test/")
    axes = [Parameter(wr.Config(name)) for name in _varied(jobs)]
    runs = wr.Runset(
        entity=entity,
        project=project,
        name=folder.name,
        filters=expr.And(expr.Metric("Group") == folder.name, expr.Metric("JobType") != "report"),
    )
    panels: list[Any] = [
        wr.BarPlot(title=f"{monitor} by model", metrics=[monitor], groupby=wr.Config("model")),
        wr.ScatterPlot(
            title="validation and test", x=wr.SummaryMetric(monitor), y=wr.SummaryMetric(tested)
        ),
        wr.ScatterPlot(
            title="time and accuracy",
            x=wr.SummaryMetric("seconds/fit"),
            y=wr.SummaryMetric(monitor),
        ),
        wr.ParallelCoordinatesPlot(
            columns=[*axes, wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(monitor))]
        ),
        wr.ParameterImportancePlot(with_respect_to=monitor),
        wr.RunComparer(diff_only="split"),
    ]
    text = folder / "report.md"
    told = [wr.MarkdownBlock(text=text.read_text())] if text.is_file() else []
    return wr.Report(
        project=project,
        entity=entity,
        title=f"Sweep {folder.name}",
        blocks=[*told, wr.H2("Runs"), wr.PanelGrid(runsets=[runs], panels=panels)],
    )


def _trackers_of(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return result["config"].get("logger") or {}


def _varied(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The parameters that have more than one value among the jobs."""
    told = [parameters_of(job) for job in jobs]
    names = dict.fromkeys(name for parameters in told for name in parameters)
    own = {"job", "git_commit"}
    return [
        name
        for name in names
        if name not in own and len({str(parameters.get(name)) for parameters in told}) > 1
    ]
