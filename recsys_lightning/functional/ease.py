"""EASE, EDLAE and user-side EASE: weights of items, in closed form."""

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


def user_side_ease(p: Tensor, l2: float) -> Tensor:
    """EASE of the transposed matrix, users x users, as weights of items.

    There a user's row x is the ridge regression on the rows X' of the other users, and what it
    says of the items is the user's scores:

        s = x X'^T (X' X'^T + l2)^-1 X' = x - l2 x (X'^T X' + l2)^-1
          = x - l2 x P / (1 - x P x^T),   P = (X^T X + l2)^-1, with that user

    by the push-through identity, and that of Sherman and Morrison. The divisor is one number a
    user and positive, so that x (I - l2 P) ranks all that x has not as s does, without a matrix of
    users; of a row that is not of X it is the regression on all of X itself.

    Args:
        p: (I, I) of `ridge.ridge_inverse`; overwritten.
        l2: the ridge of all items, which is the users' here.

    Returns:
        (I, I) weights I - l2 P in the memory of `p`.

    >>> import torch
    >>> user_side_ease(torch.tensor([[4.0, 2.0], [2.0, 4.0]]).inverse(), 1.0)  # P of G + 1
    tensor([[0.6667, 0.1667],
            [0.1667, 0.6667]])
    """
    p.mul_(-l2).diagonal().add_(1)
    return p


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
