"""P = (X^T X + Λ)^-1, on which every linear model here stands; Λ is a diagonal of ridges.

Two forms, chosen by `few_users`: the Gram matrix X^T X, inverted in place (`DenseInverse`); and,
where users are few, an inverse of users x users (`FewUsers`):

    P = Λ^-1 - Λ^-1 X^T W,   W = K^-1 X Λ^-1 (U, I),   K = I + X Λ^-1 X^T (U, U)

(Woodbury's identity). X stays sparse: all products with it cost one addition a number of theirs,
so that only K is cubic. The columns of X may be centred: X - 1 m^T, m their means, is never formed,
and as the columns of W then sum to 0, it stands in K and W alone.
"""

import logging
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from recsys_lightning.errors import InputError
from recsys_lightning.functional.dense import blocked_numbers, invert_spd_, matmul, row_blocks
from recsys_lightning.functional.sparse import Ragged, bag_matmul, gram

log = logging.getLogger(__name__)

_DENSE_SPEED = 16  # dense operations in the time of one sparse addition (160 and 10 G/s, two cores)


def few_users(num_users: int, num_items: int, num_ones: int) -> bool:
    """Whether the form of users x users is the faster one.

    Its cost U³ + 16 N (2U + I) against I³: always where 2U <= I unless more than a twentieth of X
    is ones; and for many catalogues of the literature whose users are almost as many as the items.

    >>> few_users(671, 9066, 100_004), few_users(6040, 3706, 1_000_209)
    (True, False)
    """
    sparse = _DENSE_SPEED * num_ones * (2 * num_users + num_items)
    return num_users**3 + sparse < num_items**3


def condition(x: Ragged, ridge: Tensor) -> float:
    """How much an error in G + Λ grows in P: the largest eigenvalue of I + Λ^-½ G Λ^-½.

    For equal ridges it bounds cond(G + Λ), as no eigenvalue of G + λI is below λ, and is equal to
    it where G is singular (few users, or an item nobody has); where G alone is well conditioned,
    float64 is used without need. For unequal ones it is the condition after scaling rows and
    columns by Λ^-½, on which the error of Cholesky depends (van der Sluis 1969, Demmel 1989),
    however far the ridges are apart: EDLAE with l2 0.001 is harmless.

    It needs the sparse rows only, so it is known before anything dense is allocated, on any device
    and for any number of items, which LAPACK's `pocon` is not. That estimates the condition in the
    1-norm, which is between the usual one and I times it: on MovieLens-1M with l2 100 it is 9.2e4,
    this is 2.5e3; with l2 0.1 4.8e7 and 2.5e6.

    Power iteration; G has no negative entries, so 20 steps are far more than its largest
    eigenvalue needs (it is within 1 %, from below).

    Args:
        x: (U, I).
        ridge: (I,).

    Returns:
        The eigenvalue, at least 1.

    >>> x = Ragged(torch.tensor([0, 1, 0, 1], dtype=torch.int32), torch.tensor([0, 2, 4]), 2)
    >>> round(condition(x, torch.tensor([0.5, 0.5])), 6)  # G = [[2, 2], [2, 2]]
    9.0
    """
    from scipy.sparse import csr_array

    ones = np.ones(len(x.columns))
    shape = (x.num_rows, x.num_columns)
    matrix = csr_array((ones, x.columns.cpu().numpy(), x.offsets.cpu().numpy()), shape=shape)
    inverse = 1 / ridge.cpu().double().numpy()
    vector, value = np.ones(x.num_rows), 0.0
    for _ in range(20):
        norm = np.linalg.norm(vector)
        if norm == 0:  # no rows, or no ones
            break
        vector = matrix @ (inverse * (matrix.T @ (vector / norm)))
        before, value = value, float(np.linalg.norm(vector))
        if value <= 1.001 * before:
            break
    return 1 + value


def stable_dtype(x: Ragged, ridge: Tensor, dtype: torch.dtype) -> torch.dtype:
    """The type in which P and the weights are to be computed and kept: `dtype`, or float64.

    A condition of 1e5 is carried by float32: the top-10 of EASE are those of float64 but for one
    item in 10,000 (MovieLens-1M with l2 3, made-up long tails). Above, scores of unseen items are
    small differences of large sums: weights of float64 rounded to float32 change a hundredth of
    the items at 1e7. The form of few users subtracts from Λ^-1, and carries 1e3. Float64 carries
    2^29 times as much.

    Raises:
        InputError: float64 is too short, too, or a ridge is not positive and finite.
    """
    if dtype not in (torch.float32, torch.float64):
        raise InputError(f"linear models need trainer.precision=32-true or 64-true, not {dtype}")
    if not (ridge.isfinite() & (ridge > 0)).all():
        raise InputError(
            f"the ridges of the items are {ridge.min():g} to {ridge.max():g}: expected positive "
            "and finite ones; see model.l2, and model.popularity_power where there is one"
        )
    value, carried = condition(x, ridge), 1e3 if few_users(*x.sizes) else 1e5
    if value > 2**29 * carried:
        raise InputError(
            f"the ridge is too small: the condition of the Gram matrix with it is {value:.0e}, "
            f"and float64 carries {2**29 * carried:.0e}. Use a larger model.l2"
        )
    if value > carried and dtype == torch.float32:
        log.info("solved in float64: condition %.0e, and float32 carries %.0e", value, carried)
        return torch.float64
    return dtype


def center_(gram: Tensor, mean: Tensor, num_users: int) -> Tensor:
    """The Gram matrix of the centred columns, without densifying X: G - U m m^T.

    Args:
        gram: (I, I) lower triangle; overwritten.
        mean: (I,) m, the column means of X.
        num_users: U, the rows of X.

    >>> center_(torch.tensor([[2.0, 0.0], [1.0, 2.0]]), torch.tensor([0.5, 0.5]), 4)
    tensor([[ 1., -1.],
            [ 0.,  1.]])
    """
    mean = mean.to(gram)
    return gram.addr_(mean, mean, alpha=-num_users)


def centered_bias(mean: Tensor, weight: Tensor) -> Tensor:
    """What scores of rows as they are need added where the weights are of centred columns.

    (f - m) W + m_X = f W + bias, bias = m_X - m W; the items are the first of the features.

    Args:
        mean: (F,) m, the column means of the features.
        weight: (F, I).

    Returns:
        (I,) of the type of `weight`.

    >>> centered_bias(torch.tensor([0.5, 0.25]), torch.tensor([[0.0], [2.0]]))
    tensor([0.])
    """
    mean = mean.to(weight)
    return mean[: weight.shape[1]] - mean @ weight


class DenseInverse:
    """P itself.

    Args:
        gram: (I, I) X^T X, lower triangle; overwritten by P.
        ridge: (I,) or a number: the diagonal of Λ.
        inverse_dtype: in which the inverse is made, to be kept in that of `gram`; the same if None.

    Attributes:
        p: (I, I).
        dtype: of the results.
        row_scale: (I, 1) ones; what `step` wants the rows of M multiplied by.

    Raises:
        InputError: the ridge is too small for the precision.
    """

    def __init__(
        self, gram: Tensor, ridge: Tensor | float, inverse_dtype: torch.dtype | None = None
    ) -> None:
        p = gram.to(inverse_dtype or gram.dtype)  # `gram` itself where that is its type
        p.diagonal().add_(torch.as_tensor(ridge, dtype=p.dtype, device=p.device))
        self.p = gram.copy_(invert_spd_(p))
        self.row_scale, self.dtype = gram.new_ones(len(gram), 1), gram.dtype
        self.product: Tensor | None = None

    def dense(self) -> Tensor:
        """(I, I) P."""
        return self.p

    def step(self, m: Tensor | None) -> Iterator[tuple[slice, Tensor]]:
        """Rows of P M - P diag(g), g_j = (1 + (P M)_jj) / P_jj, block by block.

        Apart from the diagonal, which is of no use, that is the minimum of
        1/2 ||X - XB||² + 1/2 ||Λ^½ B||² - <M, B> with diag(B) = 0.

        Args:
            m: (I, I), or None for zeros; of the rows yielded the caller may overwrite it.

        Yields:
            The rows, and (b, I) which the caller may overwrite.
        """
        if self.product is None:
            self.product = torch.zeros_like(self.p)
        if m is not None:
            matmul(self.p, m, out=self.product)
        g = (1 + self.product.diagonal()) / self.p.diagonal()
        for rows in row_blocks(*self.p.shape):
            yield rows, self.product[rows].addcmul_(self.p[rows], g, value=-1)


class FewUsers:
    """P by its parts, from few rows.

    Args:
        x: (U, I).
        ridge: (I,) or a number: the diagonal of Λ.
        dtype: of the results.
        center: whether to centre the columns of X.
        inverse_dtype: in which K^-1 and W are made; `dtype` if None.

    Attributes:
        dtype: of the results.
        row_scale: (I, 1) 1 / Λ; what `step` wants the rows of M multiplied by.

    Raises:
        InputError: the ridge is too small for the precision.
    """

    def __init__(
        self,
        x: Ragged,
        ridge: Tensor | float,
        dtype: torch.dtype,
        center: bool = False,
        inverse_dtype: torch.dtype | None = None,
    ) -> None:
        self.x, self.transposed, self.dtype = x, x.transpose(), dtype
        high = inverse_dtype or dtype
        scaled = self.transposed.dense(high)
        ridge = torch.as_tensor(ridge, dtype=high, device=scaled.device)
        self.row_scale = (1 / ridge).expand(x.num_columns)[:, None]
        self.mean = x.column_sums().to(scaled) / x.num_rows if center else None
        if self.mean is not None:
            scaled -= self.mean[:, None]
        k = self._times(scaled.mul_(self.row_scale))
        del scaled
        k.diagonal().add_(1)
        self.k_inverse = invert_spd_(k)
        self.w = k.new_empty(x.num_rows, x.num_columns)
        total = self.k_inverse.sum(0)
        for items, block in self._transposed_times(self.k_inverse):
            if self.mean is not None:
                mean = self.mean[items, None] * self.row_scale[items]
                block.addcmul_(mean, total, value=-1)
            self.w[:, items] = block.T

    def dense(self) -> Tensor:
        """(I, I) P; no `step` after it."""
        del self.k_inverse
        p = self.w.new_empty(self.x.num_columns, self.x.num_columns, dtype=self.dtype)
        diagonal = (self.row_scale[:, 0] - self._diagonal(self.w)).to(p)
        for rows, block in self._transposed_times(self.w):
            torch.neg(block, out=block)
            p[rows] = block
        p.diagonal().copy_(diagonal)
        return p

    def step(self, m: Tensor | None) -> Iterator[tuple[slice, Tensor]]:
        """As `DenseInverse.step`, without P.

        With R = K^-1 X Λ^-1 M (U, I),

            (P M)_jj = M_jj / λ_j - (Λ^-1 X^T R)_jj,
            P M - P diag(g) = Λ^-1 M - Λ^-1 X^T (R - W diag(g)) - Λ^-1 diag(g)

        of which the last touches the diagonal alone.

        Args:
            m: (I, I) Λ^-1 M, or None for zeros; see `DenseInverse.step`.

        Yields:
            The rows, and (b, I) which the caller may overwrite.
        """
        if self.w.dtype != self.dtype:
            self.w, self.k_inverse = self.w.to(self.dtype), self.k_inverse.to(self.dtype)
            self.row_scale = self.row_scale.to(self.dtype)
            self.mean = None if self.mean is None else self.mean.to(self.dtype)
        diagonal = self.row_scale[:, 0] - self._diagonal(self.w)
        if m is None:
            r = self.w * (-1 / diagonal)
        else:
            r = self._times(m)
            r = matmul(self.k_inverse, r, out=torch.empty_like(r))
            g = (1 + m.diagonal() - self._diagonal(r)) / diagonal
            r.addcmul_(self.w, g, value=-1)
        for rows, block in self._transposed_times(r):
            yield (
                rows,
                torch.neg(block, out=block) if m is None else torch.sub(m[rows], block, out=block),
            )

    def _times(self, m: Tensor) -> Tensor:
        """X M, X centred where it is to be."""
        product = self.x @ m
        return product if self.mean is None else product.sub_(self.mean @ m)

    def _transposed_times(self, n: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Λ^-1 X^T N (I, D), X as it is, block by block of rows in the same memory."""
        scratch = n.new_empty(0)
        for items in row_blocks(self.x.num_columns, n.shape[1]):
            owners = self.transposed.rows(items)
            if not len(scratch):
                scratch = n.new_empty(owners.num_rows, n.shape[1])
            block = scratch[: owners.num_rows]
            bag_matmul(owners.columns, owners.offsets, n, out=block)
            yield items, block.mul_(self.row_scale[items])

    def _diagonal(self, n: Tensor) -> Tensor:
        """(I,) of Λ^-1 X^T N, N (U, I)."""
        item = self.transposed.row_of_each()
        held = n[self.transposed.columns.long(), item]
        diagonal = torch.segment_reduce(held, "sum", offsets=self.transposed.offsets, initial=0)
        return diagonal * self.row_scale[:, 0]


def ridge_inverse(x: Ragged, ridge: Tensor | float, dtype: torch.dtype) -> Tensor:
    """P (I, I) of sparse rows, in the faster form.

    >>> x = Ragged(torch.tensor([0, 1, 0], dtype=torch.int32), torch.tensor([0, 2, 3]), 2)
    >>> ridge_inverse(x, 1.0, torch.float32)  # of [[3, 1], [1, 2]]
    tensor([[ 0.4000, -0.2000],
            [-0.2000,  0.6000]])
    """
    if few_users(*x.sizes):
        return FewUsers(x, ridge, dtype).dense()
    counts = torch.zeros(x.num_columns, x.num_columns, dtype=dtype, device=x.columns.device)
    gram(x.columns, x.offsets, x.num_columns, out=counts)
    return DenseInverse(counts, ridge).dense()


def inverse_bytes(x: Ragged, dtype: torch.dtype, device: str = "cpu") -> int:
    """Peak of making P (I, I) with its statistics.

    The Gram matrix's own square on a CPU; three more on a GPU, for Cholesky's copies. With few
    users K and W, then W and P.
    """
    num_users, num_items, _ = x.sizes
    copies = 1 if device == "cpu" else 4
    if few_users(*x.sizes):
        numbers = num_users * num_items + max(copies * num_users**2, num_items**2)
    else:
        numbers = copies * num_items**2 + blocked_numbers(num_items)
    return dtype.itemsize * numbers
