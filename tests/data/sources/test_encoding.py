"""Ids to positions and rows to time order, against a slow reference."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_lightning.data.sources.encoding import Ids, at_least, concatenate, encode, typed
from recsys_lightning.data.sources.values import Times
from recsys_lightning.errors import InputError

INTEGERS = st.integers(-3, 12).map(str)
TEXTS = st.sampled_from(["7", "07", "007", "a", "b,c", "+7", "-0", "0", "1_0", "٣", "9" * 20, "é"])
ROWS = st.lists(
    st.tuples(INTEGERS, INTEGERS, st.integers(0, 4))
    | st.tuples(TEXTS, TEXTS, st.integers(-(2**62), 2**62)),
    min_size=1,
    max_size=60,
)


def ids(values: list[str]) -> Ids:
    distinct = list(dict.fromkeys(values))
    codes = np.array([distinct.index(value) for value in values], dtype=np.int32)
    return Ids(codes, distinct)


def as_ids(values: list[str]) -> list:
    """The rule of `typed`, said again."""

    def canonical(value: str) -> bool:
        try:
            return str(int(value)) == value and -(2**63) <= int(value) < 2**63
        except ValueError:
            return False

    return [int(value) for value in values] if all(map(canonical, values)) else values


@given(ROWS, st.booleans())
def test_encode_equals_the_slow_reference(rows, with_times):
    users, items, times = (list(column) for column in zip(*rows, strict=True))
    interactions, source = encode(
        ids(users), ids(items), Times(np.array(times, dtype=np.int64)) if with_times else None
    )

    keys = list(zip(as_ids(users), as_ids(items), strict=True))
    order = sorted(range(len(rows)), key=lambda n: (keys[n][0], times[n] if with_times else 0, n))
    first = {}
    for n in order:
        first.setdefault(keys[n], n)
    kept = [n for n in order if first[keys[n]] == n]

    assert interactions.users.tolist() == sorted(set(as_ids(users)))
    assert interactions.items.tolist() == sorted(set(as_ids(items)))
    assert source.tolist() == kept
    assert interactions.items[interactions.indices].tolist() == [keys[n][1] for n in kept]
    assert interactions.users[interactions.rows].tolist() == [keys[n][0] for n in kept]
    assert interactions.submission_users.tolist() == list(dict.fromkeys(as_ids(users)))
    if with_times:
        assert interactions.times.tolist() == [times[n] for n in kept]
    else:
        assert interactions.times is None
    assert interactions.indptr.dtype == np.int64
    assert interactions.indices.dtype == np.int32


def test_duplicates_are_counted_once_in_the_log(caplog):
    encode(ids(["1"] * 5), ids(["3", "3", "4", "3", "4"]), None)
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (logging.WARNING, "3 duplicate (user, item) rows merged: the first in time is kept")
    ]


def test_no_duplicates_no_log(caplog):
    encode(ids(["1", "2", "2"]), ids(["3", "3", "4"]), None)
    assert not caplog.records


def test_many_rows_equal_a_lexsort():
    rng = np.random.default_rng(0)
    users, items, times = rng.integers(0, [[300], [200], [40]], size=(3, 20_000))
    interactions, source = encode(
        Ids(users.astype(np.int32), [str(n) for n in range(300)]),
        Ids(items.astype(np.int32), [str(n) for n in range(200)]),
        Times(times),
    )
    order = np.lexsort((times, users))
    _, first = np.unique(users[order] * 200 + items[order], return_index=True)
    np.testing.assert_array_equal(source, order[np.sort(first)])
    np.testing.assert_array_equal(interactions.indices, items[source])


def test_unused_values_are_no_ids():
    interactions, _ = encode(Ids(np.int32([2, 0]), ["b", "x", "a"]), ids(["1", "1"]), None)
    assert interactions.users.tolist() == ["a", "b"]
    assert interactions.submission_users.tolist() == ["b", "a"]
    assert interactions.rows.tolist() == [0, 1]


def test_the_template_keeps_its_order_and_its_unknown_users():
    interactions, _ = encode(ids(["1", "2"]), ids(["3", "3"]), None, ["9", "2"])
    assert interactions.submission_users.tolist() == [9, 2]


def test_a_template_has_no_say_in_what_the_ids_are():
    """Text sorts otherwise: another draw of the holdout, for a user who is not in the data."""
    interactions, _ = encode(ids(["10", "9"]), ids(["3", "3"]), None, ["x", "9"])
    assert interactions.users.tolist() == [9, 10]
    assert interactions.submission_users.tolist() == ["x", "9"]
    assert interactions.items.tolist() == [3]
    interactions, _ = encode(ids(["10", "a"]), ids(["3", "3"]), None, ["9", "10"])
    assert interactions.users.tolist() == ["10", "a"]
    assert interactions.submission_users.tolist() == ["9", "10"]


def test_no_rows():
    with pytest.raises(InputError, match="no interactions"):
        encode(ids([]), ids([]), None)


def test_at_least():
    assert at_least(np.array([0.5, 4, 3.5]), 3.5).tolist() == [False, True, True]
    with pytest.raises(InputError) as error:
        at_least(np.array([0.5, 5]), 6)
    assert str(error.value) == (
        "data.min_rating=6: no interactions left; the ratings run from 0.5 to 5"
    )


@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1) | INTEGERS))
def test_typed(values):
    assert typed(values).tolist() == as_ids(values)


@given(st.lists(st.lists(st.sampled_from("abcd")), min_size=1))
def test_concatenate(columns):
    joined = concatenate([ids(column) for column in columns])
    assert [joined.values[code] for code in joined.codes] == [
        value for column in columns for value in column
    ]
