"""How well the ids of two files agree: `12` and `12.0` in two of them would be two items."""

import math
from collections.abc import Iterable
from typing import NamedTuple


class Join(NamedTuple):
    """How many ids of one file stand in another.

    Attributes:
        what: "users" or "items".
        file: whose ids are looked up.
        other: where they are looked up.
        found: the distinct ids of `file` that `other` has.
        total: the distinct ids of `file`.
        missing: an id that `other` has not; empty if there is none.
        unused: an id that only `other` has; empty if there is none.
    """

    what: str
    file: str
    other: str
    found: int
    total: int
    missing: str
    unused: str

    @property
    def is_low(self) -> bool:
        """Less than half is found: most likely the two write ids in different ways."""
        return 2 * self.found < self.total

    def __str__(self) -> str:
        percent = math.floor(1000 * self.found / self.total) / 10  # 100 % is all
        share = (
            f"{self.found:,} of {self.total:,} {self.what} of {self.file} are in {self.other} "
            f"({percent:g} %)"
        )
        if not self.is_low:
            return share
        unused = f", and {self.unused!r} is only there" if self.unused else ""
        return (
            f"only {share}: {self.missing!r} is not{unused}. "
            "Check that both files write ids in the same way"
        )


def join(what: str, file: str, ids: Iterable[str], other: str, others: Iterable[str]) -> Join:
    """Look up the ids of one file, which has at least one, in another; empty ones are none.

    >>> print(join("items", "holdout.test", ["7", "8", "8"], "holdout.train", ["7", "9"]))
    1 of 2 items of holdout.test are in holdout.train (50 %)
    >>> print(join("items", "holdout.test", ["007"], "holdout.train", ["7"]))
    only 0 of 1 items of holdout.test are in holdout.train (0 %): '007' is not, and '7' is only \
there. Check that both files write ids in the same way
    """
    here, there = dict.fromkeys(filter(None, ids)), dict.fromkeys(filter(None, others))
    missing = next((one for one in here if one not in there), "")
    unused = next((one for one in there if one not in here), "")
    return Join(what, file, other, len(here.keys() & there), len(here), missing, unused)
