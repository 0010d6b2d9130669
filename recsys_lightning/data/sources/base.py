"""Where interactions come from: what all sources share.

The sources: `competition`, `files`, `movielens` (GroupLens archives, and the sample of data that
needs no download) and `synthetic`, each a file here and an entry or more in `conf/data/`.
"""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from recsys_lightning.data.core import Core, Size, k_core
from recsys_lightning.data.interactions import SUBMISSION_COLUMNS, Interactions
from recsys_lightning.data.sources.cache import Stored, cache_key, cached
from recsys_lightning.data.sources.fingerprint import sha256_of
from recsys_lightning.errors import InputError, check_range

log = logging.getLogger(__name__)


class Source(ABC):
    """Reads and encodes a data set once; then it comes from the cache.

    Attributes:
        name: of the data set, in results and file names.
        cache_dir: where the encoded data and the digests of its files are kept; None: nowhere.
        min_user_interactions: of a k-core: users with fewer leave,
        min_item_interactions: and so do items, until all have enough (`core.k_core`).
        not_identity: the attributes that do not decide on what is read: where things stand, and
            what is done after.
    """

    not_identity: ClassVar[frozenset[str]] = frozenset(
        {"name", "cache_dir", "min_user_interactions", "min_item_interactions"}
    )

    def __init__(
        self,
        name: str,
        cache_dir: str | None,
        min_user_interactions: int = 0,
        min_item_interactions: int = 0,
    ) -> None:
        check_range("data.min_user_interactions", min_user_interactions, low=0, whole=True)
        check_range("data.min_item_interactions", min_item_interactions, low=0, whole=True)
        self.name = name
        self.cache_dir = cache_dir
        self.min_user_interactions = min_user_interactions
        self.min_item_interactions = min_item_interactions

    def load(self) -> Interactions:
        """The data set, or its k-core: the cache holds all of it, for any.

        Raises:
            InputError: the files or the options are wrong.
        """
        read = self._load(lambda: self._identity(self._files()), lambda: (self._read(), None))[0]
        return self._core_of(read) if self._thresholds() else read

    def submission_header(self) -> Sequence[str]:
        """The names of the columns of users and items in a submission."""
        return SUBMISSION_COLUMNS

    def identity(self) -> dict[str, Any]:
        """What the data is, wherever it stands: equal for equal options and equal files.

        Returns:
            plain values that JSON can hold: the source, its options, and the SHA-256 of its files
            by their roles; None for a file that does not exist.

        Raises:
            InputError: it cannot be said what the files are.
        """
        identity = self._identity(self._files())
        identity["options"] |= self._thresholds()
        return identity

    def _identity(self, files: Mapping[str, Path]) -> dict[str, Any]:
        cache_dir = None if self.cache_dir is None else Path(self.cache_dir)
        return {
            "source": type(self).__qualname__,
            "options": self._options(),
            "files": {role: sha256_of(path, cache_dir) for role, path in files.items()},
        }

    def _thresholds(self) -> dict[str, int]:
        """Those of the k-core that may let somebody or something leave."""
        names = ("min_user_interactions", "min_item_interactions")
        return {name: getattr(self, name) for name in names if getattr(self, name) > 1}

    def _core_of(self, read: Interactions) -> Interactions:
        thresholds = self.min_user_interactions, self.min_item_interactions
        stay, rounds = k_core(read.rows, read.indices, *thresholds)
        if not stay.any():
            keys = ", ".join(f"data.{key}={value}" for key, value in self._thresholds().items())
            raise InputError(
                f"{keys}: no interactions left of {read.num_interactions:,} ({read.num_users:,} "
                f"users, {read.num_items:,} items; rounds: {rounds}). The longest history has "
                f"{read.lengths.max():,}, the most popular item {read.popularity.max():,}: "
                "ask for fewer"
            )
        left = read.select(stay).without_unused()
        if not self._has_template():
            is_left = np.isin(read.submission_users, left.users)
            left = replace(left, submission_users=read.submission_users[is_left])
        core = Core(*thresholds, _size(read), _size(left), rounds)
        log.info("%s: %s", self.name, core)
        return replace(left, core=core)

    def _has_template(self) -> bool:
        """Whether a file says whom to recommend to; else it is every user of the data."""
        return False

    @abstractmethod
    def _files(self) -> Mapping[str, Path]:
        """The files it is read from by role, optional ones too whether they exist or not."""

    @abstractmethod
    def _read(self) -> Interactions:
        """Reads and encodes, without the cache."""

    def _options(self) -> dict[str, Any]:
        """What, beside the files, decides on the interactions."""
        return {key: value for key, value in vars(self).items() if key not in self.not_identity}

    def _load(self, identify: Callable[[], dict[str, Any]], build: Callable[[], Stored]) -> Stored:
        started = time.perf_counter()
        identity = identify()
        path = None
        if self.cache_dir is not None:
            path = Path(self.cache_dir) / f"{self.name}-{cache_key(identity)}.npz"

        def build_unchanged() -> Stored:
            stored = build()
            if identify() != identity:  # or it would pass for the old content from now on
                raise InputError(f"data={self.name}: a file changed while it was read; start again")
            return stored

        interactions, parts = cached(path, build_unchanged)
        log.info(
            "%s: %s users, %s items, %s interactions (%.1f s)",
            self.name,
            f"{interactions.num_users:,}",
            f"{interactions.num_items:,}",
            f"{interactions.num_interactions:,}",
            time.perf_counter() - started,
        )
        for join in interactions.joins:
            log.log(logging.WARNING if join.is_low else logging.INFO, "%s", join)
        return interactions, parts


def _size(interactions: Interactions) -> Size:
    x = interactions
    return Size(x.num_interactions, x.num_users, x.num_items)
