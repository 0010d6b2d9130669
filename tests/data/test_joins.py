"""How well the ids of two files agree."""

import pytest

from recsys_lightning.data.joins import join


@pytest.mark.parametrize(
    ("found", "total", "expected", "is_low"),
    [
        (1, 1, "1 of 1 items of a are in b (100 %)", False),
        (1999, 2000, "1,999 of 2,000 items of a are in b (99.9 %)", False),
        (2, 4, "2 of 4 items of a are in b (50 %)", False),
        (1, 3, "only 1 of 3 items of a are in b (33.3 %): '1' is not. Check that", True),
        (0, 3, "only 0 of 3 items of a are in b (0 %): '0' is not, and 'x' is only there.", True),
    ],
)
def test_what_is_said(found, total, expected, is_low):
    ids = list(map(str, range(total)))
    others = ids[:found] or ["", "x"]
    said = join("items", "a", ids, "b", others)
    assert str(said).startswith(expected)
    assert said.is_low == is_low


def test_ids_count_once_and_empty_ones_do_not():
    said = join("items", "a", ["1", "1", "", "2"], "b", ["", "2", "2"])
    assert (said.found, said.total, said.missing, said.unused) == (1, 2, "1", "")
