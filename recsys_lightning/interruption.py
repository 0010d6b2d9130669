"""Signals that end a process, at any stage: one exception, caught where a command ends."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType

from recsys_lightning.errors import Interrupted

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP


@contextmanager
def signals_raise() -> Iterator[None]:
    """Inside, Ctrl-C, SIGTERM and SIGHUP raise `Interrupted` in the main thread.

    A signal that the parent has set to be ignored, as nohup does, stays ignored. In another thread,
    where no handler can be set, nothing is done.

    What is raised in the middle of a library can be lost there: in an import that Arrow tries, a
    callback of ctypes, a destructor. Then it is raised when the block has ended.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in earlier.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, _raise)
    _held.raised = None
    try:
        yield
        if _held.raised is not None:
            raise Interrupted(_held.raised)
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


@contextmanager
def signals_wait() -> Iterator[None]:
    """Inside, a signal waits: what others write here, in several steps, is written whole."""
    _held.depth += 1
    try:
        yield
    finally:
        _held.depth -= 1
        if not _held.depth and _held.number is not None:
            number, _held.number = _held.number, None
            _held.raised = number
            raise Interrupted(number)


def import_pandas() -> None:
    """What Arrow does at the first `to_numpy`; a signal would be lost in there."""
    with signals_wait():
        import_module("pandas")


def signals_kill() -> None:
    """From here on a signal ends the process at once: it is ending already."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)


class _Held:
    """The signal that waits, within how many `signals_wait` it does, and the last that did not."""

    depth = 0
    number: int | None = None
    raised: int | None = None


_held = _Held()


def _raise(number: int, frame: FrameType | None) -> None:
    if _held.depth:
        _held.number = number
        return
    _held.raised = number
    raise Interrupted(number)
