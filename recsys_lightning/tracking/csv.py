"""`logger=csv`."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys_lightning.tracking.base import Tracker


class CSV(Tracker):
    """`metrics.csv` in the run's folder."""

    _logger: Any = None

    def begin(self, folder: Path, sweep: Path | None, parameters: Mapping[str, Any]) -> None:  # noqa: D102
        self.folder = folder

    def logger(self, first_epoch: int) -> Any:  # noqa: D102
        from pytorch_lightning.loggers import CSVLogger

        file, rows = self.folder / "metrics.csv", []
        if file.is_file():  # which Lightning deletes
            with file.open(newline="") as lines:
                rows = [row for row in csv.DictReader(lines) if int(row["epoch"]) < first_epoch]
        self._logger = CSVLogger(self.folder, name="", version="")
        self._logger.experiment.metrics = rows
        return self._logger

    def end(self, result: Mapping[str, Any]) -> None:  # noqa: D102
        if self._logger and result["status"] == "done":
            self._logger.log_metrics(result["metrics"], step=result["steps"])
            self._logger.save()
