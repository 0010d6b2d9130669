"""EASER, here higher-order EASE: pairs of items are further inputs of a linear model.

Steck and Liang, Negative interactions for improved collaborative filtering: don't go deeper, go
higher, RecSys 2021 (hasteck/Higher_Recsys_2021). We solve it exactly, where that code makes 40
sweeps of ADMM that have not converged; and the pairs are chosen by their number, not by a
threshold that fits one data set only. Elsewhere "EASE^R" is plain EASE.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from recsys_lightning.data.batches import Query, Rows
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import check_range
from recsys_lightning.families.closed_form import ClosedForm
from recsys_lightning.functional.higher_order_ease import (
    choose_pairs,
    easer_bytes,
    feature_gram,
    higher_order_ease,
    pair_features,
    pair_gram,
    pair_rows,
)
from recsys_lightning.functional.ridge import (
    DenseInverse,
    FewUsers,
    center_,
    centered_bias,
    few_users,
)
from recsys_lightning.functional.sparse import bag_matmul, gram


class EASER(ClosedForm):
    """`s_u = x_u B + z_u C` with z_u,(a,b) = x_ua x_ub for the pairs that most users share.

    [B; C] = argmin ||X - XB - ZC||² + l2 ||B||² + pair_l2 ||C||² where diag(B) = 0 and a pair does
    not predict its own members. With `center` it is `s_u = (x_u - m) B + (z_u - n) C + m`, where m
    and n are the means of items and pairs, and both are centred for the fit, too.

    Args:
        num_users: U.
        num_items: I.
        l2: ridge of the items, > 0.
        pair_l2: ridge of the pairs, > 0.
        num_pairs: how many, >= 0; memory grows with (I + num_pairs)², see `easer_bytes`.
        center: whether to centre the columns of X and Z.
        recency: r >= 0, at scoring alone: the latest item of a history counts 1 + r, the k-th
            latest 1 + r / k; 0: all alike. A pair counts as the geometric mean of its items.
    """

    at_scoring = ("recency",)
    pairs: Tensor
    bias: Tensor

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        l2: float = 500.0,
        pair_l2: float = 5000.0,
        num_pairs: int = 2000,
        center: bool = False,
        recency: float = 0.0,
    ) -> None:
        super().__init__(num_users=num_users, num_items=num_items)
        check_range("model.l2", l2, low=0, open_low=True)
        check_range("model.pair_l2", pair_l2, low=0, open_low=True)
        check_range("model.num_pairs", num_pairs, low=0, whole=True)
        check_range("model.recency", recency, low=0)
        self.l2, self.pair_l2, self.num_pairs = l2, pair_l2, num_pairs
        self.center, self.recency = center, recency
        self.register_weight(num_items + num_pairs)
        self.register_buffer("pairs", torch.zeros(num_pairs, 2, dtype=torch.int64))
        if center:  # a checkpoint without it has none
            self.register_from_data("bias", num_items)  # or solved in float64

    @override
    def ridge(self, popularity: Tensor, num_users: int) -> Tensor:
        return torch.full_like(popularity, self.l2)

    @override
    def fit_bytes(self, device: str) -> int:
        return easer_bytes(self.rows, self.num_pairs, self.solver_dtype.itemsize, device)

    def prepare(self, interactions: Interactions) -> None:
        """Choose the pairs before the one pass; all processes choose the same."""
        super().prepare(interactions)
        size = self.num_items
        counts = torch.zeros(size, size, dtype=self.solver_dtype)
        gram(self.rows.columns, self.rows.offsets, self.num_items, out=counts)
        found = choose_pairs(counts, self.num_pairs)
        self.num_found = len(found)  # few where the data is tiny; the others keep weights of zero
        self.pairs[: len(found)] = found.to(self.device)
        ones = len(self.rows.columns) + int(counts[found[:, 1], found[:, 0]].sum())
        self.gram = counts
        if few_users(self.rows.num_rows, self.num_items + len(found), ones):
            self.gram, self.rows = None, pair_rows(self.rows, found)

    @override
    def begin(self) -> None:
        if self.gram is not None:
            self.gram = self.gram.to(self.device)
            features = self.num_items + self.num_found
            self.pair_gram = self.gram.new_zeros(self.num_found, features)

    @override
    def accumulate(self, rows: Rows) -> None:
        if self.gram is not None:
            items, offsets = rows.history.items, rows.history.offsets
            pair_gram(items, offsets, self.pairs[: self.num_found], out=self.pair_gram)

    @override
    def statistics(self) -> Sequence[Tensor]:
        return [] if self.gram is None else [self.pair_gram]

    @override
    def solve(self) -> None:
        pairs = self.pairs[: self.num_found]
        ridges = torch.full((self.num_items + len(pairs),), self.l2, dtype=torch.float64)
        ridges[self.num_items :] = self.pair_l2
        if self.gram is None:
            mean = self.rows.column_sums().double() / self.rows.num_rows
            rows = self.rows.to(self.device)
            s = FewUsers(rows, ridges, torch.float64, self.center).dense()
        else:
            joint = feature_gram(self.gram, self.pair_gram)
            self.gram = None
            del self.pair_gram
            mean = joint.diagonal() / self.rows.num_rows
            if self.center:
                center_(joint, mean, self.rows.num_rows)
            s = DenseInverse(joint, ridges).dense()
        self.weight = torch.zeros_like(self.weight, dtype=self.solver_dtype)
        higher_order_ease(s, pairs, out=self.weight[: len(s)])
        if self.center:
            self.bias = centered_bias(mean, self.weight[: len(s)])

    @override
    def score(self, query: Query) -> Tensor:
        of_items, of_pairs = self.weight[: self.num_items], self.weight[self.num_items :]
        history, factors = query.history, self.factors(query.history)
        x = history.dense(self.num_items, None if factors is None else factors.sqrt())
        z = pair_features(x.to(self.weight), self.pairs)
        scores = bag_matmul(history.items, history.offsets, of_items, factors)
        scores.addmm_(z, of_pairs)
        return scores.add_(self.bias) if self.center else scores
