"""Multi-BERT4Rec against direct computations."""

import numpy as np
import pytest
import torch

from recsys_lightning.data.batches import Bag
from recsys_lightning.errors import InputError
from recsys_lightning.models.multi_bert4rec import MultiBERT4Rec
from tests.conftest import make_interactions
from tests.models.test_contract import query

ROWS = [[5, 3, 1, 0, 2, 4, 9, 8], [7], [], [1, 2, 3], [6, 0]]
NUM_ITEMS = 12


def built(**options):
    torch.manual_seed(0)
    sizes = {"num_users": 5, "num_items": NUM_ITEMS, "embedding_dim": 6}
    model = MultiBERT4Rec(**sizes | options).double()
    torch.nn.init.normal_(model.items)
    torch.nn.init.normal_(model.bias)
    return model


def test_a_score_is_the_projection_of_the_mean_over_real_items():
    model, x = built(length=2).eval(), make_interactions(ROWS, NUM_ITEMS)
    found = model.score(query(x, np.arange(5)))
    for user, row in enumerate(ROWS):
        items = torch.tensor(row, dtype=torch.int64)
        mean = torch.zeros(6, dtype=torch.float64)
        if row:
            read = model.items[items] * 6**0.5
            mean = model.encoder(read, torch.tensor([0, len(row)]), False).mean(0)
        torch.testing.assert_close(found[user], mean @ model.items.T + model.bias)


def test_a_history_is_a_set():
    model = built().eval()
    one, other = (
        model(Bag(torch.tensor(items, dtype=torch.int32), torch.tensor([0, 3])), torch.zeros(1))
        for items in ([3, 1, 2], [2, 3, 1])
    )
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("length", "mean"), [(3, 2.97), (12, 6)])
def test_training_reads_a_random_part_and_fewer_items(length, mean, monkeypatch):
    """Of the items that are not dropped, so that a part is seldom smaller for it."""
    model, seen = built(length=length, dropout=0.5).train(), []
    forward = model.encoder.forward

    def measured(x, offsets, causal):
        seen.append(offsets.diff())
        return forward(x, offsets, causal)

    monkeypatch.setattr(model.encoder, "forward", measured)
    bag = Bag(torch.arange(12).int().repeat(400), torch.arange(0, 4801, 12))
    model(bag, torch.zeros(400))
    assert seen[0].max() <= length
    assert seen[0].double().mean().item() == pytest.approx(mean, abs=mean / 15)
    model.eval()(bag, torch.zeros(400))
    assert set(seen[1].tolist()) == {12}


def test_a_sample_has_each_item_equally_often():
    torch.manual_seed(0)
    bag = Bag(torch.arange(12).int().repeat(4000), torch.arange(0, 48_001, 12))
    drawn = bag.sample(3)
    assert set(drawn.lengths.tolist()) == {3}
    assert all(len(set(part)) == 3 for part in drawn.items.view(-1, 3).tolist())
    counts = drawn.items.bincount(minlength=12) / 4000
    np.testing.assert_allclose(counts, 0.25, atol=0.03)


def test_items_begin_as_the_encoders_matrices():
    torch.manual_seed(0)
    model = MultiBERT4Rec(num_users=1, num_items=500)
    assert model.items.std().item() == pytest.approx(0.02, rel=0.03)
    assert not model.bias.any()


def test_a_wrong_dropout_is_named():
    with pytest.raises(InputError, match=r"model.hidden_dropout=1: expected"):
        built(hidden_dropout=1)
