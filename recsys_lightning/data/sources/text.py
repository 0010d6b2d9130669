"""Text files, packed or not, with what goes wrong on the way as an error that names the file."""

import codecs
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from recsys_lightning.errors import InputError


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file, unpacked if its name ends with `.gz`.

    Raises:
        InputError: no such file, one that cannot be read, or bytes that are not UTF-8.
    """
    try:
        with _open(path) as file:
            for number, line in enumerate(file, start=1):
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise InputError(
            f"{path}, line {number}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"
        ) from None


def read_bytes(path: Path) -> bytes:
    """The content of a text file, unpacked if its name ends with `.gz`, without its BOM.

    Raises:
        InputError: no such file, or one that cannot be read.
    """
    with _open(path) as file:
        return file.read().removeprefix(codecs.BOM_UTF8)


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """A file to read, with what goes wrong meanwhile as an InputError."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opened(path, "rb") as file:
            yield cast(BinaryIO, file)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a directory, expected a file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    """What a library's error says, cut to one line."""
    return str(error).strip().split("\n")[0]
