"""Linear item-item models from sufficient statistics: EASE, EDLAE, ADMM-SLIM, higher-order EASE.

Everything starts from the Gram matrix G = X^T X, whose lower triangle alone is read (that is all
`sparse.gram` writes), and ends in weights B with scores X B. Memory is counted in squares: one is
I^2 numbers of the Gram matrix's type.

On a CPU, LAPACK and BLAS are called through SciPy and NumPy: they work in place, and their OpenBLAS
multiplies twice as fast as the MKL of torch where it was measured (AMD EPYC, 6,807 items: 3.0 s
against 5.7 s). Other devices use torch.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import get_lapack_funcs
from torch import Tensor

from recsys_lightning.errors import InputError
from recsys_lightning.functional.sparse import dense_blocks

_BLOCK = 2**20  # numbers of a block of rows: the elementwise work on it stays in the cache


# Shared


def invert_spd_(matrix: Tensor) -> Tensor:
    """Invert a symmetric positive definite matrix in place, by its Cholesky factor.

    Half the work of a general inverse, and symmetric to the last bit. On a CPU nothing else is
    allocated; a GPU needs two squares more.

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
    if matrix.device.type == "cpu":
        potrf, potri = get_lapack_funcs(("potrf", "potri"), (matrix.numpy(),))
        fortran = matrix.numpy().T  # lower is upper there
        factor, failed = potrf(fortran, lower=False, overwrite_a=True, clean=False)
        if not failed:
            _, failed = potri(factor, lower=False, overwrite_c=True)
    else:
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if not failed:
            matrix.copy_(torch.cholesky_inverse(factor))
    if failed:
        raise InputError(
            f"the Gram matrix with l2 on its diagonal is not positive definite in {matrix.dtype}: "
            "use a larger model.l2, or trainer.precision=64-true"
        )
    return _mirror_(matrix)


def _mirror_(matrix: Tensor) -> Tensor:
    """Copy the lower triangle to the upper one."""
    size, step = len(matrix), 1024
    for first in range(0, size, step):
        last = first + step
        corner = matrix[first:last, first:last]
        corner.copy_(corner.tril() + corner.tril(-1).T)
        matrix[first:last, last:] = matrix[last:, first:last].T
    return matrix


def _matmul(left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    """`left @ right` into `out`."""
    if out.device.type == "cpu":
        np.matmul(left.numpy(), right.numpy(), out=out.numpy())
        return out
    return torch.matmul(left, right, out=out)


def _row_blocks(num_rows: int, num_columns: int) -> Iterator[slice]:
    step = max(_BLOCK // num_columns, 1)
    for first in range(0, num_rows, step):
        yield slice(first, min(first + step, num_rows))


# EASE and EDLAE


def ease(gram: Tensor, ridge: Tensor | float) -> Tensor:
    """EASE: the zero-diagonal weights that reconstruct X best, in closed form.

    min ||X - XB||² + sum_i ridge_i ||B_i.||²  with diag(B) = 0:
    P = (G + diag(ridge))^-1, B_ij = -P_ij / P_jj; the division is by the target's column j.

    One square in all on a CPU: the Gram matrix becomes the weights. Steck, Embarrassingly shallow
    autoencoders for sparse data, WWW 2019, eq. 8.

    Args:
        gram: (I, I) lower triangle; overwritten.
        ridge: lambda, or (I,) one an item; see `edlae_ridge`.

    Returns:
        (I, I) weights B in the memory of `gram`.

    Raises:
        InputError: the ridge is too small for the precision.

    >>> ease(torch.tensor([[3.0, 0.0], [2.0, 3.0]]), 1.0)
    tensor([[0.0000, 0.5000],
            [0.5000, 0.0000]])
    """
    gram.diagonal().add_(ridge)
    p = invert_spd_(gram)
    return p.div_(-p.diagonal().clone()).fill_diagonal_(0)


def edlae_ridge(popularity: Tensor, l2: float, dropout: float) -> Tensor:
    """The ridge that equals training EASE on inputs with dropout, in expectation.

    With x~ = x * mask / (1-p), E||x - x~B||² = ||x - xB||² + p/(1-p) sum_i x_i² ||B_i.||².
    Steck, Autoencoders that don't overfit towards the identity, NeurIPS 2020, eq. 5 and 10.

    Args:
        popularity: (I,) the diagonal of G.
        l2: lambda.
        dropout: p.

    Returns:
        (I,) lambda + p/(1-p) * popularity.

    >>> edlae_ridge(torch.tensor([10.0, 0.0]), l2=5.0, dropout=0.5)
    tensor([15.,  5.])
    """
    return l2 + dropout / (1 - dropout) * popularity


def ease_bytes(num_items: int, itemsize: int = 4, device: str = "cpu") -> int:
    """Peak of `ease` with its Gram matrix: one square on a CPU; Cholesky copies on a GPU, four."""
    return (1 if device == "cpu" else 4) * num_items**2 * itemsize


# ADMM-SLIM


def center_(gram: Tensor, popularity: Tensor, num_users: int) -> Tensor:
    """The Gram matrix of the centred columns, without densifying X: G - U m m^T, m = pop / U.

    Args:
        gram: (I, I) lower triangle; overwritten.
        popularity: (I,) column sums of X.
        num_users: U.

    >>> center_(torch.tensor([[2.0, 0.0], [1.0, 2.0]]), torch.tensor([2.0, 2.0]), 4)
    tensor([[ 1., -1.],
            [ 0.,  1.]])
    """
    popularity = popularity.to(gram.dtype)
    return gram.addr_(popularity, popularity, alpha=-1 / num_users)


def popularity_ridge(popularity: Tensor, num_users: int, l2: float, power: float) -> Tensor:
    """L2 that grows with popularity: l2 * (popularity / U)^power; power 0 is plain l2.

    Shares are at most 1, so at a power above 0 a larger l2 does what a smaller one did.

    >>> popularity_ridge(torch.tensor([100.0, 25.0]), num_users=100, l2=200.0, power=0.5)
    tensor([200., 100.])
    """
    return l2 * (popularity / num_users) ** power


class AdmmInfo(NamedTuple):
    """How the iterations ended.

    Attributes:
        iterations: how many were made.
        primal: ||B - C||_F after the last.
        dual: rho ||C - C_old||_F after the last.
        converged: both are within the tolerances.
    """

    iterations: int
    primal: float
    dual: float
    converged: bool


def admm_slim(
    gram: Tensor,
    *,
    l1: float,
    l2: Tensor | float,
    rho: float,
    max_iterations: int,
    nonnegative: bool,
    eps_abs: float = 1e-6,
    eps_rel: float = 1e-4,
    progress: Callable[[int], None] | None = None,
) -> tuple[Tensor, AdmmInfo]:
    """SLIM, sparse weights with a zero diagonal, by alternating directions of multipliers.

    min 1/2 ||X - XB||² + 1/2 sum_i l2_i ||B_i.||² + l1 ||C||_1
    with B = C, diag(B) = 0, and C >= 0 if `nonnegative`.

    Steck, Dimakopoulou, Riabov, Jebara, ADMM SLIM: sparse recommendations for many users, WSDM
    2020. With P = (G + diag(l2) + rho I)^-1, multipliers Gamma and V = B + Gamma / rho its steps

        T = I - P diag(l2 + rho) + P (rho C - Gamma)
        B = T - P diag(gamma), gamma_j = T_jj / P_jj
        C = soft(V, l1 / rho), or max(V - l1 / rho, 0)
        Gamma = Gamma + rho (B - C) = rho (V - C)

    need V alone from one iteration to the next: M = rho C - Gamma = rho (2C - V), the two column
    scalings of P are one, and (I - P diag(l2 + rho)) has gone:

        B = P M - P diag(g), g_j = (1 + (P M)_jj) / P_jj, diag(B) = 0
        V = B + V - C

    Four squares: P, M, P M and V (the inverse in float64 fits into them); a GPU needs two to four
    more while it inverts. An iteration is one product of squares.

    Args:
        gram: (I, I) lower triangle; overwritten. In float32 the inverse alone is made in float64.
        l1: lambda_1.
        l2: lambda_2, or (I,) one an item; see `popularity_ridge`.
        rho: step size: weight of the constraint B = C. It changes the path, not the optimum.
        max_iterations: a limit.
        nonnegative: whether C >= 0.
        eps_abs: of an entry, in the stopping rule of Boyd et al., Distributed optimization and
            statistical learning via ADMM, 2011, section 3.3.1: primal <= I eps_abs +
            eps_rel max(||B||, ||C||) and dual <= I eps_abs + eps_rel ||Gamma||.
        eps_rel: see `eps_abs`.
        progress: called with the number of iterations made, after each.

    Returns:
        weight (I, I): C, which is sparse and satisfies the constraints exactly; and how it ended.

    Raises:
        InputError: l2 + rho is too small for the precision.

    >>> gram = torch.tensor([[3.0, 0.0], [2.0, 3.0]])
    >>> weight, info = admm_slim(
    ...     gram, l1=0.5, l2=1.0, rho=1.0, max_iterations=100, nonnegative=True
    ... )
    >>> weight  # (G_ij - l1) / (G_ii + l2)
    tensor([[0.0000, 0.3750],
            [0.3750, 0.0000]])
    >>> info.converged
    True
    """
    size = len(gram)
    gram.diagonal().add_(l2).add_(rho)
    p = gram.copy_(invert_spd_(gram.double()))
    p_diagonal = p.diagonal().clone()
    m, v, pm = torch.zeros_like(p), torch.zeros_like(p), torch.zeros_like(p)

    def soft_threshold(v: Tensor) -> Tensor:
        return (
            (v - l1 / rho).relu_() if nonnegative else torch.nn.functional.softshrink(v, l1 / rho)
        )

    info = AdmmInfo(0, float("inf"), float("inf"), converged=False)
    while info.iterations < max_iterations and not info.converged:
        if info.iterations:  # M is zero before the first
            _matmul(p, m, out=pm)
        g = (1 + pm.diagonal()) / p_diagonal
        norms = []
        for rows in _row_blocks(size, size):  # all elementwise work while a block is in the cache
            b, v_block = pm[rows], v[rows]
            b.addcmul_(p[rows], g, value=-1).diagonal(rows.start).zero_()
            c_old = soft_threshold(v_block)
            v_block.add_(b).sub_(c_old)
            c = soft_threshold(v_block)
            gamma = v_block - c  # / rho
            torch.sub(c, gamma, out=m[rows]).mul_(rho)
            norms.append(
                torch.stack(
                    [torch.linalg.vector_norm(x) for x in (b - c, c_old.sub_(c), b, c, gamma)]
                )
            )
        norm = torch.linalg.vector_norm(torch.stack(norms).double(), dim=0)
        primal, dual, b_norm, c_norm, gamma_norm = (
            norm * norm.new_tensor([1, rho, 1, 1, rho])
        ).tolist()
        info = AdmmInfo(
            iterations=info.iterations + 1,
            primal=primal,
            dual=dual,
            converged=primal <= size * eps_abs + eps_rel * max(b_norm, c_norm)
            and dual <= size * eps_abs + eps_rel * gamma_norm,
        )
        if progress is not None:
            progress(info.iterations)
    for rows in _row_blocks(size, size):
        v[rows] = soft_threshold(v[rows])
    return v, info


def admm_slim_bytes(num_items: int, itemsize: int = 4, device: str = "cpu") -> int:
    """Peak of `admm_slim` with its Gram matrix: four squares; eight on a GPU, in the inverse."""
    return (4 if device == "cpu" else 8) * num_items**2 * itemsize


# Higher-order EASE


def choose_pairs(gram: Tensor, num_pairs: int) -> Tensor:
    """The pairs of items that most users have in common.

    The best so far are kept while blocks of rows pass, so little more than a block is allocated.

    Args:
        gram: (I, I) lower triangle.
        num_pairs: m.

    Returns:
        (m, 2) int64 pairs (a, b), a < b, by descending G_ab, then by ascending b and a; fewer than
        m if fewer pairs have a user in common.

    >>> gram = torch.tensor([[9.0, 0, 0, 0], [2, 9, 0, 0], [5, 0, 9, 0], [2, 2, 1, 9]])
    >>> choose_pairs(gram, 3)
    tensor([[0, 2],
            [0, 1],
            [0, 3]])
    """
    counts = gram.new_empty(0)
    pairs = torch.empty(0, 2, dtype=torch.int64, device=gram.device)
    for rows in _row_blocks(*gram.shape):
        block = gram[rows].tril(rows.start - 1)
        to_beat = counts[-1] if 0 < len(counts) == num_pairs else 0
        b, a = (block > to_beat).nonzero(as_tuple=True)
        counts = torch.cat([counts, block[b, a]])
        pairs = torch.cat([pairs, torch.stack([a, b + rows.start], dim=1)])
        best = counts.argsort(descending=True, stable=True)[:num_pairs]
        counts, pairs = counts[best], pairs[best]
    return pairs


def pair_features(x: Tensor, pairs: Tensor) -> Tensor:
    """Z, the indicators of pairs: z_u,(a,b) = x_ua x_ub.

    Args:
        x: (B, I) zeros and ones.
        pairs: (m, 2).

    Returns:
        (B, m) of the type of `x`.

    >>> pair_features(torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[0, 1], [1, 2]]))
    tensor([[1., 0.]])
    """
    return x.index_select(1, pairs[:, 0]).mul_(x.index_select(1, pairs[:, 1]))


def pair_gram(items: Tensor, offsets: Tensor, pairs: Tensor, out: Tensor) -> Tensor:
    """Add Z^T [X Z] to `out`, dense in bounded blocks of rows.

    Heavy users hold most of the pairs, so that Z is far from sparse.

    Args:
        items: (N,) int32 item positions; no item twice in a row.
        offsets: (B+1,) int64; row b is `items[offsets[b]:offsets[b+1]]`.
        pairs: (m, 2).
        out: (m, I+m).

    Returns:
        `out`.

    >>> items = torch.tensor([0, 1, 1, 0], dtype=torch.int32)
    >>> pair_gram(items, torch.tensor([0, 2, 3, 4]), torch.tensor([[0, 1]]), torch.zeros(1, 3))
    tensor([[1., 1., 1.]])
    """
    num_pairs, num_features = out.shape
    product = torch.empty_like(out)
    for x in dense_blocks(items, offsets, num_features - num_pairs, out.dtype):
        z = pair_features(x, pairs)
        out += _matmul(z.T, torch.cat([x, z], dim=1), out=product)
    return out


def higher_order_ease(
    gram: Tensor, pair_gram: Tensor, pairs: Tensor, l2: float, pair_l2: float
) -> Tensor:
    """EASE with weights from pairs of items, too; exact, without iterations.

    min ||X - XB - ZC||² + l2 ||B||² + pair_l2 ||C||²
    with diag(B) = 0 and C_(a,b),a = C_(a,b),b = 0: a pair does not predict its own members.

    With F = [X Z], S = (F^T F + diag(l2, pair_l2))^-1, and K_j the features that may not predict
    item j (j itself first, and the pairs with j):

        [B; C]_.j = e_j - S_.,Kj (S_Kj,Kj)^-1 e_1

    The unconstrained solution of column j is e_j - l2 S e_j; projecting it on W_Kj = 0 in the
    metric of S^-1 cancels l2, because j is in K_j. Without pairs it is EASE. The model is that of
    Steck, Liang, Negative interactions for improved collaborative filtering: don't go deeper, go
    higher, RecSys 2021, whose ADMM needs some 400 sweeps to come as close.

    The inverse is made in float64 whatever the input: pairs are strongly correlated. Memory beside
    the input: (I+m)² float64, and the result.

    Args:
        gram: (I, I) X^T X, lower triangle.
        pair_gram: (m, I+m) Z^T [X Z].
        pairs: (m, 2), distinct.
        l2: lambda of B.
        pair_l2: lambda of C.

    Returns:
        (I+m, I) weights [B; C] of the type of `gram`.

    Raises:
        InputError: an l2 is too small for the precision.

    >>> gram, pairs = torch.tensor([[3.0, 0.0], [2.0, 3.0]]), torch.tensor([[0, 1]])
    >>> higher_order_ease(gram, torch.tensor([[2.0, 2.0, 2.0]]), pairs, l2=1.0, pair_l2=1.0)
    tensor([[0.0000, 0.5000],
            [0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    num_items, num_features = len(gram), pair_gram.shape[1]
    s = gram.new_empty(num_features, num_features, dtype=torch.float64)
    s[:num_items, :num_items] = gram
    s[num_items:] = pair_gram
    s.diagonal()[:num_items] += l2
    s.diagonal()[num_items:] += pair_l2
    invert_spd_(s)

    # K as ragged rows, item j itself first
    target = torch.cat([torch.arange(num_items, device=s.device), pairs[:, 0], pairs[:, 1]])
    forbidden = torch.arange(num_features, device=s.device)
    forbidden = torch.cat([forbidden, forbidden[num_items:]])
    order = target.argsort(stable=True)
    target, forbidden = target[order], forbidden[order]
    sizes = target.bincount(minlength=num_items)
    first = sizes.cumsum(0) - sizes

    q = s.new_empty(len(target))  # the ragged (S_KK)^-1 e_1
    for size in sizes.unique().tolist():
        places = first[sizes == size, None] + torch.arange(size, device=s.device)  # (n, size)
        k = forbidden[places]
        s_kk = s[k[:, :, None], k[:, None, :]]
        e_1 = torch.eye(size, 1, dtype=s.dtype, device=s.device)
        q[places] = torch.linalg.solve(s_kk, e_1.expand(len(k), -1, -1)).squeeze(-1)

    weight = gram.new_empty(num_features, num_items)
    for columns in _row_blocks(num_items, num_features):  # S is symmetric: its rows are contiguous
        own = slice(int(first[columns.start]), int((first + sizes)[columns.stop - 1]))
        weight[:, columns] = torch.nn.functional.embedding_bag(
            forbidden[own],
            s,
            first[columns] - own.start,
            mode="sum",
            per_sample_weights=-q[own],
        ).T
    weight[forbidden, target] = 0
    return weight


def easer_bytes(num_items: int, num_pairs: int, itemsize: int = 4, device: str = "cpu") -> int:
    """Peak of `higher_order_ease` with its input: statistics, the float64 inverse, the weights."""
    num_features = num_items + num_pairs
    statistics = num_items**2 + num_pairs * num_features
    inverse = (1 if device == "cpu" else 4) * num_features**2 * 8
    return (statistics + num_features * num_items) * itemsize + inverse
