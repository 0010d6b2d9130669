"""The sparse first layer against the dense one."""

import torch
from torch import nn

from recsys_lightning.data.batches import Bag
from recsys_lightning.nn.layers import BagLinear, dense_layers, initialise_like_vae_cf

BAG = Bag(torch.tensor([3, 0, 1, 4, 2], dtype=torch.int32), torch.tensor([0, 2, 2, 5]))


def test_bag_linear_is_a_dense_layer_on_normalised_rows():
    layer = BagLinear(5, 3)
    x = BAG.dense(5)
    x = x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)
    torch.testing.assert_close(layer(BAG), x @ layer.weight + layer.bias)


def test_its_gradient_is_the_dense_layers():
    layer, outer = BagLinear(5, 3), torch.randn(3, 3)
    x = BAG.dense(5)
    x = x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)
    ours = torch.autograd.grad((layer(BAG) * outer).sum(), layer.weight)[0]
    theirs = torch.autograd.grad((x @ layer.weight * outer).sum(), layer.weight)[0]
    torch.testing.assert_close(ours, theirs)


def test_dropout_keeps_the_expectation_and_the_clean_norm():
    torch.manual_seed(0)
    layer = BagLinear(50, 1)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    bag = Bag(torch.arange(40, dtype=torch.int32).repeat(2000), torch.arange(2001) * 40)
    values = layer(bag, dropout=0.6)
    assert abs(values.mean().item() - 40**0.5) < 0.05  # 40 ones / sqrt(40)
    # kept items weigh 1 / (sqrt(40) 0.4): normalised before the dropout, not after
    steps = values * 40**0.5 * 0.4
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)


def test_drop_keeps_rows_apart():
    torch.manual_seed(0)
    rows = [list(range(10 * b, 10 * b + b)) for b in range(8)]
    items = torch.tensor([i for row in rows for i in row], dtype=torch.int32)
    offsets = torch.tensor([0, *[len(row) for row in rows]]).cumsum(0)
    kept = Bag(items, offsets).drop(0.5)
    assert 0 < len(kept.items) < len(items)
    for b, row in enumerate(rows):
        assert set(kept.items[kept.offsets[b] : kept.offsets[b + 1]].tolist()) <= set(row)
    nothing = Bag(items[:0], torch.zeros(3, dtype=torch.int64)).drop(0.5)
    assert nothing.offsets.tolist() == [0, 0, 0]


def test_no_activation_after_the_last_layer():
    layers = dense_layers([4, 3, 2], nn.Tanh)
    assert [type(layer) for layer in layers] == [nn.Linear, nn.Tanh, nn.Linear]
    layers.apply(initialise_like_vae_cf)
    assert layers[0].weight.abs().max() <= (6 / 7) ** 0.5
    assert layers[0].bias.abs().max() < 0.01
