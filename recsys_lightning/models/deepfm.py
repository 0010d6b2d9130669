"""DeepFM: a factorisation machine and a perceptron on the same embeddings of all fields.

Guo, Tang, Ye, Li and He, DeepFM: A factorization-machine based neural network for CTR prediction,
IJCAI 2017.
"""

from collections.abc import Iterable, Sequence

import torch
from scipy.sparse import hstack
from torch import Tensor, nn
from typing_extensions import override

from recsys_lightning.data.batches import Pairs, Query
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.errors import check_range, check_sizes
from recsys_lightning.families.pairwise import Pairwise
from recsys_lightning.functional.pairs import pair_products, pair_sums
from recsys_lightning.functional.sparse import Ragged, bag_matmul_torch, product
from recsys_lightning.nn.towers import Tower


def second_order(fields: Tensor) -> Tensor:
    """(n,) `sum_{f<g} <v_f, v_g>` of the vectors v of F fields (n, F, D), in O(F D).

    >>> v = torch.tensor([[[1.0, 2.0], [3.0, 0.0], [0.0, 5.0]]])
    >>> second_order(v)  # 3 + 10 + 0
    tensor([13.])
    """
    return (fields.sum(1).square() - fields.square().sum(1)).sum(1) / 2


class DeepFM(Pairwise):
    """`s = w_0 + sum_f w_f + sum_{f<g} <v_f, v_g> + MLP([v_1; ...; v_F])`.

    The fields are the user, the item and its features, each with a weight w and a vector v that FM
    and MLP share. A feature with several values has the mean of theirs, with none zeros; a year is
    a value as any other. A user is in one field, so FM is `<v_u, V_i>` plus what an item has alone,
    with V_i the sum of the vectors of its fields. An unknown user gets the popular items.

    Args:
        num_users: U.
        num_items: I.
        num_values: values of each feature.
        features: names of the item features; null: all that the data has, which may be none.
        embedding_dim: of v, which begins as N(0, 0.1²); w begins at 0.
        hidden_dims: of the MLP, see `Tower`; []: without one, a factorisation machine.
        dropout: of the MLP's layers in training.
        loss: bpr, bce or sampled_softmax; see `Pairwise`.
        l2: of the w and v of all fields that a batch reads, see `Pairwise`.
        mlp_l2: of the MLP's matrices. Without it the MLP grows while `l2` holds the v small, and
            the product of two of them in FM has no say: with few interactions a user, a worse
            model than FM alone.
        lr: of Adam.
        score_memory_mb: of a block of pairs, see `Tower`.
    """

    uses_features = True
    bags: Tensor
    bag_offsets: Tensor

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        num_values: Sequence[int],
        features: Sequence[str] | None = None,
        embedding_dim: int = 64,
        hidden_dims: Sequence[int] = (64,),
        dropout: float = 0.2,
        loss: str = "bpr",
        l2: float = 0.002,
        mlp_l2: float = 0.1,
        lr: float = 0.002,
        score_memory_mb: float = 4,
    ) -> None:
        super().__init__(num_users, num_items, loss, l2, lr)
        check_range("model.embedding_dim", embedding_dim, low=1, whole=True)
        check_sizes("model.hidden_dims", hidden_dims, empty=True)
        check_range("model.dropout", dropout, low=0, high=1, open_high=True)
        check_range("model.mlp_l2", mlp_l2, low=0)
        check_range("model.score_memory_mb", score_memory_mb, low=0, open_low=True)
        self.num_features, self.mlp_l2 = len(num_values), mlp_l2
        self.bias = nn.Parameter(torch.zeros(()))
        self.users = self._table(num_users, embedding_dim)
        self.items = self._table(num_items, embedding_dim)
        if num_values:
            self.values = self._table(sum(num_values), embedding_dim)
        self.tower: Tower | None = None
        if hidden_dims:
            item_dim = (1 + len(num_values)) * embedding_dim
            self.tower = Tower(embedding_dim, item_dim, hidden_dims, dropout, score_memory_mb)
        self.of_values: Ragged | None = None  # the bags that have each value; for gradients
        # the values of an item's features, a bag for each (item, feature)
        self.register_from_data("bags", "values", dtype=torch.int64)
        self.register_from_data("bag_offsets", num_items * len(num_values) + 1, dtype=torch.int64)

    @staticmethod
    def _table(length: int, embedding_dim: int) -> nn.Parameter:
        """(length, 1+D) w and v."""
        return nn.Parameter(nn.functional.pad(0.1 * torch.randn(length, embedding_dim), (1, 0)))

    @override
    def prepare(self, interactions: Interactions) -> None:
        chosen = [interactions.features[name].matrix for name in self.features]
        self.bag_offsets.zero_()
        if chosen:  # hstack keeps an item's features in their order
            self.bags = torch.from_numpy(hstack(chosen, format="csr").indices).long()
            lengths = torch.stack([torch.from_numpy(x.indptr).diff() for x in chosen], 1)
            self.bag_offsets = nn.functional.pad(lengths.flatten().cumsum(0), (1, 0))
            bags = Ragged(self.bags, self.bag_offsets, len(self.values))
            self.of_values = bags.transpose()

    @override
    def tables(self) -> Iterable[tuple[Tensor, Tensor]]:
        return [(self.users, self.item_fields().flatten(1))]

    @override
    def loss(self, pairs: Pairs) -> Tensor:
        fields = self.item_fields()  # once for both
        scores = self._score_pairs(fields, pairs.users, pairs.items)
        penalty = self.penalty(pairs, [(self.users, fields.flatten(1))])
        if self.tower is not None:
            penalty = penalty + self.mlp_l2 * self.tower.half_squared_norm()
        return self.ranking_loss(scores, pairs) + penalty

    @override
    def on_fit_start(self) -> None:
        if self.of_values is not None:
            self.of_values = self.of_values.to(self.device)
        if self.tower is not None:
            self.tower.announce(len(self.datamodule.users("valid")), self.num_items)

    def item_fields(self) -> Tensor:
        """(I, F, 1+D) w and v of the item itself and of its features."""
        own = self.items[:, None]
        if not self.num_features:
            return own
        bags = Ragged(self.bags, self.bag_offsets, len(self.values))
        if self.of_values is None:
            sums = bag_matmul_torch(*bags[:2], self.values)
        else:
            sums = product(bags, self.of_values, self.values)
        means = sums / bags.offsets.diff().clamp(min=1)[:, None]
        return torch.cat([own, means.view(self.num_items, self.num_features, -1)], 1)

    def item_side(self, fields: Tensor) -> tuple[Tensor, Tensor]:
        """Of all items what each has alone, beside its V, (I, 1+D); and all its v, (I, F D)."""
        weights, vectors = fields.split((1, fields.shape[2] - 1), dim=2)
        alone = self.bias + weights.sum(1) + second_order(vectors)[:, None]
        return torch.cat([alone, vectors.sum(1)], 1), vectors.flatten(1)

    @override
    def score_pairs(self, users: Tensor, items: Tensor) -> Tensor:
        return self._score_pairs(self.item_fields(), users, items)

    def _score_pairs(self, fields: Tensor, users: Tensor, items: Tensor) -> Tensor:
        matched, vectors = self.item_side(fields)
        weights, of_users = self.users.split((1, self.users.shape[1] - 1), dim=1)
        beside_alone = torch.cat([torch.ones_like(weights), of_users], 1)
        scores = weights[users] + pair_products(beside_alone, matched, users, items)
        if self.tower is not None:
            parts = self.tower.user_part(of_users), self.tower.item_part(vectors)
            scores = scores + self.tower(pair_sums(*parts, users, items))
        return scores

    @override
    def score(self, query: Query) -> Tensor:
        user = self.users[query.users.clamp(min=0)]
        matched, vectors = self.item_side(self.item_fields())
        scores = matched[:, 0] + user[:, :1] + user[:, 1:] @ matched[:, 1:].T
        if self.tower is not None:
            of_users, of_items = self.tower.user_part(user[:, 1:]), self.tower.item_part(vectors)
            scores = scores + self.tower.all_pairs(of_users, of_items)
        return self.or_popularity(scores, query.users)
