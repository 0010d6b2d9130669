"""One command from its start to its exit code, for those whom Hydra calls in between."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from recsys_lightning.errors import FAILED


@dataclass
class Session:
    """What jobs and Hydra's callback say to `run.py`: a job never raises, or a sweep would stop.

    Attributes:
        exit_codes: of the jobs that failed in this process.
        sweep: folder of the multirun; None in a single run.
        config: of the multirun, without what it varies.
        lock: of the folder, kept until the command ends.
        sweep_code: a failure's, unless the end of the sweep says otherwise.
    """

    exit_codes: list[int] = field(default_factory=list)
    sweep: Path | None = None
    config: Any = None
    lock: TextIO | None = None
    sweep_code: int = FAILED

    @property
    def exit_code(self) -> int:
        """Of the command, where nothing was raised."""
        return max(self.exit_codes, default=0) if self.sweep is None else self.sweep_code


_current: ContextVar[Session] = ContextVar("session")


@contextmanager
def new_session() -> Iterator[Session]:
    """Inside, `session` returns this one."""
    token = _current.set(Session())
    try:
        yield _current.get()
    finally:
        _current.reset(token)


def session() -> Session:
    """That of the command; a new one in a worker process, whose parent reads results on disk."""
    return _current.get(None) or Session()
