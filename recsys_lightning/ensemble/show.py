"""What the screen shows of an ensemble: the ways to fuse beside one another, and the gain."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from recsys_lightning.metrics.names import MetricName
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.record import EnsembleResult


def members_in_words(members: Iterable[Mapping[str, Any]]) -> str:
    """The members of an ensemble, as ensemble.json has them, with their weights.

    >>> members_in_words([{"name": "ease", "weight": 1.0}, {"name": "recvae", "weight": 0.7778}])
    'ease 1, recvae 0.78'
    >>> members_in_words([{"name": "ease", "weight": [1.0, 0.5, 0.0]}])  # of each kind of user
    'ease 1/0.5/0'
    """
    return ", ".join(f"{m['name']} {weight_in_words(m['weight'])}".rstrip() for m in members)


def weight_in_words(weight: float | Sequence[float] | None) -> str:
    """A member's weight, or those of each kind of user; empty where a mixer decides."""
    if weight is None:
        return ""
    weights = weight if isinstance(weight, Sequence) else [weight]
    return "/".join(f"{each:.2g}" for each in weights)


def show(console: Console, result: EnsembleResult, out: Path) -> None:
    """Print a finished ensemble.

    Args:
        console: where to.
        result: what it says of itself.
        out: its folder.
    """
    for run in result.left_out:
        console.print(
            f"left out: {out / run['folder']}: {run['reason']}",
            style="yellow",
            soft_wrap=True,
        )
    (_show_chosen if result.draws is None else _show_draws)(console, result)
    for path in (RunFolder(out).ensemble, RunFolder(out).submission):
        console.print(str(path), highlight=False, soft_wrap=True)


def _show_chosen(console: Console, result: EnsembleResult) -> None:
    """The ways to fuse, the chosen one, and what it gains."""
    console.print(_methods_table(result))
    single = result.best_single
    members = members_in_words(result.members)
    chosen = f"chosen: {result.fusion}, {result.weights}: {members}"
    console.print(chosen, highlight=False, soft_wrap=True)
    if result.kinds:
        cuts = ", ".join(f"{cut:.4g}" for cut in result.kinds["cuts"])
        line = f"kinds of users by {result.kinds['by']}, cut at {cuts}"
        console.print(line, highlight=False, soft_wrap=True)
    if len(result.methods) == 1:
        console.print(f"one member only: these are the lists of {single['name']}", soft_wrap=True)
    elif result.weights == "single" and result.choice:
        [gain] = result.choice["gain"].values()
        best = f"{result.choice['fusion']}, {result.choice['name']}"
        said = "" if result.choice["name"] == "single" else f" ({best}: {_difference(gain)})"
        console.print(
            f"no fusion beats the best single member by more than chance{said}: these are the "
            f"lists of {single['name']}",
            style="yellow",
            soft_wrap=True,
        )
    for key, gain in result.gain.items():
        line = f"{key} {result.metrics[key]:.4f}"
        alone = single["metrics"][key]
        if result.weights != "single":
            of = "confirmed" if gain["low"] > 0 else "not confirmed"
            if MetricName.parse(key).stage == "val":
                of = "cross-fitted"
            line += (
                f" ({of}), {_difference(gain)} over {single['name']}'s {alone:.4f}"
                f", p {_p(gain['p'])}{_verdict(gain)}"
            )
        elif alone != result.metrics[key]:  # in some folds another member was the best
            line += f" (cross-fitted; {single['name']} has {alone:.4f})"
        console.print(line, highlight=False, soft_wrap=True)


def _verdict(gain: Mapping[str, float]) -> str:
    """What a gain is not, by its interval."""
    if gain["low"] > 0:
        return ""
    return ": worse than it alone" if gain["high"] < 0 else ": no more than chance"


def _show_draws(console: Console, result: EnsembleResult) -> None:
    """Each draw of a bag alone, by the monitored metric, and how far they lie apart."""
    spread = result.draws or {}
    names = [MetricName.parse(name) for name in spread]
    shown = [str(name) for name in names if name.plain == names[0].plain]
    title = f"bag of {len(result.members)} draws of the holdout, fused by {result.fusion}"
    table = Table("holdout.seed", "run", title=title, title_justify="left", box=SIMPLE_HEAD)
    for name in shown:
        table.add_column(name, justify="right")
    for draw in result.members:
        values = [f"{draw['metrics'][name]:.4f}" for name in shown]
        table.add_row(str(draw["holdout_seed"]), draw["name"], *values)
    table.add_section()
    table.add_row("mean of single draws", "", *(f"{spread[name]['mean']:.4f}" for name in shown))
    table.add_row("spread between them", "", *(f"{spread[name]['std']:.4f}" for name in shown))
    console.print(table)
    console.print(
        "the fused lists have no such value: what one draw holds out, the others were fitted on",
        soft_wrap=True,
    )


def _methods_table(result: EnsembleResult) -> Table:
    """One row per method, the chosen one bold; after them all hits of the members' first k."""
    keys = list(result.oracle)
    metric = MetricName.parse(keys[0]).plain
    title = f"ensemble by {metric}; gains are over {result.best_single['name']}"
    table = Table("fusion", "weights", title=title, title_justify="left", box=SIMPLE_HEAD)
    for key in keys:
        title = "val, cross-fitted" if MetricName.parse(key).stage == "val" else "test"
        table.add_column(title, justify="right")
        table.add_column("gain", justify="right")
    for method in result.methods:
        cells = []
        for key in keys:
            alone = method["name"] == "single"
            cells += [f"{method['metrics'][key]:.4f}"]
            cells += ["" if alone else f"{method['gain'][key]['mean']:+.4f}"]
        chosen = (method["fusion"], method["members"]) == (result.fusion, result.members)
        table.add_row(
            method["fusion"],
            method["name"],
            *cells,
            style="bold" if chosen and method["name"] == result.weights else "",
        )
    reach = [cell for key in keys for cell in (f"{result.oracle[key]:.4f}", "")]
    table.add_row("oracle", "", *reach)
    return table


def _p(value: float) -> str:
    return f"= {value:.2g}" if value > 0 else "< 1e-15"  # what a double can tell from 0


def _difference(gain: Mapping[str, float]) -> str:
    return f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"
