"""A report as one HTML file that needs no network, in the reader's light or dark scheme."""

import html
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs

from recsys_lightning.reports import figures
from recsys_lightning.reports.leaderboard import by_model, varied
from recsys_lightning.reports.rendering import cell_text
from recsys_lightning.reports.report import Report
from recsys_lightning.reports.tables import Section, overview, sections, shares_by_model

LONG = 40  # characters of a cell that may be broken into lines
PLAIN = {"displayModeBar": False, "responsive": True}
STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --line: #ddd }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --paper: #16181c; --line: #3a3d44 } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em;
       color: var(--ink); background: var(--paper); overflow-wrap: anywhere }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto }
th, td { padding: .25em .7em; border-bottom: 1px solid var(--line); text-align: left;
         vertical-align: top; white-space: nowrap }
.long { white-space: normal; min-width: 18em }
td { font-variant-numeric: tabular-nums }
.figure { overflow-x: auto }
.js-plotly-plot g:not(.hovertext) > text { fill: var(--ink) !important;
                                              text-shadow: none !important }
.parcoords .domain { stroke: var(--ink) !important }
@media (max-width: 600px) { body { margin: 1em auto; padding: 0 .6em } h1 { font-size: 1.4em } }
"""


def as_html(report: Report, folder: Path) -> str:
    """The report with figures before the last table, the leaderboard."""
    *before, last = map(_section, sections(report, folder))
    drawn = [] if report.board.empty else _figures(report)
    title = html.escape(report.title)
    parts = [f"<h1>{title}</h1>", f"<p>{html.escape(overview(report))}</p>", *before, *drawn, last]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n"
        f"<script>{get_plotlyjs()}</script></head>\n<body>\n{body}\n</body></html>\n"
    )


def _figures(report: Report) -> Iterator[str]:
    """Each with its title."""
    done, monitor = report.done, report.monitor
    yield _figure(
        "Best of each model, with 95 % intervals over users",
        figures.best_per_model(report.best, monitor),
    )
    yield _figure("Time and memory", figures.costs(done, monitor))
    if (beyond := figures.beyond_accuracy(done, monitor)) is not None:
        yield _figure("Coverage and novelty", beyond)
    if len(trials := done[done.trial.notna()]):
        yield _figure("Trials in order", figures.history(trials, monitor))
    shares = shares_by_model(report)
    for label, runs in by_model(done).items():
        options = varied(runs, runs.model.iloc[0])
        if len(options) > 1 and len(runs) > 1:
            lines = figures.parallel_coordinates(runs, options, monitor)
            width = 110 * (len(options) + 1)  # of the names above the axes
            yield _figure(f"{label}: options and {monitor}", lines, width)
        if label in shares:
            yield _figure(f"{label}: what mattered", figures.importance_bars(shares[label]))


def _figure(title: str, figure: Figure, min_width: int = 0) -> str:
    drawn = figure.to_html(full_html=False, include_plotlyjs=False, config=PLAIN)
    inner = f'<div style="min-width: {min_width}px">{drawn}</div>'
    return f'<h2>{html.escape(title)}</h2>\n<div class="figure">{inner}</div>'


def _section(section: Section) -> str:
    note = re.sub("`(.*?)`", r"<code>\1</code>", html.escape(section.note))
    said = f"<p>{note}</p>\n" if note else ""
    return f"<h2>{html.escape(section.title)}</h2>\n{said}{_table(section.table)}"


def _table(table: pd.DataFrame) -> str:
    rows = [_row("th", map(str, table))]
    rows += [_row("td", map(cell_text, values)) for values in table.itertuples(index=False)]
    return "<table>\n" + "\n".join(rows) + "\n</table>"


def _row(tag: str, cells: Iterable[str]) -> str:
    return (
        "<tr>"
        + "".join(
            f"<{tag}{' class=long' * (len(cell) > LONG)}>{html.escape(cell)}</{tag}>"
            for cell in cells
        )
        + "</tr>"
    )
