import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from recsys_lightning.data.datamodule import RecommendationData
from recsys_lightning.data.holdout import RandomHoldout
from recsys_lightning.data.views.queries import QueryDataset
from recsys_lightning.data.views.rows import RowView
from recsys_lightning.data.views.sampler import EvenBatches, bag
from recsys_lightning.errors import InputError
from tests.conftest import make_interactions


@given(
    size=st.integers(0, 50),
    batch_size=st.integers(1, 12),
    world_size=st.integers(1, 4),
    shuffle=st.booleans(),
)
def test_ranks_share_all_positions_without_duplicates_in_equally_many_batches(
    size, batch_size, world_size, shuffle
):
    assume(size == 0 or size >= world_size)
    ranks = [
        list(EvenBatches(size, batch_size, shuffle=shuffle, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    assert len({len(batches) for batches in ranks}) == 1
    positions = [position for batches in ranks for draw in batches for position in draw.positions]
    assert sorted(positions) == list(range(size))
    sizes = [len(draw.positions) for batches in ranks for draw in batches]
    assert not sizes or (
        min(sizes) > 0 and max(sizes) <= max(batch_size, 2) and max(sizes) - min(sizes) <= 1
    )


def test_fewer_rows_than_processes_are_refused_with_both_numbers():
    x = make_interactions([[0], [1], []], 2)
    with pytest.raises(InputError, match="2 rows for 3 processes"):
        RowView(4, shuffle=True).loader(x, seed=0, epoch=0, rank=0, world_size=3)


def test_every_batch_has_numbers_of_its_own_that_a_resumed_run_repeats():
    """Of every epoch, rank and pass; whatever is drawn for the others."""
    options = {"shuffle": True, "passes": 2, "seed": 1, "world_size": 2}
    seen = []
    for rank in range(2):
        batches = EvenBatches(10, 2, rank=rank, **options)
        for epoch in range(2):
            batches.set_epoch(epoch)
            resumed = list(EvenBatches(10, 2, rank=rank, epoch=epoch, **options))
            for draw, again in zip(batches, resumed, strict=True):
                seen.append(draw.rng().integers(2**40))
                assert again.rng().integers(2**40) == seen[-1]
                assert (again.positions == draw.positions).all()
    assert len(set(seen)) == len(seen) == 2 * 2 * 2 * 3


def test_an_epoch_has_an_order_of_its_own_that_a_seed_repeats():
    batches, again = (EvenBatches(20, 20, shuffle=True, seed=1) for _ in range(2))
    first = next(iter(batches)).positions
    batches.set_epoch(1)
    assert (next(iter(batches)).positions != first).any()
    assert (next(iter(again)).positions == first).all()


@pytest.mark.parametrize(("users", "batch"), [(40, 32), (671, 55), (6040, 500)])
def test_a_batch_of_rows_is_a_twelfth_of_the_users_from_32_to_500(users, batch):
    train = make_interactions([[0]] * users, 2)
    loader = RowView(None, shuffle=True).loader(train, seed=0, epoch=0, rank=0, world_size=1)
    assert len(loader) == -(-users // batch)


def test_rows_come_in_an_order_of_the_seed_the_epoch_and_the_pass():
    train = make_interactions([[0]] * 40, 2)

    def order(seed, epoch, passes=1, shuffle=True):
        view = RowView(10, shuffle=shuffle, passes=passes)
        loader = view.loader(train, seed=seed, epoch=epoch, rank=0, world_size=1)
        return torch.cat([rows.users for rows in loader]).tolist()

    one = order(0, 0)
    assert order(0, 0, shuffle=False) == sorted(one) == list(range(40))
    assert len({*map(tuple, (one, sorted(one), order(1, 0), order(0, 1)))}) == 4
    both = order(0, 0, passes=2)
    assert both[:40] == one != both[40:]
    assert sorted(both[40:]) == sorted(one)


def test_row_batches_carry_the_rows_of_the_users_who_have_one():
    x = make_interactions([[3, 1], [], [0, 2, 4], []], 5)
    loader = RowView(batch_size=1, shuffle=False).loader(x, seed=0, epoch=0, rank=0, world_size=1)
    assert len(loader) == 2
    dense = torch.cat([rows.history.dense(5) for rows in loader])
    assert torch.cat([rows.users for rows in loader]).tolist() == [0, 2]
    assert (dense.numpy() == x.matrix.toarray()[[0, 2]]).all()


def test_bags_keep_the_order_in_time():
    x = make_interactions([[3, 1], [], [0, 2, 4]], 5)
    some = bag(x, np.array([2, 1, 0]))
    assert some.items.tolist() == [0, 2, 4, 3, 1]
    assert some.offsets.tolist() == [0, 3, 3, 5]


def test_queries_give_each_stage_its_history_and_target():
    x = make_interactions([list(range(12)), [0, 1], list(range(5, 17))], 17)
    split = RandomHoldout(valid_items=2, test_items=3, seed=0).split(x)
    data = RecommendationData(split, RowView(2, shuffle=False), eval_batch_size=1)
    for loader, history, target in (
        (data.val_dataloader(), split.train, split.valid),
        (data.test_dataloader(), split.question("test").known, split.test),
    ):
        queries = list(loader)
        assert [query.users.item() for query in queries] == [0, 2]  # user 1 is too short
        for query in queries:
            user = query.users.numpy()
            assert (query.history.items.numpy() == history.gather(user)[0]).all()
            assert (query.target.items.numpy() == target.gather(user)[0]).all()
    masked_less = RecommendationData(split, RowView(2, shuffle=False), test_history="train")
    [query] = masked_less.test_dataloader()
    assert query.history.lengths.tolist() == [7, 7]


def test_prediction_asks_for_every_user_with_the_whole_history():
    x = make_interactions([list(range(12)), [0, 1], []], 17)
    split = RandomHoldout(valid_items=2, test_items=2).split(x)
    [query] = RecommendationData(split, RowView(2, shuffle=False)).predict_dataloader()
    assert query.users.tolist() == [0, 1, -1]  # no model can have learned from user 2
    assert query.history.lengths.tolist() == [12, 2, 0]
    assert query.target.lengths.tolist() == [0, 0, 0]


def test_a_query_set_of_nobody_has_no_batches():
    x = make_interactions([[0]], 1)
    assert list(QueryDataset(np.array([], dtype=np.int64), np.array([0]), x, x).loader(4)) == []
