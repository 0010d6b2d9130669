import numpy as np
import pytest
import torch

from recsys_lightning.functional.pairs import (
    half_squared_norms,
    pair_products,
    pair_sums,
    penalised_products,
)

ROWS = torch.tensor([3, 0, 3, 1, 3])
COLUMNS = torch.tensor([[0, 2], [2, 2], [1, 5], [0, 0], [2, 0]])


def tables(dim, dtype=torch.float64):
    rng = np.random.default_rng(0)
    users, items = (torch.from_numpy(rng.normal(size=(n, dim))).to(dtype) for n in (4, 6))
    return users.requires_grad_(), items.requires_grad_()


@pytest.mark.parametrize("dim", [1, 7, 64])
def test_products_and_their_gradients_are_those_of_the_gathered_rows(dim):
    users, items = tables(dim)
    weight = torch.linspace(-1, 2, 10, dtype=torch.float64).view(5, 2)
    expected = torch.einsum("bd,bnd->bn", users[ROWS], items[COLUMNS])
    found = pair_products(users, items, ROWS, COLUMNS)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad((found * weight).sum(), (users, items)),
        torch.autograd.grad((expected * weight).sum(), (users, items)),
    )


@pytest.mark.parametrize("dim", [1, 7, 64])
def test_norms_beside_products_are_those_of_the_rows_that_a_pair_reads(dim):
    users, items = tables(dim)
    weight, of_norms = torch.linspace(-1, 2, 15, dtype=torch.float64).split((10, 5))
    products = torch.einsum("bd,bnd->bn", users[ROWS], items[COLUMNS])
    norms = 0.5 * (users[ROWS].square().sum(1) + items[COLUMNS].square().sum((1, 2)))
    found = penalised_products(users, items, ROWS, COLUMNS)
    torch.testing.assert_close(found, (products, norms))

    def gradients(products, norms):
        total = (products.flatten() * weight).sum() + (norms * of_norms).sum()
        return torch.autograd.grad(total, (users, items))

    torch.testing.assert_close(gradients(*found), gradients(products, norms))
    both = (half_squared_norms(users, ROWS) + half_squared_norms(items, COLUMNS)).double()
    torch.testing.assert_close(found[1].sum(), both, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dim", [1, 7, 64])
def test_sums_and_their_gradients_are_those_of_the_gathered_rows(dim):
    users, items = tables(dim)
    weight = torch.linspace(-1, 2, 10 * dim, dtype=torch.float64).view(5, 2, dim)
    expected = users[ROWS][:, None] + items[COLUMNS]
    found = pair_sums(users, items, ROWS, COLUMNS)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad((found * weight).sum(), (users, items)),
        torch.autograd.grad((expected * weight).sum(), (users, items)),
    )


def test_other_devices_and_types_go_by_torch():
    users, items = tables(8, torch.bfloat16)
    expected = torch.einsum("bd,bnd->bn", users[ROWS].float(), items[COLUMNS].float())
    found = pair_products(users, items, ROWS, COLUMNS)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)
    expected = users[ROWS][:, None] + items[COLUMNS]
    torch.testing.assert_close(pair_sums(users, items, ROWS, COLUMNS), expected)
    products, norms = penalised_products(users, items, ROWS, COLUMNS)
    torch.testing.assert_close(products, found)
    squares = users[ROWS].float().square().sum(1) + items[COLUMNS].float().square().sum((1, 2))
    torch.testing.assert_close(norms, 0.5 * squares)


def test_tables_may_be_views():
    users, items = tables(6)
    expected = torch.einsum("bd,bnd->bn", users[ROWS, ::2], items[COLUMNS, ::2])
    torch.testing.assert_close(pair_products(users[:, ::2], items[:, ::2], ROWS, COLUMNS), expected)


def test_half_squared_norms_count_a_row_as_often_as_it_stands():
    users, items = tables(6)
    for table, rows in ((users, (ROWS,)), (items, (COLUMNS[:, 0], COLUMNS[:, 1:]))):
        expected = sum(0.5 * table[r].square().sum() for r in rows)
        found = half_squared_norms(table, *rows)
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)
        torch.testing.assert_close(
            torch.autograd.grad(found, table),
            torch.autograd.grad(expected, table),
            rtol=1e-5,
            atol=0,
        )
    assert half_squared_norms(users.bfloat16(), ROWS).dtype == torch.float32
