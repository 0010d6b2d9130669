"""Transformer blocks on packed sequences: no position is stored, or computed, for padding.

The vectors of a batch stand in one matrix (N, D), row after row, with the offsets of `Bag`; all but
attention works on it as it is. Attention pads groups of some rows to the longest of each, so that
neighbours should have similar lengths: sort a batch by them. What is padded never reaches an
output, by construction.
"""

from collections.abc import Callable
from math import sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from typing_extensions import override

from recsys_lightning.errors import InputError, check_range

GROUP = 16  # rows that are padded to the longest among them


class Group(NamedTuple):
    """Some consecutive rows.

    Attributes:
        shape: b, l: how many rows, and how long the longest is.
        places: (n,) int64 of each position among the b l of the padded rows, pads to the right.
        real: (b, 1, 1, l) whether a place is a position; None where all are.
    """

    shape: tuple[int, int]
    places: Tensor
    real: Tensor | None


class Layout(NamedTuple):
    """What the blocks need to know of the sequences of a batch.

    Attributes:
        groups: that have a position, in order.
        causal: whether a position sees none that comes after it.
    """

    groups: list[Group]
    causal: bool

    @classmethod
    def of(cls, offsets: Tensor, causal: bool) -> "Layout":
        """Of packed sequences with the offsets (B+1,)."""
        found = []
        for some in offsets.diff().split(GROUP):
            length = int(some.max()) if len(some) else 0
            if not length:
                continue
            real = torch.arange(length, device=offsets.device) < some[:, None]
            places = real.flatten().nonzero().squeeze(1)
            mask = None if len(places) == real.numel() else real[:, None, None]
            found.append(Group((len(some), length), places, mask))
        return cls(found, causal)


class _Pad(torch.autograd.Function):
    """(n, W) to (size, W), zeros where there is nothing; `index_copy` with a fast gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(places)
        return x.new_zeros(size, x.shape[1]).index_copy_(0, places, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradient.index_select(0, places), None, None


class _Unpad(torch.autograd.Function):
    """(size, W) to (n, W): the transpose of `_Pad`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.size = len(x)
        return x.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        padded = gradient.new_zeros(ctx.size, gradient.shape[1])
        return padded.index_copy_(0, places, gradient), None


class Attention(nn.Module):
    """Multi-head attention within each sequence, with projections in and out.

    Args:
        dim: D.
        num_heads: which divides D.
        dropout: of the weights, in training.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, queries: Tensor, others: Tensor, layout: Layout) -> Tensor:
        """(N, D) from the vectors that ask and those that are looked at, both (N, D)."""
        projected = torch.cat([self.query(queries), self.key_value(others)], 1)
        parts = projected.split([len(group.places) for group in layout.groups])
        found = [
            self._within(part, group, layout.causal)
            for part, group in zip(parts, layout.groups, strict=True)
        ]
        attended: Tensor = self.output(torch.cat(found))
        return attended

    def _within(self, projected: Tensor, group: Group, causal: bool) -> Tensor:
        rows, length = group.shape
        padded = _Pad.apply(projected, group.places, rows * length)
        # three of (b, heads, l, D / heads)
        q, k, v = padded.view(rows, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=None if causal else group.real,  # pads come after all that is real
            is_causal=causal,
            dropout_p=self.dropout if self.training else 0.0,
        )
        flat = attended.transpose(1, 2).reshape(rows * length, -1)
        unpadded: Tensor = _Unpad.apply(flat, group.places)
        return unpadded


class FeedForward(nn.Sequential):
    """`W_2 drop(act(W_1 x + b_1)) + b_2`."""

    def __init__(self, dim: int, inner: int, dropout: float, activation: nn.Module) -> None:
        super().__init__(
            nn.Linear(dim, inner), activation, nn.Dropout(dropout), nn.Linear(inner, dim)
        )


class GatedFeedForward(nn.Module):
    """SwiGLU, `W_2 drop(silu(W_1 x) o W_3 x)` (Shazeer, 2020)."""

    def __init__(self, dim: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.gate_and_value = nn.Linear(dim, 2 * inner, bias=False)
        self.output = nn.Linear(inner, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    @override
    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.gate_and_value(x).chunk(2, dim=-1)
        transformed: Tensor = self.output(self.dropout(nn.functional.silu(gate) * value))
        return transformed


Norm = Callable[[int], nn.Module]


class SASRecBlock(nn.Module):
    """`y = q + attention(q, x)` with `q = norm(x)`; `z + drop(feed_forward(z))` with `z = norm(y)`.

    The residuals are of the normalised vectors; the feed-forward is as wide as D, with relu.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float, norm: Norm) -> None:
        super().__init__()
        self.attention = Attention(dim, num_heads, dropout)
        self.feed_forward = FeedForward(dim, dim, dropout, nn.ReLU())
        self.before, self.between = norm(dim), norm(dim)
        self.dropout = nn.Dropout(dropout)

    @override
    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        asked = self.before(x)
        z = self.between(asked + self.attention(asked, x, layout))
        out: Tensor = z + self.dropout(self.feed_forward(z))
        return out


class PostNormBlock(nn.Module):
    """`y = norm(x + drop(attention(x)))`, `norm(y + drop(feed_forward(y)))`: 4 D wide, gelu."""

    def __init__(self, dim: int, num_heads: int, dropout: float, norm: Norm) -> None:
        super().__init__()
        self.attention = Attention(dim, num_heads, dropout)
        self.feed_forward = FeedForward(dim, 4 * dim, dropout, nn.GELU())
        self.between, self.after = norm(dim), norm(dim)
        self.dropout = nn.Dropout(dropout)

    @override
    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        y = self.between(x + self.dropout(self.attention(x, x, layout)))
        out: Tensor = self.after(y + self.dropout(self.feed_forward(y)))
        return out


class PreNormBlock(nn.Module):
    """`y = x + drop(attention(norm(x)))`, `y + drop(feed_forward(norm(y)))`: 4 D wide, gelu."""

    def __init__(self, dim: int, num_heads: int, dropout: float, norm: Norm) -> None:
        super().__init__()
        self.attention = Attention(dim, num_heads, dropout)
        self.feed_forward = FeedForward(dim, 4 * dim, dropout, nn.GELU())
        self.before, self.between = norm(dim), norm(dim)
        self.dropout = nn.Dropout(dropout)

    @override
    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        a = self.before(x)
        y = x + self.dropout(self.attention(a, a, layout))
        out: Tensor = y + self.dropout(self.feed_forward(self.between(y)))
        return out


class LiGRBlock(nn.Module):
    """Pre-norm with gated residuals, `y = x + sigmoid(G_1 x + g_1) o drop(attention(norm(x)))` etc.

    The gates read the vectors before the norm; the feed-forward is SwiGLU, 4 D wide. As in
    eSASRec's code (Tikhonovich et al., RecSys 2025), after LiGR (Borisyuk et al., 2025).
    """

    def __init__(self, dim: int, num_heads: int, dropout: float, norm: Norm) -> None:
        super().__init__()
        self.attention = Attention(dim, num_heads, dropout)
        self.feed_forward = GatedFeedForward(dim, 4 * dim, dropout)
        self.before, self.between = norm(dim), norm(dim)
        self.gates = nn.ModuleList([nn.Linear(dim, dim), nn.Linear(dim, dim)])
        self.dropout = nn.Dropout(dropout)

    @override
    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        of_attention, of_feed_forward = self.gates
        a = self.before(x)
        y = x + of_attention(x).sigmoid() * self.dropout(self.attention(a, a, layout))
        b = self.dropout(self.feed_forward(self.between(y)))
        out: Tensor = y + of_feed_forward(y).sigmoid() * b
        return out


BLOCKS = {  # and whether a norm follows the last
    "sasrec": (SASRecBlock, True),
    "post_norm": (PostNormBlock, False),
    "pre_norm": (PreNormBlock, True),
    "ligr": (LiGRBlock, False),
}
NORMS: dict[str, Norm] = {
    "layer": lambda dim: nn.LayerNorm(dim, eps=1e-8),
    "rms": lambda dim: nn.RMSNorm(dim, eps=1e-8),
}


class Transformer(nn.Module):
    """Blocks of one kind on packed sequences.

    Matrices begin as N(0, 0.02²), but for those of queries, keys and values: they are uniform, as
    in torch's `MultiheadAttention` (Glorot and Bengio, AISTATS 2010), four times larger at D = 64.
    So are those of the SASRec that reaches the published figures (Klenitskiy and Vasilev, RecSys
    2023), and ours learns faster by it. Biases begin as zeros.

    Args:
        dim: D.
        num_layers: blocks.
        num_heads: of the attention; divides D.
        dropout: in training, of the input, the attention and what the blocks add.
        block: sasrec, post_norm, pre_norm or ligr.
        norm: layer or rms.

    >>> encoder = Transformer(8, num_layers=2, num_heads=2, dropout=0.1).eval()
    >>> x, offsets = torch.randn(5, 8), torch.tensor([0, 2, 5])
    >>> torch.allclose(encoder(x, offsets, True)[:2], encoder(x[:2], offsets[:2], True))
    True
    """

    def __init__(
        self,
        dim: int,
        num_layers: int,
        num_heads: int,
        dropout: float,
        block: str = "sasrec",
        norm: str = "layer",
    ) -> None:
        super().__init__()
        check_range("model.num_layers", num_layers, low=1, whole=True)
        check_range("model.num_heads", num_heads, low=1, whole=True)
        check_range("model.dropout", dropout, low=0, high=1, open_high=True)
        if dim % num_heads:
            raise InputError(
                f"model.num_heads={num_heads} does not divide model.embedding_dim={dim}"
            )
        for name, chosen, choices in (("block", block, BLOCKS), ("norm", norm, NORMS)):
            if chosen not in list(choices):  # a list could not be looked up
                raise InputError(f"model.{name}={chosen}: expected one of {', '.join(choices)}")
        kind, closes = BLOCKS[block]
        self.blocks = nn.ModuleList(
            kind(dim, num_heads, dropout, NORMS[norm]) for _ in range(num_layers)
        )
        self.last = NORMS[norm](dim) if closes else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.apply(_initialise)

    def forward(self, x: Tensor, offsets: Tensor, causal: bool) -> Tensor:
        """(N, D) of the vectors (N, D) of packed sequences with the offsets (B+1,).

        Causal: a position sees none that comes after it.
        """
        layout = Layout.of(offsets, causal)
        if not layout.groups:
            return x
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, layout)
        out: Tensor = self.last(x)
        return out


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, Attention):  # after the layers in it
        for linear in (module.query, module.key_value):
            bound = sqrt(6 / (4 * linear.in_features))  # of one matrix (3 D, D)
            nn.init.uniform_(linear.weight, -bound, bound)


def positions_from_the_end(offsets: Tensor) -> Tensor:
    """(N,) int64 0 for the newest of each row, 1 for the one before, ...

    >>> positions_from_the_end(torch.tensor([0, 2, 5]))
    tensor([1, 0, 2, 1, 0])
    """
    lengths = offsets.diff()
    last = torch.repeat_interleave(offsets[1:] - 1, lengths)
    return last - torch.arange(len(last), device=offsets.device)
