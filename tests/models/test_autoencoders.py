"""The facts of the papers and of their official code, each against a direct computation."""

import itertools
import math
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.distributions import Normal
from torch.nn.functional import normalize

from recsys_lightning.data.batches import Rows
from recsys_lightning.data.holdout import RandomHoldout
from recsys_lightning.data.views.rows import RowView
from recsys_lightning.data.views.sampler import bag
from recsys_lightning.errors import InputError
from recsys_lightning.functional.losses import multinomial_nll
from recsys_lightning.functional.ranking import rank_items
from recsys_lightning.models.autorec import AutoRec
from recsys_lightning.models.ease import EASE
from recsys_lightning.models.multi_cdae import MultiCDAE
from recsys_lightning.models.multi_dae import MultiDAE
from recsys_lightning.models.multi_ease import MultiEASE
from recsys_lightning.models.multi_vae import MultiVAE
from recsys_lightning.models.recvae import RecVAE, log_composite_prior
from tests.conftest import make_interactions, run_experiment
from tests.models.test_contract import query

SIZES = {"num_users": 60, "num_items": 40}


@pytest.fixture
def rows(tastes):
    users = np.arange(60)
    return Rows(torch.from_numpy(users), bag(tastes, users))


def dense_normalised(rows):
    return normalize(rows.history.dense(40))


# Multi-VAE


def test_multi_vae_without_noise_is_a_deterministic_autoencoder(rows):
    model = MultiVAE(**SIZES, hidden_dims=[8], latent_dim=3, beta=0.0, anneal_share=0, dropout=0.0)
    head = model.encoder[-1]
    head.weight.data[3:], head.bias.data[3:] = 0, -100.0  # log-variance: no noise
    model.log_epoch_mean = lambda **_: None
    loss = model.loss(rows)
    hidden = torch.tanh(dense_normalised(rows) @ model.first.weight + model.first.bias)
    latent = hidden @ head.weight[:3].T + head.bias[:3]  # linear, where Multi-DAE has tanh
    hidden = torch.tanh(latent @ model.decoder[0].weight.T + model.decoder[0].bias)
    scores = hidden @ model.decoder[2].weight.T + model.decoder[2].bias
    expected = -(rows.history.dense(40) * scores.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss, expected)


def test_annealing_needs_an_end_of_the_plan():
    for share in (0.0, 0.3):
        model = MultiVAE(**SIZES, anneal_share=share)
        model.trainer = SimpleNamespace(estimated_stepping_batches=math.inf)
        with pytest.raises(InputError, match="max_epochs=-1") if share else nullcontext():
            model.on_train_start()


def test_multi_vae_anneals_by_step_to_a_share_of_the_plan(tastes, tmp_path):
    betas = []

    class Recorded(MultiVAE):
        def annealed(self):
            betas.append(super().annealed())
            return betas[-1]

    split = RandomHoldout(valid_items=2, test_items=0).split(tastes)
    run_experiment(
        tmp_path,
        split,
        partial(Recorded, hidden_dims=[8], latent_dim=3, anneal_share=0.5),
        view=RowView(20, shuffle=True),
        trainer={"max_epochs": 4},
        refit=False,
    )
    assert betas == pytest.approx([min(step / 6, 1) for step in range(12)])


# RecVAE


def recvae(**options):
    return RecVAE(**SIZES, hidden_dim=16, latent_dim=4, **options)


def test_the_composite_prior_is_a_sum_of_three_densities():
    z, mean, logvar = torch.randn(5, 4), torch.randn(5, 4), torch.randn(5, 4)
    parts = [
        3 / 20 * Normal(0.0, 1.0).log_prob(z).exp(),
        3 / 4 * Normal(mean, (logvar / 2).exp()).log_prob(z).exp(),
        1 / 10 * Normal(0.0, math.exp(5)).log_prob(z).exp(),
    ]
    torch.testing.assert_close(log_composite_prior(z, mean, logvar), sum(parts).log())


def test_the_encoder_sums_all_earlier_blocks_inside_the_swish(rows):
    encoder = recvae().encoder
    swish = torch.nn.functional.silu
    h = encoder.norms[0](swish(dense_normalised(rows) @ encoder.first.weight + encoder.first.bias))
    blocks = [h]
    for block, norm in zip(encoder.blocks, encoder.norms[1:], strict=True):
        blocks.append(norm(swish(block(blocks[-1]) + sum(blocks))))
    mean, logvar = encoder(rows.history, dropout=0.0)
    torch.testing.assert_close(mean, encoder.mean(blocks[-1]))
    torch.testing.assert_close(logvar, encoder.logvar(blocks[-1]))
    assert {norm.eps for norm in encoder.norms} == {0.1}


def test_the_kl_weighs_by_the_clean_history(rows):
    """Same draws, twice the gamma: the losses differ by gamma n_u KL, whatever was dropped."""
    model = recvae(dropout=0.5)
    logged = []
    model.log_epoch_mean = lambda **values: logged.append(values["kl"].item())
    for gamma in (0.1, 0.2):
        torch.manual_seed(0)
        model.gamma = gamma
        model.encoder_loss(rows)
    assert logged[1] == pytest.approx(2 * logged[0])
    # the KL term computed from the same draws by hand
    torch.manual_seed(0)
    mean, logvar = model.encoder(rows.history, 0.5)
    z = mean + torch.randn_like(mean) * (logvar / 2).exp()
    old = model.old_encoder(rows.history, 0.0)
    ratio = Normal(mean, (logvar / 2).exp()).log_prob(z) - log_composite_prior(z, *old)
    lengths = torch.full((60,), 14.0)
    expected = (0.1 * lengths * ratio.sum(1)).mean().item()
    assert logged[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("num_users", "num_items", "gamma"),
    [(4, 2, 0.06), (144, 2, 0.01), (10_000, 2, 0.005), (1, 8, 0.24), (1, 2000, 2)],
)
def test_recvaes_kl_weighs_more_the_less_is_known_of_an_item(num_users, num_items, gamma):
    train = make_interactions([[0, 1]] * num_users + [[]], num_items)  # who learns nothing is none
    for given, expected in ((None, gamma), (0.2, 0.2)):
        model = RecVAE(num_users=num_users + 1, num_items=num_items, gamma=given)
        model.prepare(train)
        assert model.gamma == pytest.approx(expected)


@pytest.fixture
def watched(tastes, tmp_path):
    """Two epochs of RecVAE with the weights after every step."""
    steps = []

    class Watched(RecVAE):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            state = {key: value.clone() for key, value in self.state_dict().items()}
            steps.append((self.trains_decoder, state))
            assert all(p.grad is None for p in self.old_encoder.parameters())

    split = RandomHoldout(valid_items=2, test_items=0).split(tastes)
    run_experiment(
        tmp_path,
        split,
        partial(Watched, hidden_dim=16, latent_dim=4),
        view=RowView(20, shuffle=True, passes=4),
        trainer={"max_epochs": 2},
        refit=False,
    )
    return steps


def test_only_the_side_that_trains_moves(watched):
    assert [decodes for decodes, _ in watched] == ([False] * 9 + [True] * 3) * 2
    for (_, before), (decodes, after) in itertools.pairwise(watched):
        moved = {key.split(".")[0] for key in after if not torch.equal(before[key], after[key])}
        assert ("decoder" in moved) == decodes
        assert ("encoder" in moved) == (not decodes)


def test_the_prior_follows_after_the_encoders_passes(watched):
    for step, (decodes, state) in enumerate(watched):
        same = all(
            torch.equal(value, state[key.replace("encoder.", "old_encoder.", 1)])
            for key, value in state.items()
            if key.startswith("encoder.")
        )
        assert same == decodes, f"step {step}"


# Multi-EASE


def test_multi_ease_begins_as_ease(tastes):
    items, offsets = torch.from_numpy(tastes.indices), torch.from_numpy(tastes.indptr)
    model = MultiEASE(**SIZES, l2=3.0, temperature=0.7).eval()
    model.prepare(tastes)
    x = tastes.matrix.toarray().astype(float)
    inverse = np.linalg.inv(x.T @ x + 3 * np.eye(40))
    weight = -inverse / np.diag(inverse)
    np.fill_diagonal(weight, 0)
    with torch.no_grad():
        scores = model(bag(tastes, np.arange(60)), torch.arange(60))
    expected = np.log(np.log1p(np.exp(x @ weight / 0.7)))
    np.testing.assert_allclose(scores.numpy(), expected, atol=1e-4)
    ease = EASE(**SIZES)
    lists = [
        rank_items(values, items, offsets, 10, ease.tie_order, torch.zeros(40))[0]
        for values in (scores, torch.from_numpy(x @ weight))
    ]
    assert torch.equal(*lists)


def test_multi_ease_keeps_the_zero_diagonal_while_it_learns(tastes, tmp_path):
    split = RandomHoldout(valid_items=2, test_items=0).split(tastes)
    run_experiment(
        tmp_path,
        split,
        partial(MultiEASE, lr=0.01, weight_decay=0.1),
        view=RowView(20, shuffle=True),
        trainer={"max_epochs": 3},
        refit=False,
    )
    state = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert state["delta"].abs().max() > 0
    assert (state["delta"].diagonal() == 0).all()
    assert (state["ease_weight"].diagonal() == 0).all()


# Multi-CDAE


def test_multi_cdae_adds_the_users_vector_to_the_hidden_layer(rows):
    model = MultiCDAE(**SIZES, hidden_dims=[8]).eval()
    torch.nn.init.normal_(model.user_vectors.weight)
    hidden = dense_normalised(rows) @ model.first.weight + model.first.bias
    known = model.rest(torch.tanh(hidden + model.user_vectors.weight))
    unknown = model.rest(torch.tanh(hidden))
    torch.testing.assert_close(model(rows.history, rows.users), known)
    torch.testing.assert_close(model(rows.history, torch.full((60,), -1)), unknown)


def test_multi_cdae_drops_whole_vectors_and_touches_only_the_batchs_users(rows):
    model = MultiCDAE(**SIZES, hidden_dims=[8], dropout=0.0, user_l2=0.0, user_dropout=1.0)
    torch.nn.init.normal_(model.user_vectors.weight)
    torch.testing.assert_close(
        model(rows.history, rows.users), model(rows.history, torch.full((60,), -1))
    )
    model.user_dropout = 0.0
    few = Rows(rows.users[5:8], bag_of(rows, 5, 8))
    model.loss(few).backward()
    gradient = model.user_vectors.weight.grad.coalesce()
    assert gradient.indices()[0].tolist() == [5, 6, 7]


def test_multi_cdaes_penalty_is_half_the_mean_square_of_the_batchs_vectors(rows):
    model = MultiCDAE(**SIZES, hidden_dims=[8], user_l2=0.3).eval()
    torch.nn.init.normal_(model.user_vectors.weight)
    few = Rows(rows.users[5:8], bag_of(rows, 5, 8))
    nll = multinomial_nll(model(few.history, few.users), few.history.dense(40))
    squares = model.user_vectors.weight[5:8].square().sum(1)
    torch.testing.assert_close(model.loss(few), nll + 0.3 / 2 * squares.mean())


def bag_of(rows, first, last):
    items, offsets = rows.history
    cut = offsets[first : last + 1]
    return type(rows.history)(items[cut[0] : cut[-1]], cut - cut[0])


# All: weight decay and reduced precision


@pytest.mark.parametrize("model", [AutoRec, MultiCDAE, MultiDAE, MultiEASE, MultiVAE, RecVAE])
def test_bfloat16_works_and_warns_on_a_cpu(model, tastes, tmp_path, caplog):
    dtypes = set()

    class Watched(model):
        def loss(self, rows):
            loss = super().loss(rows)
            dtypes.add(loss.dtype)
            return loss

    experiment = run_experiment(
        tmp_path,
        RandomHoldout(valid_items=2, test_items=0).split(tastes),
        Watched,
        view=RowView(20, shuffle=True, passes=4 if model is RecVAE else 1),
        trainer={"max_epochs": 2, "precision": "bf16-mixed"},
        refit=False,
    )
    assert dtypes == {torch.float32}
    assert 0 < experiment.outcome.metrics["val/recall@5"] <= 1
    assert "is for GPUs" in caplog.text


@pytest.mark.parametrize("model", [MultiDAE, MultiCDAE])
def test_lists_are_ranked_in_full_precision(model, tastes):
    built = model(num_users=tastes.num_users, num_items=tastes.num_items).eval()
    asked = query(tastes, np.arange(20))
    expected = built.recommend(asked, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert built.score(asked).dtype == torch.bfloat16
        found = built.recommend(asked, 5)
    assert found.scores.dtype == torch.float32
    assert torch.equal(found.items, expected.items)


def test_multi_cdaes_two_optimisers_make_one_step_of_a_batch(tastes, tmp_path):
    run = run_experiment(
        tmp_path,
        RandomHoldout(valid_items=2, test_items=0).split(tastes),
        MultiCDAE,
        view=RowView(20, shuffle=True),
        trainer={"max_epochs": 2},
        refit=False,
    )
    assert run.outcome.steps == 2 * -(-tastes.num_users // 20)


@pytest.mark.parametrize("make", [recvae, lambda **k: MultiVAE(**SIZES, **k)])
def test_weight_decay_spares_vectors(make):
    model = make(weight_decay=0.1)
    groups = model.configure_optimizers().param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert all(p.ndim == 2 for p in groups[0]["params"])
    trained = sum(p.requires_grad for p in model.parameters())
    assert sum(len(group["params"]) for group in groups) == trained
