"""ADMM-SLIM: sparse item-item weights (L1, L2, sign, zero diagonal) from the Gram matrix.

Steck, Dimakopoulou, Riabov, Jebara, ADMM SLIM: sparse recommendations for many users, WSDM 2020;
the model is that of Ning and Karypis, SLIM, ICDM 2011. There is no official code.
"""

import logging
import math

import torch
from torch import Tensor
from typing_extensions import override

from recsys_lightning.data.batches import Query
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import check_range
from recsys_lightning.families.closed_form import ClosedForm
from recsys_lightning.functional.admm_slim import admm_slim, admm_slim_bytes, popularity_ridge
from recsys_lightning.functional.ridge import centered_bias
from recsys_lightning.functional.sparse import bag_matmul

log = logging.getLogger(__name__)


class AdmmSlim(ClosedForm):
    """`s_u = x_u C`, C = argmin 1/2 ||X - XC||² + 1/2 sum_i l2_i ||C_i.||² + l1 ||C||_1.

    diag(C) = 0, and C >= 0 if `nonnegative`. With `center` it is `s_u = (x_u - m) C + m`, where m
    are the items' means and X is centred for the fit, too.

    Args:
        num_users: U.
        num_items: I.
        l1: weight of the absolute values, >= 0; it makes C sparse. None: 5 sqrt(n / 250), at most
            5, n the training interactions of an item in the mean: the noise in how many users two
            items share grows as the root of their number. MovieLens-1M has n = 254.
        l2: ridge, >= 0.
        rho: step size of ADMM, > 0: changes how fast it converges, not to what.
        max_iterations: limit of the iterations, each of one product of I x I matrices.
        tolerance: relative; iterations end when both residuals are within it (Boyd et al. 2011,
            section 3.3.1); 0 makes `max_iterations`.
        nonnegative: whether C >= 0.
        center: whether to centre the columns of X.
        popularity_power: a: the ridge of item i is l2 * (popularity_i / U)^a; 0 is l2 for all.
        recency: r >= 0, at scoring alone: the latest item of a history counts 1 + r, the k-th
            latest 1 + r / k; 0: all alike.
    """

    at_scoring = ("recency",)
    bias: Tensor

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        l1: float | None = None,
        l2: float = 300.0,
        rho: float = 4000.0,
        max_iterations: int = 50,
        tolerance: float = 1e-3,
        nonnegative: bool = False,
        center: bool = False,
        popularity_power: float = 0.0,
        recency: float = 0.0,
    ) -> None:
        super().__init__(num_users=num_users, num_items=num_items)
        check_range("model.l1", l1, low=0, or_null=True)
        check_range("model.l2", l2, low=0)
        check_range("model.rho", rho, low=0, open_low=True)
        check_range("model.max_iterations", max_iterations, low=1, whole=True)
        check_range("model.tolerance", tolerance, low=0)
        check_range("model.popularity_power", popularity_power)
        check_range("model.recency", recency, low=0)
        self.l1 = math.nan if l1 is None else l1  # until `prepare`
        self.l2, self.rho, self.recency = l2, rho, recency
        self.max_iterations, self.tolerance = max_iterations, tolerance
        self.nonnegative, self.center, self.popularity_power = nonnegative, center, popularity_power
        self.register_weight(num_items)
        self.register_from_data("bias", num_items)  # or solved in float64
        self.bias.zero_()

    @override
    def prepare(self, interactions: Interactions) -> None:
        super().prepare(interactions)
        if self.hparams["l1"] is None:
            of_an_item = len(self.rows.columns) / self.num_items
            self.l1 = 5 * min(math.sqrt(of_an_item / 250), 1)

    @override
    def ridge(self, popularity: Tensor, num_users: int) -> Tensor:
        return popularity_ridge(popularity, num_users, self.l2, self.popularity_power) + self.rho

    @override
    def fit_bytes(self, device: str) -> int:
        return admm_slim_bytes(self.rows, self.solver_dtype, device)

    @override
    def solve(self) -> None:
        self.weight, info = admm_slim(
            self.inverse(self.center, torch.float64),
            l1=self.l1,
            rho=self.rho,
            max_iterations=self.max_iterations,
            nonnegative=self.nonnegative,
            eps_abs=0.0,
            eps_rel=self.tolerance,
            progress=self.progress("ADMM", self.max_iterations),
        )
        log.info("%s", info)
        if self.center:
            mean = self.rows.column_sums().to(self.weight) / self.rows.num_rows
            self.bias = centered_bias(mean, self.weight)

    @override
    def score(self, query: Query) -> Tensor:
        history = query.history
        scores = bag_matmul(history.items, history.offsets, self.weight, self.factors(history))
        return scores.add_(self.bias)
