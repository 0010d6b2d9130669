"""The floor: loops of plain PyTorch, with the layers, the batches and the optimiser of our models.

Nothing of recsys_lightning or Lightning is imported. Each is the fastest plain code we know: an
embedding bag on the sparse rows as first layer, log-softmax, fused Adam.
"""

import copy
import time
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional as f

BATCH = 500


def batches(indptr, indices, num_users):
    """Shuffled batches of users as (users, items, offsets), cut from the CSR."""
    order = np.random.default_rng().permutation(num_users)
    for users in np.array_split(order, -(-num_users // BATCH)):
        lengths = indptr[users + 1] - indptr[users]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        source = np.repeat(indptr[users] - offsets[:-1], lengths) + np.arange(offsets[-1])
        yield torch.from_numpy(users), torch.from_numpy(indices[source]), torch.from_numpy(offsets)


def dense(items, offsets, num_items):
    x = torch.zeros(len(offsets) - 1, num_items)
    x[torch.repeat_interleave(offsets.diff(), output_size=len(items)), items.long()] = 1.0
    return x


def drop(items, offsets, p):
    kept = torch.rand(len(items)) >= p
    return items[kept], f.pad(kept.cumsum(0), (1, 0))[offsets]


def bag(items, offsets, weight):
    return f.embedding_bag(items.long(), weight, offsets, mode="sum", include_last_offset=True)


class First(nn.Module):
    """The first layer on normalised rows with dropout."""

    def __init__(self, num_items, width):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_items, width))
        nn.init.xavier_uniform_(self.weight)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, items, offsets, dropout):
        scale = offsets.diff().clamp(min=1).rsqrt()[:, None] / (1 - dropout)
        if dropout:
            items, offsets = drop(items, offsets, dropout)
        return bag(items, offsets, self.weight) * scale + self.bias


def nll(scores, x):
    return -x.flatten().dot(scores.log_softmax(1).flatten()) / len(x)


def layers(dims, activation):
    stack = []
    for before, after in pairwise(dims):
        stack += [nn.Linear(before, after), activation()]
    return nn.Sequential(*stack[:-1])


def sample(mean, logvar):
    return mean + torch.randn_like(mean) * (0.5 * logvar).exp()


class AutoRec(nn.Module):
    def __init__(self, num_users, num_items):
        super().__init__()
        self.first, self.out = First(num_items, 500), nn.Linear(500, num_items)

    def loss(self, users, items, offsets, x):
        scores = self.out(self.first(items, offsets, 0.5).sigmoid())
        return ((x * 4 + 1) * (x - scores).square()).sum() / len(x)


class MultiDAE(nn.Module):
    def __init__(self, num_users, num_items):
        super().__init__()
        self.first = First(num_items, 600)
        self.rest = layers([600, 200, 600, num_items], nn.Tanh)

    def loss(self, users, items, offsets, x):
        return nll(self.rest(self.first(items, offsets, 0.5).tanh()), x)


class MultiVAE(nn.Module):
    def __init__(self, num_users, num_items):
        super().__init__()
        self.first, self.head = First(num_items, 600), nn.Linear(600, 400)
        self.decoder = layers([200, 600, num_items], nn.Tanh)

    def loss(self, users, items, offsets, x):
        mean, logvar = self.head(self.first(items, offsets, 0.5).tanh()).chunk(2, dim=1)
        kl = 0.5 * (logvar.exp() + mean.square() - 1 - logvar).sum(1).mean()
        return nll(self.decoder(sample(mean, logvar)), x) + 0.2 * kl


class MultiCDAE(nn.Module):
    def __init__(self, num_users, num_items):
        super().__init__()
        self.first = First(num_items, 600)
        self.rest = layers([600, 200, 600, num_items], nn.Tanh)
        self.users = nn.Embedding(num_users, 600, sparse=True)
        nn.init.zeros_(self.users.weight)

    def loss(self, users, items, offsets, x):
        vectors = self.users(users)
        kept = (torch.rand(len(users), 1) >= 0.5).float()
        hidden = (self.first(items, offsets, 0.5) + vectors * kept).tanh()
        return nll(self.rest(hidden), x) + 0.005 * vectors.square().sum(1).mean()


class MultiEASE(nn.Module):
    def __init__(self, num_users, num_items):
        super().__init__()
        self.fixed = torch.rand(num_items, num_items) * 0.01
        self.delta = nn.Parameter(torch.zeros(num_items, num_items))
        self.delta.register_hook(lambda gradient: gradient.fill_diagonal_(0))
        self.bias = nn.Parameter(torch.zeros(num_items))
        self.log_temperature = nn.Parameter(torch.tensor(-3.0))

    def loss(self, users, items, offsets, x):
        items, offsets = drop(items, offsets, 0.5)
        scores = bag(items, offsets, self.fixed) + bag(items, offsets, self.delta)
        scores = scores * (-self.log_temperature).exp() * 2
        scores = torch.where(scores < -20, scores, f.softplus(scores.clamp(min=-20)).log())
        return nll(scores + self.bias, x)


class Encoder(nn.Module):
    def __init__(self, num_items):
        super().__init__()
        self.first = First(num_items, 600)
        self.blocks = nn.ModuleList(nn.Linear(600, 600) for _ in range(4))
        self.norms = nn.ModuleList(nn.LayerNorm(600, eps=0.1) for _ in range(5))
        self.mean, self.logvar = nn.Linear(600, 200), nn.Linear(600, 200)

    def forward(self, items, offsets, dropout):
        hidden = self.norms[0](f.silu(self.first(items, offsets, dropout)))
        total = hidden
        for block, norm in zip(self.blocks, self.norms[1:], strict=True):
            hidden = norm(f.silu(block(hidden) + total))
            total = total + hidden
        return self.mean(hidden), self.logvar(hidden)


def log_density(z, mean, logvar):
    logvar = torch.as_tensor(logvar)
    return -0.5 * (1.8378770664 + logvar + (z - mean).square() * (-logvar).exp())


class RecVAE(nn.Module):
    def __init__(self, num_users, num_items):
        super().__init__()
        self.encoder = Encoder(num_items)
        self.old = copy.deepcopy(self.encoder).requires_grad_(False)
        self.decoder = nn.Linear(200, num_items)
        self.trains_decoder = False

    def loss(self, users, items, offsets, x):
        if self.trains_decoder:
            with torch.no_grad():
                z = sample(*self.encoder(items, offsets, 0.0))
            return nll(self.decoder(z), x)
        mean, logvar = self.encoder(items, offsets, 0.5)
        z = sample(mean, logvar)
        scores = f.linear(z, self.decoder.weight.detach(), self.decoder.bias.detach())
        prior = [
            log_density(z, 0.0, 0.0) - 1.8971199849,  # log 3/20
            log_density(z, *self.old(items, offsets, 0.0)) - 0.2876820724,  # log 3/4
            log_density(z, 0.0, 10.0) - 2.3025850930,  # log 1/10
        ]
        ratio = log_density(z, mean, logvar) - torch.stack(prior).logsumexp(0)
        return nll(scores, x) + (0.005 * offsets.diff() * ratio.sum(1)).mean()


MODELS = {
    "autorec": AutoRec,
    "multi_dae": MultiDAE,
    "multi_vae": MultiVAE,
    "multi_cdae": MultiCDAE,
    "recvae": RecVAE,
    "multi_ease": MultiEASE,
}


def run(name, data):
    """Seconds of the second epoch."""
    num_users, num_items = data["shape"].tolist()
    model = MODELS[name](num_users, num_items)
    sparse = [model.users.weight] if name == "multi_cdae" else []
    others = [p for p in model.parameters() if p.requires_grad and not any(p is s for s in sparse)]
    optimisers = [torch.optim.Adam(others, lr=0.0005, fused=True)]
    if sparse:
        optimisers.append(torch.optim.SparseAdam(sparse, lr=0.0005))
    passes = 4 if name == "recvae" else 1
    for _ in range(2):
        start = time.perf_counter()
        for each in range(passes):
            model.trains_decoder = each == 3
            if model.trains_decoder:
                model.old.load_state_dict(model.encoder.state_dict())
            for users, items, offsets in batches(data["indptr"], data["indices"], num_users):
                loss = model.loss(users, items, offsets, dense(items, offsets, num_items))
                for optimiser in optimisers:
                    optimiser.zero_grad()
                loss.backward()
                for optimiser in optimisers:
                    optimiser.step()
        seconds = time.perf_counter() - start
    return {"epoch": seconds}
