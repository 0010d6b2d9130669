"""Where interactions come from: what all sources share.

The sources: `competition`, `files`, `movielens` (GroupLens archives, and the sample of data that
needs no download) and `synthetic`, each a file here and an entry or more in `conf/data/`.
"""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path

from recsys_lightning.data.cache import Stored, cached, fingerprint
from recsys_lightning.data.interactions import Interactions

log = logging.getLogger(__name__)


class Source(ABC):
    """Reads and encodes a data set once; then it comes from the cache.

    Attributes:
        name: of the data set, in results and file names.
        cache_dir: where the encoded data is kept; None: nowhere.
    """

    def __init__(self, name: str, cache_dir: str | None) -> None:
        self.name = name
        self.cache_dir = cache_dir

    def load(self) -> Interactions:
        """The data set.

        Raises:
            InputError: the files or the options are wrong.
        """
        return self._load(self._files(), self._options(), lambda: (self._read(), None))[0]

    @abstractmethod
    def _files(self) -> list[Path]:
        """The files it is read from, optional ones included whether they exist or not."""

    @abstractmethod
    def _read(self) -> Interactions:
        """Reads and encodes, without the cache."""

    def _options(self) -> dict[str, object]:
        """What, beside the files, decides on the interactions."""
        return {key: value for key, value in vars(self).items() if key != "cache_dir"}

    def _load(
        self, files: Iterable[Path], options: dict[str, object], build: Callable[[], Stored]
    ) -> Stored:
        started = time.perf_counter()
        path = None
        if self.cache_dir is not None:
            key = fingerprint(type(self).__qualname__, files, options)
            path = Path(self.cache_dir) / f"{self.name}-{key[:20]}.npz"
        interactions, parts = cached(path, build)
        log.info(
            "%s: %s users, %s items, %s interactions (%.1f s)",
            self.name,
            f"{interactions.num_users:,}",
            f"{interactions.num_items:,}",
            f"{interactions.num_interactions:,}",
            time.perf_counter() - started,
        )
        return interactions, parts
