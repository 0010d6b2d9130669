"""`logger=tensorboard`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from recsys_lightning.runs.examples import Example
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.record import Result, RunResult
from recsys_lightning.tracking.base import EXAMPLE_COLUMNS, Tracker, example_rows, require


class TensorBoard(Tracker):
    """Event files in `tensorboard/` of the run's folder."""

    _logger: Any = None

    @override
    def begin(self, folder: Path, sweep: Path | None, parameters: Mapping[str, Any]) -> None:
        require("tensorboard")
        self.folder, self.parameters = folder, parameters

    @override
    def logger(self, first_epoch: int) -> Any:
        from pytorch_lightning.loggers import TensorBoardLogger

        self._logger = TensorBoardLogger(
            self.folder,
            name="",
            version=RunFolder(self.folder).tensorboard.name,
            default_hp_metric=False,
        )
        return self._logger

    @override
    def log_examples(self, examples: Sequence[Example]) -> None:
        lines = [EXAMPLE_COLUMNS, ["---"] * len(EXAMPLE_COLUMNS), *example_rows(examples)]
        cells = [
            [" ".join(str(cell).split()).replace("|", "\\|") for cell in line] for line in lines
        ]
        table = "\n".join(f"| {' | '.join(line)} |" for line in cells)
        self._logger.experiment.add_text("examples", table)

    @override
    def end(self, result: Result) -> None:
        if self._logger is None:  # the run failed before its fit
            return
        said = {"split": result.split, "status": result.status, "error": result.error}
        steps = result.steps if isinstance(result, RunResult) else None
        self._logger.log_hyperparams(
            {**self.parameters, **said}, metrics=result.metrics, step=steps
        )
        self._logger.finalize(result.status)
