"""`logger=tensorboard`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from recsys_lightning.runs.examples import Example
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.record import Result, RunResult
from recsys_lightning.tracking.base import EXAMPLE_COLUMNS, Tracker, example_rows, numbers, require


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
        self._made().experiment.add_text("examples", table)

    @override
    def end(self, result: Result) -> None:
        said = {"split": result.split, "status": result.status, "error": result.error}
        steps = result.steps if isinstance(result, RunResult) else None
        logger = self._made()
        # which writes no parameters beside an empty mapping of metrics: a failed run took time, too
        logger.log_hyperparams({**self.parameters, **said}, metrics=numbers(result), step=steps)
        logger.finalize(result.status)

    def _made(self) -> Any:
        """The logger, also of a run that failed before its fit, or had none to do."""
        return self._logger or self.logger(first_epoch=0)
