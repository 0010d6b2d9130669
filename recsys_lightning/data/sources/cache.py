"""The encoded data on disk: one uncompressed `.npz`, so that the next run starts at once.

Its name holds a hash of what it was made from: the options and the content of the files, so that a
copy, a `touch` or another path finds it. Several jobs may write the same file at once, and
whatever is wrong with a file or its directory costs a warning and the time to read again.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_lightning.data.interactions import Feature, Interactions
from recsys_lightning.data.joins import Join
from recsys_lightning.writing import replacing

log = logging.getLogger(__name__)

FORMAT = 8
"""Raise it when the same files and options encode to something else."""

Stored = tuple[Interactions, NDArray[np.int8] | None]
"""The interactions, and of which file each came (`Files.load_parts`), where that was asked."""


def cache_key(identity: Mapping[str, object]) -> str:
    """A hash of what the data is (`Source.identity`) and of how it is encoded."""
    made_from = json.dumps([FORMAT, identity], sort_keys=True, default=str)
    return hashlib.sha256(made_from.encode()).hexdigest()[:20]


def cached(path: Path | None, build: Callable[[], Stored]) -> Stored:
    """What stands in the file `path`, else what `build` makes, which is then written to it."""
    if path is None:
        return build()
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return _unpack(arrays)
        except Exception as error:  # a damaged file fails in a dozen ways, and none of them matters
            log.warning("%s is damaged and made again: %s", path, error)
    stored = build()
    _write(path, _pack(*stored))
    return stored


def _write(path: Path, arrays: Mapping[str, NDArray]) -> None:
    try:
        with replacing(path) as scratch, scratch.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        log.warning("data.cache_dir=%s cannot be written, going on: %s", path.parent, error)


def _pack(interactions: Interactions, parts: NDArray[np.int8] | None) -> dict[str, NDArray]:
    arrays = {
        name: getattr(interactions, name)
        for name in ("users", "items", "indptr", "indices", "times", "titles", "submission_users")
    }
    arrays["parts"] = parts
    arrays["joins"] = np.array(json.dumps(interactions.joins))
    arrays["features"] = np.array(list(interactions.features), dtype=np.str_)
    for n, feature in enumerate(interactions.features.values()):
        arrays[f"values{n}"] = feature.values
        arrays[f"indptr{n}"] = feature.matrix.indptr
        arrays[f"indices{n}"] = feature.matrix.indices
    return {name: array for name, array in arrays.items() if array is not None}


def _unpack(arrays: Mapping[str, NDArray]) -> Stored:
    items = arrays["items"]
    features = {}
    for n, name in enumerate(arrays["features"].tolist()):
        values, indices = arrays[f"values{n}"], arrays[f"indices{n}"]
        matrix = csr_array(
            (np.ones(len(indices), dtype=np.float32), indices, arrays[f"indptr{n}"]),
            shape=(len(items), len(values)),
        )
        features[name] = Feature(values, matrix)
    interactions = Interactions(
        users=arrays["users"],
        items=items,
        indptr=arrays["indptr"],
        indices=arrays["indices"],
        times=arrays.get("times"),
        titles=arrays.get("titles"),
        features=features,
        submission_users=arrays["submission_users"],
        joins=tuple(Join(*join) for join in json.loads(str(arrays["joins"]))),
    )
    return interactions, arrays.get("parts")
