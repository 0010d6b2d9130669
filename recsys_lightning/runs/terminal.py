"""What is printed to a terminal."""

import io
import os
import sys
from typing import Any

from rich.console import Console
from rich.text import Text
from typing_extensions import override

# what moves the cursor, colours or rings; a tab and a line's end stay
_CONTROL = {code: None for code in [*range(32), *range(127, 160)] if chr(code) not in "\t\n"}


class Terminal(Console):
    r"""Prints text as it stands, since titles, ids and names of folders are not ours.

    `[/b]` is no markup and `:star:` no emoji; control characters are left out. What is ours to
    style is a `Text`, or has a `style=`.

    >>> Terminal().print("[rec] Alien\x1b[2J [/b] :star:")
    [rec] Alien[2J [/b] :star:
    """

    @override
    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(
            text.translate(_CONTROL), **(options | {"markup": False, "emoji": False})
        )


def print_to_nobody_if_need_be() -> None:
    """From here on a run does not end where nobody reads on, as in `| head`: it writes its files.

    Rich would end it without a word, from the progress bar of Lightning's, too.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
            stream.flush()
            lasting = io.BufferedWriter(_Lasting(stream.fileno(), "w", closefd=False))
            like = {
                option: getattr(stream, option)
                for option in ("encoding", "errors", "line_buffering", "write_through")
            }
            setattr(sys, name, io.TextIOWrapper(lasting, **like))


class _Lasting(io.FileIO):
    """A file that leads to nowhere once its reader has gone."""

    @override
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
            return memoryview(data).nbytes
