"""Losses against dense formulas written out, and their gradients against autograd's."""

import math

import pytest
import torch
from torch.distributions import Normal

from recsys_lightning.functional.losses import (
    gaussian_kl,
    gaussian_log_density,
    gaussian_sample,
    multinomial_nll,
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
