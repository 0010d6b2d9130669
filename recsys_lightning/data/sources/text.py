"""Text files, packed or not, with what goes wrong on the way as an error that names the file."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from recsys_lightning.errors import InputError

PACKED = {  # how a file begins that is no text: what it is, and what to do
    b"\x1f\x8b": "is packed by gzip; name it so that it ends with .gz",
    b"PK\x03\x04": "is a zip archive, or a spreadsheet; unpack it, or save it as .csv",
    b"PAR1": "is a Parquet file; name it so that it ends with .parquet",
}


def text_layout(
    separator: str | None, columns: Sequence[str] | None, encoding: str | None
) -> tuple[str | None, list[str] | None, str | None]:
    """How text files are written, checked, as far as it is said.

    Raises:
        InputError: no text between values, no list of different names, or an unknown encoding.
    """
    if separator is not None and (not separator or set(str(separator)) & set('"\r\n')):
        raise InputError(
            f"data.separator={separator!r}: expected what stands between two values, such as ';'"
        )
    if columns is not None:
        if isinstance(columns, str) or not columns or len(set(columns)) < len(columns):
            raise InputError(
                f"data.columns={columns}: expected the names of all columns, such as "
                "[user, item, time]"
            )
        columns = [str(column) for column in columns]
    if encoding is not None:
        try:
            encoding = codecs.lookup(str(encoding)).name
            "a".encode(encoding)
        except (LookupError, ValueError):
            raise InputError(
                f"data.encoding={encoding}: Python knows no such encoding; cp949, cp1252 and "
                "utf-16 are some"
            ) from None
    utf8 = encoding in ("utf-8", "ascii")
    return None if separator is None else str(separator), columns, None if utf8 else encoding


def require_file(path: Path) -> None:
    """Refuse what cannot be read from its start, as often as needed: a pipe would wait for ever.

    Raises:
        InputError: no such file, a directory, a pipe or a device.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a directory, expected a file")
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_file():
        raise InputError(f"{path}: is a pipe or a device; save what it gives to a file")


def read_lines(path: Path, encoding: str | None = None) -> Iterator[str]:
    """The lines of a text file with their ends, unpacked if its name ends with `.gz`.

    Args:
        path: the file.
        encoding: of Python's; None: UTF-8, with a BOM or without.

    Raises:
        InputError: no such file, one that cannot be read, or bytes of another encoding.
    """
    try:
        with (
            _open(path) as file,
            io.TextIOWrapper(file, encoding or "utf-8-sig", newline="") as text,
        ):
            yield from text
    except UnicodeError:
        raise _of_another_encoding(path, encoding) from None


def read_bytes(path: Path) -> bytes:
    """The content of a text file, unpacked if its name ends with `.gz`, without its BOM.

    Raises:
        InputError: no such file, or one that cannot be read.
    """
    with _open(path) as file:
        return file.read().removeprefix(codecs.BOM_UTF8)


def read_blocks(path: Path) -> Iterator[bytes]:
    """The content of a file in blocks of 16 MiB, unpacked if its name ends with `.gz`.

    Raises:
        InputError: no such file, or one that cannot be read.
    """
    with _open(path) as file:
        while block := file.read(1 << 24):
            yield block


def read_as_utf8(path: Path, encoding: str) -> bytes:
    """The content of a text file of any encoding.

    Raises:
        InputError: no such file, one that cannot be read, or bytes of another encoding.
    """
    try:
        return read_bytes(path).decode(encoding).removeprefix("\ufeff").encode()
    except UnicodeError:
        raise _of_another_encoding(path, encoding) from None


def _of_another_encoding(path: Path, encoding: str | None) -> InputError:
    """Names the first line with bytes that are none of the encoding."""
    advice = "save the file as UTF-8, or give data=files its data.encoding"
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode(encoding or "utf-8")
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                name = encoding or "UTF-8"
                return InputError(
                    f"{path}, line {number}: byte 0x{byte:02x} is not {name}; {advice}"
                )
            except UnicodeError:
                break
    return InputError(f"{path}: is not {encoding or 'UTF-8'}; {advice}")


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """A file to read, with what goes wrong meanwhile as an InputError."""
    require_file(path)
    packed = path.suffix.lower() == ".gz"
    try:
        with (gzip.open if packed else open)(path, "rb") as file:
            begins = file.peek(4)
            for mark, what in PACKED.items():
                if begins.startswith(mark):
                    raise InputError(f"{path}: {what}")
            yield cast(BinaryIO, file)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    """What a library's error says, cut to one line."""
    return str(error).strip().split("\n")[0]
