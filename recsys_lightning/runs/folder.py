"""The folder of a run: names of its files, and writing them whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys_lightning.writing import replacing


def relative(path: Path, base: Path) -> str:
    """A path as told in a file in `base`: from there, or absolute if it is not below.

    >>> relative(Path("multirun/a/0_ease"), Path("multirun/a"))
    '0_ease'
    """
    path, base = path.resolve(), base.resolve()
    return str(path.relative_to(base) if path.is_relative_to(base) else path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON (no NaN) atomically."""
    with replacing(path) as scratch:
        scratch.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


ENSEMBLE_FILE = "ensemble.json"  # in the folder of an ensemble: a sweep's, or another
KEPT_OF_THE_BEST = ("candidates", "checkpoints", "submission.csv")  # the large ones


def read_json(path: Path) -> dict[str, Any]:
    """The content of a result.json or ensemble.json."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content
