"""What the mixer sees of a user and an item that some member recommends.

    agreement   every member's rank and normalised score (missing where its list does not hold the
                item), the number of lists that do, the best rank
    item        its popularity, and how similar it is to the user's latest items (left out where
                there are more than 20,000 items)
    user        what tells kinds of users apart: the length of the history, the time that it spans
                and how long ago it ended
    time        counted from the user's own last interaction t: the item's popularity in the windows
                before t, and how long before t it had its first, its mean and its last user

The windows end at t, since the users' last interactions are years apart: counted from the end of
the data they would be nearly constant. All is of the history that is known at the stage; nothing
is of what is held out.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.ensemble.fusion import Sum, min_max
from recsys_lightning.ensemble.kinds import DAY, PROPERTIES, ends
from recsys_lightning.functional.sparse import gram
from recsys_lightning.runs.lists import Lists

WINDOWS = (7 * DAY, 30 * DAY, 365 * DAY)
LATEST = 5  # items that are compared with
MOST_ITEMS = 20_000  # for similarities, whose matrix has a number for each two: 1.6 GB


def features(union: Sum, members: Sequence[Lists], history: Interactions) -> NDArray[np.float32]:
    """(N, F) float32 of the items of a union, user after user; nan is missing."""
    users = np.repeat(np.arange(history.num_users), np.diff(union.starts))
    columns = _of_members(union, members, users)
    columns.append(np.log1p(history.popularity)[union.items])
    known = ["length"] if history.times is None else list(PROPERTIES)
    columns += [np.log1p(PROPERTIES[name](history))[users] for name in known]
    if history.num_items <= MOST_ITEMS:
        columns += similarities(history, users, union.items)
    if history.times is not None and len(history.times):
        columns += of_times(history, history.times, users, union.items)
    return np.column_stack(columns).astype(np.float32)


def _of_members(
    union: Sum, members: Sequence[Lists], users: NDArray[np.int64]
) -> list[NDArray[np.floating]]:
    there = union.ranks > 0
    columns: list[NDArray[np.floating]] = []
    for ranks, member in zip(union.ranks, members, strict=True):
        held = ranks > 0
        score = np.full(len(users), np.nan, dtype=np.float32)
        score[held] = min_max(member)[users[held], ranks[held] - 1]
        columns += [np.where(held, ranks, np.nan), score]
    columns.append(there.sum(axis=0))
    columns.append(np.where(there, union.ranks, np.iinfo(np.int16).max).min(axis=0))
    return columns


def similarities(
    history: Interactions, users: NDArray[np.int64], items: NDArray[np.int32]
) -> list[NDArray[np.float64]]:
    """(N,) the cosine of an item to the user's latest item, and to the latest few, their mean.

    0 for a user without a history.
    """
    size = history.num_items
    indices, indptr = torch.from_numpy(history.indices), torch.from_numpy(history.indptr)
    shared = gram(indices, indptr, size).numpy()  # its lower triangle
    scale = 1 / np.sqrt(np.maximum(history.popularity, 1))
    total, first = np.zeros(len(items)), np.zeros(len(items))
    lengths = history.lengths[users]
    for back in range(1, LATEST + 1):
        known = lengths >= back
        latest = history.indices[history.indptr[users[known] + 1] - back]
        low, high = np.minimum(latest, items[known]), np.maximum(latest, items[known])
        cosine = np.zeros(len(items))
        cosine[known] = shared[high, low] * scale[low] * scale[high]
        total += cosine
        first = cosine if back == 1 else first
    return [first, total / np.clip(lengths, 1, LATEST)]


def of_times(
    history: Interactions,
    times: NDArray[np.int64],
    users: NDArray[np.int64],
    items: NDArray[np.int32],
) -> list[NDArray[np.float64]]:
    """(N,) each: the item's popularity in `WINDOWS`, as log(1 + x), and its age by three times.

    Ages are in days; nan where there is nothing to count from.
    """
    some, start = history.lengths > 0, times.min()
    _, end = ends(history)
    order = np.lexsort((times, history.indices))
    by_item, seconds = history.indices[order], times[order] - start
    step = int(seconds.max()) + 2  # one number for (item, time), ascending with both
    keys = by_item * np.int64(step) + seconds
    bounds = np.concatenate([[0], np.cumsum(history.popularity)])

    at = end[users] - start
    known = np.where(some, 0.0, np.nan)[users]
    base = items * np.int64(step)
    until = np.searchsorted(keys, base + at, side="right")
    columns: list[NDArray[np.float64]] = []
    for window in WINDOWS:
        since = np.searchsorted(keys, base + np.maximum(at - window, -1), side="right")
        columns.append(np.log1p(until - since) + known)
    days = seconds / DAY
    popular = history.popularity > 0
    ages = np.full((3, history.num_items), np.nan)
    ages[0, popular] = days[bounds[:-1][popular]]
    ages[1, popular] = np.bincount(by_item, days, len(popular))[popular]
    ages[1] /= np.maximum(history.popularity, 1)
    ages[2, popular] = days[bounds[1:][popular] - 1]
    columns += [at / DAY + known - age[items] for age in ages]
    return columns
