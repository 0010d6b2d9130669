"""From scores to lists, and from lists to the value of a ranking metric for every user.

`rank_items` is the one place where seen items are masked and lists are cut. The metrics take `hits`
(B, K), true where the item at that rank of the list was held out (a padded rank is no hit), and
`relevant` (B,), how many items were held out: at least one, a metric is not defined otherwise
(nan or 0). They return (B,) float64. T is the set of held-out items, n = |T|, hit_p is 1 where the
item at rank p = 1, 2, ... of the list is in T.

Definitions: Liang et al., Variational autoencoders for collaborative filtering, WWW 2018 (capped
recall, NDCG); Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, TOIS 2002.
"""

import torch
from torch import Tensor

_INF = float("inf")


def rank_items(
    scores: Tensor,
    seen_items: Tensor,
    seen_offsets: Tensor,
    k: int,
    tie_order: Tensor,
    popularity: Tensor,
) -> tuple[Tensor, Tensor]:
    """The k best unseen items of every user, best first; the same lists on every device.

    - Equal scores (as float32) are ordered by `tie_order`: a constant score favours no item.
    - A score of -inf is no opinion: these items come last, by popularity.
    - A user who has seen nothing gets the most popular items, whatever the scores.
    - Equal popularity is ordered by `tie_order` too. No list depends on the other users of a batch.

    Args:
        scores: (B, I) of any float type, unmasked; left as they are.
        seen_items: (N,) int32 ragged rows of item positions.
        seen_offsets: (B+1,) int64; row b is `seen_items[seen_offsets[b]:seen_offsets[b+1]]`.
        k: length of a list.
        tie_order: (I,) int64, a permutation of `0..I-1`; the lower comes first.
        popularity: (I,) users an item.

    Returns:
        items (B, k) int64 and their scores (B, k) float32: popularities for a user who has seen
        nothing. Where fewer than k items are unseen, the list ends in items -1, scores -inf.

    Raises:
        FloatingPointError: a score of a user with a history is NaN.

    >>> scores = torch.tensor([[0.1, 0.9, 0.9, 0.5], [0.3, 0.2, 0.1, 0.0]])
    >>> seen = torch.tensor([1], dtype=torch.int32), torch.tensor([0, 1, 1])  # {1} and nothing
    >>> tie_order, popularity = torch.tensor([3, 2, 1, 0]), torch.tensor([7, 9, 7, 0])
    >>> items, values = rank_items(scores, *seen, 3, tie_order, popularity)
    >>> items
    tensor([[2, 3, 0],
            [1, 2, 0]])
    >>> values
    tensor([[0.9000, 0.5000, 0.1000],
            [9.0000, 7.0000, 7.0000]])
    """
    num_items = scores.shape[1]
    if not num_items == len(tie_order) == len(popularity) or len(seen_offsets) != len(scores) + 1:
        raise ValueError(
            f"scores {tuple(scores.shape)} do not go with {len(tie_order)} ties, "
            f"{len(popularity)} popularities and {len(seen_offsets) - 1} users' seen items"
        )
    if k < 1:
        raise ValueError(f"k={k}: expected a list of at least 1 item")
    scores = scores.detach().float().contiguous()
    is_empty = seen_offsets.diff() == 0
    diverged = scores.amax(1).isnan() & ~is_empty  # a maximum carries NaN on, and copies nothing
    if diverged.any():
        raise FloatingPointError(
            f"NaN in the scores of {int(diverged.sum())} of {len(scores)} users: the model "
            "diverged; lower its learning rate or raise its regularisation (closed form: model.l2)"
        )

    priority = num_items - 1 - tie_order  # from here on the higher comes first, as for scores
    by_priority = priority.argsort()
    by_popularity = by_priority[popularity[by_priority].argsort(stable=True)]
    select = _select_on_cpu if scores.device.type == "cpu" else _select_on_any_device
    items = select(scores, seen_items, seen_offsets, k, priority, by_priority, by_popularity)

    inside = items.clamp(min=0)
    values = torch.where(is_empty[:, None], popularity.float()[inside], scores.gather(1, inside))
    return items, values.masked_fill(items < 0, -_INF)


def _select_on_cpu(
    scores: Tensor,
    seen_items: Tensor,
    seen_offsets: Tensor,
    k: int,
    priority: Tensor,
    by_priority: Tensor,
    by_popularity: Tensor,
) -> Tensor:
    """(B, k) items, by numba: about ten times faster than the keys below."""
    # numba takes half a second to import, and metrics of lists have no need of it
    from recsys_lightning.functional.kernels.topk import best_unseen

    lists = best_unseen(
        scores.numpy(),
        seen_items.numpy(),
        seen_offsets.numpy(),
        k,
        priority.numpy(),
        by_priority.numpy(),
        by_popularity.numpy(),
    )
    return torch.from_numpy(lists)


def _select_on_any_device(
    scores: Tensor,
    seen_items: Tensor,
    seen_offsets: Tensor,
    k: int,
    priority: Tensor,
    by_priority: Tensor,
    by_popularity: Tensor,
) -> Tensor:
    """(B, k) items, by `torch.topk` of keys that are all different, hence deterministic.

    A key is an int64: the score in its upper half, what decides a tie in the lower one.
    """
    num_users, num_items = scores.shape
    scores = scores.masked_fill(seen_offsets.diff()[:, None] == 0, -_INF)
    bits = scores.view(torch.int32)  # sign and magnitude; to integers of the same order, -0.0 to 0
    ordered = torch.where(bits < 0, -(1 << 31) - bits, bits).long()
    keys = ordered << 32 | torch.where(scores == -_INF, by_popularity.argsort(), priority)
    lowest = torch.iinfo(torch.int64).min
    keys[_rows(seen_items, seen_offsets), seen_items.long()] = lowest

    best, items = keys.topk(min(k, num_items))
    lists = torch.full((num_users, k), -1, device=scores.device)
    lists[:, : items.shape[1]] = items.masked_fill(best == lowest, -1)
    return lists


def _rows(items: Tensor, offsets: Tensor) -> Tensor:
    """(N,) int64 the row of every item of ragged rows."""
    return torch.repeat_interleave(offsets.diff(), output_size=len(items))


def hits(lists: Tensor, target_items: Tensor, target_offsets: Tensor, num_items: int) -> Tensor:
    """Which items of the lists were held out.

    Args:
        lists: (B, K) int64 items, -1 where padded.
        target_items: (N,) int32 ragged rows of the held-out items.
        target_offsets: (B+1,) int64.
        num_items: I.

    Returns:
        (B, K) bool.

    >>> lists = torch.tensor([[2, 0, 1], [1, 3, -1]])
    >>> hits(lists, torch.tensor([0, 4, 3]), torch.tensor([0, 2, 3]), num_items=5)
    tensor([[False,  True, False],
            [False,  True, False]])
    """
    first = torch.arange(len(lists), device=lists.device) * num_items  # (user, item) as one number
    targets = first[_rows(target_items, target_offsets)] + target_items
    return torch.isin(first[:, None] + lists, targets) & (lists >= 0)


def recall(hits: Tensor, relevant: Tensor, k: int) -> Tensor:
    """Found among the held out: `sum_p hit_p / n`.

    >>> recall(torch.tensor([[1, 0, 1]]), torch.tensor([4]), k=3)
    tensor([0.5000], dtype=torch.float64)
    """
    return _top(hits, k).sum(1) / relevant


def recall_capped(hits: Tensor, relevant: Tensor, k: int) -> Tensor:
    """Found among those that could be: `sum_p hit_p / min(k, n)`.

    >>> recall_capped(torch.tensor([[1, 0, 1]]), torch.tensor([4]), k=3)
    tensor([0.6667], dtype=torch.float64)
    """
    return _top(hits, k).sum(1) / relevant.clamp(max=k)


def ndcg(hits: Tensor, relevant: Tensor, k: int) -> Tensor:
    """Discounted gain over the ideal list's: `sum_p hit_p d_p / sum_{p<=min(k,n)} d_p`.

    With `d_p = 1 / log2(p + 1)`. The ideal list holds all that was held out, not the hits alone.

    >>> ndcg(torch.tensor([[1, 0, 1]]), torch.tensor([4]), k=3)  # (1 + 1/2) / (1 + 0.631 + 1/2)
    tensor([0.7039], dtype=torch.float64)
    """
    discount = 1 / torch.log2(_ranks(hits, k) + 1)
    ideal = discount.cumsum(0)[relevant.clamp(max=k) - 1]
    return (_top(hits, k) * discount).sum(1) / ideal


def hit_rate(hits: Tensor, relevant: Tensor, k: int) -> Tensor:
    """Whether anything was found: `max_p hit_p`.

    >>> hit_rate(torch.tensor([[0, 0, 1]]), torch.tensor([4]), k=3)
    tensor([1.], dtype=torch.float64)
    """
    return _top(hits, k).amax(1)


def precision(hits: Tensor, relevant: Tensor, k: int) -> Tensor:
    """Found among the recommended: `sum_p hit_p / k`.

    >>> precision(torch.tensor([[1, 0, 1, 1]]), torch.tensor([3]), k=4)
    tensor([0.7500], dtype=torch.float64)
    """
    return _top(hits, k).sum(1) / k


def average_precision(hits: Tensor, relevant: Tensor, k: int) -> Tensor:
    """Precision at every hit: `sum_p hit_p precision@p / min(k, n)`; some divide by n instead.

    >>> average_precision(torch.tensor([[1, 0, 1]]), torch.tensor([4]), k=3)  # (1 + 2/3) / 3
    tensor([0.5556], dtype=torch.float64)
    """
    top = _top(hits, k)
    return (top * top.cumsum(1) / _ranks(hits, k)).sum(1) / relevant.clamp(max=k)


def reciprocal_rank(hits: Tensor, relevant: Tensor, k: int) -> Tensor:
    """One over the rank of the first hit: `max_p hit_p / p`.

    >>> reciprocal_rank(torch.tensor([[0, 1, 1]]), torch.tensor([4]), k=3)
    tensor([0.5000], dtype=torch.float64)
    """
    return (_top(hits, k) / _ranks(hits, k)).amax(1)


def novelty(lists: Tensor, popularity: Tensor, num_users: int, k: int) -> Tensor:
    """Mean self-information of a list in bits: the mean over its items i of `-log2(share_i)`.

    `share_i = (c_i + 1) / (U + 1)` is the share of users who consumed i in training, smoothed by
    one so that a new item has a value (Zhou et al., PNAS 2010, without the smoothing).

    Args:
        lists: (B, K) int64 items, -1 where padded: these ranks do not count.
        popularity: (I,) the counts c.
        num_users: U, those with a training interaction.
        k: cut-off.

    Returns:
        (B,) float64; nan for a list without items.

    >>> novelty(torch.tensor([[0, 1], [1, -1]]), torch.tensor([3, 0, 0]), num_users=3, k=2)
    tensor([1., 2.], dtype=torch.float64)
    """
    information = -((popularity.double() + 1) / (num_users + 1)).log2()
    top = lists[:, :k]
    inside = top >= 0
    return (information[top.clamp(min=0)] * inside).sum(1) / inside.sum(1)


def _top(hits: Tensor, k: int) -> Tensor:
    """(B, k) float64: the first k ranks."""
    if hits.shape[1] < k:
        raise ValueError(f"lists of {hits.shape[1]} items cannot be measured at k={k}")
    return hits[:, :k].double()


def _ranks(hits: Tensor, k: int) -> Tensor:
    """(k,) float64: the ranks 1, ..., k."""
    return torch.arange(1, k + 1, dtype=torch.float64, device=hits.device)
