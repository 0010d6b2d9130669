"""The Gram matrices of TALE: of all prefixes of all histories, without forming one of them."""

import numba
import torch
from torch import Tensor

from recsys_lightning.functional.dense import row_blocks
from recsys_lightning.functional.kernels.prefixes import add_prefix_grams


def prefix_grams(
    items: Tensor,
    times: Tensor,
    offsets: Tensor,
    tau: float,
    floor: float,
    sources: Tensor,
    targets: Tensor,
) -> None:
    """Add S^T S to `sources` and S^T T to `targets`, a row of S and T for every prefix of a row.

    S holds max(exp(-dt / tau), floor) at the items of the prefix, dt the time from there to the
    item that follows it; T a one at that item. A row of n costs n² / 2 steps, see the kernel, which
    runs on the CPU.

    Args:
        items: (N,) int32 item positions, each row in time order; no item twice in a row.
        times: (N,) ascending in each row.
        offsets: (B+1,) int64; row b is `items[offsets[b]:offsets[b+1]]`.
        tau: in the unit of the times, > 0.
        floor: in [0, 1].
        sources: (I, I) float64; the two of a pair share a sum, which `fold_` puts together.
        targets: (I, I) float64.

    >>> sources, targets = torch.zeros(2, 3, 3, dtype=torch.float64)
    >>> items, times = torch.tensor([2, 0, 1], dtype=torch.int32), torch.tensor([0, 5, 5])
    >>> prefix_grams(items, times, torch.tensor([0, 3]), 1.0, 0.5, sources, targets)
    >>> fold_(sources).tril()  # prefixes (2) and (2, 0), which weigh .5, and .5 and 1
    tensor([[1.0000, 0.0000, 0.0000],
            [0.0000, 0.0000, 0.0000],
            [0.5000, 0.0000, 0.5000]], dtype=torch.float64)
    >>> targets
    tensor([[0.0000, 1.0000, 0.0000],
            [0.0000, 0.0000, 0.0000],
            [0.5000, 0.5000, 0.0000]], dtype=torch.float64)
    """
    if sources.device.type != "cpu":
        sums = [torch.zeros_like(out, device="cpu") for out in (sources, targets)]
        prefix_grams(items.cpu(), times.cpu(), offsets.cpu(), tau, floor, *sums)
        sources.add_(sums[0].to(sources.device))
        targets.add_(sums[1].to(targets.device))
        return
    add_prefix_grams(
        items.numpy(),
        times.double().numpy(),
        offsets.numpy(),
        tau,
        floor,
        sources.numpy(),
        targets.numpy(),
        numba.get_num_threads(),
    )


def median_gap(times: Tensor, offsets: Tensor) -> float:
    """The median time from one entry of a row to the next, of those that differ; 1 if none does.

    Args:
        times: (N,) ascending in each row.
        offsets: (B+1,).

    >>> median_gap(torch.tensor([1, 1, 4, 9, 900]), torch.tensor([0, 4, 4, 5]))
    3.0
    """
    row = torch.repeat_interleave(offsets.diff(), output_size=len(times))
    gaps = times.diff()[(row.diff() == 0) & (times.diff() > 0)]
    return float(gaps.median()) if len(gaps) else 1.0


def fold_(matrix: Tensor) -> Tensor:
    """Add what stands above the diagonal to what stands below it; above it is to be read no more.

    Args:
        matrix: (I, I), overwritten.

    >>> fold_(torch.tensor([[1.0, 2.0], [3.0, 4.0]])).tril()
    tensor([[1., 0.],
            [5., 4.]])
    """
    for rows in row_blocks(*matrix.shape):
        matrix[rows, : rows.stop] += matrix[: rows.stop, rows].T.clone()
    matrix.diagonal().mul_(0.5)
    return matrix
