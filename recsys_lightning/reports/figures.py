"""The figures of a sweep's report, as plotly figures that fit a light and a dark page."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import qualitative
from plotly.subplots import make_subplots

from recsys_lightning.metrics.names import MetricName
from recsys_lightning.reports.importance import is_numeric, is_wide
from recsys_lightning.reports.leaderboard import by_model, labels, sweeps_of

CLEAR = "rgba(0,0,0,0)"  # the page shows through, whatever its scheme
FAINT = "rgba(128,128,128,0.3)"


def best_per_model(best: pd.DataFrame, monitor: str) -> go.Figure:
    """A point a model and split; the whisker is the 95 % interval over users."""
    figure = go.Figure(
        go.Scatter(
            x=best[monitor],
            y=labels(best),
            mode="markers",
            marker_size=9,
            error_x={"array": 1.96 * best.standard_error},
        )
    )
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_xaxes(title=monitor)
    return _sized(figure, 120 + 40 * len(best))


def history(trials: pd.DataFrame, monitor: str) -> go.Figure:
    """The trials of each search in the order in which they finished, and the best so far."""
    searches: dict[str, pd.DataFrame] = {}
    for label, of_model in by_model(trials).items():
        sweeps = of_model.groupby(sweeps_of(of_model), sort=False)
        for sweep, of_sweep in sweeps:
            searches[label if len(sweeps) == 1 else f"{label}, {sweep}"] = of_sweep
    figure = go.Figure()
    for color, model, of_model in _colored(searches):
        x = np.arange(1, len(of_model) + 1)
        figure.add_scatter(
            x=x,
            y=of_model[monitor],
            text=of_model.options,
            mode="markers",
            name=model,
            legendgroup=model,
            marker_color=color,
        )
        figure.add_scatter(
            x=x,
            y=of_model[monitor].cummax(),
            mode="lines",
            line={"shape": "hv", "color": color},
            name=f"{model}, best so far",
            legendgroup=model,
            showlegend=False,
        )
    figure.update_xaxes(title="trial of the model")
    figure.update_yaxes(title=monitor)
    return _sized(figure, 420)


def costs(runs: pd.DataFrame, monitor: str) -> go.Figure:
    """Accuracy against seconds and against memory, a point a run."""
    figure = _against(runs, monitor, {"seconds": "seconds", "peak_rss_mb": "peak memory, MiB"})
    return figure.update_xaxes(type="log", col=1)


def beyond_accuracy(runs: pd.DataFrame, monitor: str) -> go.Figure | None:
    """Accuracy against coverage and against novelty, a point a run; None where neither is known."""
    main = MetricName.parse(monitor)
    names = [str(replace(main, name=name)) for name in ("coverage", "novelty")]
    if not set(names) <= set(runs):
        return None
    return _against(runs, monitor, {name: name for name in names})


def _against(runs: pd.DataFrame, monitor: str, columns: Mapping[str, str]) -> go.Figure:
    """A panel for each of two columns, with its title."""
    figure = make_subplots(cols=2, shared_yaxes=True, horizontal_spacing=0.03)
    for color, model, of_model in _colored(by_model(runs)):
        for position, column in enumerate(columns, start=1):
            figure.add_scatter(
                x=of_model[column],
                y=of_model[monitor],
                text=of_model.options,
                mode="markers",
                name=model,
                legendgroup=model,
                showlegend=position == 1,
                marker_color=color,
                row=1,
                col=position,
            )
    for position, title in enumerate(columns.values(), start=1):
        figure.update_xaxes(title=title, nticks=5, col=position)
    figure.update_yaxes(title=monitor, col=1)
    return _sized(figure, 420)


def parallel_coordinates(runs: pd.DataFrame, options: Sequence[str], monitor: str) -> go.Figure:
    """A line a run of one model through its options to the metric; drag along an axis to select."""
    dimensions = [_dimension(name, runs[name]) for name in options]
    dimensions.append({"label": monitor, "values": runs[monitor]})
    line = {"color": runs[monitor], "colorscale": "Viridis"}  # the last axis is its scale
    figure = _sized(go.Figure(go.Parcoords(line=line, dimensions=dimensions)), 420)
    return figure.update_layout(margin={"l": 60, "r": 40, "t": 70})


def importance_bars(importances: pd.Series) -> go.Figure:
    """A bar an option."""
    figure = go.Figure(go.Bar(x=importances.values, y=importances.index, orientation="h"))
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title="share of the importance")
    return _sized(figure, 120 + 32 * len(importances))


def _dimension(name: str, values: pd.Series) -> dict[str, Any]:
    """One axis: logarithmic for wide ranges, by name where values are not numbers."""
    label = name.removeprefix("model.")
    if not is_numeric(values):
        names = sorted(set(map(str, values)))
        codes = [names.index(str(value)) for value in values]
        return {
            "label": label,
            "values": codes,
            "tickvals": list(range(len(names))),
            "ticktext": names,
        }
    if not is_wide(values):
        return {"label": label, "values": values.astype(float)}
    ticks = np.linspace(np.log10(values.min()), np.log10(values.max()), 5)
    return {
        "label": label,
        "values": np.log10(values.astype(float)),
        "tickvals": ticks,
        "ticktext": [f"{10**tick:.3g}" for tick in ticks],
    }


def _colored(named: Mapping[str, pd.DataFrame]) -> list[tuple[str, str, pd.DataFrame]]:
    """A color for each of some runs with their name."""
    return [(qualitative.D3[n % 10], name, of) for n, (name, of) in enumerate(named.items())]


def _sized(figure: go.Figure, height: int) -> go.Figure:
    figure.update_xaxes(gridcolor=FAINT, zerolinecolor=FAINT, automargin=True)
    figure.update_yaxes(gridcolor=FAINT, zerolinecolor=FAINT, automargin=True)
    return figure.update_layout(
        height=height,
        margin={"l": 10, "r": 20, "t": 20, "b": 50},
        template="plotly_white",
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},  # grows upwards
    )
