"""What ends a command: the exceptions that are no bugs, and the exit codes."""

import signal
from collections.abc import Sequence
from typing import Any

FAILED, BAD_INPUT = 1, 2  # exit codes; an interruption has that of its signal


class InputError(ValueError):
    """Bad input: says which file, line, column or key, what was expected, and what to do.

    `run.py` prints the message alone and exits with 2.
    """


INTERRUPTED = "interrupted by"  # how the error of such a run begins


class Interrupted(BaseException):
    """A signal asked the process to end; see `interruption.signals_raise`.

    No `Exception`, so that nothing but the end of a command catches it; and no `KeyboardInterrupt`,
    which Lightning answers with `sys.exit(1)`.

    Attributes:
        code: exit code, 128 + the signal's number, as a shell has it: 130 for Ctrl-C.
        kept: what there is to resume from, once that is known.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"{INTERRUPTED} {signal.Signals(signal_number).name}")
        self.code = 128 + signal_number
        self.kept = ""


class Pruned(Exception):
    """A trial of a search was ended early; it is no failure."""


def check_range(
    key: str,
    value: float | None,
    *,
    low: float = float("-inf"),
    high: float = float("inf"),
    open_low: bool = False,
    open_high: bool = False,
    whole: bool = False,
    or_null: bool = False,
) -> None:
    """Refuse a number outside its range, an infinite one or none at all, naming its config key.

    `or_null`: None passes, for an option that sets itself.

    >>> check_range("model.l2", 500.0, low=0, open_low=True)
    >>> check_range("view.batch_size", 1, low=1, whole=True)
    >>> check_range("model.dropout", 1.0, low=0, high=1, open_high=True)
    Traceback (most recent call last):
        ...
    recsys_lightning.errors.InputError: model.dropout=1.0: expected a number in [0, 1)
    >>> check_range("patience", 0, low=1, whole=True, or_null=True)
    Traceback (most recent call last):
        ...
    recsys_lightning.errors.InputError: patience=0: expected a whole number in [1, inf) or null
    """
    if value is None and or_null:
        return
    inside = (
        isinstance(value, int if whole else int | float)
        and not isinstance(value, bool)
        and (value > low if open_low else value >= low)
        and (value < high if open_high else value <= high)
        and abs(value) != float("inf")
    )
    if not inside:
        left = "(" if open_low or low == float("-inf") else "["
        kind = "whole number" if whole else "number"
        right = ")" if open_high or high == float("inf") else "]"
        null = " or null" if or_null else ""
        raise InputError(
            f"{key}={value}: expected a {kind} in {left}{low:g}, {high:g}{right}{null}"
        )


def check_sizes(key: str, sizes: Any, *, empty: bool = False) -> None:
    """Refuse anything but a list of whole numbers from 1 on; no empty one either, unless `empty`.

    >>> check_sizes("model.hidden_dims", [600, 200])
    >>> check_sizes("model.hidden_dims", [600, 0])
    Traceback (most recent call last):
        ...
    recsys_lightning.errors.InputError: model.hidden_dims[1]=0: expected a whole number in [1, inf)
    """
    if not isinstance(sizes, Sequence) or isinstance(sizes, str) or not (sizes or empty):
        raise InputError(f"{key}={sizes}: expected a list of sizes, such as [600, 200]")
    for place, size in enumerate(sizes):
        check_range(f"{key}[{place}]", size, low=1, whole=True)
