"""`logger=mlflow`."""

import csv
import io
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from typing_extensions import override

from recsys_lightning.errors import InputError
from recsys_lightning.runs.examples import Example
from recsys_lightning.runs.record import Result, RunResult
from recsys_lightning.runs.secrets import mask
from recsys_lightning.tracking.base import (
    EXAMPLE_COLUMNS,
    Tracker,
    example_rows,
    numbers,
    require,
    run_name,
    succeeded,
    warn,
)


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

    @override
    def begin(self, folder: Path, sweep: Path | None, parameters: Mapping[str, Any]) -> None:
        require("mlflow")
        # by default MLflow tries for minutes before it says that a server does not answer
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # tells of every try
        self.folder = folder
        about = {key: parameters[key] for key in ("git_commit", "job")}
        about["sweep"] = sweep and sweep.name
        tags = {key: value for key, value in about.items() if value}  # no commit, no sweep
        values = [mlflow.entities.Param(name, str(value)) for name, value in parameters.items()]
        try:
            self.client = mlflow.MlflowClient(self.tracking_uri)
            run = self.client.create_run(
                self._experiment_id(), tags=tags, run_name=run_name(folder)
            )
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

    @override
    def logger(self, first_epoch: int) -> Any:
        import mlflow
        from pytorch_lightning.loggers import MLFlowLogger

        tracker = self

        class Logger(MLFlowLogger):
            def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
                try:
                    super().log_metrics(_without_at(metrics), step)
                except mlflow.MlflowException as error:
                    warn(tracker, error)

            def finalize(self, status: str = "success") -> None:
                """A fit's end is not the run's."""

        return Logger(self.experiment, tracking_uri=self.tracking_uri, run_id=self.run_id)

    @override
    def log_examples(self, examples: Sequence[Example]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([EXAMPLE_COLUMNS, *example_rows(examples)])
        self.client.log_text(self.run_id, text.getvalue(), "examples.csv")

    @override
    def end(self, result: Result) -> None:
        import mlflow

        steps = (isinstance(result, RunResult) and result.steps) or 0
        now = mlflow.utils.time.get_current_time_millis()
        metrics = [
            mlflow.entities.Metric(name, value, now, steps)
            for name, value in _without_at(numbers(result)).items()
        ]
        said = {"split": result.split, "status": result.status, "error": result.error}
        tags = [
            mlflow.entities.RunTag(key, str(value)[:5000]) for key, value in said.items() if value
        ]
        try:
            self.client.log_batch(self.run_id, metrics=metrics, tags=tags)
            for name in self.artifacts:
                if (self.folder / name).is_file():
                    self.client.log_artifact(self.run_id, self.folder / name)
        finally:
            status = "FINISHED" if succeeded(result) else "FAILED"
            with redirect_stdout(io.StringIO()) as printed:  # the run's address, with its password
                self.client.set_terminated(self.run_id, status)
            print(mask(printed.getvalue()), end="")


def _without_at(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name.replace("@", "_at_"): value for name, value in metrics.items()}
