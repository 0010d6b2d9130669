"""The user's own files."""

import logging

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_lightning.data.sources.files import Files
from recsys_lightning.errors import InputError
from tests.data.sources.helpers import assert_same, message, rows_of, values_of, write

TEXT = "user,item,time,stars\nb,x,3,5\na,y,2,1\nb,y,1,4\n"


@pytest.fixture
def path(tmp_path):
    return str(write(tmp_path / "log.csv", TEXT))


def test_the_defaults(path):
    loaded = Files(path).load()
    assert Files(path).name == "files"
    assert rows_of(loaded) == {"a": ["y"], "b": ["y", "x"]}
    assert loaded.times.tolist() == [2, 1, 3]
    assert loaded.submission_users.tolist() == ["b", "a"]
    assert loaded.titles is None
    assert loaded.features == {}


@given(
    st.lists(
        st.tuples(st.sampled_from(["1", "01", "2", "b"]), st.integers(0, 3), st.integers(0, 2)),
        min_size=1,
    )
)
def test_every_format_gives_the_same(tmp_path_factory, rows):
    directory = tmp_path_factory.mktemp("formats")
    columns = dict(zip(("user", "item", "time"), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), directory / "log.parquet")
    lines = [["user", "item", "time"], *rows]
    write(directory / "log.csv", "".join(",".join(map(str, line)) + "\n" for line in lines))
    write(directory / "log.txt", "".join("\t".join(map(str, line)) + "\n" for line in lines))
    first, *others = (
        Files(str(directory / name)).load() for name in ("log.parquet", "log.csv", "log.txt")
    )
    for other in others:
        assert_same(other, first)


def test_the_time_column(path, tmp_path):
    assert rows_of(Files(path, time_column=None).load())["b"] == ["x", "y"]
    assert rows_of(Files(path, time_column="stars").load())["b"] == ["y", "x"]
    write(tmp_path / "log.csv", TEXT.replace("time", "timestamp"))
    assert Files(path).load().times is not None
    write(tmp_path / "log.csv", TEXT.replace("time", "when"))
    assert Files(path).load().times is None
    assert message(Files(path, time_column="time").load) == (
        f"{path} has no column 'time': its columns are 'user', 'item', 'when', 'stars'; "
        "set data.time_column"
    )


def test_files_of_recbole(tmp_path):
    path = write(
        tmp_path / "log.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\na\tx\t3\t9\na\ty\t3\t8.5\n",
    )
    items = write(tmp_path / "log.item", "item_id:token\tgenre:token_seq\nx\tA B\ny\tB\n")
    loaded = Files(
        str(path),
        user_column="user_id:token",
        item_column="item_id:token",
        items=str(items),
        feature_separator=" ",
    ).load()
    assert rows_of(loaded) == {"a": ["y", "x"]}
    assert loaded.features["genre:token_seq"].values.tolist() == ["A", "B"]


@pytest.mark.parametrize(
    ("late", "early", "second"),
    [
        ("0.9", "0.25", 0),
        ("-0.25", "-0.9", 0),
        ("2020-01-01 00:00:00.9", "2020-01-01T00:00:00.1Z", 1_577_836_800),
        ("1969-12-31 23:59:59.000002", "1969-12-31 23:59:59.000001", -1),
    ],
)
def test_times_of_one_second_have_their_order(tmp_path, late, early, second):
    head = "user,item,time,stars\n"
    log = write(tmp_path / "a.csv", f"{head}u,x,{early},1\nu,b,{late},5\nu,a,{early},5\n")
    loaded = Files(str(log), rating_column="stars", min_rating=4).load()
    assert rows_of(loaded) == {"u": ["a", "b"]}
    assert loaded.times.tolist() == [second, second]
    whole = write(tmp_path / "c.csv", f"{head}u,c,{second},5\n")
    both, parts = Files().load_parts(str(log), str(whole), None)
    before = late.startswith("-")  # what is before 1970 is cut towards it
    assert rows_of(both) == {"u": ["x", "a", "b", "c"] if before else ["c", "x", "a", "b"]}
    assert parts.tolist() == ([0, 0, 0, 1] if before else [1, 0, 0, 0])


def test_columns_may_be_called_by_numbers(tmp_path):
    path = str(write(tmp_path / "log.csv", "0,1,2\n5,6,9\n5,7,8\n"))
    columns = {"user_column": 0, "item_column": 1, "time_column": 2}
    items = {"items": path, "items_item_column": 1, "feature_columns": [2]}
    loaded = Files(path, **columns, **items).load()
    assert rows_of(loaded) == {5: [7, 6]}
    assert values_of(loaded, "2") == {6: ["9"], 7: ["8"]}


def test_a_file_without_a_header_of_another_separator_and_encoding(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes("1;알라딘;5\n1;7;6\n2;알라딘;1\n".encode("cp949"))
    options = {"separator": ";", "columns": ["user", "item", "time"], "encoding": "cp949"}
    assert rows_of(Files(str(path), **options).load()) == {1: ["알라딘", "7"], 2: ["알라딘"]}
    with pytest.raises(InputError, match=r"line 1: byte 0xbe is not UTF-8; .* data\.encoding"):
        Files(str(path), **options | {"encoding": None}).load()
    with pytest.raises(InputError, match=r"expected 2 values, found 3"):
        Files(str(path), **options | {"columns": ["user", "item"]}).load()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separator": ""}, r"data\.separator='': expected what stands between two values"),
        ({"separator": '"'}, r"data\.separator="),
        ({"columns": "user"}, r"data\.columns=user: expected the names of all columns"),
        ({"columns": ["user", "user"]}, r"data\.columns=.*: expected the names"),
        ({"encoding": "klingon"}, r"data\.encoding=klingon: Python knows no such encoding"),
        ({"encoding": "base64"}, r"data\.encoding=base64: Python knows no such"),
    ],
)
def test_a_wrong_layout(options, message):
    with pytest.raises(InputError, match=message):
        Files("log.csv", **options)


def test_a_header_is_not_read_as_a_row(tmp_path):
    log = write(tmp_path / "log.csv", "userId,movieId\n1,2\n3,4\n")
    files = Files(str(log), columns=["user", "item"])
    assert message(files.load) == (
        f"{log}, line 1: 'userId' and 'movieId' are names of columns, no ids: leave "
        "data.columns out, and name them by data.user_column, data.item_column"
    )
    for text in ("ann,2\n1,2\n3,4\n", "1,a\n1,2\n", "ann,x\nbob,2\n3,4\n"):
        write(log, text)
        assert files.load().num_interactions == text.count("\n")


def test_what_is_not_said_of_the_layout_is_not_in_the_identity(path):
    assert not {"separator", "columns", "encoding"} & set(Files(str(path)).identity()["options"])
    assert Files(str(path), separator=";").identity()["options"]["separator"] == ";"


def test_low_ratings_are_no_interactions(path):
    loaded = Files(path, rating_column="stars", min_rating=4).load()
    assert rows_of(loaded) == {"b": ["y", "x"]}
    assert loaded.submission_users.tolist() == ["b"]
    assert Files(path, rating_column="stars").load().num_interactions == 3


def test_ratings_of_32_bits_reach_a_threshold_with_decimals(tmp_path):
    """4.2 is 4.19999980926 there."""
    stars = pa.array([4.2, 4.1, 5.0, 1e-8, 2e38], pa.float32())
    log = {"user": [1, 1, 1, 1, 1], "item": [1, 2, 3, 4, 5], "stars": stars}
    pq.write_table(pa.table(log), tmp_path / "log.parquet")
    loaded = Files(str(tmp_path / "log.parquet"), rating_column="stars", min_rating=4.2).load()
    assert rows_of(loaded) == {1: [1, 3, 5]}


def test_wrong_ratings(path, tmp_path):
    assert message(Files, path, min_rating=4) == "data.min_rating=4 needs data.rating_column"
    assert "data.min_rating=good: expected a number" in message(
        Files(path, min_rating="good", rating_column="stars").load
    )
    assert message(Files(path, rating_column="rating", min_rating=4).load) == (
        f"{path} has no column 'rating': its columns are 'user', 'item', 'time', 'stars'; "
        "set data.rating_column"
    )
    assert message(Files(path, rating_column="stars", min_rating=6).load) == (
        "data.min_rating=6: no interactions left; the ratings run from 1 to 5"
    )
    write(tmp_path / "log.csv", TEXT.replace(",4\n", ",four\n"))
    assert message(Files(path, rating_column="stars", min_rating=4).load) == (
        f"{path}, line 4, column 'stars': expected a number, found 'four'"
    )


def test_no_path():
    assert "data.path is not set" in message(Files().load)


def test_the_template_fixes_the_users(path, tmp_path):
    template = write(tmp_path / "users.csv", "user\na\nz\na\n")
    loaded = Files(path, submission_template=str(template)).load()
    assert loaded.submission_users.tolist() == ["a", "z"]


def test_ids_agree_however_each_file_writes_its_integers(tmp_path, caplog):
    path = write(tmp_path / "log.csv", "user,item\n1,10\n1, 11 \n2,10\n2,11\n")
    items = write(tmp_path / "items.csv", "item,title\n10.0,Alpha\n11.0,Beta\n,none\n12.0,C\n")
    template = write(tmp_path / "users.csv", "user,item\n2.0,0\n1.0,0\n")
    loaded = Files(str(path), items=str(items), submission_template=str(template)).load()
    assert rows_of(loaded) == {1: [10, 11], 2: [10, 11]}
    assert loaded.titles.tolist() == ["Alpha", "Beta"]
    assert loaded.submission_users.tolist() == [2, 1]
    assert list(map(str, loaded.joins)) == [
        "2 of 2 users of data.submission_template are in the interactions (100 %)",
        "2 of 2 items of the interactions are in data.items (100 %)",
    ]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("zeros", ["007", "7.5", "u7"])
def test_ids_that_do_not_agree_are_said_loudly(tmp_path, caplog, zeros):
    path = write(tmp_path / "log.csv", "user,item\n7,7\n8,8\n")
    template = write(tmp_path / "users.csv", f"user\n{zeros}\n")
    items = write(tmp_path / "items.csv", f"item,title\n{zeros},A\n")
    loaded = Files(
        str(path),
        items=str(items),
        submission_template=str(template),
        cache_dir=str(tmp_path / "cache"),
    ).load()
    assert loaded.titles.tolist() == ["", ""]
    said = [
        f"only 0 of 1 users of data.submission_template are in the interactions (0 %): {zeros!r} "
        "is not, and '7' is only there. Check that both files write ids in the same way",
        f"only 0 of 2 items of the interactions are in data.items (0 %): '7' is not, and {zeros!r} "
        "is only there. Check that both files write ids in the same way",
    ]
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warned == said


def test_users_of_the_template_are_looked_up_among_those_that_are_left(path, tmp_path):
    template = str(write(tmp_path / "users.csv", "user\na\nb\nc\n"))
    chosen = {"rating_column": "stars", "min_rating": 4, "submission_template": template}
    (found,) = Files(path, **chosen).load().joins
    assert (found.found, found.total, found.missing) == (1, 3, "a")


def test_lightgcn_text(tmp_path):
    path = write(tmp_path / "train.txt", "0 5 3 \n2\n\n1 3\n0 9\n")
    loaded = Files(str(path)).load()
    assert rows_of(loaded) == {0: [5, 3, 9], 1: [3]}
    assert loaded.times is None
    write(tmp_path / "train.txt", "0\n1\n")
    assert "expected lines `user item item ...`" in message(Files(str(path)).load)
    write(tmp_path / "train.txt", "user,item\n1,2\n")
    assert "no column 'user': its columns are 'user,item'" in message(Files(str(path)).load)
