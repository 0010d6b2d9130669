"""The pairwise models against direct computations."""

from functools import partial

import numpy as np
import pytest
import torch

from recsys_lightning.data.batches import Pairs
from recsys_lightning.data.holdout import RandomHoldout
from recsys_lightning.data.views.pairs import PairView
from recsys_lightning.errors import InputError
from recsys_lightning.models.lightgcn import LightGCN
from recsys_lightning.models.mf_bpr import MFBPR
from recsys_lightning.models.ngcf import NGCF
from recsys_lightning.models.xsimgcl import XSimGCL
from tests.conftest import make_interactions, run_experiment, two_tastes
from tests.models.test_contract import query

SIZES = {"num_users": 60, "num_items": 40}


def prepared(cls, **options):
    """A model in float64 whose graph is that of `two_tastes`, and whose tables are kept."""
    torch.manual_seed(0)
    model = cls(**SIZES, embedding_dim=5, **options).double()
    x = two_tastes()
    model.prepare(x)
    model.eval()
    with torch.no_grad():
        model.keep()
    return model, x


def laplacian(x):
    """(U+I, U+I) D^-1/2 A D^-1/2."""
    rows = x.matrix.toarray().astype(float)
    users, items = rows.shape
    a = np.block([[np.zeros((users, users)), rows], [rows.T, np.zeros((items, items))]])
    root = 1 / np.sqrt(np.maximum(a.sum(1), 1))
    return root[:, None] * a * root


def nodes_of(model):
    return np.concatenate([model.users.detach().numpy(), model.items.detach().numpy()])


def scores_of(model, x, users=None):
    asked = query(x, np.arange(x.num_users))
    with torch.no_grad():
        return model.score(asked if users is None else asked._replace(users=users)).numpy()


def batch(x, size=50, negatives=3):
    return next(iter(PairView(size, negatives).loader(x, seed=1, epoch=0, rank=0, world_size=1)))


@pytest.mark.parametrize("cls", [LightGCN, MFBPR, NGCF, XSimGCL])
def test_vectors_begin_as_in_the_authors_code(cls):
    torch.manual_seed(0)
    model = cls(num_users=900, num_items=300, embedding_dim=64)
    for table in (model.users, model.items):
        if cls in (NGCF, XSimGCL):  # Glorot-uniform
            bound = (6 / (len(table) + 64)) ** 0.5
            assert 0.95 * bound < table.abs().max() <= bound
            assert table.std().item() == pytest.approx(bound / 3**0.5, rel=0.03)
        else:
            assert table.std().item() == pytest.approx(0.1, rel=0.03)


def test_ngcfs_layers_begin_glorot_uniform_without_biases():
    torch.manual_seed(0)
    [layer] = NGCF(**SIZES, layer_dims=[64], variant="authors").layers
    for linear in (layer.sum, layer.product):
        bound = (6 / (64 + 64)) ** 0.5
        assert 0.95 * bound < linear.weight.abs().max() <= bound
        assert not linear.bias.any()


def test_lightgcn_scores_as_the_full_propagation():
    model, x = prepared(LightGCN, num_layers=3)
    layers = [nodes_of(model)]
    for _ in range(3):
        layers.append(laplacian(x) @ layers[-1])
    final = np.mean(layers, axis=0)
    users, items = model.vectors()
    assert np.concatenate([users.detach(), items.detach()]) == pytest.approx(final, abs=1e-12)
    assert scores_of(model, x) == pytest.approx(final[:60] @ final[60:].T, abs=1e-12)


def test_lightgcn_answers_an_unknown_user_from_the_history():
    model, x = prepared(LightGCN, num_layers=2)
    known = scores_of(model, x)
    with torch.no_grad():
        own = model.users @ model.matched.T / 3
    unknown = scores_of(model, x, torch.full((60,), -1))
    assert unknown == pytest.approx(known - own.numpy(), abs=1e-12)


@pytest.mark.parametrize(
    ("rows", "given", "expected"),
    [(1000, None, 0.01), (1000, 0.03, 0.03), (9000, None, 0.02)],
)
def test_lightgcns_learning_rate_goes_by_the_interactions_where_none_is_given(
    rows, given, expected
):
    model = LightGCN(num_users=rows, num_items=250, embedding_dim=2, lr=given)
    model.prepare(make_interactions([range(250)] * rows, 250))
    groups = model.configure_optimizers().param_groups
    assert [group["lr"] for group in groups] == pytest.approx([expected] * len(groups))


def test_lightgcn_without_layers_gives_an_unknown_user_the_popular_items():
    model, x = prepared(LightGCN, num_layers=0)
    model.popularity = torch.arange(40.0)
    assert np.array_equal(
        scores_of(model, x, torch.full((60,), -1)), np.tile(np.arange(40.0), (60, 1))
    )


def test_lightgcn_without_layers_is_mf_bpr():
    """Equal weights, losses and gradients."""
    x = two_tastes()
    graph, _ = prepared(LightGCN, num_layers=0, loss="bpr", l2=0.1)
    flat = MFBPR(**SIZES, embedding_dim=5, item_bias=False, l2=0.1).double()
    flat.users.data, flat.items.data = graph.users.data, graph.items.data
    assert scores_of(flat, x) == pytest.approx(scores_of(graph, x), abs=1e-12)
    losses = [model.loss(batch(x)) for model in (graph, flat)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-7)  # L2 summed in float32
    for loss in losses:
        loss.backward()
    for name in ("users", "items"):
        torch.testing.assert_close(getattr(graph, name).grad, getattr(flat, name).grad)


def test_xsimgcl_without_noise_is_the_mean_of_layers_1_to_k():
    model, x = prepared(XSimGCL, num_layers=2, noise=0.0)
    one = laplacian(x) @ nodes_of(model)
    final = (one + laplacian(x) @ one) / 2
    clean = model.noisy_layers()[-1]
    assert clean.items.detach().numpy() == pytest.approx((laplacian(x) @ one)[60:], abs=1e-12)
    assert scores_of(model, x) == pytest.approx(final[:60] @ final[60:].T, abs=1e-12)


def test_xsimgcls_noise_has_its_length_and_the_signs_of_the_vectors():
    model, x = prepared(XSimGCL, num_layers=2, noise=0.2)
    before = nodes_of(model)
    for nodes in model.noisy_layers():  # each is spread from the one before with its noise
        clean, noisy = laplacian(x) @ before, torch.cat(list(nodes)).detach().numpy()
        noise = noisy - clean
        assert np.linalg.norm(noise, axis=1) == pytest.approx(0.2)
        assert (noise * clean >= 0).all()
        before = noisy


def test_xsimgcls_loss_is_bpr_the_contrast_of_the_batchs_nodes_and_l2():
    options = {"loss": "bpr", "contrast": 0.7, "temperature": 0.3, "l2": 0.4}
    model, x = prepared(XSimGCL, num_layers=2, noise=0.0, **options)
    pairs = batch(x)
    one = laplacian(x) @ nodes_of(model)
    final = (one + laplacian(x) @ one) / 2

    def contrast(of):
        unit = [v[of] / np.linalg.norm(v[of], axis=1, keepdims=True) for v in (final, one)]
        logits = unit[0] @ unit[1].T / 0.3
        return np.mean(np.log(np.exp(logits).sum(1)) - np.diag(logits))

    users, positives = np.unique(pairs.users), np.unique(pairs.positives)
    user, item = final[pairs.users], final[60:][pairs.positives]
    others = final[60:][pairs.negatives]
    gap = (user[:, None] * others).sum(2) - (user * item).sum(1)[:, None]
    expected = np.log1p(np.exp(gap)).mean() + 0.7 * (contrast(users) + contrast(60 + positives))
    squares = (nodes_of(model) ** 2).sum(1)  # of layer 0, a row as often as it is read
    read = [pairs.users, 60 + pairs.positives, 60 + pairs.negatives.flatten()]
    expected += 0.4 / len(pairs.users) / 2 * squares[np.concatenate(read)].sum()
    model.log_epoch_mean = lambda **_: None
    assert model.loss(pairs).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("variant", ["paper", "authors"])
def test_ngcf_scores_as_its_recursion_over_the_graph(variant):
    model, x = prepared(NGCF, layer_dims=[4, 3], variant=variant)
    rows = x.matrix.toarray().astype(float)
    a = np.block([[np.zeros((60, 60)), rows], [rows.T, np.zeros((40, 40))]]) + np.eye(100)
    near = laplacian(x) if variant == "paper" else a / a.sum(1, keepdims=True)
    e, sides = nodes_of(model), [nodes_of(model)]

    def act(v):
        return np.where(v > 0, v, 0.2 * v)

    for layer in model.layers:
        w1, w2 = layer.sum.weight.detach().numpy().T, layer.product.weight.detach().numpy().T
        n = near @ e
        if variant == "paper":
            e = act((n + e) @ w1 + (n * e) @ w2)
        else:
            b1, b2 = layer.sum.bias.detach().numpy(), layer.product.bias.detach().numpy()
            e = act(n @ w1 + b1) + act((n * e) @ w2 + b2)
        sides.append(e / np.linalg.norm(e, axis=1, keepdims=True))
    final = np.concatenate(sides, axis=1)
    vectors = model.vectors()
    assert vectors.users.detach().numpy() == pytest.approx(final[:60], abs=1e-10)
    assert scores_of(model, x) == pytest.approx(final[:60] @ final[60:].T, abs=1e-10)


@pytest.mark.parametrize("variant", ["paper", "authors"])
def test_ngcf_scores_short_histories_as_the_propagation(variant):
    torch.manual_seed(0)
    x = make_interactions([[0], [1, 2], [2, 0, 3]], 5)
    sizes = {"num_users": 3, "num_items": 5, "embedding_dim": 4, "layer_dims": [3]}
    model = NGCF(**sizes, variant=variant).double().eval()
    model.prepare(x)
    model.on_validation_start()  # nothing has been kept yet
    users, items = (vectors.detach().numpy() for vectors in model.vectors())
    assert scores_of(model, x) == pytest.approx(users @ items.T, abs=1e-12)


def test_an_ngcf_layer_of_one_weight_is_the_laplacian_with_self_loops():
    """models.md 11.8: W_2 = 0, W_1 = 1, slope 1."""
    model, x = prepared(NGCF, layer_dims=[5])
    [layer] = model.layers
    layer.sum.weight.data, layer.product.weight.data = (
        torch.eye(5).double(),
        torch.zeros(5, 5).double(),
    )
    e = abs(nodes_of(model))  # then the slope plays no part
    model.users.data, model.items.data = map(torch.from_numpy, (e[:60].copy(), e[60:].copy()))
    expected = laplacian(x) @ e + e
    assert model.propagated()[1].users.detach().numpy() == pytest.approx(expected[:60], abs=1e-12)


def test_ngcfs_dropout_is_in_training_only_and_not_in_what_is_kept():
    model, x = prepared(NGCF, layer_dims=[5], message_dropout=0.5)
    before = scores_of(model, x)
    model.train()
    assert (model.vectors().users[:, 5:] == 0).any()
    model.on_train_batch_end()
    model.on_validation_start()
    assert model.training
    assert (scores_of(model.eval(), x) == before).all()
    model.on_train_batch_end()
    model.on_validation_start()
    assert not model.training


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_mf_bprs_bias_is_in_loss_and_scores_alike(loss):
    x = two_tastes()
    model = MFBPR(**SIZES, embedding_dim=5, loss=loss, l2=0.0).double()
    model.bias.data = torch.randn(40).double()
    users, items = (table.detach().numpy() for table in (model.users, model.items))
    scores = users @ items.T + model.bias.detach().numpy()
    assert scores_of(model, x) == pytest.approx(scores, abs=1e-12)

    pairs = batch(x)
    of_users = scores[pairs.users]
    positives = of_users[np.arange(50), pairs.positives][:, None]
    if loss == "bpr":
        negatives = np.take_along_axis(of_users, pairs.negatives.numpy(), 1)
        expected = np.log1p(np.exp(negatives - positives)).mean()
    else:
        expected = np.log(np.exp(of_users - positives).sum(1)).mean()
    assert model.loss(pairs).item() == pytest.approx(expected, rel=1e-6)


def test_users_whom_a_model_does_not_know_are_told_of_once(caplog):
    model = MFBPR(**SIZES)
    known, stranger = torch.tensor([0, 1]), torch.tensor([0, -1])
    scores = torch.zeros(2, SIZES["num_items"])
    model.or_popularity(scores, known)
    assert not caplog.text
    model.or_popularity(scores, stranger)
    model.or_popularity(scores, stranger)
    assert (
        caplog.text.count("MFBPR knows users by their ids: those whom it has not learned from") == 1
    )


def test_mf_bpr_gives_an_unknown_user_the_popular_items():
    x = two_tastes()
    model = MFBPR(**SIZES)
    model.popularity = torch.from_numpy(x.popularity).float()
    unknown = scores_of(model, x, torch.full((60,), -1))
    assert (unknown == x.popularity).all()


def test_the_penalty_reads_the_rows_of_the_batch_alone():
    model, _ = prepared(LightGCN, l2=0.3)
    pairs = Pairs(
        torch.tensor([1, 1]), torch.tensor([2, 3]), torch.tensor([[4], [4]]), torch.zeros(2, 1)
    )
    p, q = model.users.detach(), model.items.detach()
    rows = [p[1], p[1], q[2], q[3], q[4], q[4]]
    expected = 0.3 * 0.5 * sum(float(row.square().sum()) for row in rows) / 2
    assert model.penalty(pairs).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", ["bpr", "bce", "sampled_softmax"])
def test_losses_against_negatives_know_how_these_were_drawn(loss):
    model = MFBPR(**SIZES, loss=loss)
    rng = np.random.default_rng(0)
    scores, q = rng.normal(size=(4, 3)), rng.random((4, 2))
    own, others = scores[:, :1], scores[:, 1:]
    expected = {
        "bpr": np.log1p(np.exp(others - own)).mean(1),
        "bce": np.log1p(np.exp(-own)).sum(1) + np.log1p(np.exp(others)).sum(1),
        "sampled_softmax": np.log1p((np.exp(others - own) / q).mean(1)),
    }[loss]
    nothing = torch.zeros(4, dtype=torch.int64)
    pairs = Pairs(nothing, nothing, nothing[:, None], torch.from_numpy(q).log())
    found = model.ranking_loss(torch.from_numpy(scores), pairs)
    assert found.item() == pytest.approx(expected.mean(), rel=1e-9)


def test_the_full_softmax_is_over_all_items():
    x = two_tastes()
    model = MFBPR(**SIZES, loss="softmax", l2=0.0).double()
    pairs = batch(x)
    users, items = (v.detach().numpy() for v in model.vectors())
    logits = users[pairs.users] @ items.T
    chosen = logits[np.arange(50), pairs.positives]
    expected = np.mean(np.log(np.exp(logits).sum(1)) - chosen)
    assert model.loss(pairs).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", ["bpr", "bce", "sampled_softmax", "softmax"])
def test_every_loss_learns_the_two_tastes(loss, tmp_path):
    split = RandomHoldout(valid_items=2, test_items=0).split(two_tastes())
    experiment = run_experiment(
        tmp_path,
        split,
        partial(LightGCN, embedding_dim=8, num_layers=1, loss=loss, lr=0.02),
        view=PairView(64, negatives=4),
        trainer={"max_epochs": 10},
        refit=False,
    )
    assert experiment.outcome.metrics["val/recall@5"] > 0.2


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (MFBPR, {"loss": "hinge"}, "model.loss=hinge: expected one of bpr, bce, sampled_softmax"),
        (MFBPR, {"l2": -1.0}, "model.l2=-1.0"),
        (MFBPR, {"embedding_dim": 0}, "model.embedding_dim=0"),
        (LightGCN, {"num_layers": -1}, "model.num_layers=-1: expected a whole number in [0"),
        (XSimGCL, {"num_layers": 0}, "model.num_layers=0"),
        (XSimGCL, {"contrast_layer": 3}, "model.contrast_layer=3"),
        (XSimGCL, {"temperature": 0.0}, "model.temperature=0.0"),
        (NGCF, {"variant": "mine"}, "model.variant=mine: expected paper or authors"),
        (NGCF, {"layer_dims": []}, "model.layer_dims"),
    ],
)
def test_wrong_options_are_named(cls, options, message):
    with pytest.raises(InputError) as error:
        cls(**SIZES, **options)
    assert message in str(error.value)
