"""LightGCN's text: read as the format says, and refused where it may as well be a table."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recsys_lightning.data.sources.files import Files
from recsys_lightning.data.sources.lightgcn import is_lightgcn, read_lightgcn
from recsys_lightning.errors import InputError
from tests.data.sources.helpers import rows_of, write

WAY_OUT = (
    "A .txt without tabs is read as LightGCN's text: `user item item ...`, whole numbers without a "
    "header, all items of a user on one line. If this is a table, save it with a header as .tsv "
    "(between tabs) or .csv"
)


def refusal(path: Path, text: str) -> str:
    write(path, text)
    with pytest.raises(InputError) as error:
        Files(str(path)).load()
    said = str(error.value)
    assert said.startswith(f"{path}, line ")
    assert said.endswith(WAY_OUT)
    return said.removeprefix(f"{path}, ").removesuffix(f". {WAY_OUT}")


def pairs(path: Path) -> list[tuple[str, str, int]]:
    read = read_lightgcn(path)
    return [(read.users.at(n), read.items.at(n), line) for n, line in enumerate(read.lines)]


LINES = st.lists(
    st.lists(st.integers(0, 10**18 - 1) | st.integers(0, 30), max_size=5), min_size=1, max_size=8
)


@settings(deadline=None)  # the first imports pyarrow
@given(
    LINES, st.sampled_from([" ", "  ", " \f"]), st.sampled_from(["\n", "\r\n", "\r", " \n", "\n\n"])
)
def test_equals_a_loop_over_the_lines(tmp_path_factory, lines, blank, end):
    path = tmp_path_factory.mktemp("lightgcn") / "train.txt"
    users = [line[0] for line in lines if line]
    assume(len(set(users)) == len(users))
    assume(any(len(line) > 1 for line in lines))
    assume(len({len(line) for line in lines if line}) > 1)  # not a table for certain
    path.write_bytes("".join(blank.join(map(str, line)) + end for line in lines).encode())
    step = 2 if end == "\n\n" else 1
    expected = [
        (str(line[0]), str(item), 1 + step * number)
        for number, line in enumerate(lines)
        for item in line[1:]
    ]
    assert pairs(path) == expected
    read = read_lightgcn(path)
    for ids, column in ((read.users, 0), (read.items, 1)):
        assert ids.codes.dtype == np.int32
        assert ids.values == list(dict.fromkeys(row[column] for row in expected))


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n \n"])
@pytest.mark.parametrize("suffix", [".txt", ".TXT", ".txt.gz"])
def test_starts_and_ends(tmp_path, start, end, suffix):
    path = tmp_path / f"train{suffix}"
    content = f"{start}0 5 3\n1 3{end}".encode()
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    assert rows_of(Files(str(path)).load()) == {0: [5, 3], 1: [3]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 5 3 \n2\n\n1 3\n0 9\n", {0: [5, 3, 9], 1: [3]}),  # a user on two lines
        ("0 1 2\n1 2 3\n2 0 3\n", {0: [1, 2], 1: [2, 3], 2: [0, 3]}),  # as many items each
        ("0 11 12\n1 12 13\n", {0: [11, 12], 1: [12, 13]}),
        ("7 1 2\n", {7: [1, 2]}),
        ("7 20 2\n", {7: [20, 2]}),
        ("0 5\n0 6\n1 5\n", {0: [5, 6], 1: [5]}),  # a pair a line is the same in both readings
        ("0 5 6 5\n1 6\n", {0: [5, 6], 1: [6]}),  # a repeated item counts once
    ],
)
def test_what_is_read(tmp_path, text, expected):
    path = write(tmp_path / "train.txt", text)
    assert rows_of(Files(str(path)).load()) == expected


@pytest.mark.parametrize(
    ("text", "line", "width"),
    [
        ("1 10 5\n1 11 4\n2 10 5\n2 12 3\n", 2, 3),  # user item rating
        ("1 10 5\n\n2 11 4\n1 12 3\n", 4, 3),
        ("1 10 978300760\n1 11 978302109\n", 2, 3),  # user item time
        ("1 10 5 978300760\n1 11 4 978302109\n", 2, 4),
        ("1 10 5\n1 11 4\n2 10 5\n2 12\n", 2, 3),  # the last line is cut
        ("1 10 5\n1 11 4\n2 10 5\n2 12 3 1\n", 2, 3),
    ],
)
def test_a_table_of_users_with_several_rows(tmp_path, text, line, width):
    assert refusal(tmp_path / "log.txt", text) == (
        f"line {line}: user 1 has a line before this one already, so that this may be a table of "
        f"{width} columns (user item rating ...) as well as {width - 1} items of a user"
    )


@pytest.mark.parametrize(
    ("text", "number", "like"),
    [
        ("1 10 5\n2 12 3\n3 9 4\n", 3, "rating"),  # one row a user, as held out
        ("1 10 978300760\n2 12 978302109\n", 3, "time"),
        ("1 10 11 978300760\n2 12 13 978302109\n", 4, "time"),
    ],
)
def test_a_table_of_one_row_a_user(tmp_path, text, number, like):
    assert refusal(tmp_path / "log.txt", text).startswith(
        f"line 1: number {number} of every line is like a {like}, so that this may be a table of "
    )


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("user item rating\n1 10 5\n", 1, "user"),
        ("org_id remap_id\nA1 0\nA2 1\n", 1, "org_id"),
        ("1 10 4.5\n2 11 5.0\n", 1, "4.5"),
        ("1 10\n\n2 u7\n", 3, "u7"),
        ("1 10\n2 12.0\n", 2, "12.0"),
        ("1 10\n2 -1\n", 2, "-1"),
        ("1 10\n2 007\n", 2, "007"),  # is not 7, and `7` may stand beside it
        ("1 10\n2 " + "9" * 19 + "\n", 2, "9" * 19),
        ("1::10::5\n1::11::4\n", 1, "1::10::5"),
        ("1;10;5\n", 1, "1;10;5"),
        ("1 10\n2 1,5\n", 2, "1,5"),
        ("1 10\n2 é\n", 2, "é"),
        ("1 10 2015-01-01\n", 1, "2015-01-01"),
        ('1 10 "5"\n', 1, '"5"'),
        ("A\n", 1, "A"),
    ],
)
def test_what_is_no_whole_number(tmp_path, text, line, found):
    assert refusal(tmp_path / "log.txt", text) == (
        f"line {line}: found {found!r}, which is not a whole number"
    )


def test_the_parts_of_a_split_are_looked_at_too(tmp_path):
    train = write(tmp_path / "train.txt", "0 5 3\n1 3\n")
    test = write(tmp_path / "test.txt", "0 7 5\n0 8 4\n")
    with pytest.raises(InputError, match=r"test.txt, line 2: user 0 has a line before"):
        Files().load_parts(str(train), None, str(test))


def test_a_line_of_a_pair_is_named(tmp_path):
    write(tmp_path / "train.txt", "0 5 3\n1 3\n")
    write(tmp_path / "test.txt", "\n1 4\n\n0 7 3\n")
    with pytest.raises(InputError, match=r"test.txt, line 4: user '0' with item '3' is in"):
        Files().load_parts(str(tmp_path / "train.txt"), None, str(tmp_path / "test.txt"))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.txt", "0 1 2\n", True),
        ("a.txt.gz", None, True),
        ("a.txt", "\n\n0 1 2\n", True),
        ("a.txt", "\n0\t1\n", False),
        ("a.txt", "0,1\n", False),
        ("a.csv", "0 1\n", False),
        ("a.dat", "0 1\n", False),
    ],
)
def test_which_files_are_taken_for_it(tmp_path, name, text, expected):
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"0 1 2\n") if text is None else text.encode())
    assert is_lightgcn(path) == expected


@pytest.mark.parametrize("text", ["", "\n\n", "0\n1\n", " "])
def test_no_pairs(tmp_path, text):
    path = write(tmp_path / "a.txt", text)
    with pytest.raises(InputError, match=r"expected lines `user item item ...`, found none"):
        Files(str(path)).load()


def test_a_large_file_of_as_many_items_each(tmp_path):
    """A held-out file of ten items a user, whose values overlap as items do."""
    rng = np.random.default_rng(0)
    items = rng.integers(0, 500, size=(300, 10))
    users = rng.permutation(300)
    text = "".join(f"{u} {' '.join(map(str, row))}\n" for u, row in zip(users, items, strict=True))
    found = pairs(write(tmp_path / "a.txt", text))
    assert [int(item) for _, item, _ in found] == items.ravel().tolist()
    assert [int(user) for user, _, _ in found] == np.repeat(users, 10).tolist()
