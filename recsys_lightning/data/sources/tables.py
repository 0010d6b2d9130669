"""CSV, TSV and Parquet files as columns of ids, times, numbers and text; errors name the line.

Ids are always read as text, so `007` and `7` stay apart; `encoding.plain` says what is one id.
pyarrow reads with all cores and cannot say where a bad value stands: only then is the file read
again, slowly, to find the line.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.interactions import SUBMISSION_COLUMNS
from recsys_lightning.data.sources import values
from recsys_lightning.data.sources.encoding import MISSING, Ids, plain
from recsys_lightning.data.sources.text import (
    first_line,
    read_as_utf8,
    read_blocks,
    read_lines,
    require_file,
)
from recsys_lightning.errors import InputError
from recsys_lightning.interruption import import_pandas

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = {
    ".csv": ",",
    **dict.fromkeys((".tsv", ".txt", ".dat", ".inter", ".item"), "\t"),
    ".parquet": "parquet",
}
SEPARATORS = (";", "\t", "|", ",", " ")
BETWEEN = "\x1f"  # for a delimiter of several characters: the one that ASCII has for this
Converted = TypeVar("Converted")


class Format(NamedTuple):
    """How a text file is written.

    Attributes:
        delimiter: between two values; may be longer than one character (`::`).
        quoted: a value may stand in double quotes.
        names: the columns of a file without a header line; None: the first line names them.
        encoding: of Python's; None: UTF-8.
    """

    delimiter: str
    quoted: bool = True
    names: tuple[str, ...] | None = None
    encoding: str | None = None


def extension(path: Path) -> str:
    """What a file's name says of its format.

    >>> extension(Path("log.2024.CSV.gz")), extension(Path("log"))
    ('.csv', '')
    """
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    return suffixes[-1] if suffixes else ""


def format_of(
    path: Path,
    delimiter: str | None = None,
    names: Sequence[str] | None = None,
    encoding: str | None = None,
) -> Format | None:
    """A file's format by its name, `.gz` aside; None for Parquet.

    Args:
        path: the file.
        delimiter: between two values; None: by the name.
        names: as in `Format`.
        encoding: as in `Format`.

    Raises:
        InputError: an extension that says nothing.
    """
    usual = SUFFIXES.get(extension(path))
    if usual is None:
        raise InputError(f"{path}: expected a file named {', '.join(SUFFIXES)} (or .csv.gz)")
    if usual == "parquet":
        return None
    return Format(
        delimiter or usual, names=None if names is None else tuple(names), encoding=encoding
    )


class NoRows(InputError):
    """A file has none, beside its header."""


@dataclass(frozen=True)
class Table:
    """Columns of one file.

    Attributes:
        path: the file.
        format: None for Parquet.
        data: the columns; ids and all else as text, but for Parquet.
    """

    path: Path
    format: Format | None
    data: "pa.Table"

    def ids(self, name: str) -> Ids:
        """A column of ids.

        Raises:
            InputError: an empty id, or one that is neither text nor a whole number.
        """
        import pyarrow as pa

        column = self.data[name]
        if self.format is None and pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)  # whose values may stand in any order
        kind = column.type
        if pa.types.is_floating(kind):  # how pandas writes integers beside a missing one
            column = self._convert(name, values.whole, "a whole number")
        elif pa.types.is_decimal(kind):  # a database's integers
            column = self._convert(name, values.whole_decimal, "a whole number")
        elif not (
            pa.types.is_integer(kind)
            or pa.types.is_dictionary(kind)
            or pa.types.is_string(kind)
            or pa.types.is_large_string(kind)
        ):
            raise InputError(f"{self.path}: column '{name}' holds {kind}; ids are text or integers")
        if column.null_count:
            raise self._wrong(int(np.argmax(column.is_null().to_numpy())), name, "an id")
        if not pa.types.is_dictionary(kind):
            column = column.dictionary_encode()
        column = column.unify_dictionaries().combine_chunks()
        codes = column.indices.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
        written = column.dictionary.cast(pa.string()).to_pylist()
        names = plain(written)
        for code, value in enumerate(names):
            if value in MISSING or "\0" in value:
                raise self._wrong(int(np.argmax(codes == code)), name, "an id")
            if len(value) < len(written[code].strip()) and abs(int(value)) >= values.EXACT:
                raise self._wrong(int(np.argmax(codes == code)), name, values.EXACT_ID)
        distinct = {value: code for code, value in enumerate(dict.fromkeys(names))}
        if len(distinct) < len(names):  # `7` and ` 7`
            codes = np.array([distinct[value] for value in names], dtype=np.int32)[codes]
        return Ids(codes, list(distinct))

    def times(self, name: str) -> values.Times:
        """Seconds; from integers, floats, timestamps and dates, ISO 8601 as text too."""
        return self._convert(name, values.times, "seconds or an ISO 8601 time")

    def numbers(self, name: str) -> NDArray[np.float64]:
        """(N,) float64."""
        return self._convert(name, values.numbers, "a number")

    def texts(self, name: str) -> list[str]:
        """(N,) stripped text, empty where there is none; `2000` for 2000.0, lists as JSON."""
        return [values.text(value) for value in self.data[name].to_pylist()]

    def rows(self, item: str, *names: str) -> list[tuple[str, ...]]:
        """An id, empty where there is none, and the `texts` of some columns, row by row."""
        columns = [self.texts(name) for name in names]
        return list(zip(plain(self.texts(item)), *columns, strict=True))

    def where(self, row: int) -> str:
        """Where a row stands, as an error names it."""
        if self.format is None:
            return f"{self.path}, row {row + 1}"
        for number, (line, _) in enumerate(_scan(self.path, self.format)):
            if number == row + (self.format.names is None):
                return f"{self.path}, line {line}"
        return str(self.path)

    def _convert(
        self, name: str, convert: Callable[["pa.ChunkedArray"], Converted], expected: str
    ) -> Converted:
        """A whole column at once; if that fails, the first value to blame is found by bisection."""
        column = self.data[name]
        try:
            return convert(column)
        except values.Misfit as error:
            raise self._wrong(error.row, name, error.expected) from None
        except (ValueError, NotImplementedError):
            pass
        good, bad = 0, len(column)  # lengths that convert, and that do not
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                convert(column[:middle])
                good = middle
            except (ValueError, NotImplementedError):
                bad = middle
        raise self._wrong(good, name, expected)

    def _wrong(self, row: int, name: str, expected: str) -> InputError:
        value = self.data[name][row].as_py()
        found = "nothing" if value is None or value == "" else repr(value)
        return InputError(f"{self.where(row)}, column '{name}': expected {expected}, found {found}")


def read_table(
    path: Path,
    ids: Sequence[str] = (),
    texts: Sequence[str] = (),
    format: Format | None = None,
    keys: Mapping[str, str] | None = None,
) -> Table:
    """Some columns of one file.

    Args:
        path: the file.
        ids: columns that hold ids; with them a row is a line, so that a quote which is not closed
            cannot swallow rows.
        texts: other columns.
        format: None: by the file's name.
        keys: the config key that names a column, for the errors.

    Raises:
        NoRows: the file has none.
        InputError: no such file, no such column, or an unreadable file.
    """
    import_pandas()
    format = format or format_of(path)
    _require(path, column_names(path, format), [*ids, *texts], keys or {})
    if format is None:
        data = _read_parquet(path, [*ids, *texts])
    else:
        data = _read_text(path, format, ids, texts)
    if not data.num_rows:
        raise NoRows(f"{path}: has no rows")
    return Table(path, format, data)


def column_names(path: Path, format: Format | None) -> list[str]:
    """The columns of a file.

    Raises:
        InputError: no such file, an empty file, or an unreadable one.
    """
    require_file(path)
    if format is None:
        return _parquet(path).schema_arrow.names
    first = next(_scan(path, format), None)
    if first is None:
        raise InputError(f"{path}: is empty")
    return list(format.names or first[1])


def submission_columns(template: Path, format: Format | None, users: str) -> Sequence[str]:
    """The columns of a submission: those of a template that has two, that of the users first."""
    names = column_names(template, format)
    return names if len(names) == 2 and names[0] == users else SUBMISSION_COLUMNS


def time_column(names: Sequence[str]) -> str | None:
    """The column of times by its name: `time` before `timestamp`, also as RecBole writes it.

    >>> time_column(["user_id:token", "timestamp:float"]), time_column(["Time", "when"])
    ('timestamp:float', 'Time')
    """
    plain = {name.partition(":")[0].lower(): name for name in names}
    return plain.get("time", plain.get("timestamp"))


def _require(
    path: Path, names: Sequence[str], wanted: Sequence[str], keys: Mapping[str, str]
) -> None:
    for name in wanted:
        if names.count(name) != 1:
            found = "has no" if name not in names else "has more than one"
            there = ", ".join(map(repr, names))
            advice = f"; set {_key_for(names, keys[name])}" if name in keys else ""
            raise InputError(f"{path} {found} column '{name}': its columns are {there}{advice}")


def _key_for(names: Sequence[str], key: str) -> str:
    """The key that most likely names the column, or separates or names all of them."""
    other = [mark for mark in SEPARATORS if len(names) == 1 and mark in names[0]]
    if other:  # as typed in a shell, with Hydra's own quotes
        dollar, mark = ("$", "\\t") if other[0] == "\t" else ("", other[0])
        return f"{dollar}'data.separator=\"{mark}\"'"
    if all(re.fullmatch(r"\s*-?[0-9.]+\s*", name) for name in names):
        return f"{key}, or data.columns=[...] where the first line holds values and no names"
    return key


def _read_text(path: Path, format: Format, ids: Sequence[str], texts: Sequence[str]) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import csv as arrow

    source: Any = str(path)
    delimiter = format.delimiter
    if len(delimiter) > 1 or format.encoding:  # Arrow splits at one character, and reads UTF-8
        content = read_as_utf8(path, format.encoding or "utf-8")
        if len(delimiter) > 1:
            content, delimiter = content.replace(delimiter.encode(), BETWEEN.encode()), BETWEEN
        source = pa.BufferReader(content)
    types = {name: pa.string() for name in texts}
    types.update({name: pa.dictionary(pa.int32(), pa.string()) for name in ids})
    try:
        table = arrow.read_csv(
            source,
            read_options=arrow.ReadOptions(column_names=format.names),
            parse_options=arrow.ParseOptions(
                delimiter=delimiter,
                quote_char='"' if format.quoted else False,
                newlines_in_values=format.quoted,
            ),
            convert_options=arrow.ConvertOptions(include_columns=list(types), column_types=types),
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(_explain(path, format) or f"{path}: {first_line(error)}") from None
    if format.quoted:
        if ids:
            _require_row_a_line(path, format, table.num_rows)
        else:
            _require_no_rows_within(path, format, delimiter, table)
    return table


def _require_no_rows_within(path: Path, format: Format, delimiter: str, table: "pa.Table") -> None:
    """Refuse a value that goes on to a line with a delimiter: a quote is not closed, most likely.

    A line break alone is fine: a title may have two lines.
    """
    from pyarrow import compute

    of_rows = rf"[\r\n][^\r\n]*{re.escape(delimiter)}"
    for name in table.column_names:
        within = compute.match_substring_regex(table[name], of_rows)
        if not compute.any(within).as_py():
            continue
        value = table[name][compute.index(within, True).as_py()].as_py()
        last = next(line for line, row in _scan(path, format) if value in row)
        first = last - len(value.splitlines()) + 1
        raise InputError(
            f"{path}, line {first}, column '{name}': a quote opens a value that goes on to line "
            f"{last}: close the quote, or write it twice; a text that has such lines must be on one"
        )


def _require_row_a_line(path: Path, format: Format, num_rows: int) -> None:
    """Refuse a value that holds a line break: a quote is not closed, most likely.

    Only the file's lines are counted, unless they are more than its rows.
    """
    if format.encoding:
        blocks: Iterable[bytes] = [read_as_utf8(path, format.encoding)]
    else:
        blocks = read_blocks(path)
    num_lines, at_start, has_quotes = 0, True, False
    for block in blocks:
        has_quotes |= b'"' in block
        text = np.frombuffer(block, np.uint8)
        is_end = (text == ord("\n")) | (text == ord("\r"))
        starts = ~is_end & np.concatenate([[at_start], is_end[:-1]])
        num_lines += int(np.count_nonzero(starts))
        at_start = bool(is_end[-1])
    if not has_quotes or num_lines == num_rows + (format.names is None):
        return
    for line, row in _scan(path, format):
        breaks = len("".join(row).replace("\r\n", "\n").replace("\r", "\n").split("\n")) - 1
        if breaks:
            raise InputError(
                f"{path}, line {line - breaks}: a quote opens a value that goes on to line {line}; "
                "a row must be a line here: close the quote, or write it twice"
            )


def _explain(path: Path, format: Format) -> str | None:
    """The first line without as many values as there are columns; the scan finds bad bytes."""
    width = None if format.names is None else len(format.names)
    for line, row in _scan(path, format):
        width = width or len(row)
        if len(row) != width:
            return f"{path}, line {line}: expected {width} values, found {len(row)}"
    return None


def _scan(path: Path, format: Format) -> Iterator[tuple[int, list[str]]]:
    """Every line that is not blank, header included, with its number from 1."""
    lines, delimiter = read_lines(path, format.encoding), format.delimiter
    if len(delimiter) > 1:
        lines = (line.replace(format.delimiter, BETWEEN) for line in lines)
        delimiter = BETWEEN
    reader = csv.reader(
        lines,
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if format.quoted else csv.QUOTE_NONE,
    )
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from None


def _parquet(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: is not a readable Parquet file: {first_line(error)}") from None


def _read_parquet(path: Path, columns: Sequence[str]) -> "pa.Table":
    import pyarrow as pa

    try:
        return _parquet(path).read(columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: is not a readable Parquet file: {first_line(error)}") from None
