"""Columns as times: the unit of numbers, and numbers that are dates."""

import numpy as np
import pyarrow as pa
import pytest

from recsys_lightning.data.sources.values import Misfit, times


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.string()])
@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([*[978_300_760] * 3, *[253_402_300_799] * 2], None),  # the last day of 9999: "never"
        ([978_300_760_500, 978_300_760_250, 0], [978_300_760, 978_300_760, 0]),
        ([978_300_760_500_000, 978_300_760_250_000], [978_300_760, 978_300_760]),
        ([978_300_760_500_000_000, 978_300_760_250_000_000], [978_300_760, 978_300_760]),
    ],
)
def test_a_unit_of_times_that_cannot_be_seconds(numbers, expected, kind):
    found = times(pa.chunked_array([pa.array(numbers).cast(kind, safe=False)]))
    assert found.seconds.tolist() == (expected or numbers)
    if expected:
        assert found.fractions[:2].tolist() == [0.5, 0.25]


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.string()])
@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([20240229, 19991231], ["2024-02-29", "1999-12-31"]),
        ([2024022923, 1999123100], ["2024-02-29T23", "1999-12-31T00"]),
        ([202402292359, 199912310000], ["2024-02-29T23:59", "1999-12-31T00:00"]),
        ([20240229235959, 21001231000000], ["2024-02-29T23:59:59", "2100-12-31T00:00:00"]),
    ],
)
def test_numbers_that_are_dates(numbers, expected, kind, caplog):
    found = times(pa.chunked_array([pa.array(numbers).cast(kind, safe=False)]))
    assert found.seconds.tolist() == np.array(expected, "datetime64[s]").astype(int).tolist()
    assert found.fractions is None
    assert f"times such as {numbers[0]}" in caplog.text


@pytest.mark.parametrize(
    "no_date",
    [20230229, 20240001, 20241301, 20240100, 20240132, 18991231, 21010101, -20240131, 978_300_760],
)
def test_numbers_of_which_one_is_no_date_are_seconds(no_date):
    numbers = [20240131, no_date]
    assert times(pa.chunked_array([pa.array(numbers)])).seconds.tolist() == numbers


@pytest.mark.parametrize("place", [0, 2])
def test_one_that_is_no_date_among_dates_is_an_error(place):
    """All were seconds then, without a word."""
    numbers = [20240131, 20240201, 20240229]
    numbers.insert(place, 0)
    with pytest.raises(Misfit, match="a date, as 20240131 is") as raised:
        times(pa.chunked_array([pa.array(numbers)]))
    assert raised.value.row == place


@pytest.mark.parametrize(
    ("no_time", "unit"),
    [(2024013124, 1), (2024013100.5, 1), (202401312360, 1000), (20240131235960, 1000)],
)
def test_a_clock_that_no_date_has(no_time, unit):
    numbers = [int(no_time) // 100 * 100, no_time]
    found = times(pa.chunked_array([pa.array(numbers, pa.float64())]))
    assert found.seconds.tolist() == [number // unit for number in numbers]
