"""What a batch of pairs needs of the users' and the items' tables.

Each step of a pairwise model reads some thousand rows and has a gradient for every row of the
tables. Gathering the rows, and adding their gradients back, costs many times the arithmetic; so
no gathered row is ever stored here: a step of MF-BPR (MovieLens-1M, 64 dimensions, 8,192 pairs, one
core) takes 3.2 ms, with gathered rows 15.8.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding

from recsys_lightning.functional.kernels import pairs as kernels

_KERNEL_TYPES = (torch.float32, torch.float64)


def pair_products(users: Tensor, items: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(B, n) `<users[rows[b]], items[columns[b, n]]>`; differentiable, once.

    On a CPU by kernels, elsewhere by torch.

    Args:
        users: (U, D).
        items: (I, D).
        rows: (B,) int64.
        columns: (B, n) int64.

    >>> users, items = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 1.0], [0.0, 3.0]])
    >>> pair_products(users, items, torch.tensor([0, 0]), torch.tensor([[0], [1]]))
    tensor([[3.],
            [6.]])
    """
    if _has_kernel(users, items):
        products: Tensor = _Products.apply(users, items, rows, columns, False)[0]
        return products
    return (embedding(rows, users)[:, None] * embedding(columns, items)).sum(2)


def penalised_products(
    users: Tensor, items: Tensor, rows: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor]:
    """`pair_products`, and (B,) half the squared norms of the rows that each b reads, summed.

    What `half_squared_norms` of both tables adds up to, for models whose vectors are their tables:
    one pass reads each row for both, and one adds both gradients.

    >>> users, items = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 1.0], [0.0, 3.0]])
    >>> penalised_products(users, items, torch.tensor([0, 0]), torch.tensor([[0], [1]]))
    (tensor([[3.],
            [6.]]), tensor([3.5000, 7.0000]))
    """
    if _has_kernel(users, items):
        products, norms = _Products.apply(users, items, rows, columns, True)
        return products, norms
    read, others = embedding(rows, users), embedding(columns, items)  # once for both
    squares = read.float().square().sum(1) + others.float().square().sum((1, 2))
    return (read[:, None] * others).sum(2), 0.5 * squares


def pair_sums(users: Tensor, items: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(B, n, D) `users[rows[b]] + items[columns[b, n]]`; all else as in `pair_products`.

    >>> users, items = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 1.0], [0.0, 3.0]])
    >>> pair_sums(users, items, torch.tensor([0]), torch.tensor([[0, 1]]))
    tensor([[[2., 3.],
             [1., 5.]]])
    """
    if _has_kernel(users, items):
        sums: Tensor = _Sums.apply(users, items, rows, columns)
        return sums
    return embedding(rows, users)[:, None] + embedding(columns, items)


def _has_kernel(users: Tensor, items: Tensor) -> bool:
    on_cpu = users.device.type == "cpu"
    return on_cpu and users.dtype == items.dtype and users.dtype in _KERNEL_TYPES


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, rows: Tensor, columns: Tensor, with_norms: bool
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(users, items, rows, columns)
        out = users.new_empty(columns.shape)
        norms = users.new_empty(len(rows) if with_norms else 0)
        kernels.products(*(_array(x) for x in (users, items, rows, columns, out, norms)))
        return out, norms

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, gradient: Tensor, of_norms: Tensor
    ) -> tuple[Tensor, Tensor, None, None, None]:
        users, items, rows, columns = ctx.saved_tensors
        of_users, of_items = torch.zeros_like(users), torch.zeros_like(items)
        arguments = users, items, rows, columns, gradient, of_norms, of_users, of_items
        kernels.add_gradients_of_products(*(_array(x) for x in arguments))
        return of_users, of_items, None, None, None


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        ctx.save_for_backward(rows, columns)
        ctx.lengths = len(users), len(items)
        out = users.new_empty(*columns.shape, users.shape[1])
        kernels.sums(*(_array(x) for x in (users, items, rows, columns, out)))
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        of_users, of_items = (gradient.new_zeros(n, gradient.shape[2]) for n in ctx.lengths)
        arguments = *ctx.saved_tensors, gradient, of_users, of_items
        kernels.add_gradients_of_sums(*(_array(x) for x in arguments))
        return of_users, of_items, None, None


def _array(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()  # one kernel, whatever the layout


def half_squared_norms(table: Tensor, *rows: Tensor) -> Tensor:
    """1/2 sum over the rows of ||e_r||², where a row that stands twice counts twice.

    Over the B pairs of a batch, times l2 / B, the penalty of BPR. LightGCN's is on the embeddings
    of layer 0, never on propagated ones. It is computed by how often each row counts.

    Args:
        table: (R, D) e.
        rows: int64, each of any shape.

    Returns:
        () float32.

    >>> half_squared_norms(torch.ones(2, 3), torch.tensor([0, 0]), torch.tensor([[1]]))  # 3 rows
    tensor(4.5000)
    """
    counts = torch.bincount(torch.cat([r.flatten() for r in rows]), minlength=len(table))
    half: Tensor = _HalfSquaredNorms.apply(table, counts)
    return half


class _HalfSquaredNorms(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, counts: Tensor) -> Tensor:
        ctx.save_for_backward(table, counts)
        squares = torch.linalg.vecdot(table.float(), table.float())
        return 0.5 * (counts * squares).sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        table, counts = ctx.saved_tensors
        return table * (gradient * counts).to(table.dtype)[:, None], None
