"""Higher-order EASE: EASE with weights from pairs of items, too."""

import torch
from torch import Tensor

from recsys_lightning.functional.dense import blocked_numbers, matmul, row_blocks
from recsys_lightning.functional.ridge import few_users
from recsys_lightning.functional.sparse import Ragged, dense_blocks


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
    for rows in row_blocks(*gram.shape):
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
    # beside x there are z, and both once more in one
    num_items = num_features - num_pairs
    beside = num_features + num_pairs
    for x in dense_blocks(items, offsets, num_items, out.dtype, beside):
        z = pair_features(x, pairs)
        out += matmul(z.T, torch.cat([x, z], dim=1), out=product)
    return out


def pair_rows(x: Ragged, pairs: Tensor) -> Ragged:
    """F = [X Z] (U, I+m) as ragged rows.

    Args:
        x: (U, I).
        pairs: (m, 2).

    >>> x = Ragged(torch.tensor([0, 1, 1], dtype=torch.int32), torch.tensor([0, 2, 3]), 2)
    >>> pair_rows(x, torch.tensor([[0, 1]])).dense()
    tensor([[1., 1., 1.],
            [0., 1., 0.]])
    """
    users, features, before = [x.row_of_each()], [x.columns.long()], 0
    for block in dense_blocks(x.columns, x.offsets, x.num_columns, beside=len(pairs)):
        row, pair = pair_features(block, pairs).nonzero(as_tuple=True)
        users.append(row + before)
        features.append(pair + x.num_columns)
        before += len(block)
    user, feature = torch.cat(users), torch.cat(features)
    order = user.argsort(stable=True)
    lengths = torch.bincount(user, minlength=x.num_rows)
    offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    return Ragged(feature[order].int(), offsets, x.num_columns + len(pairs))


def feature_gram(gram: Tensor, pair_gram: Tensor) -> Tensor:
    """F^T F (I+m, I+m) float64, lower triangle, from X^T X and Z^T [X Z].

    >>> feature_gram(torch.tensor([[3.0]]), torch.tensor([[1.0, 2.0]]))
    tensor([[3., 0.],
            [1., 2.]], dtype=torch.float64)
    """
    num_items, num_features = len(gram), pair_gram.shape[1]
    joint = gram.new_zeros(num_features, num_features, dtype=torch.float64)
    joint[:num_items, :num_items] = gram
    joint[num_items:] = pair_gram
    return joint


def higher_order_ease(s: Tensor, pairs: Tensor, out: Tensor) -> Tensor:
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

    Args:
        s: (I+m, I+m) S in float64, as pairs are strongly correlated; see `ridge.ridge_inverse`.
        pairs: (m, 2), distinct.
        out: (I+m, I).

    Returns:
        `out`, the weights [B; C].

    >>> gram = feature_gram(torch.tensor([[3.0, 0.0], [2.0, 3.0]]), torch.tensor([[2.0, 2.0, 2.0]]))
    >>> from recsys_lightning.functional.ridge import DenseInverse
    >>> s = DenseInverse(gram, 1.0).dense()
    >>> higher_order_ease(s, torch.tensor([[0, 1]]), out=torch.empty(3, 2))
    tensor([[0.0000, 0.5000],
            [0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    num_features, num_items = out.shape

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

    for columns in row_blocks(num_items, num_features):  # S is symmetric: its rows are contiguous
        own = slice(int(first[columns.start]), int((first + sizes)[columns.stop - 1]))
        out[:, columns] = torch.nn.functional.embedding_bag(
            forbidden[own],
            s,
            first[columns] - own.start,
            mode="sum",
            per_sample_weights=-q[own],
        ).T
    out[forbidden, target] = 0
    return out


def easer_bytes(x: Ragged, num_pairs: int, itemsize: int, device: str = "cpu") -> int:
    """Peak of `higher_order_ease` with its statistics: the Gram matrices, then S, then the weights.

    With few users K and W, W and S, then the weights. The pairs, and with them which form it will
    be, are not known yet: the larger one where it can be both.
    """
    num_users, num_items, num_ones = x.sizes
    num_features, copies = num_items + num_pairs, 1 if device == "cpu" else 4
    statistics = itemsize * (num_items**2 + num_pairs * num_features)
    weights = itemsize * num_features * num_items
    numbers = copies * num_features**2 + blocked_numbers(num_features)
    needed = max(statistics, weights) + 8 * numbers
    if few_users(num_users, num_features, num_ones):
        w = num_users * num_features
        needed = max(needed, 8 * (w + max(copies * num_users**2, num_features**2)))
    return needed
