"""What a user is told about an ensemble: the ways to fuse beside one another, and the gain."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def show(console: Console, result: Mapping[str, Any], out: Path) -> None:
    """Print a finished ensemble.

    Args:
        console: where to.
        result: the content of ensemble.json.
        out: its folder.
    """
    for run in result["left_out"]:
        console.print(
            f"left out: {run['folder']}: {run['reason']}",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    console.print(_methods_table(result))
    single = result["best_single"]
    if len(result["methods"]) == 1:
        console.print(f"one member only: these are the lists of {single['name']}", soft_wrap=True)
    elif result["weights"] == "single":
        console.print(
            f"no fusion beats the best single member: these are the lists of {single['name']}",
            style="yellow",
            soft_wrap=True,
        )
    for key, gain in result["gain"].items():
        told = f"{key} {result['metrics'][key]:.4f}"
        if result["weights"] != "single":
            told += (
                f" ({'cross-fitted' if key.startswith('val/') else 'confirmed once'}), "
                f"{_difference(gain)} over {single['name']}'s {single['metrics'][key]:.4f}, "
                f"p = {gain['p']:.2g}" + ("" if gain["low"] > 0 else ": no more than chance")
            )
        console.print(told, highlight=False, soft_wrap=True)
    for name in ("ensemble.json", "submission.csv"):
        console.print(str(out / name), highlight=False, soft_wrap=True)


def _methods_table(result: Mapping[str, Any]) -> Table:
    """A row a method, the chosen one bold; after them what nobody can reach."""
    [key] = result["oracle"]
    table = Table("fusion", "weights", title="ensemble", title_justify="left")
    table.add_column(f"{key}, cross-fitted", justify="right")
    table.add_column("over the best single", justify="right")
    table.add_column("members", overflow="fold")
    for method in result["methods"]:
        chosen = all(method[name] == result[name] for name in ("fusion", "members"))
        weights = [
            member["name"] + ("" if member["weight"] is None else f" {member['weight']:.2g}")
            for member in method["members"]
        ]
        table.add_row(
            method["fusion"],
            method["name"],
            f"{method['metrics'][key]:.4f}",
            "" if method["name"] == "single" else _difference(method["gain"]),
            ", ".join(weights),
            style="bold" if chosen and method["name"] == result["weights"] else "",
        )
    table.add_row("", "oracle", f"{result['oracle'][key]:.4f}", "", "any hit in any member's head")
    return table


def _difference(gain: Mapping[str, float]) -> str:
    return f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"
