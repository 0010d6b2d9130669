"""Where a fit starts: other runs' tensors, named by `init_from`, matched by original ids."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.checkpoints import FittedOn, has_shape, open_checkpoint
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.sources.fingerprint import sha256_of
from recsys_lightning.errors import InputError
from recsys_lightning.runs.folder import RunFolder

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

RESUME = "last"  # as ckpt_path: resume the interrupted run in this folder
InitFrom = str | Mapping[str, str] | None  # a path, or a path by name


@dataclass(frozen=True, eq=False)
class Start:
    """Another run, from whose tensors a model may start in `prepare`.

    Attributes:
        file: its checkpoint.
        tensors: its parameters and buffers by name.
        fitted_on: what it has learned from.
        item_rows: (I,) its position of each of our items; -1 where it has none.
        user_rows: (U,) likewise of our users; -1 for one whom it has not learned from.
    """

    file: Path
    tensors: Mapping[str, "Tensor"]
    fitted_on: FittedOn
    item_rows: NDArray[np.int64]
    user_rows: NDArray[np.int64]

    def copy(self, name: str, into: "Tensor") -> None:
        """Copy a whole tensor, such as a layer's weight."""
        into.data.copy_(self._tensor(name, tuple(into.shape)))

    def copy_items(self, name: str, into: "Tensor") -> None:
        """Copy the rows of the items that it knows; the others keep what they have."""
        self._copy_rows(name, into, self.item_rows)

    def copy_users(self, name: str, into: "Tensor") -> None:
        """Copy the rows of the users from whom it has learned; the others keep what they have."""
        self._copy_rows(name, into, self.user_rows)

    def _copy_rows(self, name: str, into: "Tensor", rows: NDArray[np.int64]) -> None:
        import torch

        source = self._tensor(name, ("rows", *into.shape[1:]))
        known = torch.from_numpy((rows >= 0).nonzero()[0]).to(into.device)
        taken = source[torch.from_numpy(rows[rows >= 0])]
        into.data[known] = taken.to(into)

    def _tensor(self, name: str, shape: tuple[int | str, ...]) -> "Tensor":
        """The tensor of a name; see `has_shape`."""
        if name not in self.tensors:
            raise InputError(f"init_from: {self.file} has no tensor {name}")
        tensor = self.tensors[name]
        if not has_shape(tensor, shape, {}):
            found, ours = ("×".join(map(str, size)) for size in (tensor.shape[1:], shape[1:]))
            raise InputError(
                f"init_from: {self.file}: the rows of tensor {name} have size {found or 1}, "
                f"expected {ours or 1}: give the model the sizes of that run"
            )
        return tensor


def starts_of(
    init_from: InitFrom, model: str, accepted: Mapping[str, Sequence[str]], data: Interactions
) -> dict[str, Start]:
    """Open the checkpoints that `init_from` names, by the name that each has in the model.

    Args:
        init_from: a path where the model starts from one run, else a path by name; of a run's
            folder its best checkpoint is taken, which has not seen what was held out.
        model: its class's name, for messages.
        accepted: `Recommender.starts_from`.
        data: whose users and items are matched.

    Raises:
        InputError: names the file, or the names there are.
    """
    if not init_from:
        return {}
    if not accepted:
        raise InputError(f"init_from: {model} starts from no other run; leave the key out")
    paths = _by_name(init_from, accepted)
    if unknown := sorted(set(paths) - set(accepted)):
        raise InputError(
            f"init_from.{unknown[0]}: {model} starts from {', '.join(accepted)}; expected a "
            "mapping of these to paths"
        )
    return {name: _open(path, accepted[name], data) for name, path in paths.items()}


def digests(init_from: InitFrom) -> Any:
    """What makes a job in place of the paths: the SHA-256 of each checkpoint.

    A path without a checkpoint stands for itself: the run will say so.

    Raises:
        InputError: neither a path nor paths by name.
    """
    if not init_from:
        return None
    if not isinstance(init_from, str):
        if not isinstance(init_from, Mapping):
            raise InputError(
                f"init_from={init_from}: expected a run's folder, or {{name: folder}} of several"
            )
        return {name: digests(path) for name, path in init_from.items()}
    return sha256_of(_file(Path(init_from))) or init_from


def weights(ckpt_path: str | None) -> Any:
    """What makes a job in place of `ckpt_path`: the weights; a resumed fit is the job that it was.

    A path without a checkpoint stands for itself: the run will say so.
    """
    path = stored(ckpt_path)
    if path is None:
        return None
    found = [sha256_of(file) for file in _places(path)]
    return found if any(found) else ckpt_path


def stored(ckpt_path: str | None) -> Path | None:
    """The checkpoint, or the run's folder, in place of a fit; None where one begins or resumes."""
    return None if ckpt_path in (None, RESUME) else Path(str(ckpt_path))


def check_weights_at(path: Path) -> None:
    """Refuse a path, of a checkpoint or of a run's folder, where there are no weights."""
    if not any(file.is_file() for file in _places(path)):
        raise InputError(f"ckpt_path: no checkpoint at {_file(path)}")


def _places(path: Path) -> tuple[Path, ...]:
    """Where weights may be: in the file, or in the run's folder."""
    return path, RunFolder(path).best, RunFolder(path).final


def _by_name(init_from: str | Mapping[str, str], accepted: Mapping[str, Sequence[str]]) -> Any:
    if not isinstance(init_from, str):
        return init_from
    if len(accepted) > 1:
        raise InputError(
            f"init_from={init_from}: expected a mapping of {', '.join(accepted)} to paths"
        )
    return dict.fromkeys(accepted, init_from)


def _file(path: Path) -> Path:
    return RunFolder(path).best if path.is_dir() else path


def _open(path: str, accepted: Sequence[str], data: Interactions) -> Start:
    file = _file(Path(path))
    checkpoint, fitted_on = open_checkpoint(file, key="init_from")
    if accepted and checkpoint["model"] not in accepted:
        raise InputError(
            f"init_from: {file} holds a {checkpoint['model']}; expected {' or '.join(accepted)}"
        )
    items, users = fitted_on.item_rows_of(data.items), fitted_on.rows_of(data.users)
    if not (number := np.count_nonzero(items >= 0)):
        raise InputError(
            f"init_from: {file} knows none of the {data.num_items:,} items; name a run on "
            "data with the same item ids"
        )
    log.info(
        "init_from: %s knows %d of %d items and %d of %d users; the others keep initial values",
        *(file, number, data.num_items, np.count_nonzero(users >= 0), data.num_users),
    )
    return Start(file, checkpoint["state_dict"], fitted_on, items, users)
