"""Packed sequences against the same blocks on one padded sequence at a time, written out."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import gelu, relu, silu

from recsys_lightning.nn import packing
from recsys_lightning.nn.transformer import BLOCKS, NORMS, Transformer

LENGTHS = [7, 5, 5, 2, 1, 0]
OFFSETS = nn.functional.pad(torch.tensor(LENGTHS).cumsum(0), (1, 0))
DIM = 12


def encoder(block="sasrec", norm="layer", heads=3, dropout=0.0):
    torch.manual_seed(0)
    built = Transformer(DIM, 2, heads, dropout, block, norm).double().eval()
    for parameter in built.parameters():
        nn.init.normal_(parameter, std=0.4)
    return built


def packed():
    torch.manual_seed(1)
    return torch.randn(sum(LENGTHS), DIM, dtype=torch.float64)


def attention(module, queries, others, causal):
    """Of one sequence, by loops over heads and an explicit softmax."""
    q = module.query(queries)
    k, v = module.key_value(others).chunk(2, dim=1)
    width, heads = DIM // module.num_heads, []
    for head in range(module.num_heads):
        part = slice(head * width, (head + 1) * width)
        logits = q[:, part] @ k[:, part].T / math.sqrt(width)
        if causal:
            later = torch.ones_like(logits, dtype=torch.bool).triu(1)
            logits = logits.masked_fill(later, -math.inf)
        heads.append(logits.softmax(1) @ v[:, part])
    return module.output(torch.cat(heads, 1))


def feed_forward_of_one(block, name, x):
    module, drop = block.feed_forward, block.dropout
    if name == "ligr":
        w1, w3 = module.gate_and_value(x).chunk(2, dim=1)
        return module.output(drop(silu(w1) * w3))
    first, _, _, second = module
    activation = relu if name == "sasrec" else gelu
    return second(drop(activation(first(x))))


def block_of_one(block, name, x, causal):
    drop = block.dropout
    if name == "sasrec":
        q = block.before(x)
        z = block.between(q + attention(block.attention, q, x, causal))
        return z + drop(feed_forward_of_one(block, name, z))
    if name == "post_norm":
        y = block.between(x + drop(attention(block.attention, x, x, causal)))
        return block.after(y + drop(feed_forward_of_one(block, name, y)))
    a = block.before(x)
    attended = drop(attention(block.attention, a, a, causal))
    if name == "pre_norm":
        y = x + attended
        return y + drop(feed_forward_of_one(block, name, block.between(y)))
    y = x + block.gates[0](x).sigmoid() * attended
    added = drop(feed_forward_of_one(block, name, block.between(y)))
    return y + block.gates[1](y).sigmoid() * added


def all_in_one(built, name, x, causal):
    x = built.dropout(x)
    for block in built.blocks:
        x = block_of_one(block, name, x, causal)
    return built.last(x)


@pytest.mark.parametrize("rows", [1, 2, 16])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("name", BLOCKS)
def test_packed_rows_are_each_sequence_alone(name, causal, rows, monkeypatch):
    monkeypatch.setattr(packing, "GROUP", rows)
    built, x = encoder(name), packed()
    expected = [
        all_in_one(built, name, x[first:last], causal)
        for first, last in itertools.pairwise(OFFSETS)
    ]
    torch.testing.assert_close(built(x, OFFSETS, causal), torch.cat(expected))


WANTED = {
    "newest": [6, 11, 16, 18, 19],
    "some": [0, 3, 4, 13, 16, 18],
    "one": [8],
    "none": [],
}


@pytest.mark.parametrize("rows", [1, 2, 16])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("wanted", WANTED)
def test_the_outputs_that_are_wanted_are_those_of_all(wanted, name, causal, rows, monkeypatch):
    monkeypatch.setattr(packing, "GROUP", rows)
    built, x, places = encoder(name), packed(), torch.tensor(WANTED[wanted], dtype=torch.int64)
    some = built(x, OFFSETS, causal, places)
    torch.testing.assert_close(some, built(x, OFFSETS, causal)[places])


def test_the_last_block_computes_nothing_else():
    built, x = encoder(), packed()
    computed = []
    for block in built.blocks:
        block.feed_forward.register_forward_hook(lambda *args: computed.append(len(args[-1])))
    built(x, OFFSETS, True, torch.tensor([6, 18]))
    assert computed == [len(x), 2]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("wanted", [None, torch.tensor(WANTED["some"])])
def test_gradients_are_numerically_right(wanted, causal):
    built, x = encoder(), packed().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: built(x, OFFSETS, causal, wanted), x)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_later_item_changes_no_earlier_output(name):
    built, x = encoder(name), packed()
    changed = x.clone()
    changed[4] = torch.randn(DIM)  # the fifth of the first row of seven
    before, after = built(x, OFFSETS, True), built(changed, OFFSETS, True)
    assert torch.equal(before[:4], after[:4])
    assert not torch.isclose(before[4:7], after[4:7]).all(1).any()
    assert torch.equal(before[7:], after[7:])


def test_without_causality_every_output_depends_on_every_item_of_its_row():
    built, x = encoder(), packed()
    changed = x.clone()
    changed[4] = torch.randn(DIM)
    before, after = built(x, OFFSETS, False), built(changed, OFFSETS, False)
    assert not torch.isclose(before[:7], after[:7]).all(1).any()
    assert torch.equal(before[7:], after[7:])


def test_a_gate_far_below_zero_is_the_identity_and_far_above_plain_pre_norm():
    built, x = encoder("ligr"), packed()
    for block in built.blocks:
        for gate in block.gates:
            nn.init.zeros_(gate.weight)
            nn.init.constant_(gate.bias, -800)
    assert torch.equal(built(x, OFFSETS, True), x)
    [block, _] = built.blocks
    for gate in block.gates:
        nn.init.constant_(gate.bias, 800)
    layout = packing.Layout.of(OFFSETS, causal=True)
    a = block.before(x)
    y = x + block.attention(a, a, layout)
    torch.testing.assert_close(block(x, layout), y + block.feed_forward(block.between(y)))


@pytest.mark.parametrize("norm", NORMS)
def test_norms(norm):
    x = packed() * 1e-4  # so small that what is added to the variance shows
    centred = x - x.mean(1, keepdim=True) if norm == "layer" else x
    expected = centred / (centred.square().mean(1, keepdim=True) + 1e-8).sqrt()
    torch.testing.assert_close(NORMS[norm](DIM).double()(x), expected)


def test_dropout_is_of_training_only():
    built = encoder(dropout=0.5)
    x = packed()
    assert torch.equal(built(x, OFFSETS, True), encoder()(x, OFFSETS, True))
    built.train()
    assert not torch.isclose(built(x, OFFSETS, True), built(x, OFFSETS, True)).all(1).any()


@pytest.mark.parametrize("name", BLOCKS)
def test_dropout_stands_where_the_blocks_say(name, monkeypatch):
    """Of the input, within the feed-forward, and of what the blocks add."""
    monkeypatch.setattr(nn.Dropout, "forward", lambda self, x: x.square())
    built, x = encoder(name), packed()[:7]
    found = built(x, OFFSETS[:2], True)
    torch.testing.assert_close(found, all_in_one(built, name, x, True))


def test_the_weights_of_the_attention_are_dropped_in_training():
    built, x = encoder(), packed()
    for block in built.blocks:
        block.attention.dropout.p = 0.5
    assert torch.equal(built(x, OFFSETS, True), built(x, OFFSETS, True))
    built.train()
    assert not torch.isclose(built(x, OFFSETS, True), built(x, OFFSETS, True)).all(1).any()


@pytest.mark.parametrize(("name", "wide"), [("sasrec", 1), *((n, 4) for n in list(BLOCKS)[1:])])
def test_widths_and_what_closes_the_blocks(name, wide):
    built = encoder(name)
    widths = {m.in_features for m in built.blocks[0].feed_forward.modules() if hasattr(m, "bias")}
    assert widths == {DIM, wide * DIM}
    assert isinstance(built.last, nn.LayerNorm) == (name in {"sasrec", "pre_norm"})


def test_no_sequence_has_anything():
    x = torch.empty(0, DIM, dtype=torch.float64)
    assert encoder()(x, torch.zeros(4, dtype=torch.int64), True).shape == (0, DIM)


def test_matrices_begin_as_those_of_the_published_sasrec():
    torch.manual_seed(0)
    built = Transformer(64, 1, 1, 0.0)
    attention = built.blocks[0].attention
    assert not any(p.any() for name, p in built.named_parameters() if name.endswith("bias"))
    reference = nn.MultiheadAttention(64, 1).in_proj_weight  # (3 D, D)
    ours = torch.cat([attention.query.weight, attention.key_value.weight])
    assert ours.shape == reference.shape
    assert ours.std().item() == pytest.approx(reference.std().item(), rel=0.03)
    assert ours.abs().max().item() == pytest.approx(reference.abs().max().item(), rel=0.01)
    assert attention.output.weight.std().item() == pytest.approx(0.02, rel=0.05)
