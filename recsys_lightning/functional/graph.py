"""The graph of users and items, and how vectors spread over it.

X (U, I) is the training matrix of ones, A = [[0, X], [X^T, 0]] the adjacency, D its degrees. A node
without an edge counts as D^-1/2 = 0. A vector for every node stands in two tables, `Nodes`.

All weights of the operators factor into one number a row and one a column, so that the product
with A is a sum of rows, for which torch's embedding bag is the fastest of what was tried (ML-1M, 64
float32 columns, one core: X E 2.5 ms, `sparse`'s kernel 4.1, torch's CSR 6.7, SciPy 8.6,
`segment_reduce` 229). A is symmetric: the gradient of the product is the product of the gradient.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recsys_lightning.functional.sparse import Ragged, bag_matmul, product


class Nodes(NamedTuple):
    """A vector for every node.

    Attributes:
        users: (U, D).
        items: (I, D).
    """

    users: Tensor
    items: Tensor


class Graph(NamedTuple):
    """Who has which item, from both sides.

    Attributes:
        of_users: X, (U, I).
        of_items: X^T, (I, U).

    >>> graph = Graph.from_rows(torch.tensor([2, 0, 2]).int(), torch.tensor([0, 2, 3]), num_items=3)
    >>> graph.of_items.dense()
    tensor([[1., 0.],
            [0., 0.],
            [1., 1.]])
    """

    of_users: Ragged
    of_items: Ragged

    @classmethod
    def from_rows(cls, items: Tensor, offsets: Tensor, num_items: int) -> "Graph":
        """From ragged rows (N,) int32, (U+1,) int64 of the users' items, in any order.

        Kept ascending, whatever their order: neighbours in a row are then neighbours in memory.
        """
        of_items = Ragged(items, offsets, num_items).transpose()
        return cls(of_items.transpose(), of_items)

    def to(self, device: torch.device | str) -> "Graph":
        """On a device."""
        return Graph(self.of_users.to(device), self.of_items.to(device))

    @property
    def degrees(self) -> Nodes:
        """D, (U, 1) and (I, 1) int64."""
        return Nodes(self.of_users.offsets.diff()[:, None], self.of_items.offsets.diff()[:, None])

    def inverse_roots(self, dtype: torch.dtype) -> Nodes:
        """D^-1/2, (U, 1) and (I, 1)."""
        users, items = (degree.to(dtype).rsqrt() for degree in self.degrees)
        return Nodes(users.masked_fill(users.isinf(), 0), items.masked_fill(items.isinf(), 0))


def neighbour_sums(graph: Graph, nodes: Nodes) -> Nodes:
    """A E: for every node the sum of its neighbours' vectors; differentiable, twice too.

    >>> graph = Graph.from_rows(torch.tensor([1, 0, 1]).int(), torch.tensor([0, 2, 3]), num_items=2)
    >>> neighbour_sums(graph, Nodes(torch.tensor([[1.0], [2.0]]), torch.tensor([[10.0], [20.0]])))
    Nodes(users=tensor([[30.],
            [20.]]), items=tensor([[1.],
            [3.]]))
    """
    x, transposed = graph
    return Nodes(product(x, transposed, nodes.items), product(transposed, x, nodes.users))


def propagate(graph: Graph, nodes: Nodes) -> Nodes:
    """L E with L = D^-1/2 A D^-1/2, symmetric (LightGCN; the paper's NGCF adds E to it)."""
    roots = graph.inverse_roots(nodes.users.dtype)
    scaled = Nodes(nodes.users * roots.users, nodes.items * roots.items)
    sums = neighbour_sums(graph, scaled)
    return Nodes(sums.users * roots.users, sums.items * roots.items)


def layers(graph: Graph, nodes: Nodes, num_layers: int) -> Iterator[Nodes]:
    """E^(0), ..., E^(K) with E^(k) = L E^(k-1)."""
    yield nodes
    for _ in range(num_layers):
        nodes = propagate(graph, nodes)
        yield nodes


def mean(layers: Iterable[Nodes]) -> Nodes:
    """The mean of layers, such as 1, ..., K in XSimGCL.

    >>> mean([Nodes(torch.eye(2), torch.ones(1, 2)), Nodes(torch.eye(2), torch.zeros(1, 2))]).items
    tensor([[0.5000, 0.5000]])
    """
    users, items = zip(*layers, strict=True)
    return Nodes(sum(users) / len(users), sum(items) / len(items))


def mean_of_layers(graph: Graph, nodes: Nodes, num_layers: int) -> Nodes:
    """(1 + L + ... + L^K) E / (K + 1), the mean of layers 0, ..., K, with no layer kept.

    By Horner's scheme on the scaled vectors w = D^-1/2 (E + L (E + ...)), of which w <- D^-1/2 E +
    D^-1 A w is one pass beside the product. A polynomial of a symmetric operator is symmetric, so
    the gradient is this function of the gradient; differentiable twice, too.

    Args:
        graph: whose L it is.
        nodes: E.
        num_layers: K.
    """
    return Nodes(*_MeanOfLayers.apply(graph, num_layers, *nodes)) if num_layers else nodes


class _MeanOfLayers(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, graph: Graph, num_layers: int, users: Tensor, items: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.graph, ctx.num_layers = graph, num_layers
        roots = graph.inverse_roots(users.dtype)
        first = spread = Nodes(users * roots.users, items * roots.items)
        for _ in range(num_layers - 1):
            sums = neighbour_sums(graph, spread)
            spread = Nodes._make(  # in the place of the sums: new memory has to be fetched
                torch.addcmul(table, total, root.square(), out=total)
                for table, total, root in zip(first, sums, roots, strict=True)
            )
        last = zip((users, items), neighbour_sums(graph, spread), roots, strict=True)
        of_users, of_items = (
            torch.addcmul(table, total, root, out=total).div_(num_layers + 1)
            for table, total, root in last
        )
        return of_users, of_items

    @staticmethod
    def backward(ctx: Any, users: Tensor, items: Tensor) -> tuple[None, None, Tensor, Tensor]:
        return None, None, *_MeanOfLayers.apply(ctx.graph, ctx.num_layers, users, items)


def neighbourhood_means(graph: Graph, nodes: Nodes) -> Nodes:
    """(D + 1)^-1 (A + 1) E: the mean over a node and its neighbours (the code of NGCF's authors).

    Not symmetric; the gradient is that of its parts, (A + 1) (D + 1)^-1 G.
    """
    sums, degrees = neighbour_sums(graph, nodes), graph.degrees
    return Nodes(
        (nodes.users + sums.users) / (degrees.users + 1),
        (nodes.items + sums.items) / (degrees.items + 1),
    )


def history_table(graph: Graph, layers: Sequence[Nodes]) -> Tensor:
    """T = D_i^-1/2 (e_i^(0) + ... + e_i^(K-1)) from the layers 0, ..., K; see `user_vectors`.

    Returns:
        (I, D), zeros for an item that nobody has.
    """
    items = layers[0].items
    total = sum((layer.items for layer in layers[:-1]), start=torch.zeros_like(items))
    return total * graph.inverse_roots(items.dtype).items


def user_vectors(
    items: Tensor, offsets: Tensor, table: Tensor, num_layers: int, own: Tensor | None = None
) -> Tensor:
    """The mean of a user's layers, from a history instead of the graph.

    Layer k of a user reads the items' layer k-1 alone, so that with the table T of `history_table`

        |h|^-1/2 sum_{i in h} T_i = e_u^(1) + ... + e_u^(K).

    Equal to the propagation where the history is the user's training row. On another history, the
    items' layers stay those of training.

    Args:
        items: (N,) int32 ragged rows of the histories h.
        offsets: (B+1,) int64; row b is `items[offsets[b]:offsets[b+1]]`.
        table: (I, D) T.
        num_layers: K.
        own: (B, D) layer 0 of the users, zeros for one who has none; None where the mean leaves
            layer 0 out (XSimGCL).

    Returns:
        (B, D). Times the mean of the items' layers, transposed, they are the scores.
    """
    roots = offsets.diff().clamp(min=1).to(table.dtype).rsqrt()[:, None]
    spread = bag_matmul(items, offsets, table) * roots
    return spread / num_layers if own is None else (own + spread) / (num_layers + 1)
