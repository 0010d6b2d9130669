"""Losses: tensors in, a scalar out. Sums over items (or dimensions), means over users or pairs.

So a loss has one scale whatever the batch, and its terms are comparable. All are in float32, under
autocast too, or in float64 where the model is.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

_LOGITS = 2**20  # of a block
_LEAST_ROWS = 64  # of a block: with fewer a large table is read too often


def _full(values: Tensor) -> Tensor:
    """In 32 bits at least: half of them are too few for sums over a catalogue."""
    return values if values.dtype == torch.float64 else values.float()


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
    return -target.flatten().dot(_full(logits).log_softmax(1).flatten()) / max(len(logits), 1)


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
    return (weight * (target - _full(scores)).square()).sum() / max(len(scores), 1)


def bpr(positive: Tensor, negative: Tensor) -> Tensor:
    """-log sigmoid(s_i - s_j), mean over negatives j and pairs (Rendle et al., UAI 2009).

    As softplus(s_j - s_i), whose gradient stays alive however badly a pair is ranked.

    Args:
        positive: (B,) s_i.
        negative: (B, m) s_j.

    Returns:
        () float32.

    >>> bpr(torch.tensor([1.0]), torch.tensor([[1.0, 1.0]]))  # log 2
    tensor(0.6931)
    """
    return softplus(_full(negative) - _full(positive)[:, None]).mean()


def binary_cross_entropy(positive: Tensor, negative: Tensor) -> Tensor:
    """-log sigmoid(s_i) - sum_j log sigmoid(-s_j), mean over pairs (He et al., WWW 2017, eq. 7).

    Args:
        positive: (B,) s_i.
        negative: (B, m) s_j.

    Returns:
        () float32.

    >>> binary_cross_entropy(torch.tensor([0.0]), torch.tensor([[0.0, 0.0]]))  # 3 log 2
    tensor(2.0794)
    """
    pull = softplus(-_full(positive))
    return (pull + softplus(_full(negative)).sum(1)).mean()


def sampled_softmax(positive: Tensor, negative: Tensor, log_q: Tensor | None = None) -> Tensor:
    """-log(exp s_i / (exp s_i + (1/m) sum_j exp(s_j) / q_j)), mean over pairs.

    The sum is then an unbiased estimate of the one over all items that can be drawn, whatever draws
    them (Bengio and Senécal, 2003). The positive is not drawn, so it is not corrected, as is often
    done (Khrylchenko et al., RecSys 2025, on why not). Without `log_q` the sum is that over the m
    negatives alone, which for uniform ones is another common form, and for m = 1 is `bpr`.

    Args:
        positive: (B,) s_i.
        negative: (B, m) s_j.
        log_q: (B, m) log of the probability q_j with which each was drawn.

    Returns:
        () float32.

    >>> scores = torch.tensor([0.0]), torch.zeros(1, 2)
    >>> sampled_softmax(*scores), sampled_softmax(*scores, torch.full((1, 2), 1 / 4).log())
    (tensor(1.0986), tensor(1.6094))
    """
    positive, negative = _full(positive)[:, None], _full(negative)
    if log_q is not None:
        negative = negative - log_q - math.log(negative.shape[1])
    return (torch.cat([positive, negative], 1).logsumexp(1) - positive[:, 0]).mean()


def generalised_binary_cross_entropy(
    positive: Tensor, negative: Tensor, num_items: int, calibration: float
) -> Tensor:
    """gBCE, -(beta log sigmoid(s_i) + sum_j log sigmoid(-s_j)) / (m + 1), mean over pairs.

    beta = 1 - t (1 - a) undoes what sampling m of I - 1 negatives, a = m / (I - 1), does to the
    probabilities: wholly at t = 1, not at all at t = 0 (Petrov and Macdonald, RecSys 2023).

    Args:
        positive: (N,) s_i.
        negative: (N, m) s_j; -inf: not drawn.
        num_items: I.
        calibration: t, in [0, 1].

    Returns:
        () float32.

    >>> scores = torch.tensor([0.0]), torch.zeros(1, 3)
    >>> generalised_binary_cross_entropy(*scores, num_items=10, calibration=0.0)  # log 2
    tensor(0.6931)
    """
    m = negative.shape[1]
    beta = 1 - calibration * (1 - m / (num_items - 1))
    pull = beta * softplus(-_full(positive))
    return (pull + softplus(_full(negative)).sum(1)).mean() / (m + 1)


def linear_cross_entropy(
    vectors: Tensor, table: Tensor, targets: Tensor, bias: Tensor | None = None
) -> Tensor:
    """-log softmax_t (<v_b, w_t> + c_t) over the rows of a table, mean over b.

    Torch's own by blocks of b, with gradients on the way: no (B, I) matrix is stored. A block has
    at most 4 MB, which stay in a cache (256 MB on a GPU), but 64 rows at least. Differentiable
    once.

    Args:
        vectors: (B, D) v.
        table: (I, D) w.
        targets: (B,) int64 t.
        bias: (I,) c; zeros if None.

    Returns:
        () float32.

    >>> linear_cross_entropy(torch.zeros(1, 2), torch.randn(4, 2), torch.tensor([3]))  # log 4
    tensor(1.3863)
    """
    block = _LOGITS if vectors.device.type == "cpu" else 64 * _LOGITS
    rows = max(block // len(table), _LEAST_ROWS)
    with torch.autocast(vectors.device.type, enabled=False):
        return torch.nn.functional.linear_cross_entropy(
            _full(vectors),
            _full(table),
            targets,
            linear_bias=None if bias is None else _full(bias),
            options=nn.LinearCrossEntropyOptions(batch_chunk_size=min(rows, len(vectors))),
        )


def info_nce(anchors: Tensor, others: Tensor, temperature: float) -> Tensor:
    """-log softmax_r cos(a_r, b_r') / temperature at r' = r, mean over rows (van den Oord, 2018).

    Args:
        anchors: (B, D) a.
        others: (B, D) b.
        temperature: > 0.

    Returns:
        () float32.

    >>> info_nce(torch.eye(2), torch.eye(2), temperature=1.0)  # log(1 + 1/e)
    tensor(0.3133)
    """
    anchors, others = (normalize(_full(vectors)) for vectors in (anchors, others))
    rows = torch.arange(len(anchors), device=anchors.device)
    return linear_cross_entropy(anchors / temperature, others, rows)


def gaussian_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """(B,) KL(N(mean, exp(logvar)) || N(0, 1)), summed over dimensions; both (B, D).

    >>> gaussian_kl(torch.zeros(1, 3), torch.zeros(1, 3))
    tensor([0.])
    """
    mean, logvar = _full(mean), _full(logvar)
    return 0.5 * (logvar.exp() + mean.square() - 1 - logvar).sum(1)


def gaussian_log_density(z: Tensor, mean: Tensor | float, logvar: Tensor | float) -> Tensor:
    """Elementwise log N(z; mean, exp(logvar)), in the shape of z."""
    mean = torch.as_tensor(mean, dtype=torch.float32, device=z.device)
    logvar = torch.as_tensor(logvar, dtype=torch.float32, device=z.device)
    return -0.5 * (math.log(2 * math.pi) + logvar + (z - mean).square() * (-logvar).exp())


def gaussian_sample(mean: Tensor, logvar: Tensor) -> Tensor:
    """A draw from N(mean, exp(logvar)) that lets gradients through (reparametrisation)."""
    mean, logvar = _full(mean), _full(logvar)
    return mean + torch.randn_like(mean) * (0.5 * logvar).exp()
