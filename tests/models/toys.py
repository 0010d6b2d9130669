"""Toy models, each of which needs one of the contracts; the contract tests run on all of them."""

from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn.functional import embedding, softplus
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset

from recsys_lightning.data.views.sampler import Draw, EvenBatches
from recsys_lightning.errors import check_range
from recsys_lightning.families.closed_form import ClosedForm
from recsys_lightning.functional.sparse import bag_matmul
from recsys_lightning.recommender import Recommender


class Pairs(Dataset):
    """(B, 3) int64 users, their items, and items that they have not seen."""

    def __init__(self, train):
        self.train, self.seen = train, train.matrix.toarray() > 0

    def __getitem__(self, draw: Draw):
        rng, users = draw.rng(), self.train.rows[draw.positions]
        negatives = rng.integers(self.train.num_items, size=len(users))
        while (seen := self.seen[users, negatives]).any():
            negatives[seen] = rng.integers(self.train.num_items, size=seen.sum())
        triples = np.stack([users, self.train.indices[draw.positions], negatives], axis=1)
        return torch.from_numpy(triples.astype(np.int64))


class PairView:
    """A training batch is interactions, each with an unseen item."""

    def __init__(self, batch_size):
        self.batch_size = batch_size

    def loader(self, train, *, seed, epoch, rank, world_size):
        batches = EvenBatches(
            train.num_interactions,
            self.batch_size,
            shuffle=True,
            seed=seed,
            epoch=epoch,
            rank=rank,
            world_size=world_size,
        )
        return DataLoader(Pairs(train), sampler=batches, batch_size=None)


class ToyPairs(Recommender):
    """`s_ui = <p_u, q_i>` by BPR; an unknown user gets what is popular."""

    def __init__(self, *, num_users, num_items, embedding_dim=8, lr=0.05, weight_decay=0.0):
        super().__init__(num_users=num_users, num_items=num_items)
        check_range("model.lr", lr, low=0, open_low=True)
        self.lr, self.weight_decay = lr, weight_decay
        self.users = nn.Embedding(num_users, embedding_dim)
        self.items = nn.Embedding(num_items, embedding_dim)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.1)

    def tables(self):
        """(U, D) and (I, D) of which the scores are the products."""
        return self.users.weight, self.items.weight

    def loss(self, triples):
        users, items = self.tables()
        user, positive, negative = triples.T
        user, difference = users[user], items[negative] - items[positive]
        return softplus((user * difference).sum(1)).mean()

    def score(self, query):
        users, items = self.tables()
        known = embedding(query.users.clamp(min=0), users) @ items.T
        return torch.where((query.users >= 0)[:, None], known, self.popularity)


class ToyGraph(ToyPairs):
    """LightGCN: users and items are means of their layers 0 to K; it scores from the history.

    With T = D_i^-1/2 sum_{k<K} e_i^(k) and F the mean of an item's layers,
    s = (e_u^(0) + |h|^-1/2 sum_{i in h} T_i) / (K + 1) . F. The graph, whose size only the data
    knows, is kept, so that F and T can be made again.
    """

    def __init__(self, *, num_users, num_items, num_layers=2, **more):
        super().__init__(num_users=num_users, num_items=num_items, **more)
        self.num_layers = num_layers
        self.register_from_data("columns", "nnz", dtype=torch.int32)
        self.register_from_data("offsets", num_users + 1, dtype=torch.int64)
        for name in ("from_history", "matched"):  # T and F
            self.register_buffer(name, torch.zeros(self.items.weight.shape))

    def prepare(self, interactions):
        self.columns = torch.from_numpy(interactions.indices)
        self.offsets = torch.from_numpy(interactions.indptr)

    def layers(self):
        """K+1 pairs of (U, D) and (I, D)."""
        rows = torch.repeat_interleave(self.offsets.diff())
        columns = self.columns.long()
        degrees = self.offsets.diff(), columns.bincount(minlength=self.num_items)
        self.norms = [d.clamp(min=1).rsqrt()[:, None] for d in degrees]
        weight = self.norms[0][rows] * self.norms[1][columns]  # (nnz, 1)
        layers = [(self.users.weight, self.items.weight)]
        for _ in range(self.num_layers):
            users, items = layers[-1]
            layers.append(
                (
                    torch.zeros_like(users).index_add(0, rows, weight * items[columns]),
                    torch.zeros_like(items).index_add(0, columns, weight * users[rows]),
                )
            )
        return layers

    def tables(self):
        users, items = zip(*self.layers(), strict=True)
        return torch.stack(users).mean(0), torch.stack(items).mean(0)

    def on_train_batch_end(self, *_):
        if self.trainer.is_last_batch:  # before the validation
            with torch.no_grad():
                items = torch.stack([items for _, items in self.layers()])
                self.from_history = self.norms[1] * items[:-1].sum(0)
                self.matched = items.mean(0)

    def score(self, query):
        history = bag_matmul(query.history.items, query.history.offsets, self.from_history)
        history = history * query.history.lengths.clamp(min=1).rsqrt()[:, None]
        own = self.users(query.users.clamp(min=0)) * (query.users >= 0)[:, None]
        return (own + history) / (self.num_layers + 1) @ self.matched.T


class ToyFeatures(ToyPairs):
    """Items are their own vector plus the mean of their features' values.

    In the first `pretrain_epochs`, which are not judged, the features' vectors alone stand for the
    items. It starts from another run of itself or of ToyPairs where `init_from` says so.
    """

    uses_features = True
    starts_from: ClassVar = {"toy": ("ToyPairs", "ToyFeatures")}

    def __init__(
        self, *, num_users, num_items, num_values, features=None, pretrain_epochs=2, **more
    ):
        super().__init__(num_users=num_users, num_items=num_items, **more)
        self.unjudged_epochs = pretrain_epochs
        self.values = nn.Embedding(sum(num_values), self.items.embedding_dim)
        nn.init.normal_(self.values.weight, std=0.1)
        self.register_from_data("bags", "values", dtype=torch.int32)
        self.register_from_data("bag_offsets", num_items + 1, dtype=torch.int64)

    def prepare(self, interactions):
        from scipy.sparse import hstack

        joint = hstack([interactions.features[name].matrix for name in self.features]).tocsr()
        self.bags = torch.from_numpy(joint.indices.astype(np.int32))
        self.bag_offsets = torch.from_numpy(joint.indptr.astype(np.int64))
        if start := self.starts.get("toy"):
            start.copy_items("items.weight", into=self.items.weight)
            start.copy_users("users.weight", into=self.users.weight)

    def tables(self):
        lengths = self.bag_offsets.diff().clamp(min=1)[:, None]
        items = bag_matmul(self.bags, self.bag_offsets, self.values.weight) / lengths
        pretrains = self.training and self.current_epoch < self.unjudged_epochs
        return self.users.weight, items if pretrains else items + self.items.weight


class ToyCounts(ClosedForm):
    """Co-occurrence counts, in closed form."""

    def __init__(self, *, num_users, num_items):
        super().__init__(num_users=num_users, num_items=num_items)
        self.register_weight(num_items)

    def solve(self):
        self.weight = self.gram.tril() + self.gram.tril(-1).T

    def score(self, query):
        return query.history.dense(self.num_items) @ self.weight


class ToyScheduled(ToyPairs):
    """ToyPairs with a linear warm-up over the first half of the plan."""

    def schedule(self, optimizer):
        half = self.planned_steps / 2
        return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / half))


TOYS = (ToyCounts, ToyPairs, ToyGraph, ToyFeatures, ToyScheduled)
