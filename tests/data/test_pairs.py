"""Pairs: what a pairwise model is trained on."""

import logging

import numpy as np
import pytest
import torch

from recsys_lightning.data.views.pairs import PairView
from recsys_lightning.errors import InputError
from tests.conftest import make_interactions, two_tastes

ROWS = [[0, 1, 2], [3], [0, 4], [5, 0, 1, 2, 3, 4]]  # of 6 items; the last has all


def epoch_of(train, view, epoch=0, **of_rank):
    given = {"seed": 3, "rank": 0, "world_size": 1} | of_rank
    return list(view.loader(train, epoch=epoch, **given))


def triples(batches):
    return [
        (user, item, tuple(negatives))
        for batch in batches
        for user, item, negatives in zip(*(tensor.tolist() for tensor in batch[:3]), strict=True)
    ]


def test_every_interaction_comes_once_an_epoch_with_items_that_its_user_has_not():
    train = two_tastes()
    seen = train.matrix.toarray() > 0
    drawn = triples(epoch_of(train, PairView(100, negatives=3)))
    pairs = sorted((user, item) for user, item, _ in drawn)
    assert pairs == sorted(zip(train.rows.tolist(), train.indices.tolist(), strict=True))
    assert not any(seen[user, list(negatives)].any() for user, _, negatives in drawn)


@pytest.mark.parametrize(
    ("users", "options", "steps"),
    [
        (100, {}, 20),
        (700, {}, 100),
        (10_000, {}, 123),
        (100, {"largest_batch": 1000}, 20),
        (700, {"largest_batch": 1000}, 100),
        (10_000, {"largest_batch": 1000}, 1000),
        (600, {"batches": 30}, 30),
    ],
)
def test_a_batch_is_a_share_of_the_pairs_from_512_to_the_largest(users, options, steps):
    train = make_interactions([list(range(100))] * users, 101)
    assert len(PairView(**options).loader(train, seed=0, epoch=0, rank=0, world_size=1)) == steps


def test_the_batches_of_two_processes_are_an_epoch_together():
    train, view = two_tastes(), PairView(64)
    both = [
        pair for rank in (0, 1) for pair in triples(epoch_of(train, view, rank=rank, world_size=2))
    ]
    alone = triples(epoch_of(train, view))
    assert sorted(pair[:2] for pair in both) == sorted(pair[:2] for pair in alone)


def test_what_is_drawn_follows_from_seed_epoch_and_batch_alone():
    train, view = two_tastes(), PairView(100, negatives=2)
    first, second = (triples(epoch_of(train, view, epoch)) for epoch in (0, 1))
    torch.manual_seed(1)
    assert triples(epoch_of(train, view, 1)) == second != first
    assert [pair[:2] for pair in first] != [pair[:2] for pair in second]  # in another order
    assert triples(epoch_of(train, view, seed=4)) != first


def test_a_user_with_every_item_is_left_out_and_counted(caplog):
    train = make_interactions([ROWS[3], *ROWS[:3]], 6)
    with caplog.at_level(logging.WARNING):
        drawn = triples(epoch_of(train, PairView(2)))
    assert sorted(pair[:2] for pair in drawn) == [(1, 0), (1, 1), (1, 2), (2, 3), (3, 0), (3, 4)]
    assert "1 of 4 users have every item" in caplog.text
    by_user = triples(epoch_of(train, PairView(2, pairs="users")))
    assert {user for user, _, _ in by_user} <= {1, 2, 3}


def test_nobody_to_train_on_is_refused():
    with pytest.raises(InputError, match="nobody has an item and lacks another"):
        epoch_of(make_interactions([[0, 1], [1, 0]], 2), PairView(2))


def test_users_are_drawn_uniformly_and_then_one_of_their_items():
    train = make_interactions([[0], [1, 2, 3, 4], []], 6)
    view = PairView(5, pairs="users")
    drawn = [pair for epoch in range(800) for pair in triples(epoch_of(train, view, epoch))]
    assert len(drawn) == 800 * train.num_interactions
    users, items = np.array([pair[:2] for pair in drawn]).T
    assert np.mean(users == 0) == pytest.approx(0.5, abs=0.03)
    assert (items[users == 0] == 0).all()
    shares = np.bincount(items[users == 1], minlength=6) / np.count_nonzero(users == 1)
    assert shares[1:5] == pytest.approx(0.25, abs=0.03)


def test_negatives_are_drawn_by_popularity_where_it_is_asked_for():
    train = make_interactions(ROWS[:3], 6)  # nobody has item 5

    def drawn(power):
        batches = epoch_of(train, PairView(6, negatives=50, negative_power=power))
        return {item for batch in batches for item in batch.negatives.flatten().tolist()}

    assert drawn(0.0) == {0, 1, 2, 3, 4, 5}
    assert drawn(1.0) == {0, 1, 2, 3, 4}


def test_the_probability_of_a_draw_goes_with_it():
    train = make_interactions(ROWS[:3], 6)
    [batch] = epoch_of(train, PairView(6, negatives=2))
    lacking = 6 - train.lengths[batch.users.numpy()]
    assert batch.log_probability.exp().numpy() == pytest.approx(
        np.repeat(1 / lacking[:, None], 2, axis=1)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negatives": 0}, "view.negatives=0: expected a whole number in [1"),
        ({"batch_size": 0}, "view.batch_size=0"),
        ({"negative_power": -1.0}, "view.negative_power=-1.0"),
        ({"negative_power": 2.5}, "view.negative_power=2.5: expected a number in [0, 2]"),
        ({"batches": 0}, "view.batches=0"),
        ({"pairs": "all"}, "view.pairs=all: expected interactions or users"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(InputError) as error:
        PairView(**{"batch_size": 4} | options)
    assert message in str(error.value)
