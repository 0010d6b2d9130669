"""What an ensemble leaves: its lists, metrics and submission."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.sources.encoding import as_ids
from recsys_lightning.ensemble.members import Member
from recsys_lightning.errors import InputError
from recsys_lightning.runs.elsewhere import holds_lists
from recsys_lightning.runs.folder import STAGES, RunFolder, relative
from recsys_lightning.runs.lists import write_lists
from recsys_lightning.runs.meter import Stopwatch, forget_peak_rss, peak_rss_mb
from recsys_lightning.runs.provenance import git_commit, versions
from recsys_lightning.runs.record import EnsembleResult
from recsys_lightning.runs.submission import as_text, read_order, violations, write_submission
from recsys_lightning.writing import replacing

BLOCK = 1024  # users at once


def build_in(out: Path, build: Callable[[Stopwatch, dict[str, Any]], None]) -> EnsembleResult:
    """Build an ensemble in a folder, and write ensemble.json, however that ends.

    Args:
        out: the folder. Whatever is raised, ensemble.json says so, and no submission and no lists
            are left there, not even those of an earlier ensemble.
        build: writes lists and submission; is given a clock, and fills in fields of the result.

    Returns:
        what ensemble.json says.

    Raises:
        InputError: the folder is a run's, or from `build`.
    """
    if RunFolder(out).result.exists():
        raise InputError(f"{out} is the folder of a run: write the ensemble to another")
    out.mkdir(parents=True, exist_ok=True)
    clear(out)
    found: dict[str, Any] = {"status": "done", "model": "ensemble"}
    clock = Stopwatch()
    forget_peak_rss()
    try:
        build(clock, found)
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
        found |= {
            "status": "failed",
            "error": str(error) if isinstance(error, InputError) else said,
        }
        clear(out)
        raise
    finally:
        found |= {
            "seconds": clock.seconds,
            "peak_rss_mb": peak_rss_mb(),
            "versions": versions(),
            "git_commit": git_commit(Path(__file__).parent),
        }
        result = EnsembleResult(**found)
        result.write(RunFolder(out).ensemble)
    return result


def describe_members(
    members: Sequence[Member], weights: NDArray[np.float32] | None, out: Path
) -> list[dict[str, Any]]:
    """Who takes part, and with what weight; None: the mixer weighs case by case.

    Of weights (B, M) for several kinds of users a member has a list.

    `folder` and `seed` are lists where the member is the average of several runs.
    """
    return [
        {
            "name": member.name,
            "folder": places(member, out),
            "model": member.result.model,
            "seed": one_or_all([result.seed for _, result in member.runs]),
            "weight": None
            if weights is None
            else one_or_all([float(f"{weight:.4g}") for weight in weights[:, n]]),
        }
        for n, member in enumerate(members)
        if weights is None or weights[:, n].any()
    ]


def describe_failed(failed: Sequence[tuple[Path, str]], out: Path) -> list[dict[str, str]]:
    """The runs that failed, each with its error, as a file in `out` names them."""
    return [{"folder": relative(run, out), "reason": error} for run, error in failed]


def places(member: Member, out: Path) -> str | list[str]:
    """The folder of a member, or the list of its runs' folders, as a file in `out` names it."""
    return one_or_all([relative(folder, out) for folder in member.folders])


def complete(lists: NDArray[np.int32], history: Interactions, k: int) -> NDArray[np.int32]:
    """(U, k) lists, completed with the most popular unseen items where they are too short."""
    short = np.flatnonzero((lists[:, :k] < 0).any(axis=1))
    if not len(short):
        return lists[:, :k]
    import torch

    from recsys_lightning.functional.ranking import rank_items

    completed = lists[:, :k].copy()
    popularity = torch.from_numpy(history.popularity)
    tie_order = torch.arange(history.num_items)
    for start in range(0, len(short), BLOCK):
        users = short[start : start + BLOCK]
        scores = torch.full((len(users), history.num_items), -torch.inf)
        row, place = np.nonzero(lists[users] >= 0)
        scores[row, lists[users][row, place]] = -torch.from_numpy(place).float()
        seen, offsets = (torch.from_numpy(array) for array in history.gather(users))
        items, _ = rank_items(scores, seen, offsets, k, tie_order, popularity)
        completed[users] = items.numpy()
    return completed


def clear(out: Path) -> None:
    """Leave no lists and no submission, that could pass for those of the ensemble asked for."""
    files = RunFolder(out)
    for path in (files.submission, *map(files.candidates, STAGES)):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # there is none, or it holds something else
        files.all_candidates.rmdir()


def keep_lists(out: Path, stage: str, interactions: Interactions, lists: NDArray[np.int32]) -> None:
    """Write the lists (U, K) of a stage; the scores are K, K - 1, ..., 1."""
    scores = np.broadcast_to(np.arange(lists.shape[1], 0, -1, dtype=np.float32), lists.shape)
    path = RunFolder(out).candidates(stage)
    write_lists(path, interactions, np.arange(len(lists)), lists, scores)


def submit(
    path: Path,
    members: Sequence[Member],
    interactions: Interactions,
    lists: NDArray[np.int32],
    k: int,
) -> dict[str, int]:
    """Write the submission if it passes the check; see `runs.submission.write_submission`.

    The header and the order of users are those of the runs' own submissions, which have them from
    the template.
    """
    folders = [folder for member in members for folder in member.folders]
    files = [RunFolder(folder).submission for folder in folders if not holds_lists(folder)]
    header, order = read_order(files[0])
    for file in files[1:]:
        if read_order(file) != (header, order):
            raise InputError(
                f"{files[0]} and {file} have different columns or users, or users in another "
                "order: their runs had different templates"
            )
    users = as_ids(order, interactions.users)
    with replacing(path) as scratch:
        asked = replace(interactions, submission_users=users)
        counts = write_submission(scratch, asked, lists, k, header)
        if found := violations(scratch, interactions, order, k, header):
            raise InputError(f"the fused lists are no submission:\n{as_text(path, found)}")
    return counts


def one_or_all(values: list[Any]) -> Any:
    """The value where there is one, else the list."""
    return values[0] if len(values) == 1 else values
