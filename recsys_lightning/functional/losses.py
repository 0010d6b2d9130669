"""Losses: tensors in, a scalar out. Sums over items (or dimensions), means over users.

So a loss has one scale whatever the batch, and its terms are comparable. All are in float32, under
autocast too.
"""

import math

import torch
from torch import Tensor


def multinomial_nll(logits: Tensor, target: Tensor) -> Tensor:
    """-sum_i x_ui log softmax(f_u)_i, mean over users (Liang et al., WWW 2018, eq. 2).

    Args:
        logits: (B, I) f.
        target: (B, I) x, zeros and ones.

    Returns:
        () float32.

    >>> multinomial_nll(torch.zeros(1, 4), torch.tensor([[1.0, 0, 1, 0]]))  # 2 log 4
    tensor(2.7726)
    """
    return -target.flatten().dot(logits.float().log_softmax(1).flatten()) / len(logits)


def squared_error(scores: Tensor, target: Tensor, positive_weight: float) -> Tensor:
    """sum_i c_ui (x_ui - s_ui)², mean over users, where c is `positive_weight` on ones, else 1.

    Args:
        scores: (B, I) s.
        target: (B, I) x, zeros and ones.
        positive_weight: c on ones.

    Returns:
        () float32.

    >>> squared_error(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.0, 1]]), positive_weight=3.0)
    tensor(1.)
    """
    weight = target * (positive_weight - 1) + 1
    return (weight * (target - scores.float()).square()).sum() / len(scores)


def gaussian_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """(B,) KL(N(mean, exp(logvar)) || N(0, 1)), summed over dimensions; both (B, D).

    >>> gaussian_kl(torch.zeros(1, 3), torch.zeros(1, 3))
    tensor([0.])
    """
    mean, logvar = mean.float(), logvar.float()
    return 0.5 * (logvar.exp() + mean.square() - 1 - logvar).sum(1)


def gaussian_log_density(z: Tensor, mean: Tensor | float, logvar: Tensor | float) -> Tensor:
    """Elementwise log N(z; mean, exp(logvar)), in the shape of z."""
    mean = torch.as_tensor(mean, dtype=torch.float32, device=z.device)
    logvar = torch.as_tensor(logvar, dtype=torch.float32, device=z.device)
    return -0.5 * (math.log(2 * math.pi) + logvar + (z - mean).square() * (-logvar).exp())


def gaussian_sample(mean: Tensor, logvar: Tensor) -> Tensor:
    """A draw from N(mean, exp(logvar)) that lets gradients through (reparametrisation)."""
    mean, logvar = mean.float(), logvar.float()
    return mean + torch.randn_like(mean) * (0.5 * logvar).exp()
