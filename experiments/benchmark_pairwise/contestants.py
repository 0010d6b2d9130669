"""One contestant in a process of its own: `python -m ... NAME rows.npz OPTIONS`; prints JSON.

Ours as they are in a fit are run by run.py, with `peers.clock.Clock`.
"""

import json
import os
import sys
import time
from contextlib import suppress

import numpy as np

from experiments.peers.recall import Curve, Enough

DIMS = 64
THREADS = int(os.environ["OMP_NUM_THREADS"])


def negatives(rows):
    """Draws a second, one for every interaction, in both orders."""
    from recsys_lightning.functional.negatives import NegativeSampler

    sampler = NegativeSampler(rows["indices"], rows["indptr"], int(rows["shape"][1]))
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(rows["shape"][0]), np.diff(rows["indptr"]))
    orders = {"user": users, "random": rng.permutation(users)}
    sampler.draw(users[:1000], 1, rng)  # compiles
    return {
        name: len(order) / seconds(lambda order=order: sampler.draw(order, 1, rng))
        for name, order in orders.items()
    }


def products(rows):
    """Seconds of X E, of X^T E, and of both one after the other, as in a layer."""
    import torch

    from recsys_lightning.functional.graph import Graph, Nodes, neighbour_sums
    from recsys_lightning.functional.sparse import bag_matmul_torch

    num_users, num_items = rows["shape"].tolist()
    indices, indptr = (torch.from_numpy(rows[name]) for name in ("indices", "indptr"))
    graph = Graph.from_rows(indices, indptr, num_items)
    nodes = Nodes(torch.randn(num_users, DIMS), torch.randn(num_items, DIMS))
    (x, transposed), repeats = graph, 20

    def repeat(function, *arguments):
        def several():
            for _ in range(repeats):
                function(*arguments)

        function(*arguments)
        with torch.no_grad():
            return seconds(several) / repeats

    return {
        "users": repeat(bag_matmul_torch, x.columns, x.offsets, nodes.items),
        "items": repeat(bag_matmul_torch, transposed.columns, transposed.offsets, nodes.users),
        "layer": repeat(neighbour_sums, graph, nodes),
    }


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def recbole(rows, model, options, steps):
    """RecBole's own trainer."""
    from experiments.peers.in_recbole import train

    return train(model, rows, options, steps)


def implicit(rows, epochs, patience, setting):
    """Negatives by popularity; one that the user has is skipped, with its positive."""
    from implicit.cpu.bpr import BayesianPersonalizedRanking
    from scipy.sparse import csr_matrix

    ones = np.ones(len(rows["indices"]), np.float32)
    x = csr_matrix((ones, rows["indices"], rows["indptr"]), shape=rows["shape"])
    x.sort_indices()
    model = BayesianPersonalizedRanking(
        factors=DIMS, iterations=epochs, num_threads=THREADS, random_state=1, **setting
    )
    curve = Curve(rows, patience)

    def after(*_):
        curve.add(model.user_factors, model.item_factors)  # with the bias as last column

    until_enough(lambda: model.fit(x, show_progress=False, callback=after))
    return {"seconds": curve.seconds, "recall": curve.recall}


def cornac(rows, epochs, patience, setting):
    """Negatives uniform; one that the user has is skipped, with its positive."""
    from cornac.data import Dataset
    from cornac.models import BPR

    class Observed(BPR):
        def _fit_sgd(self, *arguments):
            counts = super()._fit_sgd(*arguments)
            ones = np.ones((len(self.u_factors), 1), np.float32)
            items = np.hstack([self.i_factors, self.i_biases[:, None]])
            curve.add(np.hstack([self.u_factors, ones]), items)
            return counts

    num_users, num_items = rows["shape"].tolist()
    users = np.repeat(np.arange(num_users), np.diff(rows["indptr"]))
    same = [{position: position for position in range(n)} for n in (num_users, num_items)]
    pairs = users, rows["indices"], np.ones(len(users), np.float32)
    data = Dataset(num_users, num_items, *same, pairs)
    # unseeded, as a seed would mean one thread
    model = Observed(k=DIMS, max_iter=epochs, num_threads=THREADS, **setting)
    curve = Curve(rows, patience)
    until_enough(lambda: model.fit(data))
    return {"seconds": curve.seconds, "recall": curve.recall}


def until_enough(fit):
    with suppress(Enough):
        fit()


def main():
    name, path, options = sys.argv[1:]
    print(json.dumps(globals()[name](dict(np.load(path)), **json.loads(options))))


if __name__ == "__main__":
    main()
