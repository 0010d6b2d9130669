"""NCF: neural collaborative filtering, as GMF, MLP or both (NeuMF).

He, Liao, Zhang, Nie, Hu and Chua, Neural collaborative filtering, WWW 2017
(hexiangnan/neural_collaborative_filtering).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import SGD
from typing_extensions import override

from recsys_lightning.data.batches import Query
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import InputError, check_range, check_sizes
from recsys_lightning.families.pairwise import Pairwise
from recsys_lightning.functional.pairs import pair_products, pair_sums
from recsys_lightning.nn.towers import Tower

VARIANTS = {"gmf": ("gmf",), "mlp": ("mlp",), "neumf": ("gmf", "mlp")}  # their branches


class NCF(Pairwise):
    """`s_ui = h^T [p_u o q_i ; a_L] + b`, `a_l = relu(W_l a_{l-1} + b_l)`, `a_0 = [p'_u ; q'_i]`.

    NeuMF has both branches, each with its own embeddings; GMF and MLP have one. An unknown user
    gets the popular items: nothing else is known of them.

    Pre-training: NeuMF starts from a GMF and an MLP by `init_from={gmf: run, mlp: run}`. It copies
    embeddings and layers, and `h <- [h_G ; h_M] / 2` and b likewise, so that its first scores are
    the means of theirs. Such a fit, and no other, is by plain SGD of `lr`, as the paper says:
    Adam's moments are not there.

    Where we differ from the authors' code: dropout (theirs has none), and L2 of the batch's rows.

    Args:
        num_users: U.
        num_items: I.
        variant: gmf, mlp or neumf.
        embedding_dim: of p and q, which begin as N(0, 0.01²).
        tower_dims: of a_0 to a_L; a_0 is halves of p' and q', so even. L is at least 1: without a
            layer a score is a sum of a user's and an item's, and all users have one ranking.
        dropout: of a_1 to a_L in training.
        loss: bce, bpr or sampled_softmax; see `Pairwise`.
        l2: of the p, q, p' and q' that a batch reads; see `Pairwise`.
        lr: of Adam, or of SGD after pre-training.
        score_memory_mb: of a block of pairs, see `Tower`.
    """

    starts_from: ClassVar = {"gmf": ("NCF",), "mlp": ("NCF",)}

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        variant: str = "neumf",
        embedding_dim: int = 64,
        tower_dims: Sequence[int] = (128, 64, 32),
        dropout: float = 0.0,
        loss: str = "bce",
        l2: float = 0.0,
        lr: float = 0.001,
        score_memory_mb: float = 4,
    ) -> None:
        super().__init__(num_users, num_items, loss, l2, lr)
        if variant not in list(VARIANTS):  # a list could not be looked up
            raise InputError(f"model.variant={variant}: expected one of {', '.join(VARIANTS)}")
        check_range("model.embedding_dim", embedding_dim, low=1, whole=True)
        check_sizes("model.tower_dims", tower_dims)
        if tower_dims[0] % 2 or len(tower_dims) < 2:
            raise InputError(
                f"model.tower_dims={list(tower_dims)}: expected an even width, of which a user's "
                "and an item's vector are halves, and one layer or more after it"
            )
        check_range("model.dropout", dropout, low=0, high=1, open_high=True)
        check_range("model.score_memory_mb", score_memory_mb, low=0, open_low=True)
        self.variant, self.is_pretrained = variant, False
        self.users, self.items = nn.ParameterDict(), nn.ParameterDict()
        widths = {"gmf": embedding_dim, "mlp": tower_dims[0] // 2}
        for branch in VARIANTS[variant]:
            for tables, number in ((self.users, num_users), (self.items, num_items)):
                tables[branch] = nn.Parameter(0.01 * torch.randn(number, widths[branch]))
        self.bias = nn.Parameter(torch.zeros(()))
        if "gmf" in self.users:
            self.gmf_output = nn.Parameter(torch.empty(embedding_dim))
        if "mlp" in self.users:
            width, dims = widths["mlp"], tower_dims[1:]
            self.tower = Tower(width, width, dims, dropout, score_memory_mb)
        outputs = [weight for name, weight in self.named_parameters() if "output" in name]
        bound = (3 / sum(weight.numel() for weight in outputs)) ** 0.5  # LeCun-uniform
        for weight in outputs:
            nn.init.uniform_(weight, -bound, bound)

    @override
    def tables(self) -> list[tuple[Tensor, Tensor]]:
        return [(self.users[branch], self.items[branch]) for branch in self.users]

    @override
    def prepare(self, interactions: Interactions) -> None:
        self.is_pretrained = bool(self.starts)
        if not self.starts:
            return
        if set(self.starts) != set(self.users) or self.variant != "neumf":
            raise InputError(
                "init_from: model.variant=neumf starts from a gmf and an mlp, gmf and mlp from "
                f"nothing; got {', '.join(self.starts)} for {self.variant}"
            )
        biases = []
        for branch, start in self.starts.items():
            start.copy_users(f"users.{branch}", into=self.users[branch])
            start.copy_items(f"items.{branch}", into=self.items[branch])
            start.copy("bias", into=self.bias)
            biases.append(self.bias.detach().clone())
        self.starts["gmf"].copy("gmf_output", into=self.gmf_output)
        for name, parameter in self.tower.named_parameters():
            self.starts["mlp"].copy(f"tower.{name}", into=parameter)
        self.bias.data = torch.stack(biases).mean()
        for weight in (self.gmf_output, self.tower.output.weight):
            weight.data /= 2

    @override
    def configure_optimizers(self) -> Any:
        if self.is_pretrained:
            return SGD(self.parameters(), lr=self.lr)
        return super().configure_optimizers()

    @override
    def on_fit_start(self) -> None:
        if "mlp" in self.users:
            self.tower.announce(len(self.datamodule.users("valid")), self.num_items)

    @override
    def score_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        scores: Tensor = self.bias
        if "gmf" in self.users:
            weighted = self.users["gmf"] * self.gmf_output
            scores = scores + pair_products(weighted, self.items["gmf"], users, items)
        if "mlp" in self.users:
            of_users = self.tower.user_part(self.users["mlp"])
            of_items = self.tower.item_part(self.items["mlp"])
            scores = scores + self.tower(pair_sums(of_users, of_items, users, items))
        return scores

    @override
    def score(self, query: Query) -> Tensor:
        users = query.users.clamp(min=0)
        scores: Tensor = self.bias
        if "gmf" in self.users:
            scores = scores + (self.users["gmf"][users] * self.gmf_output) @ self.items["gmf"].T
        if "mlp" in self.users:
            of_users = self.tower.user_part(self.users["mlp"][users])
            of_items = self.tower.item_part(self.items["mlp"])
            scores = scores + self.tower.all_pairs(of_users, of_items)
        return self.or_popularity(scores, query.users)
