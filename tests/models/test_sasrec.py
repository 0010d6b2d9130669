"""SASRec against direct computations."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from recsys_lightning.data.batches import Bag, Query
from recsys_lightning.data.holdout import NoHoldout
from recsys_lightning.data.views.sequences import SequenceView
from recsys_lightning.errors import InputError
from recsys_lightning.functional.losses import (
    generalised_binary_cross_entropy,
    sampled_softmax,
)
from recsys_lightning.models.sasrec import SASRec
from tests.conftest import make_interactions, run_experiment
from tests.models.test_contract import query

ROWS = [[5, 3, 1, 0, 2, 4, 9, 8], [7], [], [1, 2, 3], [6, 0]]
NUM_ITEMS = 12


def built(**options):
    torch.manual_seed(0)
    sizes = {"num_users": 5, "num_items": NUM_ITEMS, "embedding_dim": 6, "length": 4}
    model = SASRec(**sizes | {"num_heads": 2} | options).double().eval()
    torch.nn.init.normal_(model.items)
    return model


def one_batch(**options):
    train = make_interactions(ROWS, NUM_ITEMS)
    view = SequenceView(9, 4, **options)
    return next(iter(view.loader(train, seed=0, epoch=0, rank=0, world_size=1)))


def next_items(model):
    """Scores at each item of each part that has one after it, one part at a time; and the next."""
    for row in ([0, 2, 4, 9, 8], [1, 2, 3], [6, 0]):
        items = torch.tensor(row[:-1])
        hidden = model.encode(items, torch.tensor([0, len(items)]), causal=True)
        yield from zip(hidden @ model.items.T, row[1:], strict=True)


def test_it_learns_to_predict_at_each_item_the_one_after_it():
    model = built()
    expected = [-scores.log_softmax(0)[target] for scores, target in next_items(model)]
    assert len(expected) == 4 + 2 + 1
    torch.testing.assert_close(model.loss(one_batch()), torch.stack(expected).mean())


@pytest.mark.parametrize("loss", ["sampled_softmax", "gbce"])
def test_losses_of_drawn_items_leave_out_what_is_the_next_item(loss, monkeypatch):
    model, drawn = built(loss=loss, num_negatives=5), torch.tensor([9, 3, 7, 7, 0])
    draw = {(NUM_ITEMS, (5,)): drawn}  # of all items, as many as asked for
    monkeypatch.setattr(torch, "randint", lambda high, size, device: draw[high, size])
    expected = []
    for scores, target in next_items(model):
        kept = scores[drawn[drawn != target]].exp()
        if loss == "gbce":
            beta = 1 - 0.75 * (1 - 5 / (NUM_ITEMS - 1))
            value = -beta * scores[target].sigmoid().log() + (1 + kept).log().sum()
            expected.append(value / 6)
        else:
            total = scores[target].exp() + (kept * NUM_ITEMS / 5).sum()
            expected.append(total.log() - scores[target])
    torch.testing.assert_close(model.loss(one_batch()), torch.stack(expected).mean())


@pytest.mark.parametrize("loss", ["bce", "bpr"])
def test_losses_of_negatives_that_the_user_has_not(loss):
    model, batch = built(loss=loss), one_batch(negatives=2)
    later = [1, 2, 3, 4, 6, 7, 9]  # of the parts' ten items all but the first of each
    expected = []
    for (scores, target), negatives in zip(next_items(model), batch.negatives[later], strict=True):
        if loss == "bpr":
            expected.append((1 + (scores[negatives] - scores[target]).exp()).log().mean())
        else:
            expected.append(
                (1 + (-scores[target]).exp()).log() + (1 + scores[negatives].exp()).log().sum()
            )
    torch.testing.assert_close(model.loss(batch), torch.stack(expected).mean())


def test_losses_of_negatives_need_the_view_to_draw_some():
    with pytest.raises(InputError, match=r"model.loss=bce needs view.negatives"):
        built(loss="bce").loss(one_batch())


def test_gbce_without_calibration_is_the_mean_cross_entropy():
    scores = torch.randn(7), torch.randn(7, 3)
    found = generalised_binary_cross_entropy(*scores, num_items=10, calibration=0.0)
    labels = torch.cat([torch.ones(7, 1), torch.zeros(7, 3)], 1)
    logits = torch.cat([scores[0][:, None], scores[1]], 1)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    torch.testing.assert_close(found, expected)


def test_with_all_other_items_once_the_sampled_softmax_is_the_dense_one():
    scores = torch.randn(4, 9, dtype=torch.float64)
    # m = I - 1 of I - 1 that can be drawn, each with 1 / (I - 1)
    log_q = torch.full((4, 8), -math.log(8))
    found = sampled_softmax(scores[:, 0], scores[:, 1:], log_q)
    torch.testing.assert_close(found, -scores.log_softmax(1)[:, 0].mean())


@pytest.mark.parametrize("length", [0, 1, 4, 5, 8])
def test_a_score_reads_the_latest_items_only(length):
    model, history = built(), torch.tensor(ROWS[0][:length], dtype=torch.int32)
    users = torch.tensor([-1])  # nothing but the history counts
    asked = Query(users, Bag(history, torch.tensor([0, length])), Bag(history[:0], torch.zeros(2)))
    latest = history[-4:].long()
    expected = torch.zeros(NUM_ITEMS, dtype=torch.float64)
    if length:
        expected = (
            model.encode(latest, torch.tensor([0, len(latest)]), causal=True)[-1] @ model.items.T
        )
    torch.testing.assert_close(model.score(asked)[0], expected)


def test_users_are_scored_as_each_alone():
    model, x = built(), make_interactions(ROWS, NUM_ITEMS)
    together = model.score(query(x, np.arange(5)))
    alone = torch.cat([model.score(query(x, [user])) for user in range(5)])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 4}, "model.num_heads=4 does not divide model.embedding_dim=6"),
        ({"length": 0}, "model.length=0: expected a whole number in [1, inf)"),
        ({"block": "ligo"}, "model.block=ligo: expected one of sasrec, post_norm, pre_norm, ligr"),
        ({"norm": "batch"}, "model.norm=batch: expected one of layer, rms"),
        ({"loss": "ce"}, "model.loss=ce: expected one of cross_entropy, sampled_softmax, gbce"),
        ({"calibration": 2}, "model.calibration=2: expected a number in [0, 1]"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(InputError) as caught:
        built(**options)
    assert str(caught.value).startswith(message)


def test_parts_that_are_longer_than_it_reads_are_refused(tmp_path):
    split = NoHoldout().split(make_interactions(ROWS, NUM_ITEMS))
    model = partial(SASRec, embedding_dim=6, length=4)
    options = {"cutoffs": [1], "monitor": "val/recall@1", "refit": False}
    with pytest.raises(InputError, match=r"view\.length=5: expected at most model\.length=4"):
        run_experiment(tmp_path, split, model, view=SequenceView(9, 5), **options)


@pytest.mark.parametrize(
    ("rows", "length", "expected"),
    [(1, 90, 0.5), (1000, 225, 0.37947), (225, 1000, 0.37947), (1000, 1000, 0.2)],
)
@pytest.mark.parametrize("given", [None, 0.3])
def test_the_fewer_the_interactions_the_more_is_dropped_where_nothing_is_given(
    given, rows, length, expected
):
    model = built(dropout=given)
    model.prepare(make_interactions([range(length)] * rows, length))
    found = [module.p for module in model.encoder.modules() if isinstance(module, torch.nn.Dropout)]
    assert len(found) == 1 + 2 * 3  # of the input; of the attention, and two more, of each block
    assert found == pytest.approx([given or expected] * len(found), abs=1e-5)
