"""Comparing interactions, writing small files, and what is said of wrong ones."""

from pathlib import Path

import numpy as np
import pytest

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import InputError


def assert_same(left: Interactions, right: Interactions) -> None:
    """Equal in every array, dtypes of ids and counts included."""
    for name in ("users", "items", "indptr", "indices", "times", "titles", "submission_users"):
        one, other = getattr(left, name), getattr(right, name)
        assert (one is None) == (other is None), name
        if one is not None:
            assert one.dtype == other.dtype, name
            np.testing.assert_array_equal(one, other, err_msg=name)
    assert list(left.features) == list(right.features)
    for name, feature in left.features.items():
        np.testing.assert_array_equal(feature.values, right.features[name].values, err_msg=name)
        assert (feature.matrix != right.features[name].matrix).nnz == 0, name


def rows_of(interactions: Interactions) -> dict:
    """{user: [item, ...]} in time order, in original ids."""
    return {
        user: interactions.items[interactions.indices[start:end]].tolist()
        for user, start, end in zip(
            interactions.users.tolist(),
            interactions.indptr[:-1],
            interactions.indptr[1:],
            strict=True,
        )
    }


def values_of(interactions: Interactions, name: str) -> dict:
    """{item: [value, ...]} of one feature, items without a value left out."""
    feature = interactions.features[name]
    found: dict = {}
    for item, value in zip(*feature.matrix.nonzero(), strict=True):
        found.setdefault(interactions.items[item].item(), []).append(feature.values[value].item())
    return found


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def message(call, *args, **kwargs) -> str:
    """The one line by which a call is refused."""
    with pytest.raises(InputError) as error:
        call(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)
