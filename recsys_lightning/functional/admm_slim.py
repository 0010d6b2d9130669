"""ADMM-SLIM: sparse item-item weights with a zero diagonal."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from recsys_lightning.functional.dense import row_blocks
from recsys_lightning.functional.ridge import DenseInverse, FewUsers, few_users
from recsys_lightning.functional.sparse import Ragged


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
    inverse: DenseInverse | FewUsers,
    *,
    l1: float,
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

    An iteration is one product of squares, or two of few users with a square: B is a step of the
    inverse.

    Args:
        inverse: of X^T X + diag(l2) + rho I, X centred or not; l2 one an item, see
            `popularity_ridge`. Used up.
        l1: lambda_1.
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

    >>> gram = torch.tensor([[3.0, 0.0], [2.0, 3.0]])
    >>> inverse = DenseInverse(gram, 1.0 + 1.0)  # l2 + rho
    >>> weight, info = admm_slim(inverse, l1=0.5, rho=1.0, max_iterations=100, nonnegative=True)
    >>> weight  # (G_ij - l1) / (G_ii + l2)
    tensor([[0.0000, 0.3750],
            [0.3750, 0.0000]])
    >>> info.converged
    True
    """
    scale = rho * inverse.row_scale.to(inverse.dtype)
    size = len(scale)
    m, v = scale.new_zeros(size, size), scale.new_zeros(size, size)

    def soft_threshold(v: Tensor) -> Tensor:
        return (
            (v - l1 / rho).relu_() if nonnegative else torch.nn.functional.softshrink(v, l1 / rho)
        )

    info = AdmmInfo(0, float("inf"), float("inf"), converged=False)
    while info.iterations < max_iterations and not info.converged:
        norms = []
        for rows, b in inverse.step(m if info.iterations else None):  # while it is in the cache
            v_block = v[rows]
            b.diagonal(rows.start).zero_()
            c_old = soft_threshold(v_block)
            v_block.add_(b).sub_(c_old)
            c = soft_threshold(v_block)
            gamma = v_block - c  # / rho
            torch.sub(c, gamma, out=m[rows]).mul_(scale[rows])
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
    del m
    for rows in row_blocks(size, size):
        v[rows] = soft_threshold(v[rows])
    return v, info


def admm_slim_bytes(x: Ragged, dtype: torch.dtype, device: str = "cpu") -> int:
    """Peak of `admm_slim` with its statistics and an inverse made in float64.

    Four squares: P, M, P M and V; on a GPU Cholesky's copies in float64, nine. With few users M, V,
    three of U x I (W, R and X M), and K^-1.
    """
    num_users, num_items, _ = x.sizes
    if few_users(*x.sizes):
        numbers = 2 * num_items**2 + 3 * num_users * num_items + num_users**2
    else:
        numbers = (4 if device == "cpu" else 9) * num_items**2
    return dtype.itemsize * numbers
