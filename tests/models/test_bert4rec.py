"""BERT4Rec against direct computations."""

import numpy as np
import pytest
import torch
from torch.nn.functional import gelu

from recsys_lightning.data.batches import Bag
from recsys_lightning.data.views.sequences import SequenceView
from recsys_lightning.errors import InputError
from recsys_lightning.models.bert4rec import BERT4Rec
from tests.conftest import make_interactions
from tests.models.test_contract import query

ROWS = [[5, 3, 1, 0, 2, 4, 9, 8], [7], [], [1, 2, 3], [6, 0]]
NUM_ITEMS = 12
MASK = NUM_ITEMS


def built(**options):
    torch.manual_seed(0)
    sizes = {"num_users": 5, "num_items": NUM_ITEMS, "embedding_dim": 6, "length": 4}
    model = BERT4Rec(**sizes | options).double().eval()
    torch.nn.init.normal_(model.items)
    torch.nn.init.normal_(model.bias)
    return model


def scores_at(model, row, place):
    """Of all items at one place of one sequence."""
    items = torch.tensor(row)
    hidden = model.encode(items, torch.tensor([0, len(row)]), causal=False)[place]
    matched = model.norm(gelu(model.transform(hidden)))
    return matched @ model.items[:NUM_ITEMS].T + model.bias


def batch():
    train = make_interactions(ROWS, NUM_ITEMS)
    return next(iter(SequenceView(9, 4).loader(train, seed=0, epoch=0, rank=0, world_size=1)))


def test_it_learns_what_is_under_the_masks(monkeypatch):
    model = built()
    # of the parts (0 2 4 9 8), (1 2 3), (6 0)
    places = torch.tensor([0, 1, 0, 1, 0, 0, 0, 1, 1, 0], dtype=torch.bool)
    monkeypatch.setattr(model, "masked", lambda parts: places)
    expected = [
        -scores_at(model, row, place).log_softmax(0)[item]
        for row, place, item in [
            ([0, MASK, 4, MASK, 8], 1, 2),
            ([0, MASK, 4, MASK, 8], 3, 9),
            ([1, 2, MASK], 2, 3),
            ([MASK, 0], 0, 6),
        ]
    ]
    torch.testing.assert_close(model.loss(batch()), torch.stack(expected).mean())


def test_every_part_has_a_mask_and_some_the_newest_item_alone():
    lengths = torch.tensor([5, 3, 1]).repeat(4000)
    offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    parts = Bag(torch.zeros(int(offsets[-1]), dtype=torch.int32), offsets)
    masked = built(mask_share=0.3, last_share=0.25).masked(parts)
    counts = torch.zeros(len(lengths), dtype=torch.int64).index_add_(0, parts.rows, masked.long())
    assert counts.min() == 1
    alone = (counts == 1) & masked[offsets[1:] - 1]
    of_five = lengths == 5
    # with probability 1/4 by rule; else by chance one mask, or none and then one drawn
    by_chance = 0.3 * 0.7**4 + 0.7**5 / 5
    expected = 0.25 + 0.75 * by_chance
    assert alone[of_five].double().mean().item() == pytest.approx(expected, abs=0.03)
    shares = masked.double().view(4000, 9)[:, :4].mean(0)  # all but the newest of the five
    expected = 0.75 * (0.3 + 0.7**5 / 5)
    np.testing.assert_allclose(shares, expected, atol=0.03)


def test_a_score_is_at_a_mask_after_the_latest_items():
    model, x = built(), make_interactions(ROWS, NUM_ITEMS)
    found = model.score(query(x, np.arange(5)))
    for user, row in enumerate(ROWS):
        latest = [*row[-4:], MASK]
        torch.testing.assert_close(found[user], scores_at(model, latest, len(latest) - 1))


def test_several_masks_stand_within_the_history_and_their_scores_are_mixed():
    model, x = built(num_masks=2), make_interactions(ROWS, NUM_ITEMS)
    found = model.score(query(x, [0, 2]))
    row = [4, MASK, 9, 8, MASK]  # of five positions in all
    each = torch.stack([scores_at(model, row, 1), scores_at(model, row, 4)])
    torch.testing.assert_close(found[0], each.exp().mean(0).log())
    each = torch.stack([scores_at(model, [MASK, MASK], place) for place in (0, 1)])
    torch.testing.assert_close(found[1], each.exp().mean(0).log())


def test_a_later_item_counts():
    model = built()
    before, after = (scores_at(model, [0, MASK, item], 1) for item in (4, 5))
    assert not torch.isclose(before, after).any()


@pytest.mark.parametrize("share", [0, 1])
def test_wrong_shares_are_named(share):
    with pytest.raises(InputError, match=f"model.mask_share={share}"):
        built(mask_share=share)


def test_its_head_begins_as_the_encoders_matrices():
    torch.manual_seed(0)
    transform = BERT4Rec(num_users=1, num_items=3, embedding_dim=64).transform
    assert transform.weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert not transform.bias.any()


@pytest.mark.parametrize(("length", "expected"), [(4, 0.6), (16, 0.4), (100, 0.2)])
def test_of_short_histories_more_is_masked_where_nothing_is_given(length, expected):
    rows = make_interactions([list(range(length)), []], length)
    for given in (None, 0.3):
        model = built(mask_share=given, dropout=None)
        model.prepare(rows)
        assert model.mask_share == pytest.approx(given or expected)
        assert model.encoder.dropout.p == 0.5  # 180 / sqrt(N), but at most this
