"""How much an item of a history counts by its age: how many later items there are."""

from torch import Tensor


def recency_factors(ages: Tensor, recency: float) -> Tensor:
    """The latest item counts 1 + recency, the k-th latest 1 + recency / k.

    A sum of two voices: the whole history, in which all items count alike, and the session, which
    falls with 1 / k.

    Args:
        ages: (N,) 0 of the latest item.
        recency: at least 0, where all count 1.

    Returns:
        (N,) float32.

    >>> import torch
    >>> recency_factors(torch.tensor([3, 1, 0]), 8.0)
    tensor([3., 5., 9.])
    """
    return 1 + recency / (ages + 1).float()
