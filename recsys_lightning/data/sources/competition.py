"""The contest's directory: ratings, five attribute files, and the users to recommend to.

- `train/train_ratings.csv`: user,item,time
- `train/{titles,years,genres,directors,writers}.tsv`: item<TAB>value; any of them may be missing
- `eval/sample_submission.csv`: user,item; may be missing
"""

import csv
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.joins import Join, join
from recsys_lightning.data.sources.attributes import Attributes
from recsys_lightning.data.sources.base import Source
from recsys_lightning.data.sources.encoding import INTEGER, encode
from recsys_lightning.data.sources.tables import column_names, format_of, read_table
from recsys_lightning.errors import InputError

log = logging.getLogger(__name__)

RATINGS, SUBMISSION = "train/train_ratings.csv", "eval/sample_submission.csv"
TITLES, YEARS = "train/titles.tsv", "train/years.tsv"
FEATURES = {
    "genre": "train/genres.tsv",
    "director": "train/directors.tsv",
    "writer": "train/writers.tsv",
}
ATTRIBUTES = (TITLES, YEARS, *FEATURES.values())


class Competition(Source):
    """A directory as the contest ships it.

    Args:
        path: the directory that holds `train/` and `eval/`.
        min_user_interactions: users with fewer leave (k-core); 0: nobody.
        min_item_interactions: items with fewer leave (k-core); 0: none.
        cache_dir: where the encoded data is kept; None: nowhere.
    """

    not_identity = Source.not_identity | {"path"}

    def __init__(
        self,
        path: str,
        min_user_interactions: int = 0,
        min_item_interactions: int = 0,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__("competition", cache_dir, min_user_interactions, min_item_interactions)
        self.path = str(path)

    def _files(self) -> dict[str, Path]:
        return {name: Path(self.path, name) for name in (RATINGS, *ATTRIBUTES, SUBMISSION)}

    def _read(self) -> Interactions:
        """Years that `years.tsv` lacks come from the titles.

        Raises:
            InputError: no such directory, or a file that is wrong.
        """
        path = Path(self.path, RATINGS)
        if not path.exists():
            raise InputError(
                f"data.path={self.path}: no {RATINGS} in it; "
                "expected the directory the contest ships, with train/ and eval/"
            )
        ratings = read_table(path, ids=("user", "item"), texts=("time",))
        users = ratings.ids("user")
        joins: list[Join] = []
        submission = None
        if self._submission.exists():
            submission = read_table(self._submission, ids=("user",)).ids("user").values
            joins.append(join("users", SUBMISSION, submission, RATINGS, users.values))
        else:
            log.warning("%s not found: recommending to every user", self._submission)
        times = ratings.times("time")
        interactions, _ = encode(users, ratings.ids("item"), times, submission)

        attributes = Attributes(interactions.items)
        pairs = {name: self._pairs(name) for name in ATTRIBUTES}
        for name, file in FEATURES.items():
            attributes.add(name, pairs[file])
        if titles := pairs[TITLES]:
            attributes.add_titles(titles)
        attributes.add_years(pairs[YEARS])
        for file, values in pairs.items():
            if values:
                ids = (item for item, _ in values)
                joins.append(join("items", RATINGS, attributes.positions, file, ids))
        return replace(
            interactions,
            titles=attributes.titles,
            features=attributes.features,
            joins=tuple(joins),
        )

    def _has_template(self) -> bool:
        return self._submission.exists()

    @property
    def _submission(self) -> Path:
        return Path(self.path, SUBMISSION)

    def _pairs(self, name: str) -> list[tuple[str, ...]]:
        path = Path(self.path, name)
        if not path.exists():
            log.warning("%s not found: going on without it", path)
            return []
        names = column_names(path, format_of(path))
        if len(names) != 2 or INTEGER.fullmatch(names[0]):  # else it is the first item
            raise InputError(f"{path}: expected a header of two columns, item<TAB>value")
        item, value = names
        return read_table(path, texts=names).rows(item, value)


def write_competition(interactions: Interactions, path: Path) -> None:
    """Interactions with times as a directory that `Competition` reads, equal to what was written.

    Args:
        interactions: what to write.
        path: a directory; made where it does not exist.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow

    (path / "train").mkdir(parents=True, exist_ok=True)
    (path / "eval").mkdir(exist_ok=True)

    ratings = pa.table(
        {
            "user": interactions.users[interactions.rows],
            "item": interactions.items[interactions.indices],
            "time": interactions.times,
        }
    )
    with (path / RATINGS).open("wb") as file:
        file.write(b"user,item,time\n")  # Arrow would put the names in quotes
        arrow.write_csv(ratings, file, arrow.WriteOptions(include_header=False))

    if interactions.titles is not None:
        pairs = list(zip(interactions.items.tolist(), interactions.titles.tolist(), strict=True))
        _write_pairs(path / TITLES, "title", pairs)
    for name, file_name in {**FEATURES, "year": YEARS}.items():
        if name in interactions.features:
            feature = interactions.features[name]
            rows, columns = feature.matrix.nonzero()
            values = zip(interactions.items[rows].tolist(), feature.values[columns], strict=True)
            _write_pairs(path / file_name, name, list(values))

    popular = interactions.items[np.argsort(-interactions.popularity, kind="stable")[:10]]
    sample = pa.table(
        {
            "user": np.repeat(interactions.submission_users, len(popular)),
            "item": np.tile(popular, len(interactions.submission_users)),
        }
    )
    with (path / SUBMISSION).open("wb") as file:
        file.write(b"user,item\n")
        arrow.write_csv(sample, file, arrow.WriteOptions(include_header=False))


def _write_pairs(path: Path, name: str, pairs: list) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerows([("item", name), *pairs])
