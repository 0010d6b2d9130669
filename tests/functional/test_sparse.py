"""Sparse products against SciPy and plain dense ones."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from recsys_lightning.functional import sparse
from recsys_lightning.functional.kernels import rows as kernels
from recsys_lightning.functional.sparse import Ragged, bag_matmul, dense_blocks, gram, product


@st.composite
def ragged(draw):
    """Rows without duplicates, not sorted, some of them empty; the same as a SciPy matrix."""
    num_items = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = rng.integers(0, num_items + 1, size=draw(st.integers(0, 20)))
    rows = [rng.permutation(num_items)[:length] for length in lengths]
    items = np.concatenate([np.empty(0, np.int32), *rows]).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    x = csr_array((np.ones(len(items)), items, offsets), shape=(len(rows), num_items))
    return torch.from_numpy(items), torch.from_numpy(offsets), x


@pytest.mark.parametrize("compute", [gram, None], ids=["kernel", "dense"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=50, deadline=None)
@given(ragged())
def test_gram_equals_scipy(compute, dtype, rows):
    items, offsets, x = rows
    num_items = x.shape[1]
    out = torch.ones(num_items, num_items, dtype=dtype)
    if compute is None:
        sparse._gram_dense(items, offsets, out)
    else:
        assert gram(items, offsets, num_items, out).data_ptr() == out.data_ptr()
    expected = 1 + (x.T @ x).toarray()
    np.testing.assert_array_equal(out.tril().numpy(), np.tril(expected))


@pytest.mark.parametrize("compute", [bag_matmul, sparse.bag_matmul_torch], ids=["kernel", "torch"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=50, deadline=None)
@given(rows=ragged(), num_columns=st.sampled_from([1, 3, 511, 512, 513]))
def test_bag_matmul_equals_scipy(compute, dtype, rows, num_columns):
    items, offsets, x = rows
    weight = torch.randn(x.shape[1], num_columns, dtype=dtype)
    product = compute(items, offsets, weight)
    assert product.dtype == dtype
    tolerance = 1e-4 if dtype == torch.float32 else 1e-12
    np.testing.assert_allclose(product.numpy(), x @ weight.numpy(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("compute", [bag_matmul, sparse.bag_matmul_torch], ids=["kernel", "torch"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=50, deadline=None)
@given(rows=ragged(), num_columns=st.sampled_from([1, 3, 513]))
def test_bag_matmul_with_factors_equals_scipy(compute, dtype, rows, num_columns):
    items, offsets, x = rows
    weight = torch.randn(x.shape[1], num_columns, dtype=dtype)
    factors = torch.rand(len(items), dtype=dtype)
    weighted = csr_array((factors.numpy(), x.indices, x.indptr), shape=x.shape)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-12
    np.testing.assert_allclose(
        compute(items, offsets, weight, factors), weighted @ weight.numpy(), rtol=0, atol=tolerance
    )


def test_gram_of_batches_adds_up_to_that_of_all(many_rows):
    items, offsets, num_items = many_rows
    whole = gram(items, offsets, num_items)
    parts = torch.zeros(num_items, num_items)
    for part in torch.arange(len(offsets)).split(37):
        last = min(int(part[-1]) + 1, len(offsets) - 1)
        bounds = offsets[int(part[0]) : last + 1]
        gram(items[bounds[0] : bounds[-1]], bounds - bounds[0], num_items, parts)
    assert torch.equal(whole.tril(), parts.tril())


def test_gram_does_not_depend_on_the_number_of_threads(many_rows):
    items, offsets, num_items = many_rows
    columns = kernels.by_item(items.numpy(), offsets.numpy(), num_items)
    for threads in (1, 3, 64):
        out = np.zeros((num_items, num_items), np.float32)
        kernels.add_gram(columns[0], offsets.numpy(), *columns[1:], out, threads)
        np.testing.assert_array_equal(np.tril(out), gram(items, offsets, num_items).tril().numpy())


def test_bag_matmul_of_sixteen_bit_weights_falls_back_to_torch(many_rows):
    items, offsets, num_items = many_rows
    weight = torch.randn(num_items, 5)
    expected = bag_matmul(items, offsets, weight)
    product = bag_matmul(items, offsets, weight.bfloat16())
    torch.testing.assert_close(product.float(), expected, atol=0.5, rtol=0.1)


def test_dense_blocks_are_bounded(many_rows, monkeypatch):
    items, offsets, num_items = many_rows
    [whole] = dense_blocks(items, offsets, num_items)
    monkeypatch.setattr(sparse, "_BLOCK", 10 * num_items)
    blocks = list(dense_blocks(items, offsets, num_items))
    assert {len(block) for block in blocks} == {10}
    assert torch.equal(torch.cat(blocks), whole)


@pytest.fixture
def many_rows():
    rng = np.random.default_rng(0)
    x = rng.random((250, 90)) < 0.1
    rows = [rng.permutation(np.flatnonzero(row)) for row in x]
    items = torch.from_numpy(np.concatenate(rows).astype(np.int32))
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum([len(row) for row in rows])]))
    return items, offsets, x.shape[1]


@settings(max_examples=50, deadline=None)
@given(ragged())
def test_ragged_rows_are_a_sparse_matrix(rows):
    items, offsets, x = rows
    ours = sparse.Ragged(items, offsets, x.shape[1])
    assert ours.sizes == (*x.shape, x.nnz)
    np.testing.assert_array_equal(ours.dense(), x.toarray())
    np.testing.assert_array_equal(ours.transpose().dense(), x.T.toarray())
    np.testing.assert_array_equal(ours.column_sums(), x.sum(0))
    kept = x.toarray()[np.diff(x.indptr) > 0]
    np.testing.assert_array_equal(ours.nonempty().dense(), kept)
    part = slice(x.shape[0] // 3, x.shape[0])
    np.testing.assert_array_equal(ours.rows(part).dense(), x.toarray()[part])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["kernel", "torch"])
def test_bag_matmul_writes_where_it_is_asked_to(many_rows, dtype):
    items, offsets, num_items = many_rows
    weight = torch.randn(num_items, 5).to(dtype)
    out = torch.full((250, 5), torch.nan, dtype=dtype)
    assert bag_matmul(items, offsets, weight, out=out) is out
    assert torch.equal(out, bag_matmul(items, offsets, weight))


def test_the_gradient_of_a_product_is_the_dense_ones(many_rows):
    x = Ragged(*many_rows)
    weight = torch.randn(x.num_columns, 3, dtype=torch.float64, requires_grad=True)
    made = product(x, x.transpose(), weight)
    expected = x.dense(torch.float64) @ weight
    torch.testing.assert_close(made, expected)
    upstream = torch.randn_like(made)
    ours, theirs = (torch.autograd.grad(y, weight, upstream) for y in (made, expected))
    torch.testing.assert_close(ours, theirs)
    small = Ragged(torch.tensor([2, 0, 2]).int(), torch.tensor([0, 2, 2, 3]), 3)
    table = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda w: product(small, small.transpose(), w), table)
