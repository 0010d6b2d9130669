"""Implicit-feedback top-N recommendation with Hydra and PyTorch Lightning.

What notebooks and scripts use of it stands here. Each function imports what it needs when it is
called, so that `python run.py --help` stays quick.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from recsys_lightning.data.holdout import Split
    from recsys_lightning.data.interactions import Interactions
    from recsys_lightning.runs.lists import Lists
    from recsys_lightning.runs.record import EnsembleResult, RunResult


# Numba does not ask for OpenMP's variable, and is imported after this
if threads := os.environ.get("OMP_NUM_THREADS"):
    os.environ.setdefault("NUMBA_NUM_THREADS", threads.partition(",")[0])  # "4,2": of inner levels


def load_data(*overrides: str) -> "Interactions":
    """The data of a configuration, such as `load_data("data=files", "data.path=ratings.csv")`.

    Args:
        overrides: as for run.py.

    Raises:
        InputError: the files or the options are wrong.
    """
    from recsys_lightning.assembly import load

    return load(overrides)


def runs_table(folders: Sequence[Path], base: Path) -> "pd.DataFrame":
    """One row per run below some folders: see `reports.leaderboard.runs_table`."""
    from recsys_lightning.reports.leaderboard import runs_table

    return runs_table(folders, base)


def leaderboard(runs: "pd.DataFrame", monitor: str) -> "pd.DataFrame":
    """One row per configuration, its seeds taken together, the best first by split.

    Args:
        runs: as `runs_table` returns it.
        monitor: the metric that decides, such as `val/recall@10`.
    """
    from recsys_lightning.reports.leaderboard import leaderboard

    return leaderboard(runs, monitor)


def best_per_model(board: "pd.DataFrame") -> "pd.DataFrame":
    """The first row of every model on every split of a `leaderboard`."""
    from recsys_lightning.reports.leaderboard import best_per_model

    return best_per_model(board)


def differences(best: "pd.DataFrame", folder: Path, monitor: str) -> "pd.DataFrame":
    """Each two models of a split against each other, by the paired bootstrap over users.

    Args:
        best: as `best_per_model` returns it.
        folder: what its `best_run` is relative to.
        monitor: the metric.
    """
    from recsys_lightning.reports.leaderboard import differences

    return differences(best, folder, monitor)


def read_result(folder: Path) -> "RunResult | EnsembleResult":
    """What a run, or an ensemble, says of itself.

    Raises:
        InputError: there is no result in the folder, or it is damaged.
    """
    from recsys_lightning.runs.record import read_result

    return read_result(folder)


def read_split(folder: Path, sha256: str | None = None) -> "Split":
    """The split whose files stand in a folder, `split_files` of a result.

    Raises:
        InputError: a file is missing or unreadable, or the split is not the one of the SHA-256.
    """
    from recsys_lightning.runs.lists import read_split

    return read_split(folder, sha256)


def read_lists(
    run: Path, stage: str, users: "NDArray[Any]", items: "NDArray[Any]"
) -> "Lists | None":
    """The lists of a run, or an ensemble; None where it kept none.

    Args:
        run: its folder.
        stage: `valid`, `test` or `final`.
        users: (U,) original ids, sorted; one without a list has a row of -1.
        items: (I,) original ids, sorted.

    Raises:
        InputError: the file is unreadable, or of other data.
    """
    from recsys_lightning.runs.folder import RunFolder
    from recsys_lightning.runs.lists import read_lists

    path = RunFolder(run).candidates(stage)
    return read_lists(path, users, items) if path.is_file() else None


def read_member(
    folder: Path, described: "Mapping[str, Any]", stage: str, split: "Split"
) -> "Lists":
    """The lists of a member of an ensemble: its run's, or the average of several.

    Args:
        folder: the ensemble's.
        described: one of `members` of its result, or `best_single`.
        stage: `valid`, `test` or `final`.
        split: of all members.

    Raises:
        InputError: a file is missing, unreadable or of other data, or lacks users.
    """
    from recsys_lightning.ensemble.members import read_member

    return read_member(folder, described, stage, split)


def user_values(metric: str, items: "NDArray[Any]", held_out: "Interactions") -> "NDArray[Any]":
    """(U,) a ranking metric of every user, such as `recall@10`; nan without held-out items.

    Args:
        metric: its name and cut-off.
        items: (U, K) item positions, best first, -1 where a list has ended.
        held_out: what the lists should have found.

    Raises:
        InputError: there is no such metric, or the lists are too short for it.
    """
    from recsys_lightning.metrics.of_lists import user_values

    return user_values(metric, items, held_out)
