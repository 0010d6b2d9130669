"""The cache comes back equal, notices change, and never stands in the way."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from recsys_lightning.data.sources import cache
from recsys_lightning.data.sources.cache import cache_key
from recsys_lightning.data.sources.files import Files
from recsys_lightning.errors import InputError
from tests.data.sources.helpers import assert_same, write


@pytest.fixture
def files(tmp_path):
    """A function that makes the source, with any options."""
    write(tmp_path / "ratings.csv", "user,item,time\n2,é,5\n2,b,4\n1,b,9\n")
    write(
        tmp_path / "items.csv", "item,title,genre,odd/file\né,Ä (1999),Drama|Crime,x\nb,,Drama,x\n"
    )
    fixed = {"path": tmp_path / "ratings.csv", "items": tmp_path / "items.csv"}
    return lambda **options: Files(
        **{
            **{key: str(path) for key, path in fixed.items()},
            **{"cache_dir": str(tmp_path / "cache"), **options},
        }
    )


@pytest.fixture
def reads(monkeypatch):
    """How often files were read."""
    calls = []
    read = Files._read
    monkeypatch.setattr(Files, "_read", lambda self: calls.append(self) or read(self))
    return calls


def stored(tmp_path):
    """All but the digests of the files."""
    return [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".sha256"]


def test_comes_back_equal_without_reading(files, reads):
    uncached = files(cache_dir=None).load()
    first = files().load()
    assert len(reads) == 2
    assert_same(files().load(), first)
    assert_same(first, uncached)
    assert len(reads) == 2
    assert list(first.features) == ["genre", "odd/file"]


def test_what_is_absent_stays_absent(tmp_path):
    path = str(write(tmp_path / "ratings.csv", "user,item\n1,2\n"))
    for _ in range(2):
        loaded = Files(path, cache_dir=str(tmp_path / "cache")).load()
        assert loaded.times is None
        assert loaded.titles is None
        assert loaded.features == {}


def test_ids_that_do_not_match_are_said_each_time(files, reads, tmp_path, caplog):
    write(tmp_path / "items.csv", "item,title\n1,x\n2,y\n")
    first, again = files().load(), files().load()
    assert len(reads) == 1
    assert again.joins == first.joins
    assert caplog.text.count("only 0 of 2 items of the interactions are in data.items") == 2


@pytest.mark.parametrize("name", ["ratings.csv", "items.csv"])
def test_a_changed_file_is_read_again_and_a_touched_one_is_not(files, reads, tmp_path, name):
    files().load()
    later = time.time_ns() + 10**9
    os.utime(tmp_path / name, ns=(later, later))
    files().load()
    assert len(reads) == 1
    write(tmp_path / name, (tmp_path / name).read_text().replace("b,", "c,"))
    files().load()
    assert len(reads) == 2


def test_a_copy_comes_from_the_cache(files, reads, tmp_path):
    first = files().load()
    copy = shutil.copy(tmp_path / "ratings.csv", tmp_path / "copy.csv")
    assert_same(files(path=str(copy)).load(), first)
    assert len(reads) == 1


def test_a_file_that_changes_while_it_is_read_is_not_cached(files, tmp_path, monkeypatch):
    read = Files._read

    def slowly(self):
        write(tmp_path / "ratings.csv", "user,item\n5,é\n")
        return read(self)

    monkeypatch.setattr(Files, "_read", slowly)
    with pytest.raises(InputError, match="a file changed while it was read; start again"):
        files().load()
    assert list((tmp_path / "cache").glob("*.npz")) == []


def test_a_changed_option_is_read_again(files, reads):
    assert files().load().times is not None
    assert files(time_column=None).load().times is None
    assert len(reads) == 2


def test_a_removed_file_is_an_error_all_the_same(files, tmp_path):
    files().load()
    (tmp_path / "ratings.csv").unlink()
    with pytest.raises(InputError, match="no such file"):
        files().load()


def test_another_format_is_another_file(monkeypatch):
    before = cache_key({"a": 1})
    assert before == cache_key({"a": 1})
    assert before != cache_key({"a": 2})
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    assert before != cache_key({"a": 1})


def test_damage_is_noticed_wherever_it_is(files, reads, tmp_path, caplog):
    good = files().load()
    (path,) = stored(tmp_path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [b"", b"PK", content[:-1], content[: len(content) // 2], b"x" * len(content)]
    for place in rng.choice(len(content), 60, replace=False):
        flipped = bytearray(content)
        flipped[place] ^= 0xFF
        damaged.append(bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        assert_same(files().load(), good)  # a byte of the zip's own may be harmless
    assert len(reads) > 5
    assert f"{path} is damaged and made again" in caplog.text
    assert stored(tmp_path) == [path]


def test_a_pickle_is_not_read(files, reads, tmp_path):
    good = files().load()
    (path,) = stored(tmp_path)
    with np.load(path) as arrays:
        contents = dict(arrays)
    contents["users"] = contents["users"].astype(object)
    np.savez(path, **contents)
    assert_same(files().load(), good)
    assert len(reads) == 2


def test_a_directory_that_cannot_be_written_costs_a_warning(files, tmp_path, caplog):
    write(tmp_path / "file", "")
    directory = str(tmp_path / "file" / "cache")
    assert files(cache_dir=directory).load().num_interactions == 3
    assert f"data.cache_dir={directory} cannot be written" in caplog.text


def test_a_failed_write_leaves_nothing(files, tmp_path, monkeypatch, caplog):
    def full(file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert files().load().num_interactions == 3
    assert stored(tmp_path) == []
    assert "No space left" in caplog.text


def test_many_at_once(files, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _: files().load(), range(16)))
    for other in loaded[1:]:
        assert_same(loaded[0], other)
    assert len(stored(tmp_path)) == 1


def test_a_cached_load_imports_nothing_slow(files, tmp_path):
    files().load()
    code = (
        "import sys; from recsys_lightning.data.sources.files import Files; "
        f"Files({str(tmp_path / 'ratings.csv')!r}, items={str(tmp_path / 'items.csv')!r}, "
        f"cache_dir={str(tmp_path / 'cache')!r}).load(); "
        "print([name for name in ('torch', 'pandas', 'pyarrow', 'pooch', 'rich', 'requests') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
