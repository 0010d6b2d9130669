"""SASRec in plain torch: what a step and a scoring of all users cost without a framework.

Packed rows, as ours: no position is computed for padding but in attention, where 16 rows of about
equal length are padded to the longest of them. Written without the package, to measure it.
"""

import time

import numpy as np
import torch
from torch.nn import functional as f

LENGTH, DIMS, LAYERS, GROUP = 200, 64, 2, 16
DROPOUT = 0.1


class Bare:
    """The same arithmetic as `model=sasrec` with 64 dimensions and a dropout of 0.1."""

    def __init__(self, num_items):
        torch.manual_seed(0)
        shapes = {"items": (num_items, DIMS), "positions": (LENGTH, DIMS)}
        for layer in range(LAYERS):
            for name in ("q", "o", "up", "down"):
                shapes[f"{name}{layer}"] = DIMS, DIMS
            shapes[f"kv{layer}"] = 2 * DIMS, DIMS
        self.p = {name: (0.02 * torch.randn(shape)) for name, shape in shapes.items()}
        for name in [n for n in self.p if n not in ("items", "positions")]:
            self.p[f"{name}.b"] = torch.zeros(len(self.p[name]))
        for name in [f"n{i}" for i in range(2 * LAYERS + 1)]:
            self.p[name], self.p[f"{name}.b"] = torch.ones(DIMS), torch.zeros(DIMS)
        for parameter in self.p.values():
            parameter.requires_grad_()

    def linear(self, name, x):
        return f.linear(x, self.p[name], self.p[f"{name}.b"])

    def norm(self, i, x):
        return f.layer_norm(x, (DIMS,), self.p[f"n{i}"], self.p[f"n{i}.b"], 1e-8)

    def drop(self, x, training):
        return f.dropout(x, DROPOUT, training)

    def encode(self, items, lengths, training):
        """(N, D) of packed items (N,), rows of `lengths`, the longest first."""
        ends = torch.repeat_interleave(lengths.cumsum(0), lengths)
        places = ends - torch.arange(len(items)) - 1
        x = f.embedding(items, self.p["items"]) * DIMS**0.5
        x = self.drop(x + f.embedding(places, self.p["positions"]), training)
        groups = []
        for some in lengths.split(GROUP):
            longest = int(some.max())
            real = torch.arange(longest) < some[:, None]
            groups.append((len(some), longest, real.flatten().nonzero().squeeze(1)))
        for layer in range(LAYERS):
            asked = self.norm(2 * layer, x)
            packed = torch.cat([self.linear(f"q{layer}", asked), self.linear(f"kv{layer}", x)], 1)
            attended = torch.cat(
                [
                    self.attend(part, *group, training)
                    for part, group in zip(
                        packed.split([len(group[2]) for group in groups]), groups, strict=True
                    )
                ]
            )
            z = self.norm(2 * layer + 1, asked + self.linear(f"o{layer}", attended))
            inner = self.drop(self.linear(f"up{layer}", z).relu(), training)
            x = z + self.drop(self.linear(f"down{layer}", inner), training)
        return self.norm(2 * LAYERS, x)

    def attend(self, part, rows, longest, places, training):
        padded = part.new_zeros(rows * longest, part.shape[1]).index_copy(0, places, part)
        q, k, v = padded.view(rows, longest, 3, 1, DIMS).permute(2, 0, 3, 1, 4)
        found = f.scaled_dot_product_attention(
            q, k, v, is_causal=True, dropout_p=DROPOUT if training else 0.0
        )
        return found.transpose(1, 2).reshape(rows * longest, DIMS).index_select(0, places)


def part_of(rows, users, size):
    """The latest `size` items of each user, packed, the longest first."""
    starts, ends = rows["indptr"][users], rows["indptr"][users + 1]
    starts = np.maximum(starts, ends - size)
    order = np.argsort(starts - ends, kind="stable")
    starts, lengths = starts[order], (ends - starts)[order]
    first = np.cumsum(lengths) - lengths
    entries = np.repeat(starts - first, lengths) + np.arange(lengths.sum())
    return rows["indices"][entries], lengths


def train(rows, batch, steps):
    """Mean seconds of a step, after three."""
    model = Bare(int(rows["shape"][1]))
    adam = torch.optim.Adam(model.p.values(), lr=0.001, fused=True)
    usable = (np.diff(rows["indptr"]) > 1).nonzero()[0]
    order = np.random.default_rng(0).permutation(usable)
    times = []
    for step in range(steps + 3):
        times.append(time.perf_counter())
        users = np.take(order, np.arange(step * batch, (step + 1) * batch), mode="wrap")
        items, lengths = part_of(rows, users, LENGTH + 1)
        first = np.cumsum(lengths) - lengths
        items = torch.from_numpy(items).long()
        is_input = np.ones(len(items), bool)
        is_target = is_input.copy()
        is_input[first + lengths - 1] = is_target[first] = False
        hidden = model.encode(
            items[torch.from_numpy(is_input)], torch.from_numpy(lengths - 1), training=True
        )
        loss = f.linear_cross_entropy(hidden, model.p["items"], items[torch.from_numpy(is_target)])
        adam.zero_grad()
        loss.backward()
        adam.step()
    return (times[-1] - times[3]) / (len(times) - 4)


@torch.no_grad()
def products(rows, batch):
    """Seconds of the matrix products alone that score all users: the encoder's and the last."""
    model, total = Bare(int(rows["shape"][1])), 0.0
    for users in np.array_split(np.arange(rows["shape"][0]), -(-rows["shape"][0] // batch)):
        items, lengths = part_of(rows, users, LENGTH)
        x, newest = torch.randn(len(items), DIMS), torch.randn(len(users), DIMS)
        shapes = [
            torch.randn(3, len(some), 1, int(some.max()), DIMS)
            for some in torch.from_numpy(lengths).split(GROUP)
        ]
        begun = time.perf_counter()
        for layer in range(LAYERS):
            for name in ("q", "kv", "o", "up", "down"):
                model.linear(f"{name}{layer}", x)
            for q, k, v in shapes:
                f.scaled_dot_product_attention(q, k, v, is_causal=True)
        _ = newest @ model.p["items"].T
        total += time.perf_counter() - begun
    return total
