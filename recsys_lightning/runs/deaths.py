"""What a run leaves that dies by a signal: a crash of native code, a kill, too little memory.

While it lives, a run holds the lock of `unfinished.json` in its folder, which says what it is; a
fatal signal writes the stack into `fault.log`. Both go when the run ends, well or not, with a
result.json. A file that nobody holds is of a run that died, and stands for its result.
"""

import faulthandler
import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import portalocker
from portalocker import AlreadyLocked, LockFlags

from recsys_lightning.errors import InputError
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.record import RunResult

# what Python's faulthandler writes of a signal
SIGNALS = {
    "Segmentation fault": "SIGSEGV",
    "Aborted": "SIGABRT",
    "Bus error": "SIGBUS",
    "Floating point exception": "SIGFPE",
    "Floating-point exception": "SIGFPE",
    "Illegal instruction": "SIGILL",
}
KILLED = (
    "killed without a word, as by SIGKILL: by the system because memory ran out, by hand, "
    "or together with another job"
)


@contextmanager
def leaving_word(folder: Path, result: RunResult) -> Iterator[None]:
    """Within it, a death by a signal leaves what `dead_run` reads.

    Args:
        folder: of the run.
        result: what result.json will say, as far as it is known.

    Raises:
        InputError: another run is at work in the folder.
    """
    elsewhere = faulthandler.is_enabled()
    files = RunFolder(folder)
    with files.unfinished.open("a+") as note:
        _lock(note, folder)
        note.truncate(0)
        note.write(json.dumps(result.to_json(), default=str))
        note.flush()
        fault = files.fault.open("w")
        faulthandler.enable(fault)
        try:
            yield
        finally:
            faulthandler.disable()
            fault.close()
            if elsewhere and sys.__stderr__:
                faulthandler.enable(sys.__stderr__)
            files.fault.unlink(missing_ok=True)
            files.unfinished.unlink(missing_ok=True)


def _lock(note: TextIO, folder: Path) -> None:
    for _ in range(20):
        try:
            portalocker.lock(note, LockFlags.EXCLUSIVE | LockFlags.NON_BLOCKING)
            return
        except AlreadyLocked:  # maybe by a reader, see `dead_run`, who is gone at once
            time.sleep(0.05)
    raise InputError(
        f"{folder}: another run is at work in this folder; wait for its end, or give another "
        "hydra.run.dir"
    )


def dead_run(folder: Path) -> RunResult | None:
    """The result of a run that died: `failed`, with the signal; None if it lives or left no word.

    Args:
        folder: of a run without a result.json.
    """
    try:
        with RunFolder(folder).unfinished.open() as note:
            portalocker.lock(note, LockFlags.SHARED | LockFlags.NON_BLOCKING)
            result = RunResult.from_json(json.load(note))
    except (AlreadyLocked, OSError, ValueError, TypeError):
        return None
    return replace(result, status="failed", error=_cause(RunFolder(folder).fault))


def _cause(fault: Path) -> str:
    text = ""
    with suppress(OSError):
        text = fault.read_text(errors="replace")
    [first, *_] = text.splitlines() or [""]
    name = first.removeprefix("Fatal Python error: ")
    if name not in SIGNALS:
        return f"no result: {KILLED}"
    current = text.partition("Current thread")[2] or text
    at = re.search(r'^  File "(.*)", line (\d+) in (.*)$', current, re.MULTILINE)
    where = f" at {at[1]}, line {at[2]}, in {at[3]}" if at else ""
    return f"no result: died by {SIGNALS[name]} ({name.lower()}){where}; see {fault}"
