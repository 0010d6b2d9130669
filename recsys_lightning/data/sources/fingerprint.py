"""The SHA-256 of data files, each file read once: what the data is, wherever its copy stands.

A digest is remembered in the process and, for later ones, in a small file of the cache directory,
by the data file's absolute path, size and times of change. Several processes may do so at once, and
whatever is wrong with the cache costs the time to read the file again.
"""

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path

from recsys_lightning.writing import replacing

SETTLED = 2_000_000_000
"""Nanoseconds: of a file changed less than this ago, no digest is remembered. File systems tell
times of change to 4 ms, some to 2 s, so that two changes in a row may show the same time."""

_digests: dict[str, tuple[list[int], str]] = {}  # by path: the file's state, and its digest then


def sha256_of(path: Path, cache_dir: Path | None = None) -> str | None:
    """The SHA-256 of a file's content, in hexadecimal.

    Args:
        path: the file.
        cache_dir: where the digest is kept for later processes; None: nowhere.

    Returns:
        64 digits; None where there is no such file, or none that can be read: whoever needs it
        says so when reading it.

    >>> sha256_of(Path("no such file"))
    """
    try:
        if not path.is_file():
            return None  # a pipe would wait for ever
        with path.open("rb") as file:
            state = _state(os.fstat(file.fileno()))
            name = str(path.absolute())
            if found := _recall(name, state, cache_dir):
                return found
            started = time.time_ns()
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            unchanged = state == _state(os.fstat(file.fileno()))
    except OSError:
        return None
    if unchanged and started - max(state[1:]) > SETTLED:
        _digests[name] = (state, digest)
        if cache_dir is not None:
            note = json.dumps({"path": name, "state": state, "sha256": digest})
            # the encoded data goes to the same directory, and warns
            with suppress(OSError), replacing(_note(name, cache_dir)) as scratch:
                scratch.write_text(note)
    return digest


def _state(stat: os.stat_result) -> list[int]:
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _recall(name: str, state: list[int], cache_dir: Path | None) -> str | None:
    if name in _digests and _digests[name][0] == state:
        return _digests[name][1]
    if cache_dir is None:
        return None
    try:
        note = json.loads(_note(name, cache_dir).read_text())
        if [note["path"], note["state"]] == [name, state] and len(
            bytes.fromhex(note["sha256"])
        ) == 32:
            _digests[name] = (state, note["sha256"])
            return _digests[name][1]
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or a damaged one
        pass
    return None


def _note(name: str, cache_dir: Path) -> Path:
    return (
        cache_dir
        / f"{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:20]}.sha256"
    )
