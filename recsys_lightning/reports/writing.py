"""What a sweep, or any set of runs, has shown: leaderboard, report, best configurations."""

import logging
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.status import Status

from recsys_lightning.errors import InputError
from recsys_lightning.reports.agreement import agreement
from recsys_lightning.reports.best import best_config, best_name
from recsys_lightning.reports.draws import draws
from recsys_lightning.reports.latex import as_latex, metrics_by_split
from recsys_lightning.reports.leaderboard import (
    ENSEMBLE,
    best_per_model,
    differences,
    leaderboard,
    monitored,
    runs_table,
)
from recsys_lightning.reports.origins import data_table, starts_table
from recsys_lightning.reports.rendering import PAGE, as_markdown
from recsys_lightning.reports.report import Report
from recsys_lightning.reports.tables import short_names
from recsys_lightning.runs.folder import RESULT
from recsys_lightning.runs.record import RunResult
from recsys_lightning.sweeps.jobs import Runs
from recsys_lightning.writing import replacing

log = logging.getLogger(__name__)


def write_report(
    folder: Path,
    sources: Sequence[Path],
    known: Runs | None = None,
    scores: Path | None = None,
    *,
    latex: bool = False,
) -> Report:
    """Read the runs below some folders, write the report's files.

    Args:
        folder: for the files; made if missing.
        sources: folders of runs or of sweeps.
        known: runs that were read already.
        scores: a file of what a leaderboard said of some of them, see `reports.agreement`.
        latex: write the table of a paper, too.

    Raises:
        InputError: there is no run, or something is wrong with the scores.
    """
    known = known or Runs()
    with Console(stderr=True).status("reading the runs") as status:  # shown on a terminal alone
        report = _read(folder, sources, known, scores, status)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (
            ("runs.csv", report.runs.drop(columns=["job", "repeated"]).to_csv(index=False)),
            ("leaderboard.csv", report.board.to_csv(index=False)),
            ("differences.csv", report.compared.to_csv(index=False)),
            ("report.md", as_markdown(report, folder)),
        ):
            _write(folder / name, text)
        _write_page(report, folder)
        if latex:
            _write_latex(report, folder, known, status)
    for name, text in report.configs.items():
        _write(folder / "best" / f"{name}.yaml", text)
    return report


def _read(
    folder: Path, sources: Sequence[Path], known: Runs, scores: Path | None, status: Status
) -> Report:
    """The tables of `write_report`."""
    runs = runs_table(sources, folder, known)
    if runs.empty or (runs.model == ENSEMBLE).all():
        places = ", ".join(map(str, sources))
        raise InputError(f"{places}: no run there; expected folders with a {RESULT} below them")
    monitor = monitored([result for source in sources for _, result in known.below(source)])
    if monitor is None:
        raise InputError(f"{sources[0]}: no run there says which metric it watched")
    board = leaderboard(runs, monitor)
    best = best_per_model(board)
    status.update(f"comparing the best of {len(best)} models, user by user")
    compared = differences(best, folder, monitor, known)
    drawn, agreeing = draws(runs, folder, monitor, known), pd.DataFrame()
    if scores is not None:
        agreeing = agreement(scores, runs, folder, sources, monitor, known)
    status.update("writing the report")
    report = Report(
        title=", ".join(short_names([str(path.absolute()) for path in sources], folder).values()),
        monitor=monitor,
        runs=runs,
        board=board,
        best=best,
        compared=compared,
        draws=drawn,
        agreement=agreeing,
        data=data_table(sources, known),
        starts=starts_table(sources, known),
    )
    return replace(report, configs=_configs(report, folder, known))


def _configs(report: Report, folder: Path, known: Runs) -> dict[str, str]:
    """The best configuration of each model that can be repeated; of all splits the highest."""
    found = {}
    for _, row in report.best_models.sort_values(report.monitor, na_position="first").iterrows():
        result = known.of(folder / row.best_run)
        assert isinstance(result, RunResult)  # `best_models` has no ensembles
        name = best_name(row.model)
        command = f"python run.py --config-dir {shlex.quote(str(folder))} +best={name}"
        try:
            found[name] = best_config(result, command)
        except InputError as error:
            log.warning("%s: no configuration that repeats it: %s", row.best_run, error)
    return found


def _write_latex(report: Report, folder: Path, known: Runs, status: Status) -> None:
    if report.best.empty:
        return
    compared = report.compared
    for metrics in metrics_by_split(report.best, report.monitor).values():
        for metric in metrics:
            if metric not in set(compared.metric):
                status.update(f"comparing the models by {metric}")
                by_metric = differences(report.best, folder, metric, known)
                compared = pd.concat([compared, by_metric[by_metric.metric == metric]])
    text = as_latex(report.best, report.monitor, compared, report.data)
    _write(folder / "report.tex", text)


def _write_page(report: Report, folder: Path) -> None:
    """report.html, where the extra `html` is installed; an earlier one would be another report."""
    page = folder / PAGE
    try:
        from recsys_lightning.reports.page import as_html
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] != "plotly":
            raise
        page.unlink(missing_ok=True)
    else:
        _write(page, as_html(report, folder))


def _write(path: Path, text: str) -> None:
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8")
