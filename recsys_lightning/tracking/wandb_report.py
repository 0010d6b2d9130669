"""A sweep in W&B: its ensemble and its report as runs of its group, and a W&B Report."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from recsys_lightning.metrics.names import MetricName
from recsys_lightning.runs.parameters import differing, flat
from recsys_lightning.runs.record import EnsembleResult, RunResult
from recsys_lightning.sweeps.jobs import Runs
from recsys_lightning.tracking.base import parameters_of, warn
from recsys_lightning.tracking.wandb import WandB

REPORT_FILES = ("leaderboard.csv", "runs.csv", "differences.csv", "report.md", "report.html")


def log_report(folder: Path, runs: Runs) -> None:
    """Log a sweep's report as a W&B run in its group, and as a W&B Report where one can be saved.

    Of these files it logs those that exist: `leaderboard.csv`, `runs.csv` and `differences.csv` as
    tables, with the best value of every metric of the first in the summary; `report.html`;
    `report.md` as the run's notes. Saving a W&B Report takes a login and the extra `report`. What
    W&B refuses is warned of.

    Args:
        folder: the sweep's. Nothing is done if none of its jobs was logged to W&B.
        runs: read already.
    """
    files = [file for name in REPORT_FILES if (file := folder / name).is_file()]
    if files:

        def log_content(tracker: WandB) -> None:
            _log_files(tracker.run, folder, files, runs)

        _log_of_sweep(folder, runs, "report", {}, log_content)


def log_ensemble(folder: Path, ensemble: EnsembleResult, runs: Runs) -> None:
    """Log a sweep's ensemble as a W&B run in its group; what W&B refuses is a warning.

    Args:
        folder: the sweep's. Nothing is done if none of its jobs was logged to W&B.
        ensemble: what it says of itself.
        runs: read already.
    """
    settings = {
        "model": ensemble.model,
        "data": ensemble.data,
        "seed": ensemble.seed,
        "fusion": ensemble.fusion,
        "weights": ensemble.weights,
    }
    members = {f"members.{member['name']}": member["weight"] for member in ensemble.members}

    def log_content(tracker: WandB) -> None:
        if ensemble.draws is not None:
            tracker.run.summary.update(flat({"draws": ensemble.draws}))
            names = list(ensemble.draws)
            rows = [[of["name"], *map(of["metrics"].get, names)] for of in ensemble.members]
            tracker.log_table("draws", ["run", *names], rows)
            return
        tracker.run.summary.update(flat({"gain": ensemble.gain}))
        methods = ensemble.methods
        names = list(methods[0]["metrics"])
        rows = [[of["fusion"], of["name"], *of["metrics"].values()] for of in methods]
        tracker.log_table("methods", ["fusion", "weights", *names], rows)

    _log_of_sweep(folder, runs, "ensemble", settings | members, log_content, ensemble)


def _log_of_sweep(
    folder: Path,
    runs: Runs,
    job_type: str,
    parameters: Mapping[str, Any],
    log_content: Callable[["WandB"], None],
    result: EnsembleResult | None = None,
) -> None:
    """A W&B run about a whole sweep, in its group, set up as its jobs' runs were.

    Args:
        folder: the sweep's.
        runs: read already.
        job_type: of the run.
        parameters: its configuration.
        log_content: called with the run's tracker.
        result: what to end it with, as a job ends with its own; None: as done.
    """
    jobs = [job for _, job in runs.below(folder)]
    options = next((o["wandb"] for o in map(_trackers_of, jobs) if "wandb" in o), None)
    if options is None:
        return
    given = {key: value for key, value in options.items() if key != "_target_"}
    tracker = WandB(**{**given, "job_type": job_type})
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
        warn(tracker, error)


def _log_files(run: Any, folder: Path, files: Sequence[Path], runs: Runs) -> None:
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
        report = build_report(folder, run.project, run.entity, runs)
        print(f"W&B report: {report.save().url}")


def build_report(folder: Path, project: str, entity: str, runs: Runs) -> Any:
    """A `wandb_workspaces` Report of a sweep: not saved, and built without a login.

    Args:
        folder: the sweep's.
        project: of W&B.
        entity: a user or team; "" where there is no login.
        runs: read already.
    """
    import wandb_workspaces.expr as expr
    import wandb_workspaces.reports.v2 as wr

    class Parameter(wr.ParallelCoordinatesPlotColumn):
        def _to_model(self) -> Any:
            column = super()._to_model()
            name = self.metric.name  # type: ignore[union-attr]
            column.accessor = f"config:{name}.value"  # a dot in it is no nesting
            return column

    jobs = [result for _, result in runs.below(folder)]
    monitor = jobs[0].config["monitor"]
    tested = str(MetricName.parse(monitor).at("test"))
    axes = [Parameter(wr.Config(name)) for name in _varied(jobs)]
    of_sweep = wr.Runset(
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
    notes = [wr.MarkdownBlock(text=text.read_text())] if text.is_file() else []
    return wr.Report(
        project=project,
        entity=entity,
        title=f"Sweep {folder.name}",
        blocks=[*notes, wr.H2("Runs"), wr.PanelGrid(runsets=[of_sweep], panels=panels)],
    )


def _trackers_of(result: RunResult) -> Mapping[str, Any]:
    return result.config.get("logger") or {}


def _varied(jobs: Sequence[RunResult]) -> list[str]:
    """The parameters that differ among the jobs."""
    own = {"job", "git_commit"}
    return [name for name in differing(list(map(parameters_of, jobs))) if name not in own]
