"""Propagation against dense matrices, its gradients against autograd's of the dense product."""

from functools import partial

import numpy as np
import pytest
import torch

from recsys_lightning.functional.graph import (
    Graph,
    Nodes,
    history_table,
    layers,
    mean,
    mean_of_layers,
    neighbour_sums,
    neighbourhood_means,
    propagate,
    user_vectors,
)
from tests.functional.references import long_tail

USERS, ITEMS, DIM, LAYERS = 40, 25, 6, 3


@pytest.fixture(scope="module")
def rows():
    """The last user has no item, and the last item no user."""
    x = long_tail(USERS - 1, ITEMS - 1, 300)
    offsets = torch.cat([x.offsets, x.offsets[-1:]])
    return x.columns, offsets


@pytest.fixture(scope="module")
def graph(rows):
    return Graph.from_rows(*rows, num_items=ITEMS)


@pytest.fixture(scope="module")
def adjacency(rows):
    """(U+I, U+I) float64, built entry by entry."""
    items, offsets = rows
    a = np.zeros((USERS + ITEMS, USERS + ITEMS))
    for user in range(USERS):
        for item in items[offsets[user] : offsets[user + 1]].tolist():
            a[user, USERS + item] = a[USERS + item, user] = 1
    return a


def laplacian(a):
    """D^-1/2 A D^-1/2 with 0 for a node without an edge."""
    degree = a.sum(1)
    root = np.array([1 / d**0.5 if d else 0 for d in degree])
    return root[:, None] * a * root


def with_self(a):
    """D^-1 (A + 1) as the authors of NGCF normalise, D counting the node itself."""
    a = a + np.eye(len(a))
    return a / a.sum(1, keepdims=True)


def random_nodes(dtype=torch.float64, *, requires_grad=False):
    generator = torch.Generator().manual_seed(4)
    table = torch.randn(USERS + ITEMS, DIM, generator=generator, dtype=dtype)
    return Nodes(
        *(part.clone().requires_grad_(requires_grad) for part in table.split([USERS, ITEMS]))
    )


def polynomial(a, first, last):
    """The mean of the powers first, ..., last of the Laplacian."""
    powers = [np.linalg.matrix_power(laplacian(a), k) for k in range(first, last + 1)]
    return sum(powers) / len(powers)


OPERATORS = {
    "neighbour_sums": (neighbour_sums, lambda a: a),
    "propagate": (propagate, laplacian),
    "neighbourhood_means": (neighbourhood_means, with_self),
    "mean_of_one_layer": (
        partial(mean_of_layers, num_layers=1),
        partial(polynomial, first=0, last=1),
    ),
    "mean_of_layers": (
        partial(mean_of_layers, num_layers=LAYERS),
        partial(polynomial, first=0, last=LAYERS),
    ),
}
each_operator = pytest.mark.parametrize(
    ("operator", "dense"), OPERATORS.values(), ids=OPERATORS.keys()
)


@each_operator
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_an_operator_is_its_dense_matrix(operator, dense, dtype, tolerance, graph, adjacency):
    nodes = random_nodes(dtype)
    expected = dense(adjacency) @ torch.cat(nodes).double().numpy()
    result = operator(graph, nodes)
    assert result.users.dtype == result.items.dtype == dtype
    np.testing.assert_allclose(torch.cat(result), expected, rtol=tolerance, atol=tolerance)


@each_operator
def test_its_gradient_is_that_of_the_dense_product(operator, dense, graph, adjacency):
    nodes = random_nodes(requires_grad=True)
    outer = torch.randn(USERS + ITEMS, DIM, dtype=torch.float64)
    ours = torch.autograd.grad((torch.cat(operator(graph, nodes)) * outer).sum(), nodes)
    expected = dense(adjacency).T @ outer.numpy()
    np.testing.assert_allclose(torch.cat(ours), expected, rtol=0, atol=1e-12)


@each_operator
def test_gradients_of_both_orders_are_numerically_right(operator, dense):
    graph = Graph.from_rows(torch.tensor([1, 0, 2, 1]).int(), torch.tensor([0, 1, 1, 4]), 4)
    tables = [torch.randn(n, 2, dtype=torch.float64, requires_grad=True) for n in (3, 4)]

    def squares(users, items):  # not linear, so that the second order is not zero
        return tuple(table.square() for table in operator(graph, Nodes(users, items)))

    assert torch.autograd.gradcheck(squares, tables)
    assert torch.autograd.gradgradcheck(squares, tables)


def test_an_expanded_gradient_is_a_full_one(graph, adjacency):
    nodes = random_nodes(requires_grad=True)
    neighbour_sums(graph, nodes).users.sum().backward()  # a gradient of stride 0, another of None
    degrees = torch.from_numpy(adjacency[USERS:].sum(1))
    torch.testing.assert_close(nodes.items.grad, degrees[:, None].expand(ITEMS, DIM))
    assert nodes.users.grad is None  # it plays no part


def test_the_operator_is_symmetric_with_eigenvalues_up_to_one(graph):
    identity = torch.eye(USERS + ITEMS, dtype=torch.float64).split([USERS, ITEMS])
    matrix = torch.cat(propagate(graph, Nodes(*identity)))
    assert torch.equal(matrix, matrix.T)
    values = torch.linalg.eigvalsh(matrix)
    assert values.abs().max().item() == pytest.approx(1, abs=1e-12)


def test_two_users_by_hand():
    """Users {0, 1} and {1}: degrees 2, 1 and 1, 2."""
    graph = Graph.from_rows(torch.tensor([1, 0, 1]).int(), torch.tensor([0, 2, 3]), num_items=2)
    nodes = Nodes(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [5.0]]))
    result = propagate(graph, nodes)
    torch.testing.assert_close(result.users, torch.tensor([[3 / 2**0.5 + 5 / 2], [5 / 2**0.5]]))
    torch.testing.assert_close(result.items, torch.tensor([[1 / 2**0.5], [1 / 2 + 2 / 2**0.5]]))


@pytest.mark.parametrize("first", [0, 1], ids=["lightgcn", "xsimgcl"])
def test_the_mean_of_layers_is_the_dense_polynomial(first, graph, adjacency):
    nodes = random_nodes()
    expected = polynomial(adjacency, first, LAYERS) @ torch.cat(nodes).numpy()
    result = mean(list(layers(graph, nodes, LAYERS))[first:])
    np.testing.assert_allclose(torch.cat(result), expected, rtol=0, atol=1e-12)


def test_without_layers_the_vectors_are_the_embeddings(graph, rows):
    nodes = random_nodes()
    assert all(map(torch.equal, mean(layers(graph, nodes, 0)), nodes))
    assert all(map(torch.equal, mean_of_layers(graph, nodes, 0), nodes))


@pytest.mark.parametrize(
    ("num_layers", "with_own"),
    [(0, True), (1, True), (3, True), (1, False), (3, False)],
)
def test_scoring_from_the_training_row_is_full_propagation(num_layers, with_own, graph, rows):
    nodes = random_nodes()
    all_layers = list(layers(graph, nodes, num_layers))
    table = history_table(graph, all_layers)
    own = nodes.users if with_own else None
    expected = mean(all_layers if with_own else all_layers[1:]).users
    vectors = user_vectors(*rows, table, num_layers, own)
    torch.testing.assert_close(vectors, expected, rtol=0, atol=1e-13)
    assert not table[-1].any()  # nobody has the last item


def test_the_length_of_the_history_given_counts(graph):
    table = torch.eye(ITEMS)
    items, offsets = torch.tensor([1, 2, 3, 4], dtype=torch.int32), torch.tensor([0, 4, 4])
    vectors = user_vectors(items, offsets, table, num_layers=1)
    torch.testing.assert_close(vectors[0, :6], torch.tensor([0, 0.5, 0.5, 0.5, 0.5, 0]))
    assert not vectors[1].any()  # nothing, not NaN


def test_rows_are_kept_ascending_from_both_sides(graph, rows, adjacency):
    x = adjacency[:USERS, USERS:]
    np.testing.assert_array_equal(graph.of_users.dense(), x)
    np.testing.assert_array_equal(graph.of_items.dense(), x.T)
    for side in graph:
        same_row = side.row_of_each().diff() == 0
        assert (side.columns.diff()[same_row] > 0).all()


def test_a_graph_without_edges_spreads_nothing():
    graph = Graph.from_rows(torch.empty(0, dtype=torch.int32), torch.zeros(3, dtype=torch.int64), 4)
    nodes = Nodes(torch.ones(2, 3), torch.ones(4, 3))
    assert not torch.cat(propagate(graph, nodes)).any()
    assert all(map(torch.equal, neighbourhood_means(graph, nodes), nodes))
