"""The contest's directory: ratings, five attribute files, and the users to recommend to.

- `train/train_ratings.csv`: user,item,time
- `train/{titles,years,genres,directors,writers}.tsv`: item<TAB>value; any of them may lack
- `eval/sample_submission.csv`: user,item; may lack
"""

import csv
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from recsys_lightning.data.attributes import Attributes, Pairs
from recsys_lightning.data.encoding import encode
from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.sources import Source
from recsys_lightning.data.tables import column_names, format_of, read_table
from recsys_lightning.errors import InputError

log = logging.getLogger(__name__)

RATINGS, SUBMISSION = "train/train_ratings.csv", "eval/sample_submission.csv"
FEATURES = {"genre": "genres.tsv", "director": "directors.tsv", "writer": "writers.tsv"}
ATTRIBUTES = [f"train/{name}" for name in ("titles.tsv", "years.tsv", *FEATURES.values())]


class Competition(Source):
    """A directory as the contest ships it.

    Args:
        path: the directory that holds `train/` and `eval/`.
        cache_dir: where the encoded data is kept; None: nowhere.
    """

    not_identity = Source.not_identity | {"path"}

    def __init__(self, path: str, cache_dir: str | None = None) -> None:
        super().__init__("competition", cache_dir)
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
        submission = None
        if self._submission.exists():
            submission = read_table(self._submission, ids=("user",)).ids("user").values
        else:
            log.warning("%s not found: recommending to every user", self._submission)
        interactions, _ = encode(
            ratings.ids("user"), ratings.ids("item"), ratings.times("time"), submission
        )

        attributes = Attributes(interactions.items)
        for name, file in FEATURES.items():
            attributes.add(name, self._pairs(file))
        if titles := self._pairs("titles.tsv"):
            attributes.add_titles(titles)
        attributes.add_years(self._pairs("years.tsv"))
        return replace(interactions, titles=attributes.titles, features=attributes.features)

    @property
    def _submission(self) -> Path:
        return Path(self.path, SUBMISSION)

    def _train(self, name: str) -> Path:
        return Path(self.path, "train", name)

    def _pairs(self, name: str) -> Pairs:
        path = self._train(name)
        if not path.exists():
            log.warning("%s not found: going on without it", path)
            return []
        names = column_names(path, format_of(path))
        if len(names) != 2:
            raise InputError(f"{path}: expected a header of two columns, item<TAB>value")
        return read_table(path, texts=names).rows(*names)


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
    with (path / "train" / "train_ratings.csv").open("wb") as file:
        file.write(b"user,item,time\n")  # Arrow would put the names in quotes
        arrow.write_csv(ratings, file, arrow.WriteOptions(include_header=False))

    if interactions.titles is not None:
        pairs = list(zip(interactions.items.tolist(), interactions.titles.tolist(), strict=True))
        _write_pairs(path / "train" / "titles.tsv", "title", pairs)
    for name, file_name in {**FEATURES, "year": "years.tsv"}.items():
        if name in interactions.features:
            feature = interactions.features[name]
            rows, columns = feature.matrix.nonzero()
            values = zip(interactions.items[rows].tolist(), feature.values[columns], strict=True)
            _write_pairs(path / "train" / file_name, name, list(values))

    popular = interactions.items[np.argsort(-interactions.popularity, kind="stable")[:10]]
    sample = pa.table(
        {
            "user": np.repeat(interactions.submission_users, len(popular)),
            "item": np.tile(popular, len(interactions.submission_users)),
        }
    )
    with (path / "eval" / "sample_submission.csv").open("wb") as file:
        file.write(b"user,item\n")
        arrow.write_csv(sample, file, arrow.WriteOptions(include_header=False))


def _write_pairs(path: Path, name: str, pairs: list) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerows([("item", name), *pairs])
