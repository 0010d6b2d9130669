"""What is read of a text file is what Python's own csv reader reads; or it is refused."""

import csv
import gzip
import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lightning.data.sources.files import Files
from recsys_lightning.errors import InputError

FEW = settings(max_examples=150, derandomize=True, deadline=None)
MANY = settings(max_examples=5_000, deadline=None)  # others each time
MISSING = {"", "nan", "NaN", "null", "NULL", "None"}

separators = st.sampled_from([",", ";", "\t", "|", "::", " "])
encodings = st.sampled_from([None, "utf-8-sig", "cp949", "cp1252", "utf-16"])
ends = st.sampled_from(["\n", "\r\n", "\r"])
ids = st.one_of(
    st.integers(-3, 40).map(str),
    st.sampled_from(["7.0", "007", " 7", "7 ", "1.5", "1e3", "é", "a b", "a,b", "a;b", 'say "hi"']),
    st.sampled_from(["'", '"', '""', "#", "\\", "\\N", "NA", "None", "nan", "", " ", "0x1", "-0"]),
    st.text("ab1 \t,;|:'\"\\é", max_size=4),
)
tables = st.lists(st.tuples(ids, ids), min_size=1, max_size=8)
soup = st.text("ab12,;\t|\"'\n\r \\é", max_size=60)


def expected(rows):
    """{user: items in order, each once} below the header; None where it is no table."""
    header, *lines = [row for row in rows if row] or [[]]
    columns = [header.index(name) for name in ("user", "item") if header.count(name) == 1]
    if len(columns) < 2 or not lines or any(len(line) != len(header) for line in lines):
        return None
    users, items = (canonical([line[column] for line in lines]) for column in columns)
    if MISSING & {*users, *items} or any(re.search(r"[\r\n\0]", value) for value in users + items):
        return None
    found = {}
    for user, item in zip(users, items, strict=True):
        found.setdefault(user, {})[item] = None
    return {user: list(items) for user, items in found.items()}


def canonical(column):
    """Blanks around an id are not its own; whole numbers are integers where all of them are."""
    stripped = [value.strip() for value in column]
    numbers = [re.fullmatch(r"(0|-?[1-9][0-9]*)(\.0+)?", value) for value in stripped]
    whole = all(number or value in MISSING for number, value in zip(numbers, stripped, strict=True))
    return [value.partition(".")[0] for value in stripped] if whole else stripped


def read(path, **options):
    x = Files(str(path), time_column=None, **options).load()
    return {
        str(user): [str(item) for item in x.items[x.indices[start:end]].tolist()]
        for user, start, end in zip(x.users.tolist(), x.indptr, x.indptr[1:], strict=False)
    }


def right_or_refused(path, text, separator, encoding, packed=False, is_plain=False):
    data = text.encode(encoding or "utf-8")
    path = path / ("log.csv.gz" if packed else "log.csv")
    path.write_bytes(gzip.compress(data) if packed else data)
    for_python = text
    mark = separator or ","
    if len(mark) > 1:
        for_python, mark = text.replace(mark, "\x1f"), "\x1f"
    try:
        wanted = expected(list(csv.reader(io.StringIO(for_python, newline=""), delimiter=mark)))
    except csv.Error:
        wanted = None
    given_encoding = None if encoding == "utf-8-sig" else encoding
    try:
        found = read(path, separator=separator, encoding=given_encoding)
    except InputError as refusal:
        found = refusal
    if isinstance(found, InputError):
        assert "\n" not in str(found)
        assert wanted is None or not is_plain, f"refused: {found}"
    else:
        assert found == wanted


def written(rows, separator, end, quoting, names=("user", "item")):
    """A table as csv.writer writes it, also between separators that it has not."""
    mark = separator if len(separator) == 1 else "\x1f"
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=mark, lineterminator=end, quoting=quoting).writerows([names, *rows])
    return text.getvalue().replace(mark, separator)


def is_written_by(encoding, rows):
    try:
        "".join(value for row in rows for value in row).encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def check_tables(path, rows, separator, encoding, end, quoting, packed):
    if not is_written_by(encoding, rows):
        encoding = None
    if len(separator) > 1:  # which csv.writer does not know that it must quote
        rows = [tuple(value.replace(":", "") for value in row) for row in rows]
    text = written(rows, separator, end, quoting)
    right_or_refused(path, text, separator, encoding, packed, is_plain=True)


every_table = given(
    st.tuples(
        tables,
        separators,
        encodings,
        ends,
        st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
        st.booleans(),
    )
)
every_soup = given(
    st.sampled_from(["", "user,item\n", 'user,item\r\n1,2\r\n"3",4\n']), soup, st.booleans()
)


@FEW
@every_table
def test_tables(tmp_path_factory, written):
    check_tables(tmp_path_factory.mktemp("table"), *written)


@FEW
@every_soup
def test_soup(tmp_path_factory, begin, text, is_semicolon):
    check_soup(tmp_path_factory.mktemp("soup"), begin, text, is_semicolon)


def check_soup(path, begin, text, is_semicolon):
    separator = ";" if is_semicolon else None
    text = (begin + text).replace(",", ";") if is_semicolon else begin + text
    right_or_refused(path, text, separator, None)


@pytest.mark.slow
@MANY
@every_table
def test_many_tables(tmp_path_factory, written):
    check_tables(tmp_path_factory.mktemp("table"), *written)


@pytest.mark.slow
@MANY
@every_soup
def test_many_soups(tmp_path_factory, begin, text, is_semicolon):
    check_soup(tmp_path_factory.mktemp("soup"), begin, text, is_semicolon)
