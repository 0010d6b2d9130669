"""The submission: how it is written, and what makes it right."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.interactions import SUBMISSION_COLUMNS, Interactions
from recsys_lightning.errors import InputError
from recsys_lightning.writing import replacing

SHOWN = 20  # violations; the rest are counted


def write_submission(
    path: Path,
    interactions: Interactions,
    items: NDArray[np.integer],
    k: int,
    header: Sequence[str] = SUBMISSION_COLUMNS,
) -> dict[str, int]:
    """Write k rows of a user and an item a user, best first, in the submission's user order.

    A user whom the data does not know gets the most popular items.

    Args:
        path: the CSV file.
        interactions: has the original ids, and the users to recommend to.
        items: (U, K) ranked positions for every user, K >= k; -1 where a user has none left.
        k: items a user.
        header: the names of the two columns.

    Returns:
        how many users were `unknown`, and how many lists are `short` of k items.
    """
    known, wanted = interactions.users, interactions.submission_users
    if wanted.dtype.kind != known.dtype.kind:  # some of a template are text: so are these then
        known = known.astype(np.str_)
    position, is_known = find(wanted, known)
    unknown = ~is_known
    lists = np.where(unknown[:, None], interactions.most_popular(k), items[position, :k])  # (n, k)
    there = lists >= 0
    user_column = np.repeat(wanted, there.sum(axis=1)).tolist()
    item_column = interactions.items[lists[there]].tolist()
    with replacing(path) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(zip(user_column, item_column, strict=True))
    return {"unknown": int(unknown.sum()), "short": int((~there.all(axis=1)).sum())}


def violations(
    path: Path,
    seen: Interactions,
    users: Sequence[Any] | None,
    k: int,
    header: Sequence[str] = SUBMISSION_COLUMNS,
) -> list[tuple[int, str]]:
    """What is wrong with a submission: exactly k distinct, known, unseen items a user.

    A user who has fewer than k unseen items gets those.

    Args:
        path: a CSV file of users and items; original ids.
        seen: what the users have consumed.
        users: original ids in the order that the file must have; None: those of the data, in any
            order.
        k: items a user.
        header: the names of the two columns.

    Returns:
        (line, what is wrong there), in the order of the lines; empty if all is well.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            names, *rows = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if names != list(header):
        return [(1, f"the header is {','.join(names)!r}; expected {','.join(header)!r}")]
    wide = [line for line, row in enumerate(rows, start=2) if len(row) != len(header)]
    if wide:
        return [(n, f"{len(rows[n - 2])} values; expected {len(header)}") for n in wide]
    table = np.array(rows, dtype=np.str_).reshape(-1, 2)
    wanted = (seen.users if users is None else np.asarray(users)).astype(np.str_)
    user, is_wanted = find(table[:, 0], wanted)  # positions in `wanted`
    row, _ = find(table[:, 0], seen.users.astype(np.str_))
    item, is_known = find(table[:, 1], seen.items.astype(np.str_))
    found: list[tuple[int, str]] = []

    def report(mask: NDArray[np.bool_], say: Any) -> None:
        found.extend((int(n) + 2, say(int(n))) for n in np.flatnonzero(mask))

    whose = "template" if users is not None else "data"
    report(~is_wanted, lambda n: f"user {table[n, 0]} is not in the {whose}")
    report(~is_known, lambda n: f"item {table[n, 1]} is not in the data")
    pair = np.where(is_wanted & is_known, user * np.int64(seen.num_items) + item, -1)
    _, first = np.unique(pair, return_index=True)
    repeated = pair >= 0
    repeated[first] = False
    report(repeated, lambda n: f"user {table[n, 0]} has item {table[n, 1]} twice")
    keys = np.where((row >= 0) & is_known, row * np.int64(seen.num_items) + item, -1)
    _, is_seen = find(keys, seen.rows * np.int64(seen.num_items) + seen.indices)
    report(is_seen, lambda n: f"user {table[n, 0]} has seen item {table[n, 1]}")

    count = np.bincount(user[is_wanted], minlength=len(wanted))
    position, known = find(wanted, seen.users.astype(np.str_))
    due = np.where(known, np.minimum(k, seen.num_items - seen.lengths[position]), k)
    last_line = np.full(len(wanted), len(rows) + 1)
    last_line[user[is_wanted]] = np.flatnonzero(is_wanted) + 2
    found.extend(
        (int(last_line[n]), f"user {wanted[n]} has {count[n]} items; expected {due[n]}")
        for n in np.flatnonzero(count != due)
    )
    if users is not None and not found:
        expected = np.repeat(np.arange(len(wanted)), due)
        report(
            user != expected,
            lambda n: f"user {table[n, 0]}; by the order of the template {wanted[expected[n]]}",
        )
    return sorted(found)


def as_text(path: Path, found: Sequence[tuple[int, str]]) -> str:
    """The violations, one a line."""
    lines = [f"{path}, line {line}: {what}" for line, what in found[:SHOWN]]
    if len(found) > SHOWN:
        lines.append(f"{path}: {len(found) - SHOWN:,} more such lines")
    return "\n".join(lines)


def read_order(path: Path) -> tuple[list[str], list[str]]:
    """The header of a submission, and its users in the order of their first rows.

    Raises:
        InputError: the file cannot be read, or has no two columns.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            if len(header) != len(SUBMISSION_COLUMNS):
                raise InputError(f"{path}: its columns are {', '.join(header)}; expected two")
            return header, list(dict.fromkeys(user for user, _ in rows))
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def find(values: NDArray[Any], among: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(N,) where each value stands in `among`, -1 where it does not; and whether it does."""
    order = np.argsort(among, kind="stable")
    place = np.searchsorted(among, values, sorter=order).clip(max=len(among) - 1)
    there = among[order[place]] == values
    return np.where(there, order[place], -1), there
