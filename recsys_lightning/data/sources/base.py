"""Where interactions come from: what all sources share.

The sources: `competition`, `files`, `movielens` (GroupLens archives, and the sample of data that
needs no download) and `synthetic`, each a file here and an entry or more in `conf/data/`.
"""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.sources.cache import Stored, cache_key, cached
from recsys_lightning.data.sources.fingerprint import sha256_of
from recsys_lightning.errors import InputError

log = logging.getLogger(__name__)


class Source(ABC):
    """Reads and encodes a data set once; then it comes from the cache.

    Attributes:
        name: of the data set, in results and file names.
        cache_dir: where the encoded data and the digests of its files are kept; None: nowhere.
        not_identity: the attributes that do not decide on the data: where things stand.
    """

    not_identity: ClassVar[frozenset[str]] = frozenset({"name", "cache_dir"})

    def __init__(self, name: str, cache_dir: str | None) -> None:
        self.name = name
        self.cache_dir = cache_dir

    def load(self) -> Interactions:
        """The data set.

        Raises:
            InputError: the files or the options are wrong.
        """
        return self._load(self.identity, lambda: (self._read(), None))[0]

    def identity(self) -> dict[str, Any]:
        """What the data is, wherever it stands: equal for equal options and equal files.

        Returns:
            plain values that JSON can hold: the source, its options, and the SHA-256 of its files
            by their roles; None for a file that does not exist.

        Raises:
            InputError: it cannot be said what the files are.
        """
        return self._identity(self._files())

    def _identity(self, files: Mapping[str, Path]) -> dict[str, Any]:
        cache_dir = None if self.cache_dir is None else Path(self.cache_dir)
        return {
            "source": type(self).__qualname__,
            "options": self._options(),
            "files": {role: sha256_of(path, cache_dir) for role, path in files.items()},
        }

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
