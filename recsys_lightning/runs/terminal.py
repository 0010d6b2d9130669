"""What is printed to a terminal."""

from contextlib import suppress
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
    def on_broken_pipe(self) -> None:
        """Nobody reads on, as in `| head`: a run goes on, and writes its files."""
        with suppress(SystemExit):  # which else ends it without a word
            super().on_broken_pipe()

    @override
    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(
            text.translate(_CONTROL), **(options | {"markup": False, "emoji": False})
        )
