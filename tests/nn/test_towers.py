"""The tower: a split first layer and blocks change nothing, and memory is bounded."""

import pytest
import torch
from torch import nn

from recsys_lightning.nn import towers
from recsys_lightning.nn.towers import Tower


def sides(users=7, items=23):
    torch.manual_seed(0)
    return torch.randn(users, 6), torch.randn(items, 4)


def tower(memory_mb=4.0, dropout=0.0):
    torch.manual_seed(1)
    built = Tower(6, 4, [16, 8, 5], dropout, memory_mb).eval()
    for bias in (layer.bias for layer in (built.first, *built.rest) if hasattr(layer, "bias")):
        nn.init.normal_(bias)
    return built


def parts(built, users, items):
    return built.user_part(users), built.item_part(items)


@pytest.mark.parametrize("memory_mb", [1e-9, 0.003, 4])
def test_the_scores_are_those_of_an_unsplit_perceptron_whatever_the_block(memory_mb):
    built, (users, items) = tower(memory_mb), sides()
    pairs = torch.cat([users.repeat_interleave(23, 0), items.repeat(7, 1)], 1)
    linears = [layer for layer in built.rest if isinstance(layer, nn.Linear)]
    hidden = pairs
    for layer in (built.first, *linears):
        hidden = layer(hidden).relu()
    expected = (hidden @ built.output.weight[0]).view(7, 23)
    assert len(linears) == 2
    torch.testing.assert_close(
        built.all_pairs(*parts(built, users, items)), expected, rtol=0, atol=1e-6
    )
    of_users, of_items = parts(built, users, items)
    torch.testing.assert_close(built(of_users[:, None] + of_items), expected, rtol=0, atol=1e-6)


def test_a_block_takes_no_more_memory_than_its_key_says(monkeypatch):
    sizes, forward = [], Tower.forward

    def measured(self, sums):
        sizes.append(len(sums) * sums.shape[1])
        return forward(self, sums)

    monkeypatch.setattr(Tower, "forward", measured)
    built = tower(memory_mb=0.05)
    users, items = sides(users=60, items=90)
    assert built.all_pairs(*parts(built, users, items)).shape == (60, 90)
    bytes_of_a_pair = (16 + 8) * 4  # the first layer, while the second is made from it
    assert max(sizes) * bytes_of_a_pair <= 0.05 * 2**20 < 4 * max(sizes) * bytes_of_a_pair
    assert 1 < len(sizes) < 60  # neither a single user nor a single item at a time


def test_gradients_are_those_of_the_unsplit_perceptron():
    built, (users, items) = tower(), sides(users=5, items=5)
    hidden = torch.cat([users, items], 1)
    linears = [layer for layer in built.rest if isinstance(layer, nn.Linear)]
    for layer in (built.first, *linears):
        hidden = layer(hidden).relu()
    (hidden @ built.output.weight[0]).square().sum().backward()
    expected = [p.grad.clone() for p in built.parameters()]
    built.zero_grad()
    of_users, of_items = parts(built, users, items)
    built((of_users + of_items)[:, None]).square().sum().backward()
    for ours, theirs in zip((p.grad for p in built.parameters()), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_dropout_is_of_every_layer_and_of_training_only():
    built, (users, items) = tower(dropout=0.5), sides(users=40)
    of_users, of_items = parts(built, users, items)
    assert torch.equal(built.all_pairs(of_users, of_items), tower().all_pairs(of_users, of_items))
    built.train()
    shares = []

    def check(layer, inputs, output):
        before, after = inputs[0], output
        assert torch.isin((after / before)[before > 0], torch.tensor([0.0, 2.0])).all()
        dropped = (after == 0) | (before == 0)
        shares.append(dropped.all(1).float().mean().item())  # of a user's units, for all items

    for layer in built.rest:
        if isinstance(layer, towers.UserDropout):
            layer.register_forward_hook(check)
    built(of_users[:, None] + of_items)
    assert len(shares) == 3
    assert all(0.35 < share < 0.75 for share in shares)


@pytest.mark.parametrize(("seconds", "says"), [(0.0, True), (1e9, False)])
def test_what_a_validation_will_take_is_said_where_it_is_long(seconds, says, monkeypatch, caplog):
    monkeypatch.setattr(towers, "WORTH_SAYING", seconds)
    tower().announce(num_users=500, num_items=300)
    found = "500 x 300 pairs" in caplog.text and "check_val_every_n_epoch" in caplog.text
    assert found is says
    assert says is bool(caplog.records)


def test_the_estimate_is_of_all_pairs(monkeypatch, caplog):
    monkeypatch.setattr(towers, "WORTH_SAYING", 0.0)
    clock = iter([0.0, 5.0, 10.0, 12.0])  # the second block takes 2 seconds
    monkeypatch.setattr(towers.time, "perf_counter", lambda: next(clock))
    built = tower(memory_mb=2 * 16 * 4 * 100 / 2**20)  # 10 x 10 pairs
    assert built.block == 10
    built.announce(num_users=30, num_items=50)
    assert "about 30 seconds" in caplog.text
