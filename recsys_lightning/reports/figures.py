"""The figures of a sweep's report, as plotly figures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

LOG_RATIO = 20  # a parameter that spans more than this is shown on a logarithmic axis


def best_per_model(best: pd.DataFrame, monitor: str) -> go.Figure:
    """A bar a model; the whisker is the standard deviation over seeds."""
    figure = go.Figure(
        go.Bar(x=best[monitor], y=best.model, orientation="h", error_x={"array": best["std"]})
    )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title=monitor)
    return _sized(figure, 120 + 40 * len(best))


def history(runs: pd.DataFrame, monitor: str) -> go.Figure:
    """Every run of each model in the order in which they finished, and the best so far."""
    figure = go.Figure()
    for color, model in _colors(runs.model):
        of_model = runs[runs.model == model].reset_index(drop=True)
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
    figure.update_xaxes(title="run of the model")
    figure.update_yaxes(title=monitor)
    return _sized(figure, 420)


def costs(runs: pd.DataFrame, monitor: str) -> go.Figure:
    """Accuracy against seconds and against memory, a point a run."""
    figure = make_subplots(cols=2, shared_yaxes=True, horizontal_spacing=0.03)
    for color, model in _colors(runs.model):
        of_model = runs[runs.model == model]
        for column, cost in enumerate(("seconds", "peak_rss_mb"), start=1):
            figure.add_scatter(
                x=of_model[cost],
                y=of_model[monitor],
                text=of_model.options,
                mode="markers",
                name=model,
                legendgroup=model,
                showlegend=column == 1,
                marker_color=color,
                row=1,
                col=column,
            )
    figure.update_xaxes(type="log", title="seconds", col=1)
    figure.update_xaxes(title="peak memory, MiB", col=2)
    figure.update_yaxes(title=monitor, col=1)
    return _sized(figure, 420)


def parallel_coordinates(runs: pd.DataFrame, options: Sequence[str], monitor: str) -> go.Figure:
    """A line a run of one model through its options to the metric; drag along an axis to select."""
    dimensions = [_dimension(name, runs[name]) for name in options]
    dimensions.append({"label": monitor, "values": runs[monitor]})
    line = {"color": runs[monitor], "colorscale": "Viridis", "showscale": True}
    figure = go.Figure(go.Parcoords(line=line, dimensions=dimensions))
    return _sized(figure, 420)


def importance_bars(importances: pd.Series) -> go.Figure:
    """A bar an option."""
    figure = go.Figure(go.Bar(x=importances.values, y=importances.index, orientation="h"))
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title="share of the importance")
    return _sized(figure, 120 + 32 * len(importances))


def _dimension(name: str, values: pd.Series) -> dict[str, Any]:
    """One axis: logarithmic for wide ranges, by name for what is no number."""
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


def is_numeric(values: pd.Series) -> bool:
    """Whether all values are numbers."""
    return all(
        isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        for value in values
    ) and bool(values.notna().all())


def is_wide(values: pd.Series) -> bool:
    """Whether positive values span so much that a logarithmic axis shows them better."""
    return bool(values.min() > 0 and values.max() / values.min() > LOG_RATIO)


def _colors(models: pd.Series) -> list[tuple[str, str]]:
    from plotly.colors import qualitative

    names = list(dict.fromkeys(models))
    return [(qualitative.D3[number % 10], name) for number, name in enumerate(names)]


def _sized(figure: go.Figure, height: int) -> go.Figure:
    return figure.update_layout(
        height=height, margin={"l": 60, "r": 40, "t": 50, "b": 50}, template="plotly_white"
    )
