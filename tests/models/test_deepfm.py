"""DeepFM: FM against the double sum, the perceptron on shared embeddings, and its features."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn

from recsys_lightning.data.holdout import RandomHoldout
from recsys_lightning.data.interactions import Feature
from recsys_lightning.data.views.pairs import PairView
from recsys_lightning.errors import InputError
from recsys_lightning.models.deepfm import DeepFM, second_order
from recsys_lightning.models.mf_bpr import MFBPR
from tests.conftest import run_experiment, two_tastes, with_features
from tests.models.pairs import (
    BATCH,
    I,
    U,
    check_an_unknown_user_gets_the_popular_items,
    check_every_score_depends_on_the_user,
    scores,
)

D = 5
DATA = with_features(two_tastes())


def model(data=DATA, features=None, **options):
    """With weights at which every term shows."""
    sizes = data.feature_sizes(features)
    torch.manual_seed(0)
    built = DeepFM(
        num_users=U,
        num_items=I,
        num_values=list(sizes.values()),
        features=list(sizes),
        **({"embedding_dim": D, "hidden_dims": [7, 4]} | options),
    ).eval()
    for parameter in built.parameters():
        nn.init.normal_(parameter, std=0.5)
    built.prepare(data)
    return built


def fields_of(built, data, user, item):
    """(F, 1+D) w and v of a pair's fields, one after the other."""
    rows, first = [built.users[user], built.items[item]], 0
    for name in built.features:
        matrix = data.features[name].matrix
        chosen = first + matrix[[item]].indices
        empty = torch.zeros(1 + D)
        rows.append(built.values[chosen].mean(0) if len(chosen) else empty)
        first += matrix.shape[1]
    return torch.stack(rows)


def test_the_second_order_term_is_the_double_sum():
    fields = torch.randn(6, 5, 3, dtype=torch.float64)
    for row, found in zip(fields, second_order(fields), strict=True):
        explicit = sum(row[f] @ row[g] for f in range(5) for g in range(f + 1, 5))
        assert found.item() == pytest.approx(explicit.item(), abs=1e-12)


@pytest.mark.parametrize("features", [None, ["taste"], []])
@pytest.mark.parametrize("hidden_dims", [[], [7, 4]])
def test_a_score_is_that_of_the_formula(features, hidden_dims):
    """Items 38 and 39 have two shelves and none."""
    built = model(features=features, hidden_dims=hidden_dims)
    found = scores(built)
    for user, item in [(0, 0), (7, 38), (7, 39), (59, 12)]:
        fields = fields_of(built, DATA, user, item)
        weights, v = fields[:, 0], fields[:, 1:]
        assert len(v) == 2 + len(built.features)
        expected = built.bias + weights.sum()
        expected += sum(v[f] @ v[g] for f in range(len(v)) for g in range(f + 1, len(v)))
        if hidden_dims:
            hidden = built.tower.first(v.flatten()).relu()  # the embeddings of FM
            expected += built.tower.output(built.tower.rest[2](hidden).relu())[0]
        assert found[user, item].item() == pytest.approx(expected.item(), abs=1e-4)
        pair = built.score_pairs(torch.tensor([user]), torch.tensor([[item, 5]]))[0]
        torch.testing.assert_close(pair, found[user, [item, 5]], rtol=1e-5, atol=1e-5)


def test_of_users_and_items_alone_without_a_perceptron_it_is_mf_with_biases():
    ours = model(two_tastes(), hidden_dims=[])
    mf = MFBPR(num_users=U, num_items=I, embedding_dim=D)
    mf.users.data, mf.items.data = ours.users.data[:, 1:], ours.items.data[:, 1:]
    mf.bias.data = ours.items.data[:, 0]
    constant = (ours.bias + ours.users[:, :1]).detach()  # of a user: it orders nothing
    torch.testing.assert_close(scores(ours), scores(mf) + constant, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hidden_dims", [[], [7, 4]])
def test_every_score_depends_on_the_user(hidden_dims):
    """The original's was a sum of a user's and an item's: all users had one ranking."""
    check_every_score_depends_on_the_user(model(hidden_dims=hidden_dims))


def test_an_unknown_user_gets_the_popular_items():
    check_an_unknown_user_gets_the_popular_items(model())


def test_it_begins_without_first_order_weights():
    built = DeepFM(num_users=900, num_items=I, num_values=[3], embedding_dim=D)
    assert not any(table[:, 0].any() for table in (built.users, built.items, built.values))
    assert built.users[:, 1:].std().item() == pytest.approx(0.1, rel=0.1)


def test_l2_is_of_all_the_fields_that_a_batch_reads():
    built = model(l2=0.3)
    squares = built.users[BATCH.users].square().sum()
    for item in [5, 6, 7, 7]:
        squares += fields_of(built, DATA, 0, item)[1:].square().sum()
    torch.testing.assert_close(built.penalty(BATCH), 0.3 * squares / 2 / 2)
    without = model(l2=0.0)
    assert without.penalty(BATCH) == 0
    torch.testing.assert_close(built.loss(BATCH) - without.loss(BATCH), built.penalty(BATCH))


def test_mlp_l2_is_of_its_matrices_and_not_of_its_biases():
    with_it, without = (model(l2=0.0, mlp_l2=weight) for weight in (0.3, 0.0))
    squares = sum(p.square().sum() for p in without.tower.parameters() if p.ndim == 2)
    torch.testing.assert_close(with_it.loss(BATCH) - without.loss(BATCH), 0.3 * squares / 2)
    assert model(hidden_dims=[], mlp_l2=0.3).loss(BATCH).isfinite()


def test_values_learn_from_the_items_that_have_them_only():
    built = model()
    built.score_pairs(torch.tensor([0]), torch.tensor([[10, 39]])).sum().backward()
    shelves, tastes = built.values.grad[:5], built.values.grad[5:]
    assert shelves.any(1).tolist() == [True, False, False, False, False]  # item 10: shelf a
    assert tastes.any(1).tolist() == [True, True]


def with_one_value(x):
    ones = csr_array(np.ones((x.num_items, 1), np.float32))
    return replace(x, features=dict(x.features) | {"all": Feature(np.array(["yes"]), ones)})


@pytest.mark.parametrize("features", [["all"], None, []])
def test_a_feature_with_one_value_and_none_at_all_fit(features, tmp_path):
    split = RandomHoldout(valid_items=2, test_items=2).split(with_one_value(DATA))
    built = partial(DeepFM, features=features, embedding_dim=4, hidden_dims=[6], lr=0.01)
    view = PairView(200, negatives=2)
    run = run_experiment(tmp_path, split, built, view=view, trainer={"max_epochs": 3}, refit=False)
    assert np.isfinite(run.outcome.metrics["val/recall@5"])
    content = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)
    expected = {"all": 1}[features[0]] if features else (5 + 2 + 1 if features is None else 0)
    stored = content["state_dict"].get("values", torch.empty(0))
    assert len(stored) == expected
    assert not content["state_dict"]["bag_offsets"][:1].any()  # nor is it what memory held


def test_a_feature_that_the_data_lacks_names_the_choices(tmp_path):
    split = RandomHoldout(valid_items=2, test_items=2).split(DATA)
    built = partial(DeepFM, features=["director"])
    with pytest.raises(InputError, match=r"model.features=.*director.*\(shelf, taste\)"):
        run_experiment(tmp_path, split, built, view=PairView(200))


def test_the_scores_are_the_same_whatever_the_memory():
    few, many = model(score_memory_mb=1e-6), model()
    assert few.tower.block == 1 < many.tower.block
    torch.testing.assert_close(scores(few), scores(many), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_dims": [0]}, r"model.hidden_dims\[0\]=0"),
        ({"hidden_dims": 64}, "model.hidden_dims=64"),
        ({"embedding_dim": 0}, "model.embedding_dim=0"),
        ({"score_memory_mb": 0}, "model.score_memory_mb=0"),
        ({"dropout": 1.0}, "model.dropout=1.0"),
        ({"mlp_l2": -0.1}, "model.mlp_l2=-0.1"),
        ({"loss": "softmax"}, "model.loss=softmax"),
        ({"l2": -1}, "model.l2=-1"),
    ],
)
def test_bad_values_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        DeepFM(num_users=U, num_items=I, num_values=[], **options)
