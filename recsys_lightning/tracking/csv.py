"""`logger=csv`."""

import csv
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typing_extensions import override

from recsys_lightning.interruption import signals_wait
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.record import Result, RunResult
from recsys_lightning.tracking.base import Tracker


class CSV(Tracker):
    """`metrics.csv` in the run's folder."""

    _logger: Any = None

    @override
    def begin(self, folder: Path, sweep: Path | None, parameters: Mapping[str, Any]) -> None:
        self.folder = folder

    @override
    def logger(self, first_epoch: int) -> Any:
        from pytorch_lightning.loggers import CSVLogger

        class Logger(CSVLogger):
            def save(self) -> None:
                with signals_wait():  # the header first, then the lines
                    super().save()

        file = RunFolder(self.folder).metrics
        rows = _rows_before(first_epoch, file) if file.is_file() else []
        self._logger = Logger(self.folder, name="", version="")  # which deletes the file
        self._logger.experiment.metrics = rows
        return self._logger

    @override
    def end(self, result: Result) -> None:
        if not isinstance(result, RunResult) or result.status != "done":
            return
        if logger := self._logger or (result.metrics and self.logger(sys.maxsize)):  # without a fit
            logger.log_metrics(result.metrics, step=result.steps)
            logger.save()


def _rows_before(epoch: int, file: Path) -> list[dict[str, str]]:
    """The whole lines of a metrics.csv about epochs before one; a killed run may leave others."""
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    whole = [row for row in rows if None not in row and None not in row.values()]
    return [row for row in whole if row.get("epoch", "").isdigit() and int(row["epoch"]) < epoch]
