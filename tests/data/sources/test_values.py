"""Columns as times: the unit of numbers."""

import pyarrow as pa
import pytest

from recsys_lightning.data.sources.values import times


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
