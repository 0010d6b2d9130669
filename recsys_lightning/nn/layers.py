"""Layers of the autoencoders: a first layer that reads bags of items, and stacks of dense ones."""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from recsys_lightning.data.batches import Bag
from recsys_lightning.functional.sparse import bag_matmul


class BagLinear(nn.Module):
    """`x / ||x|| W + b` for rows x of zeros and ones given as bags; an empty row gives b.

    It costs O(N D) where a dense layer costs O(B I D). Initialised as `nn.Linear`.

    Args:
        num_items: I.
        num_features: D.

    >>> layer = BagLinear(num_items=10, num_features=3)
    >>> bag = Bag(torch.tensor([2, 0], dtype=torch.int32), torch.tensor([0, 2, 2]))
    >>> torch.allclose(layer(bag)[0], (layer.weight[2] + layer.weight[0]) / 2**0.5 + layer.bias)
    True
    """

    def __init__(self, num_items: int, num_features: int) -> None:
        super().__init__()
        bound = num_items**-0.5
        self.weight = nn.Parameter(torch.empty(num_items, num_features).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num_features).uniform_(-bound, bound))

    def forward(self, bag: Bag, dropout: float = 0.0) -> Tensor:
        """(B, D); with `dropout` p every item is left out with probability p.

        Normalised before the dropout, as all papers' code does; kept items weigh 1 / (1 - p).
        """
        scale = bag.lengths.clamp(min=1).rsqrt()[:, None] / (1 - dropout)
        kept = bag.drop(dropout) if dropout else bag
        return bag_matmul(kept.items, kept.offsets, self.weight) * scale + self.bias


def dense_layers(dims: Sequence[int], activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Linear layers from dims[0] over dims[1], ... to dims[-1], activations between them only."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(dims):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])


def initialise_like_vae_cf(module: nn.Module) -> None:
    """Xavier-uniform weights and almost zero biases, as in dawenl/vae_cf; for `Module.apply`."""
    if isinstance(module, BagLinear | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.trunc_normal_(module.bias, std=0.001)
