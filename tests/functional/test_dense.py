"""Dense matrices in place, against NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lightning.errors import InputError
from recsys_lightning.functional import dense
from recsys_lightning.functional.dense import invert_spd_
from tests.functional.references import TOLERANCE, assert_close, both_precisions, lower


@both_precisions
@pytest.mark.parametrize("size", [1, 5, 1500])
def test_the_cholesky_inverse_equals_the_general_one(dtype, size):
    rng = np.random.default_rng(0)
    root = rng.normal(size=(size, size + 5))
    matrix = root @ root.T / size + np.eye(size)
    ours = lower(matrix, dtype)
    address = ours.data_ptr()
    inverse = invert_spd_(ours)
    assert inverse.data_ptr() == address
    assert torch.equal(inverse, inverse.T)
    assert_close(inverse, np.linalg.inv(matrix), TOLERANCE[dtype])


@both_precisions
def test_a_matrix_that_is_not_positive_definite_is_refused(dtype):
    with pytest.raises(InputError, match=rf"{dtype}.*larger model\.l2"):
        invert_spd_(torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=dtype))


@both_precisions
@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 60), step=st.integers(1, 70), seed=st.integers(0, 999))
def test_the_blocked_inverse_equals_lapacks(dtype, size, step, seed):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size + 5))
    matrix = root @ root.T / size + np.eye(size)
    blocked = lower(matrix, dtype)
    dense._invert_by_blocks_(blocked, step)
    by_lapack = lower(matrix, dtype)
    dense._invert_by_lapack_(by_lapack)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}[dtype]
    assert_close(blocked.tril(), by_lapack.tril(), tolerance)


@both_precisions
def test_what_is_too_large_for_lapack_is_inverted_by_blocks(dtype, monkeypatch):
    monkeypatch.setattr(dense, "_LAPACK_SIZE", 40)
    monkeypatch.setattr(dense, "_BLOCK", 16)
    root = np.random.default_rng(0).normal(size=(50, 60))
    matrix = root @ root.T / 50 + np.eye(50)
    whole = dense._invert_by_lapack_
    seen = []
    monkeypatch.setattr(
        dense, "_invert_by_lapack_", lambda block: (seen.append(len(block)), whole(block))
    )
    inverse = invert_spd_(lower(matrix, dtype))
    assert seen == [16, 16, 16, 2]
    assert torch.equal(inverse, inverse.T)
    assert_close(inverse, np.linalg.inv(matrix), TOLERANCE[dtype])
    with pytest.raises(InputError, match=rf"{dtype}.*larger model\.l2"):
        invert_spd_(lower(-matrix, dtype))
