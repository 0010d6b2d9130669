"""Columns of a table as numbers, times and text.

A value that cannot be read raises ValueError, or NotImplementedError where Arrow has no such cast.
"""

import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

_NAMED_ZONE = r"\s*(UTC|GMT)$"
_DATE = r"^\d{4}-\d\d-\d\d$"
_ZONE = r":\d\d(\.\d+)?(Z|[+-]\d\d(:?\d\d)?)$"
_BEYOND_MICROSECONDS = r"(\.\d{6})\d+"
_A_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
EXACT = 2**53  # below it a float64 holds every integer; a float32 below 2**24
EXACT_ID = "an id that a float holds exactly (write such large ids as integers or text)"
_DIGITS_OF_DATES = (8, 10, 12, 14)  # YYYYMMDD, then hours, minutes and seconds


class Misfit(ValueError):
    """One value is not what the others are.

    Attributes:
        row: where it stands.
        expected: what they are.
    """

    def __init__(self, row: int, expected: str) -> None:
        super().__init__(expected)
        self.row, self.expected = row, expected


class Times(NamedTuple):
    """A column of times.

    Attributes:
        seconds: (N,) int64 whole seconds since 1970.
        fractions: (N,) float64 what orders the times of one second; None where there is nothing.
        unit: what numbers were taken for: `dates`, `s`, `ms`, `us` or `ns`; None where they were
            none, or nothing was to be guessed.
    """

    seconds: NDArray[np.int64]
    fractions: NDArray[np.float64] | None = None
    unit: str | None = None

    def where(self, mask: NDArray[np.bool_]) -> "Times":
        """The times where `mask` (N,) holds."""
        fractions = None if self.fractions is None else self.fractions[mask]
        return self._replace(seconds=self.seconds[mask], fractions=fractions)


def times(column: "pa.ChunkedArray") -> Times:
    """Since 1970, UTC where no zone is given.

    Numbers that all look like dates are dates; of others the size of most says the unit.
    """
    import pyarrow as pa

    if column.null_count:
        raise ValueError("a time is missing")
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _parsed(column)
    if pa.types.is_integer(column.type):
        return _since_1970(column.cast(pa.int64()).to_numpy())
    if pa.types.is_floating(column.type):
        numbers = column.to_numpy()
        if not np.all(np.abs(numbers) < 2.0**63):  # nor is it where one is NaN
            raise ValueError("no finite number of seconds")
        return _since_1970(numbers)
    if not pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms"))  # of dates
    return _in_unit(column.type.unit, column.cast(pa.int64()).to_numpy())


def concatenate_times(columns: Sequence[Times]) -> Times:
    """Columns one below the other, as one column."""
    seconds = np.concatenate([one.seconds for one in columns])
    if all(one.fractions is None for one in columns):
        return Times(seconds)
    fractions = [
        np.zeros(len(one.seconds)) if one.fractions is None else one.fractions for one in columns
    ]
    return Times(seconds, np.concatenate(fractions))


def _since_1970(numbers: NDArray[Any]) -> Times:
    """Of numbers: dates, or seconds, unless most of them would then be after the year 5138.

    >>> _since_1970(np.array([978_300_760_500, 978_302_109_000]))
    Times(seconds=array([978300760, 978302109]), fractions=array([0.5, 0. ]), unit='ms')
    """
    if (dates := _as_dates(numbers)) is not None:
        log.warning("times such as %s are dates, not seconds: read as %s", numbers[0], dates[0])
        return Times(dates.astype(np.int64), unit="dates")
    some = numbers[:: len(numbers) // 10_000 + 1]
    most = np.median(np.abs(some)) if len(some) else 0
    # 1e11 milliseconds are 1973, and so on
    unit = next((unit for unit, a_second in _A_SECOND.items() if most < 1e11 * a_second), "ns")
    if unit == "s":
        whole = numbers.astype(np.int64, copy=False)
        return _with_fractions(whole, numbers - whole)._replace(unit=unit)
    log.warning("times such as %s are too large for seconds: read as %s", numbers[0], unit)
    return _in_unit(unit, numbers)._replace(unit=unit)


def _as_dates(numbers: NDArray[Any]) -> NDArray[np.datetime64] | None:
    """Of numbers that are all dates from 1900 to 2100, such as 20010131 or 20010131235959.

    Raises:
        Misfit: most are, and one is not.

    >>> _as_dates(np.array([2001013123]))
    array(['2001-01-31T23:00:00'], dtype='datetime64[s]')
    >>> _as_dates(np.array([978_300_760, 20010228]))
    """
    some = numbers[:: len(numbers) // 10_000 + 1]
    digits = len(str(int(np.median(some)))) if len(some) else 0
    a_year = 10.0 ** (digits - 4)
    if digits not in _DIGITS_OF_DATES or np.mean(_lie_between(some, a_year)) <= 0.5:
        return None
    whole = np.where(_lie_between(numbers, a_year), numbers, 0).astype(np.int64)
    left = whole * 10 ** (14 - digits)
    parts = []
    for _ in range(5):
        left, part = np.divmod(left, 100)
        parts.append(part)
    second, minute, hour, day, month = parts
    first = ((left - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = first.astype("datetime64[D]") + (day - 1)
    clock = (hour * 60 + minute) * 60 + second
    exist = (month >= 1) & (month <= 12) & (days.astype("datetime64[M]") == first)
    exist &= (hour < 24) & (minute < 60) & (second < 60) & (whole == numbers)
    if exist.mean() <= 0.5:
        return None
    if not exist.all():
        example = numbers[np.argmax(exist)]
        raise Misfit(int(np.argmin(exist)), f"a date, as {example} is and most of the others")
    return days.astype("datetime64[s]") + clock


def _lie_between(numbers: NDArray[Any], a_year: float) -> NDArray[np.bool_]:
    """Which may be of the years 1900 to 2100."""
    return (1900 * a_year <= numbers) & (numbers < 2101 * a_year)


def _in_unit(unit: str, numbers: NDArray[Any]) -> Times:
    seconds, parts = np.divmod(numbers, _A_SECOND[unit])
    return _with_fractions(seconds.astype(np.int64), parts / _A_SECOND[unit])


def _with_fractions(seconds: NDArray[np.int64], fractions: NDArray[np.float64]) -> Times:
    return Times(seconds, fractions if fractions.any() else None)


def _parsed(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa

    for kind in (pa.int64(), pa.float64(), pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return column.cast(kind)
        except pa.ArrowInvalid:
            continue
    return _in_utc(column).cast(pa.timestamp("us", "UTC"))


def _in_utc(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Times with nanoseconds, a zone by name, or a zone in some only, as Arrow reads them in UTC.

    >>> import pyarrow as pa
    >>> _in_utc(pa.array(["1970-01-01 00:00:00.123456789 UTC", "1970-01-02"])).to_pylist()
    ['1970-01-01 00:00:00.123456Z', '1970-01-02 00:00:00Z']
    """
    from pyarrow import compute

    column = compute.replace_substring_regex(column, _NAMED_ZONE, "Z")
    column = compute.replace_substring_regex(column, _BEYOND_MICROSECONDS, r"\1")
    column = compute.replace_substring_regex(column, _DATE, r"\0 00:00:00")
    has_zone = compute.match_substring_regex(column, _ZONE)
    if compute.any(has_zone).as_py() and not compute.all(has_zone).as_py():
        log.warning("some of the times have a zone and others have none: those are read as UTC")
    return compute.if_else(has_zone, column, compute.binary_join_element_wise(column, "Z", ""))


def numbers(column: "pa.ChunkedArray") -> NDArray[np.float64]:
    """(N,) float64; of float32, which has no 0.7, what it prints as."""
    import pyarrow as pa

    if pa.types.is_float32(column.type):
        column = column.cast(pa.string())
    found = column.cast(pa.float64()).to_numpy()
    if np.isnan(found).any():  # what a missing one became
        raise ValueError("a number is missing")
    return found


def whole(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Floats as int64; of 2^53 and more they are not all the numbers that they were made from."""
    import pyarrow as pa

    found = column.cast(pa.int64())
    exact = 2**24 if pa.types.is_float32(column.type) else EXACT
    rounded = np.abs(found.fill_null(0).to_numpy()) >= exact
    if rounded.any():
        raise Misfit(int(np.argmax(rounded)), EXACT_ID)
    return found


def whole_decimal(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Decimals as the text of integers."""
    import pyarrow as pa

    return column.cast(pa.decimal256(76, 0)).cast(pa.string())


def text(value: Any) -> str:
    """Stripped, empty where there is none; `2000` for 2000.0, a list as JSON."""
    if value is None or value != value:
        return ""
    if isinstance(value, list):
        parts = [one if isinstance(one, dict) else text(one) for one in value]
        return json.dumps(parts, ensure_ascii=False, default=str)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # pandas writes years as floats where one is missing
    return str(value).strip()
