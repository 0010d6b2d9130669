"""A report as Markdown and on the screen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from recsys_lightning.reports.report import Report
from recsys_lightning.reports.tables import agreement, draws, overview, sections, short_names, shown

PAGE = "report.html"


def as_markdown(report: Report, folder: Path) -> str:
    """The report as text."""
    parts = [f"# {report.title}", overview(report)]
    for section in sections(report, folder):
        parts += [f"## {section.title}", section.note, markdown_table(section.table)]
    return "\n\n".join(filter(None, parts)) + "\n"


def markdown_table(table: pd.DataFrame) -> str:
    r"""A table in Markdown.

    >>> print(markdown_table(pd.DataFrame({"a": [0.25, 1.0], "b": ["x|y", None]})))
    | a | b |
    |---|---|
    | 0.2500 | x\|y |
    | 1.0000 |  |
    """
    rows = [_row(list(table.columns)), "|" + "---|" * table.shape[1]]
    rows += [_row(list(map(cell_text, values))) for values in table.itertuples(index=False)]
    return "\n".join(rows)


def print_report(console: Console, report: Report, folder: Path) -> None:
    """The best of each model, what draws and a leaderboard say, and where the files are."""
    if not report.best.empty:
        names = short_names(report.runs.run.tolist(), folder)
        table = shown(report.best, report.monitor, names)
        beyond = table.filter(regex="^options$|^standard error$|/coverage@|/novelty@").columns
        _print_table(console, table.drop(columns=beyond.difference([report.monitor])))  # too wide
    for table in (draws(report), agreement(report)):
        if len(table):
            console.print()
            _print_table(console, table)
    page = folder / PAGE
    if page.exists():
        said = str(page)
    else:
        said = f"{page.with_suffix('.md')}; {PAGE} needs plotly: pip install -e '.[html]'"
    console.print(said, highlight=False, soft_wrap=True)


def _print_table(console: Console, shown: pd.DataFrame) -> None:
    columns = [Column(str(name), overflow="fold") for name in shown]  # the end of a name tells
    table = Table(*columns, box=SIMPLE_HEAD, show_edge=False, padding=0)  # 80 columns
    for values in shown.itertuples(index=False):
        table.add_row(*map(cell_text, values))
    console.print(table)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def cell_text(value: Any) -> str:
    """A value as the reports show it: four decimals, and nothing where there is none."""
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4f}"
    return "" if value is None else str(value)
