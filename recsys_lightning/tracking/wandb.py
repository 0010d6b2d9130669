"""`logger=wandb`."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from recsys_lightning.errors import InputError
from recsys_lightning.runs.examples import Example
from recsys_lightning.runs.record import Result
from recsys_lightning.tracking.base import (
    EXAMPLE_COLUMNS,
    Tracker,
    example_rows,
    numbers,
    run_name,
    succeeded,
)

MODES = (None, "online", "offline", "disabled", "shared", "dryrun", "run")  # of wandb.init


class WandB(Tracker):
    """A W&B run for every job, all those of a sweep in one group and one directory.

    Args:
        project: of W&B.
        entity: a user or team; None: the default one of the key.
        job_type: `train`, `ensemble` or `report`.
        mode: of `wandb.init`; None: what WANDB_MODE says, or else online with a key (WANDB_API_KEY
            or netrc) and offline without one.
        tags: to find the run by.
    """

    def __init__(
        self,
        project: str,
        entity: str | None,
        job_type: str,
        mode: str | None,
        tags: Sequence[str],
    ) -> None:
        if mode not in MODES:
            modes = ", ".join(filter(None, MODES))
            raise InputError(f"logger.wandb.mode={mode}: expected one of {modes}, or null")
        self.project, self.entity, self.job_type = project, entity, job_type
        self.mode, self.tags = mode, tags

    @override
    def begin(self, folder: Path, sweep: Path | None, parameters: Mapping[str, Any]) -> None:
        import wandb

        try:
            self.run = wandb.init(
                project=self.project,
                entity=self.entity,
                group=sweep.name if sweep else None,
                job_type=self.job_type,
                name=run_name(folder),
                tags=self.tags,
                dir=sweep or folder,
                mode=self._mode(),
                config=dict(parameters),
                settings=wandb.Settings(silent=True),
            )
        except wandb.Error as error:
            raise InputError(
                f"logger=wandb: {error}; logger.wandb.mode=offline does without the server"
            ) from error
        self.run.define_metric("*", step_metric="epoch")

    def _mode(self) -> Any:
        import wandb

        if self.mode:
            return self.mode
        if (chosen := os.environ.get("WANDB_MODE") or None) not in MODES:
            raise InputError(
                f"WANDB_MODE={chosen}: expected one of {', '.join(filter(None, MODES))}"
            )
        if chosen:
            return chosen
        return "online" if wandb.login(prompt=False) else "offline"

    @override
    def logger(self, first_epoch: int) -> Any:
        from pytorch_lightning.loggers import WandbLogger

        return WandbLogger(experiment=self.run)

    @override
    def log_examples(self, examples: Sequence[Example]) -> None:
        self.log_table("examples", EXAMPLE_COLUMNS, example_rows(examples))

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Show a table in the run."""
        import wandb

        self.run.log({name: wandb.Table(columns=list(columns), data=list(rows))})

    @override
    def end(self, result: Result) -> None:
        try:
            self.run.config.update({"split": result.split})
            self.run.summary.update({"status": result.status, "error": result.error})
            self.run.summary.update(numbers(result))
            if result.metrics:
                errors = result.standard_errors
                rows = [[name, value, errors.get(name)] for name, value in result.metrics.items()]
                self.log_table("metrics", ["metric", "value", "standard_error"], rows)
        finally:
            self.run.finish(exit_code=0 if succeeded(result) else 1)
        if not self.run.offline:
            print(f"W&B: {self.run.url}")


def tell_how_to_sync(folder: Path) -> None:
    """Print what uploads the offline W&B runs of a run or sweep, if there are any."""
    if any((folder / "wandb").glob("offline-run-*")):
        place = shlex.quote(str(folder))
        print(f"W&B, offline; to upload: wandb sync {place}/wandb/offline-run-*")
