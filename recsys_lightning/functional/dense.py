"""Dense symmetric matrices in place: the inverse of a positive definite one, products, blocks.

On a CPU, LAPACK and BLAS are called through SciPy and NumPy: they work in place, and their OpenBLAS
multiplies twice as fast as the MKL of torch where it was measured (AMD EPYC, 6,807 items: 3.0 s
against 5.7 s). Other devices use torch.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from recsys_lightning.errors import InputError

_CACHED = 2**20  # numbers of a block of rows: the elementwise work on it stays in the cache
_BLOCK = 1024  # rows and columns of a block of the blocked inverse
# SciPy's LAPACK counts in 32 bits: its inverse of 35,000 float32 rows worked, that of 37,000 died
# of a segmentation fault. Below this size even the bytes of a float64 matrix are no more than 2^31.
_LAPACK_SIZE = 2**14


def invert_spd_(matrix: Tensor) -> Tensor:
    """Invert a symmetric positive definite matrix in place, by its Cholesky factor.

    Half the work of a general inverse, and symmetric to the last bit. On a CPU nothing else is
    allocated up to 16,384 rows; above, block after block is eliminated, which needs
    `blocked_numbers` more. A GPU needs two squares more, and its solver some workspace.

    Args:
        matrix: (I, I) float32 or float64, contiguous; the lower triangle is read, all is written.

    Returns:
        `matrix`.

    Raises:
        InputError: not positive definite in this precision.

    >>> invert_spd_(torch.tensor([[4.0, 0.0], [2.0, 2.0]]))
    tensor([[ 0.5000, -0.5000],
            [-0.5000,  1.0000]])
    """
    if matrix.device.type != "cpu":
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if failed:
            raise _not_positive_definite(matrix)
        matrix.copy_(torch.cholesky_inverse(factor))
    elif len(matrix) <= _LAPACK_SIZE:
        _invert_by_lapack_(matrix)
    else:
        _invert_by_blocks_(matrix, _BLOCK)
    return _mirror_(matrix)


def _invert_by_lapack_(matrix: Tensor) -> None:
    """Write the inverse to the lower triangle."""
    from scipy.linalg import get_lapack_funcs

    potrf, potri = get_lapack_funcs(("potrf", "potri"), (matrix.numpy(),))
    fortran = matrix.numpy().T  # lower is upper there
    factor, failed = potrf(fortran, lower=False, overwrite_a=True, clean=False)
    if not failed:
        _, failed = potri(factor, lower=False, overwrite_c=True)
    if failed:
        raise _not_positive_definite(matrix)


def _invert_by_blocks_(matrix: Tensor, step: int) -> None:
    """Write the inverse to the lower triangle by sweeping blocks; only products touch all of it.

    To sweep block k: with D = (A_kk)^-1, which is that of its Schur complement by then,

        A_ij -= A_ik D A_kj,   A_ik = A_ik D,   A_kk = -D,

    for i, j other than k, swept or not; after all blocks the matrix is -A^-1. I^3 operations, as
    Cholesky and inverse together.
    """
    size = len(matrix)
    blocks = [slice(first, min(first + step, size)) for first in range(0, size, step)]
    column, times_d = matrix.new_empty(size, step), matrix.new_empty(size, step)
    product = matrix.new_empty(step, step)
    for k in blocks:
        width = k.stop - k.start
        d = matrix[k, k].clone()
        _invert_by_lapack_(d)
        _mirror_(d)
        a, a_d = column[:, :width], times_d[:, :width]  # A_:k and A_:k D
        a[: k.start] = matrix[k, : k.start].T
        a[k.stop :] = matrix[k.stop :, k]
        for i in blocks:
            if i != k:
                matmul(a[i], d, out=a_d[i])
        for row, i in enumerate(blocks):
            for j in blocks[: row + 1]:
                if k not in (i, j):
                    out = product[: i.stop - i.start, : j.stop - j.start]
                    matrix[i, j].sub_(matmul(a_d[i], a[j].T, out=out))
        matrix[k, : k.start] = a_d[: k.start].T
        matrix[k.stop :, k] = a_d[k.stop :]
        matrix[k, k] = -d
    for rows in row_blocks(size, size):
        matrix[rows, : rows.stop].neg_()


def blocked_numbers(size: int) -> int:
    """How many numbers `invert_spd_` allocates on a CPU beside the matrix."""
    return 2 * size * _BLOCK if size > _LAPACK_SIZE else 0


def _mirror_(matrix: Tensor) -> Tensor:
    """Copy the lower triangle to the upper one."""
    size, step = len(matrix), 1024
    for first in range(0, size, step):
        last = first + step
        corner = matrix[first:last, first:last]
        corner.copy_(corner.tril() + corner.tril(-1).T)
        matrix[first:last, last:] = matrix[last:, first:last].T
    return matrix


def _not_positive_definite(matrix: Tensor) -> InputError:
    return InputError(
        f"the Gram matrix with l2 on its diagonal is not positive definite in {matrix.dtype}: "
        "use a larger model.l2, or trainer.precision=64-true"
    )


def matmul(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    """`left @ right` into `out`; on a CPU by NumPy's BLAS, whose indices have 64 bits.

    >>> matmul(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]]), out=torch.empty(1, 1))
    tensor([[11.]])
    """
    if out.device.type == "cpu":
        import numpy as np

        np.matmul(left.numpy(), right.numpy(), out=out.numpy())
        return out
    return torch.matmul(left, right, out=out)


def row_blocks(num_rows: int, num_columns: int) -> Iterator[slice]:
    """Slices of consecutive rows that stay in the cache, 1 M numbers each.

    >>> list(row_blocks(5, 2**19))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(_CACHED // max(num_columns, 1), 1)
    for first in range(0, num_rows, step):
        yield slice(first, min(first + step, num_rows))
