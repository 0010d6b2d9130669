"""Ratings made up from a seed, shaped like the contest's, so that all can be tried without it."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.sources.attributes import Attributes
from recsys_lightning.data.sources.base import Source
from recsys_lightning.data.sources.competition import write_competition
from recsys_lightning.errors import InputError, check_range
from recsys_lightning.writing import making_folder

log = logging.getLogger(__name__)

GENRES = (
    "Drama|Comedy|Thriller|Romance|Action|Crime|Adventure|Sci-Fi|Horror|Fantasy|Mystery|Children|"
    "Animation|Documentary|War|Musical|Western|Film-Noir"
)
FIRST, LAST = 1_104_537_600, 1_427_760_000  # 2005-01-01 to 2015-03-31
# of the log-popularities the scale and the largest, of the tastes the dimension and the scale: at
# the default sizes EASE finds five times as many hidden items as popularity does
POPULARITY, HEAD, DIM, STRENGTH = 1.3, 6.0, 16, 2.3
BLOCK = 256  # users at once; another number gives other data
GENERATOR = 1
"""Raise it when the same options make other data."""


Owned = NDArray[np.int64]
"""(n, 2) item position, and the number of a genre or person it has."""


class Synthetic(Source):
    """Users with tastes, items with genres, and a long tail.

    User u takes n_u items without replacement with probabilities

        p(i | u) ~ exp(popularity_i + taste_u . item_i),

    n_u and exp(popularity_i) having long tails. An item's vector is the sum of its genres', its
    director's, and its own. Users take their items in sessions and drift through the space of the
    vectors meanwhile, so that items near in time are alike.

    Args:
        num_users: U.
        num_items: I; every item is taken at least once.
        num_interactions: N, exactly.
        min_per_user: the shortest history.
        seed: of everything.
        min_user_interactions: users with fewer leave (k-core); 0: nobody.
        min_item_interactions: items with fewer leave (k-core); 0: none.
        write_to: a directory, made once, that `data=competition` reads to the same data; or None.
        cache_dir: where the encoded data is kept; None: nowhere.

    Raises:
        InputError: sizes that cannot be had together.
    """

    not_identity = Source.not_identity | {"write_to"}

    def __init__(
        self,
        num_users: int = 31_360,
        num_items: int = 6_807,
        num_interactions: int = 5_154_471,
        min_per_user: int = 16,
        seed: int = 0,
        min_user_interactions: int = 0,
        min_item_interactions: int = 0,
        write_to: str | None = None,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__("synthetic", cache_dir, min_user_interactions, min_item_interactions)
        check_range("data.num_users", num_users, low=1, whole=True)
        check_range("data.num_items", num_items, low=1, whole=True)
        check_range("data.num_interactions", num_interactions, low=1, whole=True)
        check_range("data.min_per_user", min_per_user, low=1, whole=True)
        check_range("data.seed", seed, low=0, whole=True)
        if min_per_user > num_items:
            raise InputError(
                f"data.min_per_user={min_per_user}: no user can take more than all of the "
                f"data.num_items={num_items} items"
            )
        low, high = max(num_users * min_per_user, num_items), num_users * num_items
        if not low <= num_interactions <= high:
            raise InputError(
                f"data.num_interactions={num_interactions}: {num_users} users with at least "
                f"{min_per_user} of {num_items} items each have {low} to {high} interactions"
            )
        self.num_users = num_users
        self.num_items = num_items
        self.num_interactions = num_interactions
        self.min_per_user = min_per_user
        self.seed = seed
        self.write_to = write_to

    def load(self) -> Interactions:
        """The data; writes it to `write_to`, where that is set.

        Raises:
            InputError: `write_to` holds something else already, or cannot be written.
        """
        interactions = super().load()
        if self.write_to is not None:
            self._write(interactions, Path(self.write_to))
        return interactions

    def _files(self) -> dict[str, Path]:
        return {}

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "generator": GENERATOR}

    def _read(self) -> Interactions:
        rng = np.random.default_rng(self.seed)
        num_items = self.num_items
        items = _spaced_ids(rng, num_items, 17.5)
        genres = _genres(rng, num_items)
        directors = _people(rng, rng.binomial(1, 0.81, num_items), people=-(-num_items // 5))
        writers = _people(rng, rng.poisson(1.66, num_items), people=-(-num_items // 2))
        years = 2004 - np.minimum(rng.exponential(14.0, num_items), 100).astype(np.int64)

        lengths = _activity(
            rng, self.num_users, self.num_interactions, self.min_per_user, num_items
        )
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        indices = _choices(rng, _vectors(rng, num_items, genres, directors), indptr)
        _reach_every_item(rng, indices, num_items)

        ids = [str(item) for item in items.tolist()]
        attributes = Attributes(items)
        genre_names = GENRES.split("|")
        attributes.add("genre", [(ids[item], genre_names[genre]) for item, genre in genres])
        attributes.add("director", [(ids[item], f"nm{one:07d}") for item, one in directors])
        attributes.add("writer", [(ids[item], f"nm{one:07d}") for item, one in writers])
        attributes.add_titles(
            (id, f"Film {id} ({year})") for id, year in zip(ids, years, strict=True)
        )
        attributes.add_years()
        users = _spaced_ids(rng, self.num_users, 4.4)
        return Interactions(
            users=users,
            items=items,
            indptr=indptr,
            indices=indices,
            times=_times(rng, indptr),
            titles=attributes.titles,
            features=attributes.features,
            submission_users=users,
        )

    def _write(self, interactions: Interactions, path: Path) -> None:
        stamp = path / "synthetic.json"
        options = {"format": GENERATOR, "name": self.name}
        options |= super()._options() | self._thresholds()
        made_from = json.dumps(options, indent=2) + "\n"

        def is_there() -> bool:
            return stamp.is_file() and stamp.read_text() == made_from

        if is_there():
            return
        other_data = InputError(
            f"data.write_to={path}: exists and holds other data; remove it, or name another"
        )
        if path.exists():
            raise other_data
        try:
            with making_folder(path) as scratch:
                write_competition(interactions, scratch)
                (scratch / stamp.name).write_text(made_from)
        except OSError as error:
            raise InputError(f"data.write_to={path}: cannot be written: {error}") from None
        if not is_there():  # another job was faster, with other data
            raise other_data
        log.info("written to %s: python run.py data=competition data.path=%s", path, path)


def _spaced_ids(rng: np.random.Generator, count: int, spacing: float) -> NDArray[np.int64]:
    """`count` sorted ids with gaps."""
    return 1 + np.sort(rng.choice(int(count * spacing), size=count, replace=False))


def _genres(rng: np.random.Generator, num_items: int) -> Owned:
    """Item and genre: every item has one to ten, Drama more often than Film-Noir."""
    count = 1 + np.minimum(rng.poisson(1.34, num_items), 9)
    rarity = np.arange(1, len(GENRES.split("|")) + 1)
    races = rng.exponential(size=(num_items, len(rarity))) * rarity
    ranks = races.argsort(axis=1).argsort(axis=1)
    return np.argwhere(ranks < count[:, None])


def _people(rng: np.random.Generator, counts: NDArray[np.int64], people: int) -> Owned:
    """Item and person: `counts` (I,) people an item, maybe one twice."""
    item = np.repeat(np.arange(len(counts)), counts)
    return np.stack([item, rng.integers(people, size=len(item))], axis=1)


def _vectors(rng: np.random.Generator, num_items: int, *attributes: Owned) -> NDArray[np.float32]:
    """(I, d) vectors of length one in the mean: an item's own, its genres', its director's."""
    vectors = 0.5 * rng.standard_normal((num_items, DIM))
    for pairs in attributes:
        owner, value = pairs.T
        each = rng.standard_normal((value.max(initial=0) + 1, DIM))
        total = np.zeros_like(vectors)
        np.add.at(total, owner, each[value])
        count = np.bincount(owner, minlength=num_items)
        vectors += total / np.sqrt(np.maximum(count, 1))[:, None]
    length = np.sqrt(np.sum(vectors**2, axis=1).mean())
    return (vectors / length).astype(np.float32)


def _activity(
    rng: np.random.Generator, num_users: int, total: int, low: int, high: int
) -> NDArray[np.int64]:
    """(U,) log-normal integers in [low, high] with the sum `total`."""
    weights = rng.lognormal(sigma=0.9, size=num_users)
    share = np.zeros(num_users)
    free = np.ones(num_users, dtype=np.bool_)
    while free.any():  # what is above `high` goes to the others
        rest = total - low * num_users - (high - low) * np.count_nonzero(~free)
        share[free] = rest * weights[free] / weights[free].sum()
        above = free & (share > high - low)
        if not above.any():
            break
        share[above] = high - low
        free &= ~above
    lengths = low + np.floor(share).astype(np.int64)
    while missing := total - int(lengths.sum()):  # what was cut goes to the largest fractions
        fractions = np.where(lengths < high, share % 1, -1.0)
        lengths[np.argsort(-fractions, kind="stable")[:missing]] += 1
    return lengths


def _choices(
    rng: np.random.Generator, item: NDArray[np.float32], indptr: NDArray[np.int64]
) -> NDArray[np.int32]:
    """(N,) items of every user, in the order they are taken."""
    num_items, dim = item.shape
    popularity = np.minimum(rng.gumbel(scale=POPULARITY, size=num_items), HEAD).astype(np.float32)
    indices = np.empty(indptr[-1], dtype=np.int32)

    def fill(start: int, rng: np.random.Generator) -> None:
        bounds = indptr[start : start + BLOCK + 1].tolist()
        taste, drift = rng.standard_normal((2, len(bounds) - 1, dim), dtype=np.float32)
        # the n smallest of E_i / w_i, E_i ~ Exp(1), are n draws without replacement, weighted by w
        races = np.exp(-(popularity + STRENGTH * taste @ item.T))  # (B, I)
        races *= rng.standard_exponential(races.shape, dtype=np.float32)
        for n, (begin, end) in enumerate(pairwise(bounds)):
            chosen = np.argpartition(races[n], end - begin - 1)[: end - begin]
            along = 2 * item[chosen] @ drift[n] + rng.standard_normal(end - begin)
            indices[begin:end] = chosen[np.argsort(along, kind="stable")]

    starts = range(0, len(indptr) - 1, BLOCK)
    with ThreadPoolExecutor() as pool:  # a generator a block: the same data with any number
        list(pool.map(fill, starts, rng.spawn(len(starts))))
    return indices


def _reach_every_item(rng: np.random.Generator, indices: NDArray[np.int32], num_items: int) -> None:
    """Puts items that nobody took in the place of others that somebody else took too."""
    missing = np.setdiff1d(np.arange(num_items), indices)
    if len(missing):
        _, first = np.unique(indices, return_index=True)
        repeated = np.setdiff1d(np.arange(len(indices)), first)
        indices[rng.choice(repeated, size=len(missing), replace=False)] = missing


def _times(rng: np.random.Generator, indptr: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) seconds: clicks within minutes, and now and then weeks until the next session."""
    size = int(indptr[-1])
    gaps = rng.exponential(30.0, size)
    pause = rng.random(size) < 1 / 100
    gaps[pause] = rng.exponential(60 * 86_400.0, np.count_nonzero(pause))
    elapsed = np.cumsum(gaps)
    lengths = np.diff(indptr)
    elapsed -= np.repeat(elapsed[indptr[:-1]], lengths)
    spans = elapsed[indptr[1:] - 1]
    scale = np.minimum(1.0, 0.95 * (LAST - FIRST) / np.maximum(spans, 1.0))
    start = FIRST + rng.random(len(spans)) * (LAST - FIRST - scale * spans)
    return (np.repeat(start, lengths) + np.repeat(scale, lengths) * elapsed).astype(np.int64)
