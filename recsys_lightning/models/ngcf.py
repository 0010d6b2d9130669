"""NGCF: neural graph collaborative filtering.

Wang, He, Wang, Feng and Chua, Neural graph collaborative filtering, SIGIR 2019
(xiangwang1223/neural_graph_collaborative_filtering).
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, leaky_relu, normalize
from typing_extensions import override

from recsys_lightning.data.batches import Query
from recsys_lightning.errors import InputError, check_range, check_sizes
from recsys_lightning.families.pairwise import Propagated
from recsys_lightning.functional.graph import Nodes, neighbourhood_means, propagate
from recsys_lightning.functional.sparse import bag_matmul

SLOPE = 0.2  # of LeakyReLU, TensorFlow's default


class Layer(nn.Module):
    """One layer: from a node's vector e and its neighbourhood's n.

    paper:   `LeakyReLU((n + e) W_1 + (n o e) W_2)`
    authors: `LeakyReLU(n W_1 + b_1) + LeakyReLU((n o e) W_2 + b_2)`, as their code has it

    Args:
        num_in: width of e and n.
        num_out: of the result.
        variant: paper or authors.
    """

    def __init__(self, num_in: int, num_out: int, variant: str) -> None:
        super().__init__()
        self.as_in_paper = variant == "paper"
        self.sum = nn.Linear(num_in, num_out, bias=not self.as_in_paper)
        self.product = nn.Linear(num_in, num_out, bias=not self.as_in_paper)
        for linear in (self.sum, self.product):
            nn.init.xavier_uniform_(linear.weight)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)

    def forward(self, own: Tensor, near: Tensor) -> Tensor:
        """(n, num_out) from two of (n, num_in)."""
        if self.as_in_paper:
            return leaky_relu(self.sum(near + own) + self.product(near * own), SLOPE)
        return leaky_relu(self.sum(near), SLOPE) + leaky_relu(self.product(near * own), SLOPE)


class NGCF(Propagated):
    """`s_ui = <E_u, E_i>`, E the layers 0 to K side by side, each but the first of length 1.

    What a node's neighbourhood says is `n = (L E)_u` with L = D^-1/2 A D^-1/2 in the paper, and the
    mean over the node and its neighbours in the authors' code. The next layer reads the vectors
    before they get length 1. It scores from the history that it is given: the users' layers are
    made from it and from the items' layers of training, exactly the propagation where the history
    is the training row. An unknown user begins with zeros. Its authors' loss is BPR; the default is
    the one that ranks best, as in `LightGCN`.

    Args:
        num_users: U.
        num_items: I.
        embedding_dim: of layer 0.
        layer_dims: of layers 1 to K.
        variant: paper or authors; see `Layer`.
        message_dropout: of every layer in training, in [0, 1).
        loss: bpr, bce, sampled_softmax or softmax; see `DotProduct`.
        l2: of the rows of layer 0 that a batch reads, see `DotProduct`.
        lr: of Adam.
    """

    matched: Tensor

    def __init__(
        self,
        *,
        num_users: int,
        num_items: int,
        embedding_dim: int = 64,
        layer_dims: Sequence[int] = (64, 64, 64),
        variant: str = "paper",
        message_dropout: float = 0.0,
        loss: str = "sampled_softmax",
        l2: float = 0.003,
        lr: float = 0.003,
    ) -> None:
        super().__init__(num_users, num_items, embedding_dim, loss, l2, lr)
        check_sizes("model.layer_dims", layer_dims)
        check_range("model.message_dropout", message_dropout, low=0, high=1, open_high=True)
        if variant not in ("paper", "authors"):
            raise InputError(f"model.variant={variant}: expected paper or authors")
        self.variant, self.message_dropout = variant, message_dropout
        for table in (self.users, self.items):
            nn.init.xavier_uniform_(table)
        widths = [embedding_dim, *layer_dims]
        self.layers = nn.ModuleList(
            Layer(num_in, num_out, variant) for num_in, num_out in itertools.pairwise(widths)
        )
        # of the items: layers 0 to K-1, to make the users' from; and all, to match
        for number, width in enumerate(widths[:-1]):
            self.register_buffer(f"spread_{number}", torch.zeros(num_items, width))
        self.register_buffer("matched", torch.zeros(num_items, sum(widths)))

    def propagated(self) -> list[Nodes]:
        """Layers 0 to K."""
        near = propagate if self.variant == "paper" else neighbourhood_means
        nodes = Nodes(self.users, self.items)
        found = [nodes]
        for layer in self.layers:
            nodes = Nodes(*map(layer, nodes, near(self.graph, nodes)))
            if self.training:
                nodes = Nodes(*(dropout(vectors, self.message_dropout) for vectors in nodes))
            found.append(nodes)
        return found

    @override
    def vectors(self) -> Nodes:
        users, items = zip(*self.propagated(), strict=True)
        return Nodes(side_by_side(users), side_by_side(items))

    @override
    def keep(self) -> None:
        items = [nodes.items for nodes in self.propagated()]
        scale = self.graph.inverse_roots(self.items.dtype).items if self.variant == "paper" else 1
        for number, layer in enumerate(items[:-1]):
            setattr(self, f"spread_{number}", layer * scale)
        self.matched = side_by_side(items)

    @override
    def score(self, query: Query) -> Tensor:
        lengths = query.history.lengths[:, None].to(self.users.dtype)
        nodes = self.own(query)
        found = [nodes]
        for number, layer in enumerate(self.layers):
            sums = bag_matmul(*query.history, getattr(self, f"spread_{number}"))
            if self.variant == "paper":
                near = sums * lengths.clamp(min=1).rsqrt()
            else:
                near = (nodes + sums) / (lengths + 1)
            nodes = layer(nodes, near)
            found.append(nodes)
        return side_by_side(found) @ self.matched.T


def side_by_side(layers: Sequence[Tensor]) -> Tensor:
    """(n, D_0 + ... + D_K) of layers 0 to K, each but the first brought to length 1."""
    return torch.cat([layers[0], *map(normalize, layers[1:])], dim=1)
