"""A report as Markdown, as HTML, and on the screen."""

import html
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from recsys_lightning.metrics.names import MetricName
from recsys_lightning.reports import figures
from recsys_lightning.reports.importance import importances
from recsys_lightning.reports.leaderboard import (
    varied,
)
from recsys_lightning.reports.report import AGREEING, COMPARED, DRAWN, SHOWN_IN_LEADERBOARD, Report


def as_markdown(report: Report, folder: Path) -> str:
    """The report as text: failures first, then the best of each model, then all."""
    parts = [f"# {report.title}", _overview(report)]
    if len(report.failed):
        parts += ["## Failed", markdown_table(report.failed[["run", "model", "error"]])]
    if report.board.empty:
        return "\n\n".join(parts) + "\n"
    parts += ["## Best of each model", markdown_table(_shown(report.best, report.monitor))]
    if len(report.best_models):
        command = f"python run.py --config-dir {folder} +best={report.best_models.model.iloc[0]}"
        parts += [f"Run one again, or with other data: `{command}`"]
    if len(report.compared):
        parts += ["## Which differences are real", COMPARED, markdown_table(_differences(report))]
    if len(report.draws):
        parts += [f"## {SPREAD}", DRAWN, markdown_table(_draws(report))]
    if len(report.agreement):
        parts += [f"## {FOLLOWED}", AGREEING, markdown_table(_agreement(report))]
    for model, shares in _importances(report).items():
        table = pd.DataFrame({"option": shares.index, "importance": shares.values})
        parts += [f"## What mattered for {model}", markdown_table(table)]
    shown = _shown(report.board.head(SHOWN_IN_LEADERBOARD), report.monitor)
    parts += [f"## Leaderboard{_cut(report)}", markdown_table(shown)]
    return "\n\n".join(parts) + "\n"


def as_html(report: Report) -> str:
    """The same with figures, in one file that needs no network."""
    from plotly.offline import get_plotlyjs

    parts = [f"<h1>{html.escape(report.title)}</h1>", f"<p>{html.escape(_overview(report))}</p>"]
    if len(report.failed):
        parts += ["<h2>Failed</h2>", _html_table(report.failed[["run", "model", "error"]])]
    if not report.board.empty:
        done = report.done
        parts += ["<h2>Best of each model</h2>", _html_table(_shown(report.best, report.monitor))]
        if len(report.compared):
            parts += ["<h2>Which differences are real</h2>", f"<p>{COMPARED}</p>"]
            parts += [_html_table(_differences(report))]
        if len(report.draws):
            parts += [f"<h2>{SPREAD}</h2>", f"<p>{DRAWN}</p>", _html_table(_draws(report))]
        if len(report.agreement):
            parts += [f"<h2>{FOLLOWED}</h2>", f"<p>{AGREEING}</p>"]
            parts += [_html_table(_agreement(report))]
        drawn = {"Best of each model, drawn": figures.best_per_model(report.best, report.monitor)}
        drawn["Runs in the order in which they finished"] = figures.history(done, report.monitor)
        drawn["Time and memory"] = figures.costs(done, report.monitor)
        shares = _importances(report)
        for model in dict.fromkeys(done.model):
            of_model, options = done[done.model == model], varied(done, model)
            if len(options) > 1 and len(of_model) > 1:
                title = f"{model}: options and {report.monitor}"
                drawn[title] = figures.parallel_coordinates(of_model, options, report.monitor)
            if model in shares:
                drawn[f"{model}: what mattered"] = figures.importance_bars(shares[model])
        for title, figure in drawn.items():
            parts += [f"<h2>{html.escape(title)}</h2>"]
            parts += [figure.to_html(full_html=False, include_plotlyjs=False, config=PLAIN)]
        shown = _shown(report.board.head(SHOWN_IN_LEADERBOARD), report.monitor)
        parts += [f"<h2>Leaderboard{_cut(report)}</h2>", _html_table(shown)]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<title>{html.escape(report.title)}</title>\n<style>{STYLE}</style>\n"
        f"<script>{get_plotlyjs()}</script></head>\n<body>\n{body}\n</body></html>\n"
    )


SPREAD = "How much the draw of the holdout matters"
FOLLOWED = "Which holdout follows the leaderboard"
PLAIN = {"displayModeBar": False}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto }
th, td { padding: .25em .7em; border-bottom: 1px solid #ddd; text-align: left }
td { font-variant-numeric: tabular-nums }
"""


def markdown_table(table: pd.DataFrame) -> str:
    r"""A table in Markdown.

    >>> print(markdown_table(pd.DataFrame({"a": [0.25, 1.0], "b": ["x|y", None]})))
    | a | b |
    |---|---|
    | 0.2500 | x\|y |
    | 1.0000 |  |
    """
    rows = [_row(list(table.columns)), "|" + "---|" * table.shape[1]]
    rows += [_row([_cell(value) for value in values]) for values in table.itertuples(index=False)]
    return "\n".join(rows)


def print_report(console: Console, report: Report, folder: Path) -> None:
    """The best of each model, what draws and a leaderboard say, and where the files are."""
    if not report.best.empty:
        shown = _shown(report.best, report.monitor).drop(columns="options")  # too wide a column
        _print_table(console, shown)
    for table, shown_as in ((report.draws, _draws), (report.agreement, _agreement)):
        if len(table):
            console.print()
            _print_table(console, shown_as(report))
    console.print(str(folder / "report.html"), highlight=False, soft_wrap=True)


def _print_table(console: Console, shown: pd.DataFrame) -> None:
    table = Table(*shown.columns, box=SIMPLE_HEAD, show_edge=False, padding=0)  # 80 columns
    for values in shown.itertuples(index=False):
        table.add_row(*map(_cell, values))
    console.print(table)


def _overview(report: Report) -> str:
    """How many runs ended how, and on which splits."""
    runs = report.models
    told = ", ".join(f"{count} {status}" for status, count in runs.status.value_counts().items())
    text = f"{len(runs)} runs: {told}. Decided by {report.monitor}"
    splits = report.board.split.nunique() if len(report.board) else 0
    if splits > 1:
        text += f"; {splits} splits, and figures of different splits do not compare"
    return text + "."


def _shown(board: pd.DataFrame, monitor: str) -> pd.DataFrame:
    """The columns that a reader looks at; the CSV has them all."""
    shown = board[["model", "options"]].copy()
    if board.split.nunique() > 1:
        shown["split"] = board.split
    shown[monitor] = [
        f"{mean:.4f}" + (f" ± {spread:.4f} ({runs} seeds)" if runs > 1 else "")
        for mean, spread, runs in zip(board[monitor], board["std"], board.runs, strict=True)
    ]
    main = MetricName.parse(monitor)
    for metric in map(str, (replace(main, name="ndcg"), main.at("test"))):
        if metric in board and metric != monitor:
            shown[metric] = [f"{value:.4f}" for value in board[metric]]
    shown["seconds"] = [f"{value:.1f}" for value in board.seconds]
    shown["MiB"] = [f"{value:.0f}" for value in board.peak_rss_mb]
    shown["run"] = board.best_run
    return shown


def _differences(report: Report) -> pd.DataFrame:
    """As a reader wants it."""
    table = report.compared
    shown = table[["metric", "better", "other"]].copy()
    shown["difference"] = [f"{value:+.4f}" for value in table.difference]
    shown["95 % interval"] = [
        f"{low:+.4f} to {high:+.4f}" for low, high in zip(table.low, table.high, strict=True)
    ]
    shown["p"] = [f"{value:.3f}" for value in table.p]
    shown["real"] = [
        "yes" if low > 0 else "the other way round" if high < 0 else "not shown"
        for low, high in zip(table.low, table.high, strict=True)
    ]
    return shown


def _draws(report: Report) -> pd.DataFrame:
    """As a reader wants it."""
    table = report.draws.head(SHOWN_IN_LEADERBOARD)
    shown = table[["metric", "model", "options", "draws", "seeds"]].copy()
    for name in ("mean", "between_draws", "between_seeds"):
        shown[name.replace("_", " ")] = ["" if pd.isna(x) else f"{x:.4f}" for x in table[name]]
    return shown


def _agreement(report: Report) -> pd.DataFrame:
    """As a reader wants it."""
    table = report.agreement
    shown = table[["metric", "holdout", "split", "runs"]].copy()
    shown["Kendall's tau"] = [f"{tau:+.2f}" for tau in table.tau]
    shown["95 % interval"] = [
        f"{low:+.2f} to {high:+.2f}" for low, high in zip(table.low, table.high, strict=True)
    ]
    return shown


def _importances(report: Report) -> dict[str, pd.Series]:
    """By model, where there is enough to say."""
    done = report.done
    found = {
        model: importances(done[done.model == model], varied(done, model), report.monitor)
        for model in dict.fromkeys(done.model)
    }
    return {model: shares for model, shares in found.items() if shares is not None}


def _cut(report: Report) -> str:
    total = len(report.board)
    return f" (the best {SHOWN_IN_LEADERBOARD} of {total})" if total > SHOWN_IN_LEADERBOARD else ""


def _html_table(table: pd.DataFrame) -> str:
    return table.to_html(index=False, border=0, na_rep="")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4f}"
    return "" if value is None else str(value)
