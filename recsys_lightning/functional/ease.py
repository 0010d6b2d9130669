"""EASE and EDLAE: item-item weights with a zero diagonal, in closed form."""

from torch import Tensor


def ease(p: Tensor) -> Tensor:
    """EASE: the zero-diagonal weights that reconstruct X best, in closed form.

    min ||X - XB||² + sum_i ridge_i ||B_i.||²  with diag(B) = 0:
    P = (X^T X + diag(ridge))^-1, B_ij = -P_ij / P_jj; the division is by the target's column j.
    Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019, eq. 8.

    Args:
        p: (I, I) of `ridge.ridge_inverse`; overwritten.

    Returns:
        (I, I) weights B in the memory of `p`.

    >>> import torch
    >>> p = torch.tensor([[4.0, 2.0], [2.0, 4.0]]).inverse()  # G + 1
    >>> ease(p)
    tensor([[0.0000, 0.5000],
            [0.5000, 0.0000]])
    """
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

    >>> import torch
    >>> edlae_ridge(torch.tensor([10.0, 0.0]), l2=5.0, dropout=0.5)
    tensor([15.,  5.])
    """
    return l2 + dropout / (1 - dropout) * popularity
