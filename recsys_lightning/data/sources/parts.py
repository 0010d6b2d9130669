"""The files of a split that was made elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from recsys_lightning.data import split
from recsys_lightning.data.joins import Join, join
from recsys_lightning.data.sources.encoding import Ids, concatenate
from recsys_lightning.data.sources.values import Times
from recsys_lightning.errors import InputError

PARTS = tuple(f"holdout.{name}" for name in split.PARTS)
"""The roles of the files of a split, in the order of the parts' numbers."""
HISTORIES = {
    "holdout.valid": ("holdout.train", "holdout.valid_known"),
    "holdout.test": ("holdout.train", "holdout.valid_known", "holdout.test_known"),
}
"""Where a user who is asked for may have a history."""

_KINDS = {
    **{"dates": "dates", "s": "seconds", "ms": "milliseconds"},
    **{"us": "microseconds", "ns": "nanoseconds"},
}


@dataclass(frozen=True)
class Ratings:
    """The interactions of one file, in its order; `where` says on which line the n-th stands."""

    path: Path
    users: Ids
    items: Ids
    times: Times | None
    where: Callable[[int], str]


def named_parts(files: Sequence[str | None]) -> dict[str, Path]:
    """By role, what is known before what is asked for: the order where there are no times."""
    named = {role: file for role, file in zip(PARTS, files, strict=False) if file is not None}
    return {role: Path(named[role]) for role in sorted(named, key=HISTORIES.__contains__)}


def check_units(ratings: Sequence[Ratings]) -> None:
    """Refuses files whose numbers were taken for different kinds of times."""
    read = {one.times.unit: one.path for one in ratings if one.times and one.times.unit}
    if len(read) > 1:
        (unit, path), (other, another) = list(read.items())[:2]
        raise InputError(
            f"{path}: the times look like {_KINDS[unit]}, those of {another} like {_KINDS[other]}: "
            "expected one kind in all files"
        )


def check_parts(parts: Mapping[str, Ratings]) -> None:
    """Refuses users without a history, and pairs that stand in two of the files."""
    ends = np.cumsum([len(one.users.codes) for one in parts.values()])[:-1]
    all_items = concatenate([one.items for one in parts.values()])
    all_users = concatenate([one.users for one in parts.values()])
    users = dict(zip(parts, np.split(all_users.codes, ends), strict=True))
    items = np.split(all_items.codes, ends)

    for role, histories in _histories(parts).items():
        known = np.concatenate([users[name] for name in histories])
        unknown = np.isin(users[role], known, invert=True)
        if unknown.any():
            one, n = parts[role], int(np.argmax(unknown))
            files = " or ".join(str(parts[name].path) for name in histories)
            raise InputError(
                f"{one.where(n)}: user {one.users.at(n)!r} is not in {files} "
                f"({len(np.unique(users[role][unknown]))} such users in all); "
                "a user to evaluate needs a history there"
            )

    pairs = [
        user.astype(np.int64) * len(all_items.values) + item
        for user, item in zip(users.values(), items, strict=True)
    ]
    for (first, seen), (second, again) in combinations(zip(parts.values(), pairs, strict=True), 2):
        leaked = np.isin(again, seen)
        if leaked.any():
            n = int(np.argmax(leaked))
            raise InputError(
                f"{second.where(n)}: user {second.users.at(n)!r} with item "
                f"{second.items.at(n)!r} is in {first.path} too "
                f"({len(np.unique(again[leaked]))} such pairs in all); "
                "an interaction must be in one file only"
            )


def join_parts(parts: Mapping[str, Ratings]) -> tuple[Join, ...]:
    """Users who are asked for among those with a history, and the items of all parts in train."""
    users = {role: part.users.used() for role, part in parts.items()}
    items = {role: part.items.used() for role, part in parts.items()}
    (train, of_train), *others = items.items()
    asked = _histories(parts)
    joins = []
    for role, of_part in others:
        if role in asked:
            known = [id for name in asked[role] for id in users[name]]
            joins.append(join("users", role, users[role], " or ".join(asked[role]), known))
        joins.append(join("items", role, of_part, train, of_train))
    return tuple(joins)


def _histories(parts: Mapping[str, Ratings]) -> dict[str, list[str]]:
    """`HISTORIES` of the parts that there are."""
    return {
        role: [name for name in names if name in parts]
        for role, names in HISTORIES.items()
        if role in parts
    }
