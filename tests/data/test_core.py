"""k-core: the largest set in which all have enough, as if the files had held nothing else."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_lightning.data.core import k_core
from recsys_lightning.data.holdout import FilesHoldout, RandomHoldout
from recsys_lightning.data.sources.competition import Competition
from recsys_lightning.data.sources.files import Files
from recsys_lightning.data.sources.synthetic import Synthetic
from recsys_lightning.errors import InputError
from tests.data.sources.helpers import assert_same, write

# item 9 leaves for want of users, then user 3 for want of items, then item 7 for want of users
CHAIN = [
    *((1, 5), (1, 6), (1, 8), (2, 5), (2, 6), (2, 8)),
    *((1, 7), (3, 7), (3, 9)),
]
STAY = CHAIN[:6]
ITEMS = "item,title,genre\n" + "".join(
    f"{item},Title {item},{genre}\n"
    for item, genre in ((5, "Drama"), (6, "Crime|Drama"), (7, "War"), (8, ""), (9, "Drama|War"))
)


def one_by_one(pairs: set, min_user: int, min_item: int) -> set:
    """A k-core by the definition: whoever is short leaves, one at a time."""
    while True:
        for place, least in ((0, min_user), (1, min_item)):
            for one in {pair[place] for pair in pairs}:
                if sum(pair[place] == one for pair in pairs) < least:
                    pairs = {pair for pair in pairs if pair[place] != one}
                    break
            else:
                continue
            break
        else:
            return pairs


@given(
    pairs=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), unique=True, max_size=50),
    min_user=st.integers(0, 4),
    min_item=st.integers(0, 4),
)
def test_it_is_what_is_left_when_all_leave_one_by_one(pairs, min_user, min_item):
    users, items = np.array(pairs, dtype=np.int32).reshape(-1, 2).T
    stay, _ = k_core(users, items, min_user, min_item)
    assert {pair for pair, kept in zip(pairs, stay, strict=True) if kept} == one_by_one(
        set(pairs), min_user, min_item
    )


def ratings(pairs) -> str:
    return "user,item,time\n" + "".join(f"{u},{i},{n}\n" for n, (u, i) in enumerate(pairs))


@pytest.fixture
def source(tmp_path):
    """A function that makes the source of some pairs, with any options."""
    write(tmp_path / "items.csv", ITEMS)

    def make(pairs=CHAIN, **options) -> Files:
        path = write(tmp_path / f"{len(pairs)}.csv", ratings(pairs))
        return Files(str(path), items=str(tmp_path / "items.csv"), **options)

    return make


def test_the_data_is_as_if_the_files_had_held_nothing_else(source):
    found = source(min_user_interactions=2, min_item_interactions=2).load()
    assert_same(found, source(STAY).load())
    assert found.features["genre"].values.tolist() == ["Crime", "Drama"]


def test_a_feature_that_no_item_has_any_more_is_left_out(tmp_path):
    write(tmp_path / "ratings.csv", ratings(CHAIN))
    write(tmp_path / "items.csv", "item,prize\n9,Oscar\n")
    paths = {"path": str(tmp_path / "ratings.csv"), "items": str(tmp_path / "items.csv")}
    paths["feature_columns"] = ["prize"]
    assert list(Files(**paths).load().features) == ["prize"]
    assert Files(**paths, min_item_interactions=2).load().features == {}


def test_the_counts_are_said(source):
    found = source(min_user_interactions=2, min_item_interactions=2).load()
    assert found.core.rounds == 3
    assert str(found.core) == (
        "k-core (at least 2 interactions a user, 2 an item): 6 of 9 interactions, 2 of 3 users, "
        "3 of 5 items stay (rounds: 3)"
    )
    assert source().load().core is None


def test_one_threshold_alone_counts(source):
    assert source(min_user_interactions=3).load().items.tolist() == [5, 6, 7, 8]
    assert source(min_item_interactions=2).load().users.tolist() == [1, 2, 3]


def test_low_ratings_and_repeated_rows_are_no_interactions(tmp_path):
    path = write(tmp_path / "a.csv", "user,item,stars\n1,1,5\n1,1,5\n1,2,5\n2,1,5\n2,2,1\n2,3,5\n")
    options = {"rating_column": "stars", "min_rating": 3}
    assert Files(str(path), **options, min_item_interactions=2).load().items.tolist() == [1]
    with pytest.raises(InputError, match="no interactions left"):
        Files(str(path), **options, min_user_interactions=2, min_item_interactions=2).load()
    core = Files(str(path), min_user_interactions=2, min_item_interactions=2).load()
    assert core.core.after == (4, 2, 2)


def test_a_template_keeps_its_users_and_else_they_are_those_of_the_core(source, tmp_path):
    template = str(write(tmp_path / "template.csv", "user\n3\n1\n777\n"))
    thresholds = {"min_user_interactions": 2, "min_item_interactions": 2}
    asked = source(submission_template=template, **thresholds).load()
    assert asked.submission_users.tolist() == [3, 1, 777]
    assert asked.users.tolist() == [1, 2]
    assert source(CHAIN[::-1], **thresholds).load().submission_users.tolist() == [1, 2]

    write(tmp_path / "train" / "train_ratings.csv", ratings(CHAIN))
    assert Competition(str(tmp_path), **thresholds).load().submission_users.tolist() == [1, 2]
    write(tmp_path / "eval" / "sample_submission.csv", "user,item\n3,1\n1,1\n777,1\n")
    assert Competition(str(tmp_path), **thresholds).load().submission_users.tolist() == [3, 1, 777]


def test_all_cores_come_from_one_file_of_the_cache(source, tmp_path, monkeypatch):
    cache = {"cache_dir": str(tmp_path / "cache")}
    whole = source(**cache).load()
    monkeypatch.setattr(Files, "_read", None)
    for least in (2, 3):
        core = source(min_user_interactions=least, **cache).load()
        assert core.num_users == (whole.lengths >= least).sum()
    assert_same(source(**cache).load(), whole)
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 1


def test_a_threshold_is_other_data_unless_nobody_can_leave_by_it(source):
    def identity(**options) -> str:
        return json.dumps(RandomHoldout().identity(source(**options)))

    whole = identity()
    assert "interactions" not in whole  # as before there were thresholds
    assert identity(min_user_interactions=1, min_item_interactions=1) == whole
    others = [
        identity(min_user_interactions=2),
        identity(min_user_interactions=3),
        identity(min_item_interactions=2),
        identity(min_user_interactions=2, min_item_interactions=2),
    ]
    assert len({whole, *others}) == 5


def test_nothing_left_says_the_numbers(source):
    with pytest.raises(
        InputError,
        match=r"data\.min_user_interactions=3, data\.min_item_interactions=3: no interactions left "
        r"of 9 \(3 users, 5 items; rounds: 1\)\. The longest history has 4, the most popular item "
        r"2: ask for fewer",
    ):
        source(min_user_interactions=3, min_item_interactions=3).load()


def test_a_split_made_elsewhere_is_taken_as_it_is(tmp_path):
    train = str(write(tmp_path / "train.csv", ratings(CHAIN)))
    for ask in (FilesHoldout(train), FilesHoldout(train).identity):
        with pytest.raises(InputError, match=r"data\.min_item_interactions=2: holdout=files takes"):
            ask(Files(min_item_interactions=2))
    assert FilesHoldout(train)(Files(min_item_interactions=1)).interactions.num_items == 5


def test_made_up_ratings_are_written_as_they_are_read(tmp_path):
    sizes = {"num_users": 30, "num_items": 40, "num_interactions": 300, "min_per_user": 4}
    place = tmp_path / "written"
    core = Synthetic(**sizes, min_item_interactions=8, write_to=str(place)).load()
    assert 0 < core.num_items < 40
    assert_same(Competition(str(place)).load(), core)
    with pytest.raises(InputError, match="holds other data"):
        Synthetic(**sizes, write_to=str(place)).load()
