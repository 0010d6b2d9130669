"""The folder of a run, or of an ensemble: where each of its files stands."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_lightning.writing import replacing

RESULT = "result.json"
ENSEMBLE = "ensemble.json"  # of an ensemble, which may stand in a sweep's folder
UNFINISHED = "unfinished.json"
SUBMISSION = "submission.csv"
METRICS = "metrics.csv"
STAGES = ("valid", "test", "final")  # of the lists


@dataclass(frozen=True)
class RunFolder:
    """Where the files of a run stand.

    Attributes:
        path: the folder.

    >>> str(RunFolder(Path("outputs/ease")).candidates("valid"))
    'outputs/ease/candidates/valid.parquet'
    """

    path: Path

    @property
    def result(self) -> Path:
        """What the run found, written last: `runs.record.RunResult`."""
        return self.path / RESULT

    @property
    def ensemble(self) -> Path:
        """What an ensemble found: `runs.record.EnsembleResult`."""
        return self.path / ENSEMBLE

    @property
    def unfinished(self) -> Path:
        """What is known of the result of a run that has not ended, or that died."""
        return self.path / UNFINISHED

    @property
    def fault(self) -> Path:
        """Where a fatal signal writes the stack."""
        return self.path / "fault.log"

    @property
    def submission(self) -> Path:
        """K items a user."""
        return self.path / SUBMISSION

    @property
    def metrics(self) -> Path:
        """Metrics of every epoch, by `logger=csv`."""
        return self.path / METRICS

    @property
    def tensorboard(self) -> Path:
        """Event files, by `logger=tensorboard`."""
        return self.path / "tensorboard"

    @property
    def all_candidates(self) -> Path:
        """The folder of the ranked lists."""
        return self.path / "candidates"

    def candidates(self, stage: str) -> Path:
        """Ranked lists of a stage, one of `STAGES`."""
        return self.all_candidates / f"{stage}.parquet"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The checkpoint that was evaluated."""
        return self.checkpoints / "best.ckpt"

    @property
    def last(self) -> Path:
        """The checkpoint that an interrupted fit resumes from."""
        return self.checkpoints / "last.ckpt"

    @property
    def final(self) -> Path:
        """The checkpoint of the model that was fitted again on everything."""
        return self.checkpoints / "final.ckpt"

    @property
    def large(self) -> tuple[Path, ...]:
        """What a sweep keeps of its best runs only."""
        return self.all_candidates, self.checkpoints, self.submission


def relative(path: Path, base: Path) -> str:
    """A path as a file in `base` names it: from there, or absolute if it is not below.

    >>> relative(Path("multirun/a/0_ease"), Path("multirun/a"))
    '0_ease'
    """
    path, base = path.resolve(), base.resolve()
    return str(path.relative_to(base) if path.is_relative_to(base) else path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON (no NaN) atomically."""
    with replacing(path) as scratch:
        scratch.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
