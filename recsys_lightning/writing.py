"""Files and folders that are written whole or not at all, whatever ends the process meanwhile."""

import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` for a file that takes its place only if all goes well.

    So a reader, or a rerun after a kill, never sees half a file. The folder is made if missing.

    Raises:
        OSError: it cannot be written.
    """
    scratch = _scratch(path)
    try:
        yield scratch
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def making_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that becomes it if all goes well.

    Where another process has made it in the meantime, that one stays.

    Raises:
        OSError: it cannot be written.
    """
    scratch = _scratch(path)
    scratch.mkdir()
    try:
        yield scratch
        try:
            scratch.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def clear_left(folder: Path, pattern: str = ".*.tmp") -> None:
    """Delete what writers of this machine that are dead left half-written in a folder.

    Args:
        folder: where; it need not exist.
        pattern: of the names; `**/.*.tmp` looks below it, too.
    """
    here = platform.node()
    for left in folder.glob(pattern):
        written_by = re.fullmatch(r"\..*\.(\d+)@(.*)\.\w{8}\.tmp", left.name)
        if written_by and written_by[2] == here and not psutil.pid_exists(int(written_by[1])):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _scratch(path: Path) -> Path:
    """A name beside `path`; the folder is made if missing, and rid of what dead writers left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_left(path.parent)
    writer = f"{os.getpid()}@{platform.node()}"
    return path.with_name(f".{path.name}.{writer}.{uuid4().hex[:8]}.tmp")
