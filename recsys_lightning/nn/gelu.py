"""GELU for batches of ever other sizes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.backends import mkldnn
from torch.nn.functional import gelu
from typing_extensions import override


class GELU(nn.Module):
    """`x Phi(x)`, Phi the normal distribution's (Hendrycks and Gimpel, 2016): `nn.GELU`.

    Without oneDNN, by which torch computes it on a CPU: that keeps a compiled kernel for each of
    the latest 1,024 shapes. Packed sequences have another shape in every batch, and the kernels,
    strewn over the heap, keep gigabytes of it from being used again. As fast without.
    """

    @override
    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = _GELU.apply(x)
        return activated


class _GELU(torch.autograd.Function):
    """A function of its own, since the gradient's kernels are to be other ones, too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        with _without_onednn():
            return gelu(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        with _without_onednn():
            of_x: Tensor = torch.ops.aten.gelu_backward(gradient, x)
        return of_x


@contextmanager
def _without_onednn() -> Iterator[None]:
    """As `mkldnn.flags`, which warns of other settings that it puts back."""
    settings: Any = mkldnn  # whose type does not declare what is set
    before, settings.enabled = settings.enabled, False
    try:
        yield
    finally:
        settings.enabled = before
