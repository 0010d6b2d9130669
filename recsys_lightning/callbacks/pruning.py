"""Ends a trial of an Optuna study early where the study's pruner sees no hope in it.

The study lives in a file or database, so that a job in another process can report to it, too.
"""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from typing_extensions import override

from recsys_lightning.errors import Pruned

AGAIN = "again"  # the attribute of a trial that runs once more what failed: the number of that one


def storage_name(storage: str | None, folder: Path) -> str:
    """What `open_storage` opens for `hydra.sweeper.storage` of the sweep in a folder."""
    return storage or str(folder / "study.journal")


def open_storage(name: str) -> Any:
    """An Optuna storage: a URL such as `sqlite:///study.db`, or else the path of a journal file."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return name if "://" in name else JournalStorage(JournalFileBackend(name))


def check_whole(name: str) -> None:
    """Refuse a journal whose last line was cut: Optuna would write on behind it.

    Raises:
        ValueError: it was.
    """
    if "://" not in name and Path(name).is_file():
        journal = Path(name).read_bytes()
        if journal and not journal.endswith(b"\n"):
            raise ValueError(
                "its last line is not whole; remove the file: the search begins anew, and finds "
                "the trials that it tries again done in the sweep's folder"
            )


class Pruning(pl.Callback):
    """Reports the monitored metric of every validation, and raises `Pruned` on the study's word.

    Args:
        storage: see `open_storage`.
        study: its name in the storage.
        trial: its number in the study.
        pruner: the study's; a storage does not keep it.
        monitor: the metric.
    """

    def __init__(self, storage: str, study: str, trial: int, pruner: Any, monitor: str) -> None:
        import optuna

        self.monitor = monitor
        opened = optuna.load_study(study_name=study, storage=open_storage(storage), pruner=pruner)
        # Optuna has no public way to a running trial from another process
        identity = opened._storage.get_trial_id_from_study_id_trial_number(opened._study_id, trial)
        self.study, self.trial = opened, optuna.trial.Trial(opened, identity)

    @override
    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Of a resumed fit, report what the killed trial has reported."""
        earlier = self.trial.user_attrs.get(AGAIN)
        if earlier is not None:
            reported = self.study.get_trials(deepcopy=False)[earlier].intermediate_values
            for epoch, value in reported.items():
                if epoch < trainer.current_epoch:
                    self.trial.report(value, step=epoch)

    @override
    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        if trainer.state.fn != "fit":
            return
        self.trial.report(module.measured[self.monitor], step=trainer.current_epoch)
        if self.trial.should_prune():
            raise Pruned(f"pruned after epoch {trainer.current_epoch + 1}")
