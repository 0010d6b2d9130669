"""Transformer blocks on packed sequences, see `nn.packing`."""

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from typing_extensions import override

from recsys_lightning.errors import InputError, check_range
from recsys_lightning.nn.gelu import GELU
from recsys_lightning.nn.packing import Group, Layout


class Attention(nn.Module):
    """Multi-head attention within each sequence, with projections in and out.

    Args:
        dim: D.
        num_heads: which divides D.
        dropout: of the weights, in training.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, nn.Dropout(dropout)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, asking: Tensor, seen: Tensor, layout: Layout) -> Tensor:
        """(n, D) from the vectors (n, D) that ask and those (N, D) that are looked at."""
        queries = self.query(asking).split([len(group.asking.places) for group in layout.groups])
        others = self.key_value(seen).split([len(group.seen.places) for group in layout.groups])
        found = [
            self._within(group, query, key_value, layout.causal)
            for group, query, key_value in zip(layout.groups, queries, others, strict=True)
        ]
        attended: Tensor = self.output(torch.cat(found))
        return attended

    def _within(self, group: Group, query: Tensor, key_value: Tensor, causal: bool) -> Tensor:
        [q] = self._heads(group.asking.pad(query), 1)
        k, v = self._heads(group.seen.pad(key_value), 2)
        attended = scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=group.mask,
            is_causal=causal,
            dropout_p=self.dropout.p if self.training else 0.0,
        )
        return group.asking.unpad(attended.transpose(1, 2).flatten(2))

    def _heads(self, padded: Tensor, parts: int) -> Tensor:
        """(parts, b, heads, l, D / heads) of padded rows (b, l, parts D)."""
        rows, length, width = padded.shape
        each = width // parts // self.num_heads
        return padded.view(rows, length, parts, self.num_heads, each).permute(2, 0, 3, 1, 4)


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
        asking = self.before(layout.asking(x))
        z = self.between(asking + self.attention(asking, x, layout))
        out: Tensor = z + self.dropout(self.feed_forward(z))
        return out


class PostNormBlock(nn.Module):
    """`y = norm(x + drop(attention(x)))`, `norm(y + drop(feed_forward(y)))`: 4 D wide, gelu."""

    def __init__(self, dim: int, num_heads: int, dropout: float, norm: Norm) -> None:
        super().__init__()
        self.attention = Attention(dim, num_heads, dropout)
        self.feed_forward = FeedForward(dim, 4 * dim, dropout, GELU())
        self.between, self.after = norm(dim), norm(dim)
        self.dropout = nn.Dropout(dropout)

    @override
    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        asking = layout.asking(x)
        y = self.between(asking + self.dropout(self.attention(asking, x, layout)))
        out: Tensor = self.after(y + self.dropout(self.feed_forward(y)))
        return out


class PreNormBlock(nn.Module):
    """`y = x + drop(attention(norm(x)))`, `y + drop(feed_forward(norm(y)))`: 4 D wide, gelu."""

    def __init__(self, dim: int, num_heads: int, dropout: float, norm: Norm) -> None:
        super().__init__()
        self.attention = Attention(dim, num_heads, dropout)
        self.feed_forward = FeedForward(dim, 4 * dim, dropout, GELU())
        self.before, self.between = norm(dim), norm(dim)
        self.dropout = nn.Dropout(dropout)

    @override
    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        a = self.before(x)
        attended = self.attention(layout.asking(a), a, layout)
        y = layout.asking(x) + self.dropout(attended)
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
        a, asking = self.before(x), layout.asking(x)
        attended = self.dropout(self.attention(layout.asking(a), a, layout))
        y = asking + of_attention(asking).sigmoid() * attended
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
        dropout: in training, of the input, the attention and what the blocks add; None: it is
            set later, by `set_dropout`.
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
        dropout: float | None,
        block: str = "sasrec",
        norm: str = "layer",
    ) -> None:
        super().__init__()
        check_range("model.num_layers", num_layers, low=1, whole=True)
        check_range("model.num_heads", num_heads, low=1, whole=True)
        check_range("model.dropout", dropout, low=0, high=1, open_high=True, or_null=True)
        if dim % num_heads:
            raise InputError(
                f"model.num_heads={num_heads} does not divide model.embedding_dim={dim}"
            )
        for name, chosen, choices in (("block", block, BLOCKS), ("norm", norm, NORMS)):
            if chosen not in list(choices):  # a list could not be looked up
                raise InputError(f"model.{name}={chosen}: expected one of {', '.join(choices)}")
        kind, closes = BLOCKS[block]
        self.blocks = nn.ModuleList(
            kind(dim, num_heads, dropout or 0.0, NORMS[norm]) for _ in range(num_layers)
        )
        self.last = NORMS[norm](dim) if closes else nn.Identity()
        self.dropout = nn.Dropout(dropout or 0.0)
        self.apply(_initialise)

    def forward(
        self, x: Tensor, offsets: Tensor, causal: bool, wanted: Tensor | None = None
    ) -> Tensor:
        """(N, D) of the vectors (N, D) of packed sequences with the offsets (B+1,).

        Causal: a position sees none that comes after it. With `wanted` (n,), ascending positions,
        the outputs (n, D) there: the last block computes no others.
        """
        layout = Layout.of(offsets, causal)
        if not layout.groups:
            return x
        final = layout if wanted is None else Layout.of_some(offsets, causal, wanted)
        x = self.dropout(x)
        for block in self.blocks[:-1]:
            x = block(x, layout)
        out: Tensor = self.last(self.blocks[-1](x, final))
        return out


def set_dropout(module: nn.Module, p: float) -> None:
    """Of all `nn.Dropout` in a module: where it is known after the module was made."""
    for each in module.modules():
        if isinstance(each, nn.Dropout):
            each.p = p


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, Attention):  # after the layers in it
        for linear in (module.query, module.key_value):
            bound = sqrt(6 / (4 * linear.in_features))  # of one matrix (3 D, D)
            nn.init.uniform_(linear.weight, -bound, bound)
