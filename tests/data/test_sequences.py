"""Sequences: what a sequential model is trained on."""

import numpy as np
import pytest

from recsys_lightning.data.views.sequences import SequenceView
from recsys_lightning.errors import InputError
from tests.conftest import make_interactions

ROWS = [[5, 3, 1, 0, 2, 4, 9, 8], [7], [], [1, 2, 3], [6, 0]]
TRAIN = make_interactions(ROWS, 12)


def parts(view, epoch=0, **of_rank):
    given = {"seed": 3, "rank": 0, "world_size": 1} | of_rank
    return [
        (user, tuple(part.tolist()))
        for batch in view.loader(TRAIN, epoch=epoch, **given)
        for user, part in zip(
            batch.users.tolist(), batch.items.items.split(batch.items.lengths.tolist()), strict=True
        )
    ]


def test_the_latest_part_of_every_history_that_has_something_to_predict():
    expected = [(0, (0, 2, 4, 9, 8)), (3, (1, 2, 3)), (4, (6, 0))]
    assert sorted(parts(SequenceView(2, length=4))) == expected


def test_sliding_parts_cover_a_history_and_overlap():
    found = [part for user, part in parts(SequenceView(2, 3, windows="sliding")) if user == 0]
    assert sorted(found, reverse=True) == [(5, 3, 1, 0), (2, 4, 9, 8), (1, 0, 2, 4)]
    assert len(parts(SequenceView(2, 3, windows="sliding"))) == 5


def test_random_parts_are_drawn_anew_every_epoch_and_reach_every_place():
    view, seen = SequenceView(2, 3, windows="random"), set()
    for epoch in range(60):
        found = dict(parts(view, epoch))
        assert found == dict(parts(view, epoch))
        assert found[3] == (1, 2, 3)
        seen.add(found[0])
    assert seen == {tuple(ROWS[0][first : first + 4]) for first in range(5)}


def test_parts_come_in_an_order_of_the_seed_and_the_epoch():
    train = make_interactions([[0, 1]] * 40, 3)

    def order(seed, epoch):
        loader = SequenceView(1, 3).loader(train, seed=seed, epoch=epoch, rank=0, world_size=1)
        return [batch.users.item() for batch in loader]

    one = order(0, 0)
    assert order(0, 0) == one
    assert sorted(one) == list(range(40))
    assert len({*map(tuple, (one, sorted(one), order(1, 0), order(0, 1)))}) == 4


def test_a_batch_has_the_longest_first():
    [batch] = SequenceView(9, 10).loader(TRAIN, seed=0, epoch=0, rank=0, world_size=1)
    assert batch.items.lengths.tolist() == [8, 3, 2]


def test_negatives_are_of_each_item_and_never_the_users_own():
    for batch in SequenceView(2, 4, negatives=6).loader(
        TRAIN, seed=0, epoch=0, rank=0, world_size=1
    ):
        assert batch.negatives.shape == (len(batch.items.items), 6)
        owners = batch.users.repeat_interleave(batch.items.lengths)
        for user, drawn in zip(owners.tolist(), batch.negatives.tolist(), strict=True):
            assert not set(drawn) & set(ROWS[user])


def test_a_user_with_every_item_has_no_negatives_and_is_left_out_where_some_are_drawn():
    train = make_interactions([[0, 1, 2], [1, 2]], 3)
    for negatives, expected in ((0, [0, 1]), (1, [1])):
        view = SequenceView(2, 3, negatives=negatives)
        [batch] = view.loader(train, seed=0, epoch=0, rank=0, world_size=1)
        assert batch.users.tolist() == expected


def test_two_processes_are_an_epoch_together():
    view = SequenceView(1, 4)
    both = [part for rank in (0, 1) for part in parts(view, rank=rank, world_size=2)]
    assert sorted(both) == sorted(parts(view))


@pytest.mark.parametrize(
    ("users", "batch"), [(40, 16), (4_000, 16), (6_040, 32), (10_000, 64), (50_000, 128)]
)
def test_a_batch_is_a_two_hundredth_of_the_parts_from_16_to_128(users, batch):
    train = make_interactions([[0, 1]] * users, 2)
    loader = SequenceView(None, 3).loader(train, seed=0, epoch=0, rank=0, world_size=1)
    assert len(loader) == -(-users // batch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "view.batch_size=0"),
        ({"length": 0}, "view.length=0: expected a whole number in [1, inf)"),
        ({"windows": "all"}, "view.windows=all: expected one of latest, random, sliding"),
        ({"negatives": -1}, "view.negatives=-1"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(InputError) as caught:
        SequenceView(**{"batch_size": 2, "length": 3} | options)
    assert str(caught.value).startswith(message)


def test_nobody_to_train_on_is_refused():
    with pytest.raises(InputError, match="nobody has two items"):
        SequenceView(2, 3).loader(
            make_interactions([[0], [1]], 3), seed=0, epoch=0, rank=0, world_size=1
        )
    with pytest.raises(InputError, match="nobody has two items and lacks another"):
        SequenceView(2, 3, negatives=1).loader(
            make_interactions([[0, 1, 2]], 3), seed=0, epoch=0, rank=0, world_size=1
        )


def test_a_part_is_in_time_order_across_users():
    everything = np.concatenate([part for _, part in sorted(parts(SequenceView(3, 20)))])
    assert everything.tolist() == [*ROWS[0], *ROWS[3], *ROWS[4]]
