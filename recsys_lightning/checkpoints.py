"""Checkpoints: what a model was fitted on, and what of a file can be trusted.

A checkpoint is tensors and plain Python. It knows the original ids of the users and items that its
tables stand for, so that it can be asked about other users, and never about other items.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lightning.data.interactions import Interactions, without_room
from recsys_lightning.errors import InputError
from recsys_lightning.runs.parameters import NEUTRAL

KINDS = {"model": str, "state_dict": dict, "epoch": int, "settings": dict}  # in a checkpoint


@dataclass(frozen=True, eq=False)
class FittedOn:
    """What a model was fitted on.

    Attributes:
        users: (n,) original ids of those with a training interaction, sorted.
        rows: (n,) int64 their positions in training: the rows of a table with one row per user.
        items: (I,) original ids.
        sha256: of the training interactions, ids included; and of the item features that were used.
        features: their names.
    """

    users: NDArray[Any]
    rows: NDArray[np.int64]
    items: NDArray[Any]
    sha256: str
    features: Sequence[str] = ()

    @staticmethod
    def of(train: Interactions, features: Sequence[str] = ()) -> "FittedOn":
        """What is said of a model that is fitted on these interactions and item features."""
        rows = train.lengths.nonzero()[0]
        ids = without_room(train.users), without_room(train.items)
        arrays = [*ids, train.indptr, train.indices]
        for name in features:
            arrays.append(np.array(name))
            if name in train.features:  # other data may lack it: then the hash is another
                feature = train.features[name]
                arrays += [feature.values, feature.matrix.indptr, feature.matrix.indices]
        digest = hashlib.sha256()
        for array in arrays:
            digest.update(np.ascontiguousarray(array).data)
        return FittedOn(train.users[rows], rows, train.items, digest.hexdigest(), features)

    def learned_from(self, train: Interactions) -> bool:
        """Whether these are the interactions, with the item features, of the fit."""
        return self.sha256 == FittedOn.of(train, self.features).sha256

    def rows_of(self, users: NDArray[Any]) -> NDArray[np.int64]:
        """(U,) the rows of some users by their original ids; -1 for who was not learned from.

        >>> fitted_on = FittedOn(np.array([3, 8]), np.array([0, 2]), np.array([1]), "")
        >>> fitted_on.rows_of(np.array([8, 5]))
        array([ 2, -1])
        >>> fitted_on.rows_of(np.array(["u1", "3"]))
        array([-1,  0])
        """
        return _found(self.users, self.rows, users)

    def item_rows_of(self, items: NDArray[Any]) -> NDArray[np.int64]:
        """(I,) the positions of some items by their original ids; -1 for an unknown one."""
        return _found(self.items, np.arange(len(self.items)), items)

    def state(self) -> dict[str, Any]:
        """As tensors and plain Python, for a checkpoint."""
        import torch

        return {
            "users": _plain(self.users),
            "rows": torch.from_numpy(self.rows),
            "items": _plain(self.items),
            "sha256": self.sha256,
            "features": list(self.features),
        }

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> "FittedOn":
        """What `state` has made, its tensors on any device."""
        users, items = (_array(state[name]) for name in ("users", "items"))
        rows: NDArray[np.int64] = state["rows"].numpy(force=True)
        if rows.shape != users.shape:
            raise ValueError(f"fitted_on: {len(users)} users have {len(rows)} rows")
        features = state.get("features", ())  # earlier versions had none
        return FittedOn(users, rows, items, state["sha256"], features)


def _found(known: NDArray[Any], rows: NDArray[np.int64], asked: NDArray[Any]) -> NDArray[np.int64]:
    """The rows of the ids that are asked for, by those of the known ids, sorted; else -1."""
    if known.dtype.kind != asked.dtype.kind:  # one of the two holds ids that are not numbers
        known, asked = known.astype(np.str_), asked.astype(np.str_)
        order = known.argsort()
        known, rows = known[order], rows[order]
    if not len(known):
        return np.full(len(asked), -1)
    place = np.searchsorted(known, asked).clip(max=len(known) - 1)
    return np.where(known[place] == asked, rows[place], -1)


def _plain(ids: NDArray[Any]) -> Any:
    import torch

    return torch.from_numpy(ids) if ids.dtype.kind == "i" else ids.tolist()


def _array(ids: Any) -> NDArray[Any]:
    """What `_plain` has made, as it was."""
    import torch

    return ids.numpy(force=True) if isinstance(ids, torch.Tensor) else np.asarray(ids)


def open_checkpoint(file: Path, key: str = "ckpt_path") -> tuple[dict[str, Any], FittedOn]:
    """The content of a checkpoint, and what its model was fitted on.

    No code of the file is run: it holds tensors and plain Python, and its hyper-parameters are
    scalars or lists of scalars.

    Args:
        file: the checkpoint.
        key: which option names it.

    Raises:
        InputError: not a checkpoint of this project.
    """
    import torch

    if not file.is_file():
        raise InputError(f"{key}: no checkpoint at {file}")
    try:
        content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        fitted_on = FittedOn.from_state(content["fitted_on"])
        parameters = content["hyper_parameters"]
        wrong = [name for name, value in parameters.items() if not _is_plain(value)]
        for key, kind in KINDS.items():
            if not isinstance(content[key], kind):
                raise TypeError(f"{key} is {type(content[key]).__name__}")
    except Exception as error:
        raise InputError(
            f"{file} is not a checkpoint of this project, or is one of an earlier version: fit "
            f"again ({type(error).__name__}: {error})"
        ) from error
    if wrong:
        raise InputError(
            f"{file}: its hyper-parameter {wrong[0]} is {type(parameters[wrong[0]]).__name__}; "
            "expected a scalar, or a list of scalars: it was not written by this project"
        )
    return content, fitted_on


def _is_plain(value: Any) -> bool:
    """Whether a value is a scalar, or a list of scalars: nothing that could be instantiated."""
    values = value if isinstance(value, list | tuple) else [value]
    return all(one is None or isinstance(one, bool | int | float | str) for one in values)


def check_items(file: Path, fitted_on: FittedOn, items: NDArray[Any]) -> None:
    """Refuse a checkpoint whose items are not those of the data.

    Raises:
        InputError: names how many items differ.
    """
    if np.array_equal(fitted_on.items, items):
        return
    if fitted_on.items.dtype.kind != items.dtype.kind:
        kinds = ("numbers", "text") if fitted_on.items.dtype.kind == "i" else ("text", "numbers")
        raise InputError(f"{file}: its item ids are {kinds[0]}, those of the data {kinds[1]}")
    theirs, ours = fitted_on.items, items
    unknown, missing = np.setdiff1d(ours, theirs), np.setdiff1d(theirs, ours)
    examples = ", ".join(map(str, [*unknown[:2], *missing[:2]]))
    added = ", and add the rows of new users to it"
    if len(unknown):
        added = ", or fit its run anew: ckpt_path=<the run's folder> holdout=none refit=true"
    raise InputError(
        f"{file} was fitted on {len(theirs):,} items, and the data has {len(ours):,}: "
        f"{len(unknown):,} of them it does not know, {len(missing):,} of its own the data lacks "
        f"(such as {examples}). Give the data that it was fitted on{added}"
    )


def check_no_leak(
    file: Path, fitted_on: FittedOn, train: Interactions, asked: Interactions
) -> None:
    """Refuse to evaluate what may have learned from the items that are asked for.

    Args:
        file: the checkpoint.
        fitted_on: what its model has learned from.
        train: what it should have learned from, by the holdout.
        asked: what is asked for.

    Raises:
        InputError: users who are asked for were learned from, in other interactions than `train`.
    """
    if fitted_on.learned_from(train):
        return
    users = asked.users[asked.lengths > 0]
    if number := int(np.count_nonzero(fitted_on.rows_of(users) >= 0)):
        features = ", or on other item features" if fitted_on.features else ""
        raise InputError(
            f"{file} was fitted on other training interactions of {number:,} of the {len(users):,} "
            f"users to evaluate{features}, so metrics on this holdout could be a leak. Use the "
            "holdout it was fitted with, or holdout=none to recommend"
        )


def check_model(file: Path, checkpoint: Mapping[str, Any], model: Any) -> None:
    """Refuse a checkpoint of another class than the model's."""
    if type(model).__name__ != checkpoint["model"]:
        raise wrong_model(file, checkpoint)


def check_given(file: Path, given: Mapping[str, Any], model: Any) -> None:
    """Refuse another value of a hyper-parameter than a checkpoint was fitted with.

    Args:
        file: the checkpoint.
        given: hyper-parameters that the command names.
        model: with those of the checkpoint, and what of `given` matters at scoring alone.

    Raises:
        InputError: names the key, and the value that the fit had.
    """
    for name, value in given.items():
        resolved = name == "features" and value is None  # to their names
        if name in model.hparams and model.hparams[name] != value and not resolved:
            free = ", ".join(f"model.{each}" for each in model.at_scoring)
            was, new = _written(model.hparams[name]), _written(value)
            raise InputError(
                f"model.{name}={new}: {file} was fitted with {was}; leave it out, or fit anew "
                "without ckpt_path"
                f"{f' (free to change: {free})' if free else ''}"
            )


def check_fit_settings(
    file: Path, fitted: Mapping[str, Any], given: Mapping[str, Any], keys: Iterable[str]
) -> None:
    """Refuse other settings than a checkpoint's fit had, such as the seed.

    Args:
        file: the checkpoint.
        fitted: the settings of its fit.
        given: those of the command.
        keys: that are to be alike.

    Raises:
        InputError: names the key, and the value that the fit had.
    """
    for key in keys:
        if (was := _setting(fitted, key)) != (new := _setting(given, key)):
            raise InputError(
                f"{key}={_written(new)}: {file} was fitted with {_written(was)}; give the same, or "
                "fit anew without ckpt_path"
            )


def _setting(settings: Mapping[str, Any], key: str) -> Any:
    """Its value; where it is not there, the one that a fit had before the key existed."""
    return settings.get(key, NEUTRAL.get(key))


def _written(value: Any) -> Any:
    """As a command line has it."""
    return json.dumps(value) if value is None or isinstance(value, bool) else value


def wrong_model(file: Path, checkpoint: Mapping[str, Any]) -> InputError:
    """What to say of a checkpoint of another model than the one that was chosen."""
    return InputError(f"{file} holds a {checkpoint['model']}: choose it by model=")


def has_shape(tensor: Any, shape: Sequence[int | str], lengths: dict[str, int]) -> bool:
    """Whether a tensor has a shape in which some lengths are names.

    Args:
        tensor: of a checkpoint.
        shape: numbers, and names of lengths.
        lengths: by name, of the tensors seen so far; completed.

    >>> import torch
    >>> lengths = {}
    >>> has_shape(torch.zeros(2, 5), (2, "nnz"), lengths), lengths
    (True, {'nnz': 5})
    >>> has_shape(torch.zeros(4), ("nnz",), lengths)
    False
    """
    return tensor.ndim == len(shape) and all(
        length == (lengths.setdefault(wanted, length) if isinstance(wanted, str) else wanted)
        for length, wanted in zip(tensor.shape, shape, strict=True)
    )


def check_weights(file: Path, checkpoint: Mapping[str, Any], model: Any) -> None:
    """Refuse a damaged checkpoint: its tensors are not those that the model holds.

    Raises:
        InputError: names the tensor.
    """
    import torch

    stored, expected = checkpoint["state_dict"], model.state_dict()
    lengths: dict[str, int] = {}
    for name in expected | stored:
        if name not in stored or name not in expected:
            what = "no" if name in expected else "an unknown"
            raise InputError(f"{file} is damaged, or of an earlier version: {what} tensor {name}")
        tensor, ours = stored[name], expected[name]
        shape = model.shapes.get(name, tuple(ours.shape))
        alike = isinstance(tensor, torch.Tensor) and (
            tensor.dtype == ours.dtype or (tensor.is_floating_point() and ours.is_floating_point())
        )
        if not alike or not has_shape(tensor, shape, lengths):
            found = (
                f"{tensor.dtype} {tuple(tensor.shape)}"
                if hasattr(tensor, "shape")
                else type(tensor).__name__
            )
            wanted = ", ".join(str(lengths.get(str(length), length)) for length in shape)
            raise InputError(
                f"{file} is damaged: tensor {name} is {found}, expected {ours.dtype} ({wanted})"
            )


def check_resumes(
    checkpoint: Mapping[str, Any], fitted_on: FittedOn, model: Any, train: Interactions
) -> None:
    """Refuse to resume a fit with anything that would make another one of it.

    Args:
        checkpoint: of the interrupted fit.
        fitted_on: what it has learned from.
        model: to be resumed with its weights.
        train: what it is to learn from.

    Raises:
        InputError: names the key, or the data, that differs.
    """
    instead = "or start anew without ckpt_path"
    if not fitted_on.learned_from(train):
        what = "interactions or item features" if fitted_on.features else "interactions"
        raise InputError(
            f"ckpt_path=last: the interrupted run had other training {what}; resume with its "
            f"data and its holdout, {instead}"
        )
    earlier, now = (
        {f"model.{name}": value for name, value in parameters.items()} | dict(settings)
        for parameters, settings in (
            (checkpoint["hyper_parameters"], checkpoint["settings"]),
            (model.hparams, model.settings),
        )
    )
    for key in earlier | now:
        if key in ("monitor", "split") and key not in earlier:  # an earlier version's
            continue
        if (was := _setting(earlier, key)) != (new := _setting(now, key)):
            raise InputError(
                f"ckpt_path=last: the interrupted run had {key}={_written(was)}, not "
                f"{_written(new)}; resume with the same, {instead}"
            )
