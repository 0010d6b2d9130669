"""The sections of a report: its tables as a reader wants them."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from recsys_lightning.metrics.names import MetricName
from recsys_lightning.reports.best import best_name
from recsys_lightning.reports.importance import importances
from recsys_lightning.reports.leaderboard import by_model, varied
from recsys_lightning.reports.report import (
    AGREEING,
    BEST,
    COMPARED,
    DRAWN,
    SHOWN_IN_LEADERBOARD,
    SIGNIFICANT,
    Report,
)


@dataclass(frozen=True)
class Section:
    """A table with its title, and what is said of it before; code in the note is in backticks."""

    title: str
    table: pd.DataFrame
    note: str = ""


def overview(report: Report) -> str:
    """How many runs ended how, when, and on which splits."""
    runs = report.models
    ended = ", ".join(f"{count} {status}" for status, count in runs.status.value_counts().items())
    number = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    text = f"{number}: {ended}. Decided by {report.monitor}"
    splits = report.board.split.nunique() if len(report.board) else 0
    if splits > 1:
        text += f"; {splits} splits, and figures of different splits cannot be compared"
    return text + "."


def sections(report: Report, folder: Path) -> list[Section]:
    """Failures first, then what was run, the best of each model, and all; none is empty.

    Args:
        report: what is shown.
        folder: of the report's files.
    """
    names = short_names(report.runs.run.tolist(), folder)
    failed = report.failed[["run", "model", "error"]]
    found = [
        Section("Failed", failed.assign(run=failed.run.map(names))),
        Section("Data", _numbered(report.data)),
        Section("What was run", report.starts),
    ]
    if not report.board.empty:
        found += [
            Section("Best of each model", shown(report.best, report.monitor, names), BEST),
            Section("Which differences are real", _differences(report), COMPARED + _cut_of(report)),
            Section("How much the draw of the holdout matters", draws(report), DRAWN),
            Section("Which holdout follows the leaderboard", agreement(report), AGREEING),
        ]
        for model, shares in shares_by_model(report).items():
            table = pd.DataFrame({"option": shares.index, "importance": shares.values})
            found.append(Section(f"What mattered for {model}", table))
        best = shown(report.board.head(SHOWN_IN_LEADERBOARD), report.monitor, names)
        found.append(Section(f"Leaderboard{_cut(report)}", best, _again(report, folder)))
    return [replace(each, table=_filled(each.table)) for each in found if len(each.table)]


def short_names(folders: Sequence[str], base: Path) -> dict[str, str]:
    """Folders without what all of them begin with: what is left differs.

    Args:
        folders: relative to `base`, or absolute.
        base: the report's folder.

    >>> list(short_names(["/a/x/0_ease", "y/0_ease"], Path("/a")).values())
    ['x/0_ease', 'y/0_ease']
    >>> list(short_names([".", "0_ease"], Path("/a")).values())  # an ensemble in a sweep's folder
    ['.', '0_ease']
    """
    paths = {folder: (base / folder).resolve() for folder in folders}
    several = len(set(paths.values())) > 1
    common = os.path.commonpath(paths.values() if several else [p.parent for p in paths.values()])
    return {folder: str(path.relative_to(common)) for folder, path in paths.items()}


def shown(board: pd.DataFrame, monitor: str, names: Mapping[str, str]) -> pd.DataFrame:
    """The columns of a leaderboard that a reader looks at; the CSV has them all.

    Args:
        board: as `leaderboard.leaderboard` returns it.
        monitor: the metric that decides.
        names: short ones, of its `best_run`.
    """
    table = board[["model", "options"]].copy()
    if board.split.nunique() > 1:
        table["split"] = board.split
    table[monitor] = [
        mean + (f" ± {spread:.4f} ({runs} seeds)" if runs > 1 and mean else "")
        for mean, spread, runs in zip(_four(board[monitor]), board["std"], board.runs, strict=True)
    ]
    if board.standard_error.notna().any():
        table["standard error"] = _four(board.standard_error)
    main = MetricName.parse(monitor)
    beside = replace(main, name="ndcg"), main.at("test")
    beyond = replace(main, name="coverage"), replace(main, name="novelty")
    for metric in map(str, (*beside, *beyond)):
        if metric in board and metric != monitor:
            table[metric] = _four(board[metric])
    table["seconds"] = [f"{value:.1f}" for value in board.seconds]
    table["MiB"] = ["" if pd.isna(value) else f"{value:.0f}" for value in board.peak_rss_mb]
    table["run"] = board.best_run.map(names)
    return table


def _differences(report: Report) -> pd.DataFrame:
    """The first pairs of every metric and split."""
    table = report.compared
    if table.empty:
        return table
    table = table.groupby(["split", "metric"], sort=False).head(SHOWN_IN_LEADERBOARD)
    columns = ["split"] * (table.split.nunique() > 1) + ["metric", "better", "other"]
    shown = table[columns].copy()
    shown["difference"] = [f"{value:+.4f}" for value in table.difference]
    shown["95 % interval"] = [
        f"{low:+.4f} to {high:+.4f}" for low, high in zip(table.low, table.high, strict=True)
    ]
    shown["p"] = [f"{value:.3f}" for value in table.p]
    shown["p (Holm)"] = [f"{value:.3f}" for value in table.p_holm]
    shown["real"] = [
        "not shown" if p >= SIGNIFICANT else "yes" if difference > 0 else "the other way round"
        for difference, p in zip(table.difference, table.p_holm, strict=True)
    ]
    return shown


def draws(report: Report) -> pd.DataFrame:
    """Spread between draws beside that between seeds."""
    table = report.draws.head(SHOWN_IN_LEADERBOARD)
    if table.empty:
        return table
    shown = table[["metric", "model", "options", "draws", "seeds"]].copy()
    for name in ("mean", "between_draws", "between_seeds"):
        shown[name.replace("_", " ")] = _four(table[name])
    return shown


def agreement(report: Report) -> pd.DataFrame:
    """Rank correlations with a leaderboard's scores."""
    table = report.agreement
    if table.empty:
        return table
    shown = table[["metric", "holdout", "runs"]].copy()
    shown["Kendall's tau"] = ["" if pd.isna(tau) else f"{tau:+.2f}" for tau in table.tau]
    shown["95 % interval"] = [
        "" if pd.isna(low) else f"{low:+.2f} to {high:+.2f}"
        for low, high in zip(table.low, table.high, strict=True)
    ]
    return shown


def shares_by_model(report: Report) -> dict[str, pd.Series]:
    """The importances of the options by model, where there is enough to say."""
    found = {
        label: importances(runs, varied(runs, runs.model.iloc[0]), report.monitor)
        for label, runs in by_model(report.done).items()
    }
    return {label: shares for label, shares in found.items() if shares is not None}


def _filled(table: pd.DataFrame) -> pd.DataFrame:
    """Without columns that say nothing, such as the options of runs that differ in none."""
    return table.loc[:, [bool(table[name].astype(str).str.len().any()) for name in table]]


def _numbered(data: pd.DataFrame) -> pd.DataFrame:
    """Sizes as whole numbers; of an earlier version's runs they are unknown."""
    shown = data.drop(columns="holdout", errors="ignore")  # the split is named by it
    for name in ("users", "items", "interactions"):
        if name in shown:
            shown[name] = ["" if pd.isna(size) else f"{int(size):,}" for size in data[name]]
    return shown


def _again(report: Report, folder: Path) -> str:
    name = next(filter(report.configs.get, map(best_name, report.best_models.model)), None)
    if name is None:
        return ""
    command = f"python run.py --config-dir {shlex.quote(str(folder))} +best={name}"
    return f"Run one again, or with other data: `{command}`"


def _cut(report: Report) -> str:
    total = len(report.board)
    return f" (the best {SHOWN_IN_LEADERBOARD} of {total})" if total > SHOWN_IN_LEADERBOARD else ""


def _cut_of(report: Report) -> str:
    """Where pairs are left out, which ones are shown."""
    if report.compared.empty:
        return ""
    most = report.compared.groupby(["split", "metric"]).size().max()
    shown = SHOWN_IN_LEADERBOARD
    return f" The first {shown} of {most} pairs; differences.csv has all." if most > shown else ""


def _four(values: pd.Series) -> list[str]:
    return ["" if pd.isna(value) else f"{value:.4f}" for value in values]
