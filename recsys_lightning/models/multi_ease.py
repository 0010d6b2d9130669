"""Multi-EASE: EASE's weights, trained further on the multinomial likelihood.

The model of the contest team (boostcampaitech3, level 2, team 5) kept EASE's B and trained a free
vector of all items for every user, initialised with the user's row, on that same row: 213 M
parameters that can only fit what is masked afterwards. Here the idea its name states: B itself is
trained, from EASE, with a temperature and item biases, on inputs with dropout.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.optim import Adam
from typing_extensions import override

from recsys_lightning.data.batches import Bag
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import check_range
from recsys_lightning.families.autoencoder import Autoencoder
from recsys_lightning.functional.ease import ease, edlae_ridge
from recsys_lightning.functional.ridge import inverse_bytes, ridge_inverse, stable_dtype
from recsys_lightning.functional.sparse import Ragged, bag_matmul
from recsys_lightning.memory import require_memory


def log_softplus(x: Tensor) -> Tensor:
    """Elementwise log log(1 + e^x): x itself far below 0, where softplus vanishes; log x far above.

    >>> log_softplus(torch.tensor([-100.0, 0.0, 100.0]))
    tensor([-100.0000,   -0.3665,    4.6052])
    """
    return torch.where(x < -20, x, softplus(x.clamp(min=-20)).log())


def multi_ease_bytes(x: Ragged, dtype: torch.dtype) -> int:
    """Peak of a fit: EASE's; or six squares.

    They are B_0, D, its gradient, Adam's two averages, and B_0 + D in an evaluation.
    """
    square = 4 * x.num_columns**2
    return max(square + inverse_bytes(x, dtype), 6 * square)


class MultiEASE(Autoencoder):
    """`s = log softplus(drop(x) (B_0 + D) / temperature) + b`, B_0 of EASE, diag(D) = 0.

    D and b begin at 0, and log softplus is increasing, so it begins as EASE exactly; the
    multinomial likelihood then trains D, b and the temperature. EASE's scores are close to
    probabilities, which a softmax must see as their logarithm: taken as logits themselves, the
    first steps would bend D to mend that, and lose more accuracy than the later ones win.
    The L2 of D draws B towards EASE.

    Args:
        num_users: U.
        num_items: I.
        l2: EASE's ridge, > 0.
        temperature: to begin with, > 0: the score below which log softplus is no more logarithmic.
        dropout: of the input in training, in [0, 1); EASE itself is fitted without.
        lr: of Adam for D; b and the temperature, of another scale, take 1,000 times as much.
        weight_decay: L2 of D.
    """

    ease_weight: Tensor

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        l2: float = 1000.0,
        temperature: float = 0.05,
        dropout: float = 0.5,
        lr: float = 0.00001,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(num_users, num_items, dropout, lr, weight_decay)
        check_range("model.l2", l2, low=0, open_low=True)
        check_range("model.temperature", temperature, low=0, open_low=True)
        self.l2 = l2
        self._require_memory(4 * 2 * num_items**2, "its weights")
        # untouched, they take no memory yet; `prepare` or a checkpoint fills them
        self.register_buffer("ease_weight", torch.empty(num_items, num_items))
        self.delta = nn.Parameter(torch.empty(num_items, num_items))
        self.delta.register_hook(lambda gradient: gradient.fill_diagonal_(0))
        self.bias = nn.Parameter(torch.zeros(num_items))
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))
        self._total: Tensor | None = None  # B_0 + D in an evaluation
        self.register_load_state_dict_post_hook(lambda *_: setattr(self, "_total", None))

    def prepare(self, interactions: Interactions) -> None:
        """Fit EASE, in float64 where its ridge is too small for float32."""
        items = torch.from_numpy(interactions.indices)
        x = Ragged(items, torch.from_numpy(interactions.indptr), self.num_items).nonempty()
        ridge = edlae_ridge(x.column_sums().double(), self.l2, 0.0)
        dtype = stable_dtype(x, ridge, self.ease_weight.dtype)
        self._require_memory(multi_ease_bytes(x, dtype), "the fit")
        self.ease_weight.copy_(ease(ridge_inverse(x, ridge, dtype)))
        nn.init.zeros_(self.delta)

    @override
    def forward(self, history: Bag, users: Tensor) -> Tensor:
        if self.training:
            self._total = None
            kept = history.drop(self.input_dropout)
            scores = bag_matmul(kept.items, kept.offsets, self.ease_weight)
            scores = scores + bag_matmul(kept.items, kept.offsets, self.delta)
        else:
            if self._total is None:
                self._total = self.ease_weight + self.delta.detach()
            scores = bag_matmul(history.items, history.offsets, self._total)
        scores = scores * (-self.log_temperature).exp() / (1 - self.input_dropout)
        return log_softplus(scores) + self.bias

    @override
    def _apply(self, *args: Any, **kwargs: Any) -> Any:  # behind .to(), .double() and so on
        self._total = None
        return super()._apply(*args, **kwargs)

    def _require_memory(self, needed: int, what: str) -> None:
        described = f"MultiEASE of {self.num_items:,} items needs for {what}"
        remedies = "keep fewer items (data.min_rating, or your own file), or choose another model"
        require_memory(needed, described, remedies)

    @override
    def configure_optimizers(self) -> Adam:
        adam = self.adam(self.parameters())
        adam.param_groups[1]["lr"] *= 1000  # the vectors'
        return adam
