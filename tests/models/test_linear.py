"""The linear models on rows of many and of few users, against independent computations."""

import numpy as np
import psutil
import pytest
import torch

from recsys_lightning import memory
from recsys_lightning.checkpoints import FittedOn
from recsys_lightning.data.batches import Bag, Query, Rows
from recsys_lightning.data.views.sampler import bag
from recsys_lightning.errors import InputError
from recsys_lightning.families import closed_form
from recsys_lightning.families.closed_form import ClosedForm
from recsys_lightning.models import easer, multi_ease
from recsys_lightning.models.admm_slim import AdmmSlim
from recsys_lightning.models.ease import EASE
from recsys_lightning.models.easer import EASER
from recsys_lightning.models.multi_ease import MultiEASE
from tests.conftest import make_interactions
from tests.models.toys import ToyCounts

SHAPES = {"many users": (90, 30), "few users": (25, 120)}


@pytest.fixture(params=SHAPES)
def interactions(request):
    """Two tastes; the last user has nothing."""
    num_users, num_items = SHAPES[request.param]
    rng = np.random.default_rng(3)
    taste = np.arange(num_users)[:, None] % 2 == np.arange(num_items) % 2
    x = rng.random((num_users, num_items)) < np.where(taste, 0.4, 0.1) * 30 / num_items
    x[-1] = False
    return make_interactions([np.flatnonzero(row).tolist() for row in x], num_items)


@pytest.fixture
def x(interactions):
    return interactions.matrix.toarray().astype(float)


def fitted(cls, interactions, batch_size=20, **options):
    """What the Trainer does."""
    model = cls(num_users=interactions.num_users, num_items=interactions.num_items, **options)
    model.prepare(interactions)
    with torch.no_grad():
        model.begin()
        for users in np.split(
            np.arange(interactions.num_users), range(batch_size, interactions.num_users, batch_size)
        ):
            model.accumulate(Rows(torch.from_numpy(users), bag(interactions, users)))
        model.solve()
    return model


def scores(model, interactions):
    users = np.arange(interactions.num_users)
    with torch.no_grad():
        return model.score(
            Query(torch.from_numpy(users), bag(interactions, users), Bag.empty(len(users)))
        )


def dense_ease(x, ridge):
    p = np.linalg.inv(x.T @ x + np.diag(np.broadcast_to(ridge, x.shape[1])))
    weight = -p / np.diag(p)
    np.fill_diagonal(weight, 0)
    return weight


@pytest.mark.parametrize("dropout", [0.0, 0.6])
def test_ease_scores_by_the_weights_of_its_ridge(interactions, x, dropout):
    model = fitted(EASE, interactions, l2=4.0, dropout=dropout)
    assert (model.gram is None) == (len(x) < x.shape[1])  # few users need none
    weight = dense_ease(x, 4.0 + dropout / (1 - dropout) * x.sum(0))
    np.testing.assert_allclose(model.weight, weight, atol=1e-5)
    np.testing.assert_allclose(scores(model, interactions), x @ weight, atol=1e-5)


def test_more_histories_than_a_block_are_recommended_to_as_each(tastes):
    model = fitted(EASE, tastes)
    model.fitted_on = FittedOn.of(tastes)
    each = [[item] for item in tastes.items.tolist()]
    assert model.recommend_to(each * 30, 5) == model.recommend_to(each, 5) * 30
    assert model.recommend_to([]) == []


def test_user_side_ease_is_ease_of_the_transposed_matrix(interactions, x):
    """But for a positive factor of each user; and an unknown user is a row that is left out."""
    model = fitted(EASE, interactions, l2=4.0, side="user")
    weight = dense_ease(x.T, 4.0)
    expected, ours = (x.T @ weight).T, scores(model, interactions).numpy()
    p = np.linalg.inv(x.T @ x + 4.0 * np.eye(x.shape[1]))
    factor = 1 - ((x @ p) * x).sum(1, keepdims=True)
    assert factor.min() > 0.1
    unseen = x == 0
    np.testing.assert_allclose(ours[unseen], (expected * factor)[unseen], atol=1e-5)
    others = interactions.select(interactions.rows != 3)
    alone = scores(fitted(EASE, others, l2=4.0, side="user"), interactions).numpy()[3]
    np.testing.assert_allclose(alone, expected[3], atol=1e-5)  # seen items, too


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": "both"}, r"model\.side=both: expected one of item, user"),
        (
            {"side": "user", "dropout": 0.2},
            r"model\.dropout=0\.2: expected 0 with model\.side=user",
        ),
    ],
)
def test_ease_of_another_side_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        EASE(num_users=3, num_items=4, **options)


OPTIONS = {
    "ease": (EASE, {"l2": 4.0}),
    "ease of users": (EASE, {"l2": 4.0, "side": "user"}),
    "ease in float64": (EASE, {"l2": 1e-7}),
    "admm_slim": (AdmmSlim, {"l1": 0.1, "l2": 4.0, "rho": 5.0, "center": True}),
    "easer": (EASER, {"l2": 4.0, "pair_l2": 6.0, "num_pairs": 20, "center": True}),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_recency_weighs_the_latest_items_at_scoring_alone(name, interactions, x):
    cls, options = OPTIONS[name]
    model, plain = (fitted(cls, interactions, recency=r, **options) for r in (8.0, 0.0))
    assert torch.equal(model.weight, plain.weight)
    weighted = np.zeros_like(x)
    for user in range(len(x)):
        row = interactions.gather(np.array([user]))[0]
        weighted[user, row[::-1]] = 1 + 8.0 / np.arange(1, len(row) + 1)
    features, bias = weighted, getattr(model, "bias", torch.zeros(1)).numpy()
    if cls is EASER:
        a, b = model.pairs.T.numpy()
        features = np.hstack([weighted, np.sqrt(weighted[:, a] * weighted[:, b])])
    expected = features @ model.weight.double().numpy() + bias
    np.testing.assert_allclose(scores(model, interactions), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cls", [EASE, AdmmSlim, EASER])
def test_a_recency_below_none_is_refused(cls):
    with pytest.raises(InputError, match=r"model\.recency=-1: expected a number in \[0, inf\)"):
        cls(num_users=3, num_items=4, recency=-1)


def test_admm_slim_centres_the_rows_and_puts_the_means_back(interactions, x):
    """Without L1 it is EASE of the centred rows; a user without interactions is no row."""
    model = fitted(
        *(AdmmSlim, interactions),
        **{"l1": 0.0, "l2": 4.0, "rho": 5.0, "center": True},
        **{"max_iterations": 2000, "tolerance": 0.0},
    )
    mean = x[:-1].mean(0)
    weight = dense_ease(x[:-1] - mean, 4.0)
    np.testing.assert_allclose(model.weight, weight, atol=1e-4)
    np.testing.assert_allclose(
        scores(model, interactions), (x - mean) @ weight + mean, rtol=0, atol=5e-4
    )


def test_admm_slims_ridge_grows_with_popularity(interactions, x):
    model = fitted(
        *(AdmmSlim, interactions),
        **{"l1": 0.0, "l2": 40.0, "rho": 5.0, "popularity_power": 0.5},
        **{"max_iterations": 3000, "tolerance": 0.0},
    )
    ridge = 40 * np.sqrt(x.sum(0) / (len(x) - 1))
    seen = x.sum(0) > 0
    weight = dense_ease(x[:, seen], ridge[seen])
    np.testing.assert_allclose(model.weight[seen][:, seen], weight, atol=1e-3)


def test_easer_scores_items_and_pairs(interactions, x):
    model = fitted(EASER, interactions, l2=4.0, pair_l2=6.0, num_pairs=20)
    a, b = model.pairs.T.numpy()
    of_items, of_pairs = model.weight[:-20].numpy(), model.weight[-20:].numpy()
    z = x[:, a] * x[:, b]
    assert np.abs(z @ of_pairs).max() > 0.05
    np.testing.assert_allclose(
        scores(model, interactions), x @ of_items + z @ of_pairs, rtol=0, atol=1e-5
    )
    # every column is a ridge regression on the features that may predict it
    f, ridge = np.hstack([x, z]), np.r_[np.full(x.shape[1], 4.0), np.full(20, 6.0)]
    for item in range(0, x.shape[1], 7):
        allowed = np.r_[np.arange(x.shape[1]) != item, (a != item) & (b != item)]
        g = f[:, allowed].T @ f[:, allowed] + np.diag(ridge[allowed])
        expected = np.linalg.solve(g, f[:, allowed].T @ x[:, item])
        np.testing.assert_allclose(model.weight[allowed, item], expected, atol=1e-5)


def test_easer_centres_items_and_pairs_and_puts_the_means_back(interactions, x):
    """Each column is a ridge regression of the centred rows; a user without any is no row."""
    model = fitted(EASER, interactions, l2=4.0, pair_l2=6.0, num_pairs=20, center=True)
    a, b = model.pairs.T.numpy()
    features = np.hstack([x, x[:, a] * x[:, b]])
    mean = features[:-1].mean(0)
    f, ridge = features[:-1] - mean, np.r_[np.full(x.shape[1], 4.0), np.full(20, 6.0)]
    ours = scores(model, interactions)
    for item in range(0, x.shape[1], 7):
        allowed = np.r_[np.arange(x.shape[1]) != item, (a != item) & (b != item)]
        g = f[:, allowed].T @ f[:, allowed] + np.diag(ridge[allowed])
        weight = np.linalg.solve(g, f[:, allowed].T @ f[:, item])
        np.testing.assert_allclose(model.weight[allowed, item], weight, atol=1e-5)
        expected = (features - mean)[:, allowed] @ weight + mean[item]
        np.testing.assert_allclose(ours[:, item], expected, rtol=0, atol=1e-5)


def test_easer_of_fewer_pairs_than_asked_for_is_centred_too():
    x = make_interactions([[0, 1], [1, 2], [0, 1, 2]], 4)
    model = fitted(EASER, x, l2=1.0, pair_l2=1.0, num_pairs=9, center=True)
    assert len(model.weight) == 4 + 9
    mean = x.matrix.toarray().mean(0)
    assert model.bias[3] == mean[3] == 0
    assert scores(model, x).isfinite().all()


def test_a_checkpoint_of_easer_from_before_it_could_centre_is_whole():
    assert "bias" not in EASER(num_users=3, num_items=4).state_dict()
    assert "bias" in EASER(num_users=3, num_items=4, center=True).state_dict()


def test_easer_builds_its_gram_matrix_once(interactions, monkeypatch):
    built, original = [], easer.gram

    def gram(*args, **kwargs):
        built.append(1)
        return original(*args, **kwargs)

    for module in (easer, closed_form):
        monkeypatch.setattr(module, "gram", gram)
    fitted(EASER, interactions, num_pairs=5)
    assert len(built) == 1


# Precision and memory


def test_a_tiny_ridge_is_solved_and_kept_in_float64(interactions, x):
    model = fitted(EASE, interactions, l2=1e-7)
    assert model.weight.dtype == torch.float64
    np.testing.assert_allclose(model.weight, dense_ease(x, 1e-7), rtol=1e-4, atol=1e-7)
    loaded = EASE(num_users=interactions.num_users, num_items=interactions.num_items)
    loaded.load_state_dict(model.state_dict())
    assert torch.equal(scores(loaded, interactions), scores(model, interactions))
    loaded.load_state_dict(fitted(EASE, interactions).state_dict())
    assert loaded.weight.dtype == torch.float32


@pytest.mark.parametrize("cls", [AdmmSlim, EASER])
def test_a_bias_of_float64_is_kept_so(cls, interactions):
    model = fitted(cls, interactions, l2=1e-7, center=True)
    if cls is AdmmSlim:
        model.weight, model.bias = model.weight.double(), model.bias.double()
    assert model.bias.dtype == torch.float64
    loaded = cls(num_users=interactions.num_users, num_items=interactions.num_items, center=True)
    loaded.load_state_dict(model.state_dict())
    assert torch.equal(scores(loaded, interactions), scores(model, interactions))


def test_rows_are_centred_in_full_precision():
    """Many users of a few items that nearly all have: float32 means leave 1e-4 of P."""
    rng = np.random.default_rng(0)
    held = rng.random((3000, 5)) < 0.97
    data = make_interactions([np.flatnonzero(row).tolist() for row in held], 5)
    model = AdmmSlim(num_users=3000, num_items=5, l2=1e-3, rho=1e-3, center=True)
    model.prepare(data)
    model.solver_dtype = torch.float64
    model.begin()
    users = np.arange(3000)
    model.accumulate(Rows(torch.from_numpy(users), bag(data, users)))
    x = data.matrix.toarray().astype(float)
    x = x[x.any(1)]
    x = x - x.mean(0)
    expected = np.linalg.inv(x.T @ x + 2e-3 * np.eye(5))
    np.testing.assert_allclose(model.inverse(center=True).dense(), expected, rtol=1e-9)


def test_what_float64_would_need_and_does_not_get_is_refused(interactions, monkeypatch):
    square = 4 * interactions.num_items**2
    monkeypatch.setattr(
        memory, "free_memory", lambda device: int(1.9 * square)
    )  # float32 needs less
    fitted(EASE, interactions)
    with pytest.raises(InputError, match=r"the fit in float64 \(a larger model\.l2 allows float32"):
        fitted(EASE, interactions, l2=1e-7)


@pytest.mark.parametrize("cls", [EASE, AdmmSlim, EASER, MultiEASE])
def test_no_constructor_allocates_its_weights(cls):
    before = psutil.Process().memory_info().rss
    model = cls(num_users=10, num_items=15_000)
    assert psutil.Process().memory_info().rss - before < 100e6  # one square has 900 MB
    del model
    with pytest.raises(InputError, match="1,000,000 items needs for its weights"):
        cls(num_users=10, num_items=1_000_000)


def test_a_model_without_a_ridge_finds_the_gram_matrix(interactions, x, monkeypatch):
    asked = []
    monkeypatch.setattr(closed_form, "require_memory", lambda needed, *_: asked.append(needed))
    model = fitted(ToyCounts, interactions)
    np.testing.assert_array_equal(model.weight, x.T @ x)
    assert asked[-1] == 2 * 4 * interactions.num_items**2
    with pytest.raises(TypeError, match=r"Counts\.ridge returns None"):
        model.inverse()


def test_a_model_without_weights_is_asked_to_register_them(interactions):
    class Forgetful(ToyCounts):
        def __init__(self, *, num_users, num_items):
            ClosedForm.__init__(self, num_users=num_users, num_items=num_items)

    with pytest.raises(TypeError, match=r"Forgetful: call self\.register_weight in __init__"):
        fitted(Forgetful, interactions)


# Multi-EASE


def test_multi_ease_scales_its_inputs_by_what_dropout_leaves(interactions, monkeypatch):
    options = {"num_users": interactions.num_users, "num_items": interactions.num_items}
    model = MultiEASE(**options, l2=4.0, temperature=0.7, dropout=0.25)
    model.prepare(interactions)
    torch.nn.init.normal_(model.delta, std=0.1)
    torch.nn.init.normal_(model.bias)
    users = np.arange(interactions.num_users)
    history = bag(interactions, users)
    monkeypatch.setattr(Bag, "drop", lambda self, p: self)  # what is kept counts 1 / (1 - p)
    weight = (model.ease_weight + model.delta).detach()
    plain = history.dense(interactions.num_items) @ weight
    for mode, factor in ((True, 1 / 0.75), (False, 1.0)):
        expected = torch.nn.functional.softplus(plain * factor / 0.7).log() + model.bias
        ours = model.train(mode)(history, torch.from_numpy(users))
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_multi_ease_evaluates_with_one_product_of_the_weights_as_they_are(
    interactions, monkeypatch
):
    options = {"num_users": interactions.num_users, "num_items": interactions.num_items}
    model, other = MultiEASE(**options, l2=4.0), MultiEASE(**options, l2=40.0)
    for each in (model, other):
        each.prepare(interactions)
    products = []
    original = multi_ease.bag_matmul
    monkeypatch.setattr(
        multi_ease, "bag_matmul", lambda *args: products.append(1) or original(*args)
    )
    model.eval()
    first = scores(model, interactions)
    assert torch.equal(scores(model, interactions), first)
    assert len(products) == 2
    model.train().loss(rows_of(interactions)).backward()
    with torch.no_grad():
        model.delta.add_(1.0)
    assert not torch.equal(scores(model.eval(), interactions), first)
    model.load_state_dict(other.state_dict())
    assert torch.equal(scores(model, interactions), scores(other.eval(), interactions))
    fresh = MultiEASE(**options).double().eval()  # as `.to(device)` does
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(scores(model.double(), interactions), scores(fresh, interactions))


def rows_of(interactions):
    users = np.arange(interactions.num_users)
    return Rows(torch.from_numpy(users), bag(interactions, users))


@pytest.mark.parametrize(("of_an_item", "l1"), [(10, 1.0), (90, 3.0), (1000, 5.0)])
def test_admm_slims_l1_grows_as_the_root_of_what_an_item_has(of_an_item, l1):
    x = make_interactions([[0, 1]] * of_an_item, 2)
    for given, expected in ((None, l1), (0.7, 0.7)):
        model = AdmmSlim(num_users=of_an_item, num_items=2, l1=given)
        model.prepare(x)
        assert model.l1 == pytest.approx(expected)
