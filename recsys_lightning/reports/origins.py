"""Where a report's figures come from: the data, and the commands that were run on it."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from recsys_lightning.reports.leaderboard import split_labels
from recsys_lightning.runs.record import RunResult
from recsys_lightning.sweeps.jobs import STARTED, Run, Runs

OF_A_RUN = Path(".hydra/hydra.yaml")  # where Hydra writes how a single run was started


def data_table(sources: Sequence[Path], known: Runs) -> pd.DataFrame:
    """One row per split that a run has been evaluated on.

    Args:
        sources: folders of runs or of sweeps.
        known: runs that were read already.

    Returns:
        Columns `data`, `users`, `items`, `interactions` (missing in runs of an earlier version),
        `holdout`, `split`, `evaluated` (users, by stage) and `runs`.
    """
    of_split: dict[tuple[str, str], list[RunResult]] = {}
    evaluated = [result for _, result in _runs(sources, known) if result.split]
    for result, split in zip(evaluated, split_labels(evaluated), strict=True):
        of_split.setdefault((str(result.data), split), []).append(result)
    rows = []
    for (data, split), results in of_split.items():
        last = results[-1]
        counts = [
            f"{name} {count:,}" for name, count in last.users.items() if name in ("valid", "test")
        ]
        rows.append(
            {
                "data": data,
                **{name: last.sizes.get(name) for name in ("users", "items", "interactions")},
                "holdout": last.choices.get("holdout", ""),
                "split": split,
                "evaluated": ", ".join(counts),
                "runs": len(results),
            }
        )
    return pd.DataFrame(rows)


def starts_table(sources: Sequence[Path], known: Runs) -> pd.DataFrame:
    """One row per sweep, and a row for the runs of each source that are of none.

    Args:
        sources: folders of runs or of sweeps.
        known: runs that were read already.

    Returns:
        Columns `folder`, `runs`, `finished` (when the first and the last did) and `command`: the
        latest that started the sweep or the only run; empty of several single runs, or where Hydra
        has left no file.
    """
    started: dict[Path, list[Run]] = {}
    for run, result in _runs(sources, known):
        within = [folder.resolve() for folder in sources if run.is_relative_to(folder.resolve())]
        alone = within[0] if within else run  # behind a link it is in none
        sweep = next((above for above in run.parents if (above / STARTED).is_file()), alone)
        started.setdefault(sweep, []).append((run, result))
    rows = []
    for folder, runs in started.items():
        file = folder / STARTED
        if not file.is_file() and len(runs) == 1:
            file = runs[0][0] / OF_A_RUN
        rows.append(
            {
                "folder": str(folder),
                "runs": len(runs),
                "finished": _period([result.finished for _, result in runs if result.finished]),
                "command": command_of(file),
            }
        )
    return pd.DataFrame(rows)


def command_of(file: Path) -> str:
    """The command line of a run or a sweep, from what Hydra wrote of it.

    Args:
        file: `multirun.yaml` of a sweep, or `.hydra/hydra.yaml` of a run.

    Returns:
        Nothing where the file is missing or says nothing of it.
    """
    try:
        hydra: dict[str, Any] = yaml.safe_load(file.read_text())["hydra"]
        given, searched = hydra["overrides"], hydra["runtime"]["config_sources"]
        own = [of["path"] for of in searched if of["provider"] == "command-line"]
        multirun = "hydra.mode=MULTIRUN" in given["hydra"]
        options = [each for each in given["hydra"] if not each.startswith("hydra.mode=")]
        words = [
            *("python", "run.py", *["-m"] * multirun),
            *(word for folder in own for word in ("--config-dir", folder)),
            *(*given["task"], *options),
        ]
        return shlex.join(words)
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return ""


def _period(times: Sequence[str]) -> str:
    """From the first to the last of some ISO 8601 times in UTC.

    >>> _period(["2026-11-26T14:16:11.9+00:00", "2026-11-26T14:17:02.1+00:00"])
    '2026-11-26 14:16 to 2026-11-26 14:17 UTC'
    """
    minutes = sorted({time[:16].replace("T", " ") for time in times})
    return " to ".join(dict.fromkeys(minutes[:1] + minutes[-1:])) + " UTC" if minutes else ""


def _runs(sources: Sequence[Path], known: Runs) -> list[Run]:
    """Each once, though a source may lie within another; the latest finished last."""
    found = {run.resolve(): of for source in sources for run, of in known.below(source)}
    return sorted(found.items(), key=lambda item: item[1].finished or "")
