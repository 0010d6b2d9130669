"""LightGCN's text format: a line holds a user and all of the user's items.

    user item item ...

Whole numbers between blanks, without a header. A user may have no items, or several lines. It is
the format of the public splits of Gowalla, Yelp2018 and Amazon-Book that came with NGCF and
LightGCN (X. He et al., SIGIR 2020). A table of `user item rating` between blanks looks almost the
same, and as nothing in such a file says which it is, what fits a table as well is refused.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.sources.encoding import Ids
from recsys_lightning.data.sources.tables import extension
from recsys_lightning.data.sources.text import read_bytes, read_lines
from recsys_lightning.errors import InputError

BLANKS = bytes.maketrans(b"\r\t\v\f", b"\n   ")  # to the line's end and the blank
MAX_DIGITS = 18  # of an int64
SHOWN = 40  # characters of a token that is not a number
MAX_RATING = 10
MIN_TIME = 100_000_000  # seconds: March 1973


class Pairs(NamedTuple):
    """The interactions of one file, in its order.

    Attributes:
        users: N ids.
        items: N ids.
        lines: (N,) the line of each, from 1.
    """

    users: Ids
    items: Ids
    lines: NDArray[np.int64]


def is_lightgcn(path: Path, encoding: str | None = None) -> bool:
    """A `.txt` whose first line that is not blank has neither tab nor comma."""
    if extension(path) != ".txt":
        return False
    first = next((line for line in read_lines(path, encoding) if line.strip()), "")
    return "\t" not in first and "," not in first


def read_lightgcn(path: Path) -> Pairs:
    """The pairs of one file, read without a loop over its lines.

    Raises:
        InputError: the file cannot be read, is not in the format, or may be a table.
    """
    content = read_bytes(path).replace(b"\r\n", b"\n").translate(BLANKS)
    text = np.frombuffer(content, np.uint8)
    blank = np.concatenate([[True], (text == ord(" ")) | (text == ord("\n")), [True]])
    edges = np.flatnonzero(blank[1:] != blank[:-1]).reshape(-1, 2)  # (T, 2) start, end of a token
    line = 1 + np.searchsorted(np.flatnonzero(text == ord("\n")), edges[:, 0])  # (T,)
    _require_whole_numbers(path, content, edges, line)

    is_user = np.diff(line, prepend=0) > 0
    if is_user.all():
        raise InputError(f"{path}: expected lines `user item item ...`, found none")
    numbers = np.fromstring(content, dtype=np.int64, sep=" ")  # (T,)
    _refuse_a_table(path, numbers, np.flatnonzero(is_user), line)

    owner = numbers[is_user][np.cumsum(is_user) - 1]
    return Pairs(_ids(owner[~is_user]), _ids(numbers[~is_user]), line[~is_user])


def _require_whole_numbers(
    path: Path, content: bytes, edges: NDArray[np.intp], line: NDArray[np.intp]
) -> None:
    """Refuse tokens that hold anything but digits, leading zeros, or too many digits."""
    text = np.frombuffer(content, np.uint8)
    digit = (text >= ord("0")) & (text <= ord("9"))
    foreign = ~digit & (text != ord(" ")) & (text != ord("\n"))
    start, end = edges.T
    wrong = (end - start > MAX_DIGITS) | ((end - start > 1) & (text[start] == ord("0")))
    if foreign.any():
        wrong[np.searchsorted(start, np.argmax(foreign), side="right") - 1] = True
    if wrong.any():
        token = int(np.argmax(wrong))
        found = content[start[token] : end[token]].decode(errors="replace")[:SHOWN]
        raise _refused(path, int(line[token]), f"found {found!r}, which is not a whole number")


def _refuse_a_table(
    path: Path, numbers: NDArray[np.int64], first: NDArray[np.intp], line: NDArray[np.intp]
) -> None:
    """Refuse lines that may as well be rows of three or more columns.

    Pairs mean the same in both readings, and where lines differ in length there is no table, but
    for a line or two that broke. Of lines of (mostly) one length, users who come back are those of
    a table. Else each has one line, as LightGCN writes them, and as a table of one held-out row a
    user does: that one has a column of nothing but ratings or times.

    Args:
        path: the file.
        numbers: (T,) all of its numbers.
        first: (n,) where a line starts in `numbers`.
        line: (T,) the line of each number.
    """
    widths = np.diff(first, append=len(numbers))
    counts = np.bincount(widths)
    width = int(counts.argmax())
    if width < 3 or 2 * counts[width] <= len(widths):
        return
    users = numbers[first]
    _, appeared = np.unique(users, return_index=True)
    again = np.ones(len(users), dtype=np.bool_)
    again[appeared] = False
    if again.any():
        at = first[np.argmax(again)]
        reason = f"user {numbers[at]} has a line before this one already"
        raise _ambiguous(path, int(line[at]), reason, width)
    if len(widths) == 1 or counts[width] < len(widths):
        return
    table = numbers.reshape(-1, width)
    items, others = table[:, 1], table[:, 2:]
    ratings = (others.max(axis=0) <= MAX_RATING) & (items.max() > MAX_RATING)
    times = (others.min(axis=0) >= MIN_TIME) & (items.max() < MIN_TIME)
    if (ratings | times).any():
        column = int(np.argmax(ratings | times))
        like = "rating" if ratings[column] else "time"
        reason = f"number {column + 3} of every line is like a {like}"
        raise _ambiguous(path, int(line[0]), reason, width)


def _ambiguous(path: Path, line: int, reason: str, width: int) -> InputError:
    return _refused(
        path,
        line,
        f"{reason}, so that this may be a table of {width} columns (user item rating ...) as well "
        f"as {width - 1} items of a user",
    )


def _refused(path: Path, line: int, what: str) -> InputError:
    return InputError(
        f"{path}, line {line}: {what}. A .txt without tabs is read as LightGCN's text: `user item "
        "item ...`, whole numbers without a header, all items of a user on one line. If this is a "
        "table, save it with a header as .tsv (between tabs) or .csv"
    )


def _ids(numbers: NDArray[np.int64]) -> Ids:
    import pyarrow as pa

    column = pa.array(numbers).dictionary_encode()  # in order of first appearance
    return Ids(column.indices.to_numpy(), column.dictionary.cast(pa.string()).to_pylist())
