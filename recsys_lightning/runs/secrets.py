r"""Passwords in addresses: used as they are, and never written, sent or printed.

`//user:password@host` and `?password=...` may stand on the command line, in a YAML file or in an
environment variable. What Hydra and its launchers write and pass on holds the name of an
environment variable instead, which workers inherit; all else holds `***`.
"""

import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from typing_extensions import override

VARIABLE = "RECSYS_LIGHTNING_PASSWORD_"

# `//user:password@`, up to the last @ as clients read it, but no `//host:port/...@`; `?password=`
PASSWORD = re.compile(
    r"""(//[^/\s:@'"]*:(?!\d+/)(?=[^\s'"]+@)|[?&;](?:password|passwd|pwd|token)=)"""
    r"""((?<=:)[^\s'"]+(?=@)|(?<==)[^&;\s'"]+)"""
)


def mask(text: str) -> str:
    """A text without the passwords of the addresses in it.

    >>> mask("cannot open postgresql://me:s3cret@db.example.org:5432/studies")
    'cannot open postgresql://me:***@db.example.org:5432/studies'
    >>> mask("http://127.0.0.1:5000/a@b and sqlite:///study.db")
    'http://127.0.0.1:5000/a@b and sqlite:///study.db'
    """
    return PASSWORD.sub(r"\1***", text)


def masked(value: Any) -> Any:
    """Plain Python, such as a configuration, with every text masked.

    >>> masked({"logger": {"uri": "http://me:s3cret@host"}, "seed": 1, "k": ["a", 10]})
    {'logger': {'uri': 'http://me:***@host'}, 'seed': 1, 'k': ['a', 10]}
    """
    return _in_texts(value, mask)


def hide(text: str) -> str:
    """A text of a configuration whose passwords OmegaConf reads from environment variables.

    >>> hide("logger.mlflow.tracking_uri=http://me:s3cret@host:5000")
    'logger.mlflow.tracking_uri=http://me:${oc.env:RECSYS_LIGHTNING_PASSWORD_1}@host:5000'
    >>> os.environ.pop("RECSYS_LIGHTNING_PASSWORD_1")
    's3cret'
    """
    return PASSWORD.sub(lambda found: found[1] + _reference(found[2]), text)


def hide_in_files(folder: Path) -> None:
    """Hide the passwords in the YAML files of a folder."""
    for path in folder.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        if (hidden := hide(text)) != text:
            path.write_text(hidden, encoding="utf-8")


class MaskingFormatter(logging.Formatter):
    """Masks all of a log record, tracebacks too."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


def _reference(password: str) -> str:
    """`${oc.env:...}` of a variable that holds the password; itself if it is one already."""
    if password.startswith("${"):
        return password
    number = 1
    while os.environ.setdefault(f"{VARIABLE}{number}", password) != password:
        number += 1
    return f"${{oc.env:{VARIABLE}{number}}}"


def _in_texts(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _in_texts(inner, change) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_in_texts(inner, change) for inner in value]
    return value
