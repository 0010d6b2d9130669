import hashlib
from dataclasses import replace

import numpy as np
from pyarrow import parquet

from recsys_lightning.data.split import Split
from recsys_lightning.runs.lists import read_split
from tests.conftest import make_interactions


def test_the_hash_sees_parts_and_ids_but_not_the_order_of_the_file():
    x = make_interactions([[0, 1, 2, 3]], 5)
    part = np.array([0, 0, 1, 2], dtype=np.int8)
    shuffled = make_interactions([[2, 0, 3, 1]], 5)
    assert Split(x, part).sha256 == Split(shuffled, part[[2, 0, 3, 1]]).sha256
    assert Split(x, part).sha256 != Split(x, part[::-1].copy()).sha256
    assert len(bytes.fromhex(Split(x, part).sha256)) == hashlib.sha256().digest_size


def test_a_longer_id_that_is_not_in_the_data_does_not_change_the_hash(tmp_path):
    """A template's, or one that a k-core left out, had made room in the arrays of all others."""
    x = make_interactions([[0, 1, 2], [2, 1]], 3)
    texts = {name: np.array([f"{i}é" for i in getattr(x, name)]) for name in ("users", "items")}
    roomy = {name: ids.astype("<U20") for name, ids in texts.items()}
    part = np.array([0, 1, 2, 0, 0], dtype=np.int8)
    split = Split(replace(x, **roomy), part)
    assert split.sha256 == Split(replace(x, **texts), part).sha256
    assert read_split(split.write(tmp_path), split.sha256).sha256 == split.sha256


def test_the_hash_leaves_the_split_as_it_is():
    x = make_interactions([[3, 1, 2, 0]], 4)
    split = Split(x, np.array([0, 1, 2, 0], dtype=np.int8))
    assert split.sha256
    assert split.part.tolist() == [0, 1, 2, 0]
    assert x.indices.tolist() == [3, 1, 2, 0]


def test_written_files_hold_the_parts_under_original_ids(tmp_path):
    x = make_interactions([[0, 1, 2, 3], [4, 2]], 5)
    split = Split(x, np.array([0, 0, 1, 2, 0, 0], dtype=np.int8))
    folder = split.write(tmp_path)
    assert folder == split.write(tmp_path)  # the second time it is there
    rows = {
        name: list(
            zip(*parquet.read_table(folder / f"{name}.parquet").to_pydict().values(), strict=True)
        )
        for name in ("train", "valid", "test")
    }
    assert rows["train"] == [(100, 1000, 0), (100, 1001, 1), (101, 1004, 4), (101, 1002, 5)]
    assert rows["valid"] == [(100, 1002, 2)]
    assert rows["test"] == [(100, 1003, 3)]
    assert [path.name for path in tmp_path.iterdir()] == [split.sha256[:16]]


def test_other_times_of_the_same_split_have_a_folder_of_their_own(tmp_path):
    """The hash leaves times and order out, and the files of the first run served all later ones."""
    x = make_interactions([[0, 1, 2, 3], [4, 2]], 5)
    part = np.array([0, 0, 1, 2, 0, 0], dtype=np.int8)
    shuffled = make_interactions([[1, 0, 2, 3], [4, 2]], 5)
    splits = [
        Split(data, part)
        for data in (replace(x, times=None), x, replace(x, times=x.times * 1000), shuffled)
    ]
    assert len({split.sha256 for split in splits}) == 1
    folders = [split.write(tmp_path) for split in splits]
    assert len(set(folders)) == 4
    assert [split.write(tmp_path) for split in splits] == folders  # the second time they are there
    for split, folder in zip(splits, folders, strict=True):
        read = read_split(folder, split.sha256).interactions
        np.testing.assert_array_equal(read.indices, split.interactions.indices)
        assert (read.times is None) == (split.interactions.times is None)
        if read.times is not None:
            np.testing.assert_array_equal(read.times, split.interactions.times)


STRANGER = np.int8([0, 0, 1, 2, 3, 1, 1, 4, 2, 2])  # users 1 and 2 are in no training row


def strong_generalisation():
    """User 0 is trained on; users 1 and 2 are asked for, from a part of their histories."""
    x = make_interactions([[0, 1, 2, 3], [0, 1, 4], [2, 3, 4]], 5)
    return Split(x, STRANGER)


def test_a_split_says_what_is_trained_on_known_and_asked():
    split = strong_generalisation()
    rows = {
        stage: [
            [] if part is None else [part.gather(np.array([u]))[0].tolist() for u in range(3)]
            for part in split.question(stage, history)
        ]
        for stage, history in (("valid", "train_valid"), ("test", "train_valid"), ("final", ""))
    }
    trained = [[0, 1], [], []]
    assert rows["valid"] == [trained, [[0, 1], [0], []], [[2], [1, 4], []]]
    assert rows["test"] == [trained, [[0, 1, 2], [0, 1, 4], [2]], [[3], [], [3, 4]]]
    assert rows["final"] == [trained, [[0, 1, 2, 3], [0, 1, 4], [2, 3, 4]], []]
    masked_less = split.question("test", "train").known
    assert [masked_less.gather(np.array([u]))[0].tolist() for u in range(3)] == [[0, 1], [0], [2]]


def test_what_is_known_of_strangers_has_files_of_its_own(tmp_path):
    split = strong_generalisation()
    names = sorted(path.name for path in split.write(tmp_path / "five").iterdir())
    assert names == [
        f"{p}.parquet" for p in ("test", "test_known", "train", "valid", "valid_known")
    ]
    three = Split(split.interactions, np.minimum(STRANGER, 2).astype(np.int8))
    assert len(list(three.write(tmp_path / "three").iterdir())) == 3
    assert three.sha256 != split.sha256
