"""Reading files: every kind of value, and every way a file can be wrong."""

import datetime
import gzip
import subprocess
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from recsys_lightning.data.sources.tables import Format, format_of, read_table, submission_columns
from recsys_lightning.data.sources.text import read_lines
from tests.data.sources.helpers import message, write


def read(path, ids=("user", "item"), texts=("time",), **options):
    return read_table(path, ids, texts, **options)


def parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def values(ids) -> list[str]:
    return [ids.values[code] for code in ids.codes]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".dat", ".csv.gz", ".TSV"])
def test_text_files(tmp_path, suffix):
    delimiter = "," if "csv" in suffix else "\t"
    text = "user,item,time\r\n007,x y,5\r\n\r\n7,é,6\r\n".replace(",", delimiter)
    path = tmp_path / f"log.1{suffix}"
    data = b"\xef\xbb\xbf" + text.encode()
    path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    table = read(path)
    assert values(table.ids("user")) == ["007", "7"]
    assert values(table.ids("item")) == ["x y", "é"]
    assert table.times("time").seconds.tolist() == [5, 6]
    assert table.where(1) == f"{path}, line 4"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["12.0", "7.00"], ["12", "7"]),
        (["12.0", "7", "-3.0"], ["12", "7", "-3"]),
        (["12.0", "12"], ["12", "12"]),
        (["12.0", "1.5"], ["12.0", "1.5"]),
        (["12.0", "a"], ["12.0", "a"]),
        (["12.0", "007"], ["12.0", "007"]),
        (["12.", "7.0"], ["12.", "7.0"]),
        (["1.0.0", "2.0"], ["1.0.0", "2.0"]),
        (["٣.0", "2.0"], ["٣.0", "2.0"]),
        ([" 7", "7\u00a0", "7"], ["7", "7", "7"]),
        (["007", "7"], ["007", "7"]),
    ],
)
def test_one_id_however_it_is_written(tmp_path, written, expected):
    text = "user,item,time\n" + "".join(f"{id},{id},1\n" for id in written)
    table = read(write(tmp_path / "log.csv", text))
    assert values(table.ids("user")) == expected
    assert table.ids("user").values == list(dict.fromkeys(expected))
    assert [id for id, _ in table.rows("item", "time")] == expected


def test_ids_are_in_order_of_first_appearance_over_many_blocks(tmp_path):
    users = [str(n * 7919 % 100_003) for n in range(200_000)]
    text = "user,item,time\n" + "".join(f"{user},1,{n}\n" for n, user in enumerate(users))
    path = write(tmp_path / "log.csv", text)  # 2.6 MB, blocks being of 1 MB
    assert read(path).ids("user").values == list(dict.fromkeys(users))


@given(
    st.lists(
        st.tuples(
            *[st.text(st.characters(exclude_categories=["C"]), min_size=1).map(lambda s: "_" + s)]
            * 2
        ),
        min_size=1,
    )
)
def test_quoted_text_comes_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("quoted") / "log.csv"
    quoted = (",".join('"' + value.replace('"', '""') + '"' for value in row) for row in rows)
    write(path, "\n".join(["user,item", *quoted]) + "\n")
    table = read(path, texts=())
    expected = [(user.strip(), item.strip()) for user, item in rows]  # blanks are no part of an id
    assert list(zip(values(table.ids("user")), values(table.ids("item")), strict=True)) == expected


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["0", "-5", "1112"], [0, -5, 1112]),
        (["1.9", "2", "1e3"], [1, 2, 1000]),
        (["1970-01-01 00:00:01", "1970-01-01T00:00:02.9", "1970-01-02"], [1, 2, 86_400]),
        (["1970-01-01T00:00:01Z", "1970-01-01T02:00:00+02:00"], [1, 0]),
        (["1969-12-31 23:59:59.5"], [-1]),
        (["1970-01-01 00:00:01.123456789", "1970-01-01T00:00:02.999999999"], [1, 2]),
        (["1970-01-01 00:00:01 UTC", "1970-01-01 00:00:02.5 UTC"], [1, 2]),
        (["1970-01-01 02:00:01+02:00", "1970-01-01 00:00:02", "1970-01-02"], [1, 2, 86_400]),
        (["1970-01-01T00:00:01.123456789Z", "1970-01-01 00:00:02 GMT"], [1, 2]),
    ],
)
def test_times_as_text(tmp_path, times, expected):
    path = write(tmp_path / "log.csv", "user,item,time\n" + "".join(f"1,2,{t}\n" for t in times))
    assert read(path).times("time").seconds.tolist() == expected


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (pa.array([5, 6], pa.uint32()), [5, 6]),
        (pa.array([5.9, 6.0]), [5, 6]),
        (pa.array([1_500, 2_000], pa.timestamp("ms")), [1, 2]),
        (pa.array([1, 2], pa.timestamp("ns", "Asia/Seoul")), [0, 0]),
        (pa.array([datetime.date(1970, 1, 2), datetime.date(1970, 1, 3)]), [86_400, 172_800]),
        (pa.array(["1970-01-02", "1970-01-03"], pa.large_string()), [86_400, 172_800]),
        (pa.array([10**15, 5], pa.timestamp("s")), [10**15, 5]),  # microseconds, taken for seconds
        (pa.array([10**18, 5], pa.timestamp("ms")), [10**15, 0]),
        (pa.array(["7", "1"]).dictionary_encode(), [7, 1]),
    ],
)
def test_times_in_parquet(tmp_path, times, expected):
    path = parquet(tmp_path / "log.parquet", user=["1", "2"], item=[1, 2], time=times)
    assert read(path).times("time").seconds.tolist() == expected


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([8, 7, 8], pa.int16()), ["8", "7", "8"]),
        (pa.array([8.0, 7.0, 8.0]), ["8", "7", "8"]),
        (pa.array([Decimal(8), Decimal(7), Decimal(8)], pa.decimal128(20, 0)), ["8", "7", "8"]),
        (pa.array([Decimal(8), Decimal(-7), Decimal(10**30)]), ["8", "-7", "1" + "0" * 30]),
        (pa.array([Decimal("8.00"), Decimal("7"), Decimal("80")]), ["8", "7", "80"]),
        (pa.array(["8.0", "7", "8"]), ["8", "7", "8"]),
        (pa.array([" 8", "8\t", "7 7"]), ["8", "8", "7 7"]),
        (pa.array(["8", "07", "8"], pa.large_string()), ["8", "07", "8"]),
        (pa.array(["8", "07", "8"]).dictionary_encode(), ["8", "07", "8"]),
        (
            pa.DictionaryArray.from_arrays(pa.array([2, 0, 2], pa.int8()), pa.array([7, 1, 8])),
            ["8", "7", "8"],
        ),
    ],
)
def test_ids_in_parquet(tmp_path, ids, expected):
    path = parquet(tmp_path / "log.parquet", user=ids, item=ids, time=[1, 2, 3])
    column = read(path).ids("user")
    assert values(column) == expected
    assert column.values == list(dict.fromkeys(expected))


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array(["a", None]), "{path}, row 2, column 'user': expected an id, found nothing"),
        (pa.array([1.0, None]), "{path}, row 2, column 'user': expected an id, found nothing"),
        (
            pa.array([1.0, float("nan")]),
            "{path}, row 2, column 'user': expected a whole number, found nan",
        ),
        (
            pa.array([1.0, 1.5]),
            "{path}, row 2, column 'user': expected a whole number, found 1.5",
        ),
        (
            pa.array([Decimal("1.0"), Decimal("1.5")]),
            "{path}, row 2, column 'user': expected a whole number, found Decimal('1.5')",
        ),
        (
            pa.array([Decimal(1), None]),
            "{path}, row 2, column 'user': expected an id, found nothing",
        ),
        (pa.array(["1", " "]), "{path}, row 2, column 'user': expected an id, found ' '"),
        (
            pa.array([[1], [2]]),
            "{path}: column 'user' holds list<element: int64>; ids are text or integers",
        ),
        (pa.array([True, False]), "{path}: column 'user' holds bool; ids are text or integers"),
    ],
)
def test_wrong_ids_in_parquet(tmp_path, ids, expected):
    path = parquet(tmp_path / "log.parquet", user=ids, item=[1, 2], time=[1, 2])
    assert message(read(path).ids, "user") == expected.format(path=path)


def test_wrong_times_in_parquet(tmp_path):
    for times, found in (([1, None], "nothing"), ([1.0, float("inf")], "inf"), ([True], "True")):
        path = parquet(
            tmp_path / "log.parquet", user=["a"] * len(times), item=["a"] * len(times), time=times
        )
        assert message(read(path).times, "time") == (
            f"{path}, row {len(times)}, column 'time': expected seconds or an ISO 8601 time, "
            f"found {found}"
        )


@pytest.mark.parametrize("value", ["", "nan", "NaN", "null", "None"])
def test_an_empty_id_has_its_line(tmp_path, value):
    path = write(tmp_path / "log.csv", f"user,item,time\n1,2,3\n\n\n{value},2,3\n")
    found = f"'{value}'" if value else "nothing"
    assert message(read(path).ids, "user") == (
        f"{path}, line 5, column 'user': expected an id, found {found}"
    )


@pytest.mark.parametrize("bad", [0, 1, 4_999, 9_999])
@pytest.mark.parametrize("value", ["noon", "", "nan", "2015-02-30"])
def test_a_wrong_time_has_its_line(tmp_path, bad, value):
    times = [str(n) for n in range(10_000)]
    times[bad] = value
    path = write(tmp_path / "log.csv", "user,item,time\n" + "".join(f"1,2,{t}\n" for t in times))
    found = f"'{value}'" if value else "nothing"
    assert message(read(path).times, "time") == (
        f"{path}, line {bad + 2}, column 'time': "
        f"expected seconds or an ISO 8601 time, found {found}"
    )


@pytest.mark.parametrize(
    ("kind", "exact"), [(pa.float64(), 2**53), (pa.float32(), 2**24)], ids=["float64", "float32"]
)
def test_ids_that_a_float_may_have_rounded_are_refused(tmp_path, kind, exact):
    """Two ids of a database are one there, without a word."""
    for largest, is_read in ((exact - 1, True), (exact, False), (-exact, False)):
        ids = pa.array([1.0, largest, None], pa.float64()).cast(kind).drop_null()
        path = parquet(tmp_path / "log.parquet", user=ids, item=[1, 2], time=[1, 2])
        if is_read:
            assert read(path).ids("user").values == ["1", str(largest)]
        else:
            assert message(read(path).ids, "user").startswith(
                f"{path}, row 2, column 'user': expected an id that a float holds exactly"
            )


def test_large_ids_with_a_point_are_refused(tmp_path):
    text = "user,item,time\n12.0,2,3\n{}.0,2,3\n"
    path = write(tmp_path / "log.csv", text.format(2**53 - 1))
    assert read(path).ids("user").values == ["12", str(2**53 - 1)]
    path = write(tmp_path / "log.csv", text.format(10**18))
    assert message(read(path).ids, "user") == (
        f"{path}, line 3, column 'user': expected an id that a float holds exactly (write such "
        "large ids as integers or text), found '1000000000000000000.0'"
    )


def test_rows_that_an_open_quote_swallows_are_refused_and_two_lines_are_not(tmp_path):
    table = 'item,title,genre\n1,"Two\nlines",War\n4,"Four,Crime\n5,Five,War\n9,"Nine,Drama\n'
    path = write(tmp_path / "items.csv", table)
    names = ("item", "title", "genre")
    assert message(read, path, (), names) == (
        f"{path}, line 4, column 'title': a quote opens a value that goes on to line 6: close the "
        "quote, or write it twice; a text that has such lines must be on one"
    )
    path = write(tmp_path / "items.csv", table.replace('"Four', "Four").replace('"Nine', "Nine"))
    assert read(path, (), names).texts("title") == ["Two\nlines", "Four", "Five", "Nine"]


def test_a_wrong_number_has_its_line(tmp_path):
    path = write(tmp_path / "log.csv", "user,item,time\n1,2,3.5\n1,2,good\n")
    assert message(read(path).numbers, "time") == (
        f"{path}, line 3, column 'time': expected a number, found 'good'"
    )


def test_lines_count_what_quoted_values_hold(tmp_path):
    path = write(tmp_path / "log.csv", 'user,item,time\n1,"two\nlines",3\n1,2,x\n')
    table = read(path, ids=(), texts=("item", "time"))
    assert "line 4, column 'time'" in message(table.times, "time")
    assert message(read, path) == (
        f"{path}, line 2: a quote opens a value that goes on to line 3; a row must be a line here: "
        "close the quote, or write it twice"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "{path}: is empty"),
        ("\n\n", "{path}: is empty"),
        ("user,item,time\n", "{path}: has no rows"),
        ("user,item,time\n1,2,3\n1,2\n", "{path}, line 3: expected 3 values, found 2"),
        ("user,item,time\n1,2,3,4\n", "{path}, line 2: expected 3 values, found 4"),
        (
            "user,film,time\n1,2,3\n",
            "{path} has no column 'item': its columns are 'user', 'film', 'time'; "
            "set data.item_column",
        ),
        (
            "user,item,item,time\n1,2,3,4\n",
            "{path} has more than one column 'item': "
            "its columns are 'user', 'item', 'item', 'time'; set data.item_column",
        ),
        ("1,2,3\n1,2,3\n", "{path} has no column 'user': its columns are '1', '2', '3'"),
    ],
)
def test_wrong_text_files(tmp_path, text, expected):
    path = write(tmp_path / "log.csv", text)
    assert message(read, path, keys={"item": "data.item_column"}) == expected.format(path=path)


@pytest.mark.parametrize("name", ["log.csv", "log.parquet", "log.csv.gz"])
def test_no_file(tmp_path, name):
    assert message(read, tmp_path / name) == f"{tmp_path / name}: no such file"


def test_a_directory(tmp_path):
    (tmp_path / "log.csv").mkdir()
    assert message(read, tmp_path / "log.csv") == (
        f"{tmp_path / 'log.csv'}: is a directory, expected a file"
    )


def test_unknown_extension(tmp_path):
    path = write(tmp_path / "log.xlsx", "user,item\n")
    assert message(read, path) == (
        f"{path}: expected a file named .csv, .tsv, .txt, .dat, .inter, .item, .parquet "
        "(or .csv.gz)"
    )


@pytest.mark.parametrize("content", [b"", b"PAR1", b"user,item\n1,2\n", b"PAR1" + b"x" * 100])
def test_unreadable_parquet(tmp_path, content):
    path = tmp_path / "log.parquet"
    path.write_bytes(content)
    assert message(read, path).startswith(f"{path}: is not a readable Parquet file: ")


def test_truncated_parquet(tmp_path):
    path = parquet(tmp_path / "log.parquet", user=["a"] * 99, item=["a"] * 99, time=[1] * 99)
    path.write_bytes(path.read_bytes()[:-20])
    assert message(read, path).startswith(f"{path}: is not a readable Parquet file: ")


def test_parquet_without_the_column(tmp_path):
    path = parquet(tmp_path / "log.parquet", user=["a"], item=["b"])
    assert message(read, path) == f"{path} has no column 'time': its columns are 'user', 'item'"


@pytest.mark.parametrize(
    "where", ["user,item,time\n1,2,3\n1,{},3\n", "user,item,time\n1,{},3\n" * 2]
)
def test_bytes_that_are_not_utf8(tmp_path, where):
    path = tmp_path / "log.csv"
    path.write_bytes(where.replace("{}", "é").encode("latin-1"))
    line = where.splitlines().index("1,{},3") + 1
    assert message(read, path) == (
        f"{path}, line {line}: byte 0xe9 is not UTF-8; save the file as UTF-8, "
        "or give data=files its data.encoding"
    )


@pytest.mark.parametrize(
    "content",
    [b"user,item,time\n1,2,3\n", gzip.compress(b"user" * 999)[:-9]],
    ids=["no gzip", "cut short"],  # gzip holds the time, and two workers must agree on the names
)
def test_broken_gzip(tmp_path, content):
    path = tmp_path / "log.csv.gz"
    path.write_bytes(content)
    assert message(read, path).startswith(f"{path}: cannot be read: ")


def test_long_delimiters_and_no_header(tmp_path):
    path = write(tmp_path / "ratings.dat", '1::2::"5\n1::3::4\n')
    format = Format("::", quoted=False, names=("user", "item", "time"))
    table = read(path, format=format)
    assert values(table.ids("item")) == ["2", "3"]
    assert table.texts("time") == ['"5', "4"]
    assert message(table.numbers, "time") == (
        f"{path}, line 1, column 'time': expected a number, found '\"5'"
    )
    write(path, "1::2::5\n1::3\n")
    assert message(read, path, format=format) == f"{path}, line 2: expected 3 values, found 2"


def test_texts_of_every_type(tmp_path):
    path = parquet(
        tmp_path / "items.parquet",
        item=[1, 2, 3],
        year=[1995.0, None, 2.5],
        tags=[["a", "b"], None, []],
        title=[" x ", None, "y"],
    )
    table = read_table(path, texts=("item", "year", "tags", "title"))
    assert table.rows("item", "year", "tags", "title") == [
        ("1", "1995", '["a", "b"]', "x"),
        ("2", "", "", ""),
        ("3", "2.5", "[]", "y"),
    ]


def test_lines(tmp_path):
    path = write(tmp_path / "a.txt", "\ufeffa\nb")
    assert list(read_lines(path)) == ["a\n", "b"]


@pytest.mark.parametrize("separator", [";", "\t", "|", " "])
def test_the_separator_that_is_advised_can_be_typed(separator, tmp_path):
    path = write(tmp_path / "ratings.csv", f"user{separator}item\n1{separator}2\n")
    said = message(read, path, texts=(), keys={"user": "data.user_column"})
    typed = said.partition("; set ")[2]
    argument = subprocess.run(
        ["bash", "-c", f"printf %s {typed}"], capture_output=True, text=True, check=True
    ).stdout
    assert OverridesParser.create().parse_override(argument).value() == separator


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("uid,movie", ["uid", "movie"]),
        ("uid", ["user", "item"]),
        ("uid,movie,score", ["user", "item"]),
        ("movie,uid", ["user", "item"]),
    ],
)
def test_a_submission_has_the_columns_of_a_template_that_has_two(tmp_path, header, expected):
    template = write(
        tmp_path / "template.csv", header + "\n" + ",".join("1" * (header.count(",") + 1))
    )
    assert list(submission_columns(Path(template), format_of(Path(template)), "uid")) == expected
