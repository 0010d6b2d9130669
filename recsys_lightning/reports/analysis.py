"""What data and ranked lists look like: the numbers behind `notebooks/`.

Positions and shapes are those of `data.interactions`: U users, I items, N interactions in time
order within each user.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lightning.data.interactions import Feature, Interactions


def at_least(counts: NDArray[np.integer]) -> pd.DataFrame:
    """The share that has so many or more: a long tail is a slow fall.

    Args:
        counts: (n,) such as the interactions of every user.

    Returns:
        Columns `count`, the distinct ones ascending, and `share`.

    >>> at_least(np.array([1, 5, 1, 2]))
       count  share
    0      1   1.00
    1      2   0.50
    2      5   0.25
    """
    values, numbers = np.unique(counts, return_counts=True)
    shares = numbers[::-1].cumsum()[::-1] / max(len(counts), 1)
    return pd.DataFrame({"count": values, "share": shares})


def concentration(
    counts: NDArray[np.integer], shares: NDArray[np.floating]
) -> NDArray[np.floating]:
    """The share of all interactions that the most popular items have.

    Args:
        counts: (I,) interactions an item.
        shares: (n,) of the items, between 0 and 1.

    Returns:
        (n,) between 0 and 1; equal to `shares` if all items are equally popular.

    >>> concentration(np.array([1, 6, 2, 1]), np.array([0.25, 0.5, 1]))
    array([0.6, 0.8, 1. ])
    """
    total = np.concatenate([[0], np.sort(counts)[::-1].cumsum()])
    return np.interp(shares, np.linspace(0, 1, len(total)), total / total[-1])


def gini(counts: NDArray[np.integer]) -> float:
    """The Gini coefficient: 0 if all counts are equal, near 1 if one has everything.

    >>> gini(np.array([5, 5, 5])), gini(np.array([0, 0, 0, 8]))
    (0.0, 0.75)
    """
    n, ascending = len(counts), np.sort(counts).astype(np.float64)
    return float(2 * (np.arange(1, n + 1) @ ascending) / (n * ascending.sum()) - (n + 1) / n)


def core(interactions: Interactions, k: int) -> NDArray[np.bool_]:
    """The k-core: what is left when users and items with fewer than k are removed until none is.

    Returns:
        (N,) whether an interaction is left.
    """
    rows, items = interactions.rows, interactions.indices
    left = np.ones(len(items), dtype=np.bool_)
    while True:
        users = np.bincount(rows[left], minlength=interactions.num_users)
        popularity = np.bincount(items[left], minlength=interactions.num_items)
        still = left & (users[rows] >= k) & (popularity[items] >= k)
        if np.array_equal(still, left):
            return left
        left = still


def sizes(interactions: Interactions, mask: NDArray[np.bool_]) -> dict[str, float]:
    """Users, items, interactions and density of a part of the data.

    Args:
        interactions: all of them.
        mask: (N,) which of them count.
    """
    users = len(np.unique(interactions.rows[mask]))
    items = len(np.unique(interactions.indices[mask]))
    kept = int(np.count_nonzero(mask))
    density = kept / (users * items) if kept else np.nan
    return {"users": users, "items": items, "interactions": kept, "density": density}


def over_time(interactions: Interactions, num_periods: int = 60) -> pd.DataFrame:
    """What happened in equal periods from the first to the last interaction.

    Returns:
        One row per period, by its start, with columns `interactions`, `users` (that were active),
        `new_users` and `new_items` (seen for the first time).

    Raises:
        ValueError: the data has no times.
    """
    x, times = interactions, _times(interactions)
    edges = np.linspace(times.min(), times.max() + 1, num_periods + 1)
    period = np.searchsorted(edges, times, side="right") - 1  # (N,)
    active = np.unique(x.rows * np.int64(num_periods) + period) % num_periods
    columns = {
        "interactions": period,
        "users": active,
        "new_users": _first(period, x.rows, x.num_users),
        "new_items": _first(period, x.indices, x.num_items),
    }
    counts = {name: np.bincount(of, minlength=num_periods) for name, of in columns.items()}
    return pd.DataFrame(counts, index=pd.Index(edges[:-1].astype("datetime64[s]"), name="start"))


def gaps(interactions: Interactions) -> NDArray[np.int64]:
    """(n,) seconds from each interaction to the same user's next one.

    Raises:
        ValueError: the data has no times.
    """
    return np.diff(_times(interactions))[_same_user(interactions)]


def spans(interactions: Interactions) -> NDArray[np.int64]:
    """(U,) seconds from a user's first interaction to the last.

    Raises:
        ValueError: the data has no times.
    """
    users = interactions.rows[1:][_same_user(interactions)]
    total = np.zeros(interactions.num_users, dtype=np.int64)
    np.add.at(total, users, gaps(interactions))
    return total


def sessions(interactions: Interactions, max_gap: int) -> pd.DataFrame:
    """The runs of interactions of a user without a longer pause.

    Args:
        interactions: N of them.
        max_gap: seconds; a longer pause starts a new session.

    Returns:
        One row per session, the users' one after the other: `user` (position), `items`, `seconds`.

    Raises:
        ValueError: the data has no times.
    """
    times = _times(interactions)
    follows = _same_user(interactions) & (np.diff(times) <= max_gap)
    starts = np.flatnonzero(np.concatenate([[True], ~follows]))
    ends = np.concatenate([starts[1:], [len(times)]])
    return pd.DataFrame(
        {
            "user": interactions.rows[starts],
            "items": ends - starts,
            "seconds": times[ends - 1] - times[starts],
        }
    )


def feature_shares(interactions: Interactions, feature: Feature) -> pd.DataFrame:
    """How common each value of an item feature is, and how much it is consumed.

    Returns:
        One row per value, the most consumed first: `of_items`, the share of items that have it, and
        `of_interactions`, the share of interactions with such items. An item may have several
        values, so that shares may add up to more than 1.
    """
    items = feature.matrix.sum(axis=0) / interactions.num_items
    consumed = feature.matrix.T @ interactions.popularity / interactions.num_interactions
    shares = pd.DataFrame(
        {"of_items": items, "of_interactions": consumed},
        index=pd.Index(feature.values, name="value"),
    )
    return shares.sort_values("of_interactions", ascending=False, kind="stable")


def release_years(released: Feature) -> NDArray[np.float64]:
    """(I,) the year of release: the earliest value of a feature that is a number; else nan.

    >>> from scipy.sparse import csr_array
    >>> matrix = csr_array(np.float32([[1, 1, 0], [0, 0, 1]]))
    >>> release_years(Feature(np.array(["1994", "1995", "unknown"]), matrix))
    array([1994.,   nan])
    """
    numbers = pd.to_numeric(pd.Series(released.values), errors="coerce").to_numpy(np.float64)
    pairs = released.matrix.tocoo()
    years = np.full(released.matrix.shape[0], np.nan)
    np.fmin.at(years, pairs.row, numbers[pairs.col])
    return years


def years(interactions: Interactions, released: Feature) -> pd.DataFrame:
    """The year of release beside the year (UTC) of each interaction.

    Returns:
        Columns `released` and `watched`, a row an interaction whose item has a year of release.

    Raises:
        ValueError: the data has no times.
    """
    of_each = release_years(released)[interactions.indices]
    dates = _times(interactions).astype("datetime64[s]").astype("datetime64[Y]")
    known = ~np.isnan(of_each)
    return pd.DataFrame(
        {
            "released": of_each[known].astype(np.int32),
            "watched": (dates.astype(np.int64)[known] + 1970).astype(np.int32),
        }
    )


def mean_popularity(interactions: Interactions) -> NDArray[np.float64]:
    """(U,) how popular a user's items are: the mean share of users who consumed them.

    A user without interactions has nan.
    """
    x = interactions
    total = np.bincount(x.rows, weights=x.popularity[x.indices], minlength=x.num_users)
    with np.errstate(invalid="ignore"):
        return total / x.lengths / x.num_users


def quantile_groups(values: NDArray[np.integer], num_groups: int) -> pd.Series:
    """Groups of about equal size by value, named by their range; equal values stay together.

    Args:
        values: (n,) whole numbers.
        num_groups: fewer are made where many values are equal.

    Returns:
        (n,) names of the groups, as ordered categories.

    >>> quantile_groups(np.array([20, 34, 1500, 21, 20, 90]), 3).tolist()
    ['20', '21 to 34', '90 to 1,500', '21 to 34', '20', '90 to 1,500']
    """
    inner = np.linspace(0, 1, num_groups + 1)[1:-1]
    edges = np.unique(np.quantile(values, inner, method="higher"))
    group = np.searchsorted(edges, values, side="right")
    ranges = pd.Series(values).groupby(group).agg(["min", "max"])
    names = [
        f"{low:,}" if low == high else f"{low:,} to {high:,}"
        for low, high in ranges.itertuples(index=False)
    ]
    codes = np.searchsorted(ranges.index, group)
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(names), ordered=True))


def jaccard(a: NDArray[np.integer], b: NDArray[np.integer]) -> NDArray[np.float64]:
    """How much two lists of the same user have in common: items in both / items in any.

    Args:
        a: (U, K) distinct items of each user, -1 where a list has ended.
        b: (U, L), too.

    Returns:
        (U,) between 0 and 1; nan where both lists are empty.

    >>> jaccard(np.array([[1, 2, 3], [4, -1, -1]]), np.array([[3, 1, 7], [5, 4, -1]]))
    array([0.5, 0.5])
    """
    in_a, in_b = a >= 0, b >= 0
    both = ((a[:, :, None] == b[:, None, :]) & in_a[:, :, None]).sum(axis=(1, 2))
    either = in_a.sum(axis=1) + in_b.sum(axis=1) - both
    with np.errstate(invalid="ignore"):
        return both / either


def found(items: NDArray[np.integer], held_out: Interactions) -> NDArray[np.bool_]:
    """Which of the held-out interactions stand in their user's list.

    Args:
        items: (U, K) item positions, -1 where a list has ended.
        held_out: n interactions.

    Returns:
        (n,) aligned with `held_out.indices`.

    >>> held_out = Interactions(
    ...     users=np.array([7, 8]), items=np.arange(5), indptr=np.array([0, 2, 3]),
    ...     indices=np.int32([0, 4, 3]), times=None, titles=None, features={},
    ...     submission_users=np.array([7, 8]))
    >>> found(np.array([[2, 4, 1], [0, 3, -1]]), held_out)
    array([False,  True,  True])
    """
    first = np.arange(held_out.num_users) * held_out.num_items  # (user, item) as one number
    listed = (first[:, None] + items)[items >= 0]
    return np.isin(first[held_out.rows] + held_out.indices, listed)


def _times(interactions: Interactions) -> NDArray[np.int64]:
    if interactions.times is None:
        raise ValueError("the data has no times")
    return interactions.times


def _same_user(interactions: Interactions) -> NDArray[np.bool_]:
    """(N - 1,) whether the next interaction is the same user's."""
    return interactions.rows[1:] == interactions.rows[:-1]


def _first(period: NDArray[np.integer], codes: NDArray[np.integer], size: int) -> NDArray[np.int64]:
    """The first period of each of the codes below `size`; of those that occur."""
    earliest = np.full(size, np.iinfo(np.int64).max)
    np.minimum.at(earliest, codes, period)
    return earliest[earliest < np.iinfo(np.int64).max]
