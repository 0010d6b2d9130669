"""What a run leaves that dies by a signal: a crash of native code, a kill, too little memory.

While it lives, a run holds the lock of `unfinished.json` in its folder, which says what it is; a
fatal signal writes the stack into `fault.log`. Both go when the run ends, well or not, with a
result.json. A file that nobody holds is of a run that died, and stands for its result.
"""

import faulthandler
import fcntl
import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

UNFINISHED, FAULT = "unfinished.json", "fault.log"

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
def leaving_word(folder: Path, result: Mapping[str, Any]) -> Iterator[None]:
    """Within it, a death by a signal is told to `dead_run`.

    Args:
        folder: of the run.
        result: what result.json will say, as far as it is known.
    """
    elsewhere = faulthandler.is_enabled()
    with (folder / UNFINISHED).open("a+") as note, (folder / FAULT).open("w") as fault:
        with suppress(BlockingIOError):  # of another run in the same folder
            fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
        note.truncate(0)
        note.write(json.dumps(result, default=str))
        note.flush()
        faulthandler.enable(fault)
        try:
            yield
        finally:
            faulthandler.disable()
            if elsewhere and sys.__stderr__:
                faulthandler.enable(sys.__stderr__)
            (folder / FAULT).unlink(missing_ok=True)
            (folder / UNFINISHED).unlink(missing_ok=True)


def dead_run(folder: Path) -> dict[str, Any] | None:
    """The result of a run that died: `failed`, with the signal; None if it is alive, or has ended.

    Args:
        folder: of a run without a result.json.
    """
    try:
        with (folder / UNFINISHED).open() as note:
            fcntl.flock(note, fcntl.LOCK_SH | fcntl.LOCK_NB)
            result: dict[str, Any] = json.load(note)
    except (OSError, json.JSONDecodeError):  # it is alive; or has ended; or was not yet begun
        return None
    return result | {"status": "failed", "error": _cause(folder)}


def _cause(folder: Path) -> str:
    text = ""
    with suppress(OSError):
        text = (folder / FAULT).read_text(errors="replace")
    [first, *_] = text.splitlines() or [""]
    name = first.removeprefix("Fatal Python error: ")
    if name not in SIGNALS:
        return f"no result: {KILLED}"
    current = text.partition("Current thread")[2] or text
    at = re.search(r'^  File "(.*)", line (\d+) in (.*)$', current, re.MULTILINE)
    where = f" at {at[1]}, line {at[2]}, in {at[3]}" if at else ""
    return f"no result: died by {SIGNALS[name]} ({name.lower()}){where}; see {folder / FAULT}"
