"""Losses against dense formulas written out, and their gradients against autograd's."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from recsys_lightning.functional import losses
from recsys_lightning.functional.losses import (
    binary_cross_entropy,
    bpr,
    gaussian_kl,
    gaussian_log_density,
    gaussian_sample,
    info_nce,
    linear_cross_entropy,
    multinomial_nll,
    sampled_softmax,
    squared_error,
)

DENSE = torch.tensor([[1.0, 0, 0, 1, 0], [0, 0, 0, 0, 0], [0, 1, 1, 0, 1]])


@pytest.fixture
def scores():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 5, generator=generator, requires_grad=True)


def test_multinomial_nll_sums_over_items_and_averages_over_users(scores):
    log_p = scores.double().log_softmax(1)
    expected = -(log_p[0, 0] + log_p[0, 3] + log_p[2, 1] + log_p[2, 2] + log_p[2, 4]) / 3
    torch.testing.assert_close(multinomial_nll(scores, DENSE), expected.float())


@pytest.mark.parametrize("loss", [multinomial_nll, partial(squared_error, positive_weight=2.0)])
def test_no_user_has_no_loss(loss):
    scores = torch.empty(0, 5, requires_grad=True)
    value = loss(scores, torch.empty(0, 5))
    value.backward()
    assert value == 0


def test_multinomial_nll_of_large_logits_is_finite():
    scores = torch.tensor([[1000.0, 0, 0, 0, -1000]] * 3, requires_grad=True)
    loss = multinomial_nll(scores, DENSE)
    loss.backward()
    assert loss.item() == pytest.approx((1000 + 4000) / 3)
    assert scores.grad.isfinite().all()


def test_multinomial_nll_is_float32_under_bfloat16(scores):
    assert multinomial_nll(scores.bfloat16(), DENSE).dtype == torch.float32


def test_squared_error_counts_zeros_and_weighs_ones(scores):
    loss = squared_error(scores, DENSE, positive_weight=4.0)
    expected = sum(
        (4 if x else 1) * (x - s) ** 2
        for row, values in zip(DENSE.tolist(), scores.tolist(), strict=True)
        for x, s in zip(row, values, strict=True)
    )
    assert loss.item() == pytest.approx(expected / 3, rel=1e-6)


def test_kl_is_zero_for_the_standard_normal():
    assert gaussian_kl(torch.zeros(2, 7), torch.zeros(2, 7)).tolist() == [0, 0]


def test_kl_equals_a_monte_carlo_estimate():
    torch.manual_seed(0)
    mean, logvar = torch.tensor([[0.7, -1.2]]), torch.tensor([[-0.5, 0.4]])
    z = gaussian_sample(mean.expand(1_000_000, 2), logvar.expand(1_000_000, 2))
    ratio = gaussian_log_density(z, mean, logvar) - gaussian_log_density(z, 0.0, 0.0)
    assert ratio.sum(1).mean().item() == pytest.approx(gaussian_kl(mean, logvar).item(), rel=0.01)


def test_log_density_is_the_normal_distributions():
    z, mean, logvar = torch.randn(3, 4), torch.randn(3, 4), torch.randn(3, 4)
    expected = Normal(mean, (logvar / 2).exp()).log_prob(z)
    torch.testing.assert_close(gaussian_log_density(z, mean, logvar), expected)
    wide = Normal(0.0, math.exp(5)).log_prob(z)
    torch.testing.assert_close(gaussian_log_density(z, 0.0, 10.0), wide)


@pytest.fixture
def pairs():
    """(B,) positive and (B, m) negative scores."""
    generator = torch.Generator().manual_seed(1)
    positive = torch.randn(4, generator=generator, requires_grad=True)
    return positive, torch.randn(4, 3, generator=generator, requires_grad=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax_with(s_i, s_j):
    return np.exp(s_i) / (np.exp(s_i) + np.exp(s_j).sum())


@pytest.mark.parametrize(
    ("loss", "of_a_pair"),
    [
        (bpr, lambda s_i, s_j: -np.log(sigmoid(s_i - s_j)).mean()),
        (
            binary_cross_entropy,
            lambda s_i, s_j: -np.log(sigmoid(s_i)) - np.log(sigmoid(-s_j)).sum(),
        ),
        (sampled_softmax, lambda s_i, s_j: -np.log(softmax_with(s_i, s_j))),
    ],
)
def test_losses_of_pairs_are_their_formulas(loss, of_a_pair, pairs):
    s_i, s_j = (scores.detach().double().numpy() for scores in pairs)
    expected = np.mean([of_a_pair(*pair) for pair in zip(s_i, s_j, strict=True)])
    assert loss(*pairs).item() == pytest.approx(expected, rel=1e-6)
    assert loss(*(scores.bfloat16() for scores in pairs)).dtype == torch.float32


@pytest.mark.parametrize("loss", [bpr, binary_cross_entropy, sampled_softmax])
def test_a_badly_ranked_pair_has_a_gradient(loss):
    """Where log(sigmoid) is -inf, or log(eps + sigmoid) flat."""
    positive, negative = torch.tensor([-500.0]), torch.tensor([[500.0]])
    scores = positive.requires_grad_(), negative.requires_grad_()
    value = loss(*scores)
    value.backward()
    assert value.item() == pytest.approx(1000)
    assert (positive.grad.item(), negative.grad.item()) == (-1, 1)


def test_a_softmax_over_one_negative_is_bpr(pairs):
    positive, negative = pairs[0], pairs[1][:, :1]
    torch.testing.assert_close(sampled_softmax(positive, negative), bpr(positive, negative))


def test_a_sample_of_all_other_items_is_the_full_softmax():
    scores = torch.randn(5, 9)
    targets = torch.tensor([3, 0, 8, 3, 5])
    is_target = torch.nn.functional.one_hot(targets, 9).bool()
    positive, negative = scores[is_target], scores[~is_target].view(5, 8)
    full = torch.nn.functional.cross_entropy(scores, targets)
    torch.testing.assert_close(sampled_softmax(positive, negative), full)
    uniform = torch.full((5, 8), 1 / 8).log()  # every item once is what m = 8 draws expect
    torch.testing.assert_close(sampled_softmax(positive, negative, uniform), full)


def test_the_correction_makes_the_sum_unbiased_whatever_draws():
    rng = np.random.default_rng(0)
    scores, q = rng.normal(size=20), rng.dirichlet(np.ones(20) * 3)
    drawn = rng.choice(20, size=(1, 500_000), p=q)
    positive = torch.tensor([0.3])
    negative, log_q = (torch.from_numpy(x[drawn]).float() for x in (scores, np.log(q)))
    expected = -np.log(softmax_with(0.3, scores))
    estimate = sampled_softmax(positive, negative, log_q).item()
    assert estimate == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("block", [3, 7, 100])
def test_linear_cross_entropy_is_that_of_the_logits_whatever_the_block(block, biased, monkeypatch):
    monkeypatch.setattr(losses, "_LOGITS", 6 * block)
    monkeypatch.setattr(losses, "_LEAST_ROWS", 1)
    vectors, table = torch.randn(11, 5), 30 * torch.randn(6, 5)  # logits of hundreds
    targets = torch.randint(6, (11,))
    given = [vectors.requires_grad_(), table.requires_grad_()]
    bias = torch.randn(6, requires_grad=True) if biased else None
    logits = vectors @ table.T + (bias if biased else 0)
    expected = torch.nn.functional.cross_entropy(logits, targets)
    found = linear_cross_entropy(vectors, table, targets, bias)
    torch.testing.assert_close(found, expected)
    wanted = [*given, bias] if biased else given
    gradients = [torch.autograd.grad(3 * loss, wanted) for loss in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_the_contrast_is_a_cross_entropy_of_cosines():
    a, b = torch.randn(11, 5), torch.randn(11, 5)
    cosines = torch.cosine_similarity(a[:, None], b[None], dim=2)
    expected = torch.nn.functional.cross_entropy(cosines / 0.05, torch.arange(11))
    torch.testing.assert_close(info_nce(a, b, temperature=0.05), expected)


def test_losses_over_all_rows_are_in_float32_under_autocast():
    vectors = torch.randn(9, 5), torch.randn(9, 5)
    expected = info_nce(*vectors, temperature=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(info_nce(*vectors, temperature=0.1), expected)
