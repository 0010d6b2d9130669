"""The user's own files: interactions, and what is known of the items.

Interactions are CSV (also `.csv.gz`), tab-separated (`.tsv`, `.txt`, `.dat`, and RecBole's `.inter`
and `.item`) or Parquet, with named columns (`separator`, `columns` and `encoding` say where a text
file is otherwise); or LightGCN's text format (`lightgcn`), a line of a user and then the items: a
`.txt` file without a tab or a comma in its first line is taken for that.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from recsys_lightning.data.interactions import Interactions
from recsys_lightning.data.joins import Join, join
from recsys_lightning.data.sources.attributes import Attributes, has_name
from recsys_lightning.data.sources.base import Source
from recsys_lightning.data.sources.cache import Stored
from recsys_lightning.data.sources.encoding import (
    at_least,
    concatenate,
    encode,
    has_name_first,
)
from recsys_lightning.data.sources.lightgcn import is_lightgcn, read_lightgcn
from recsys_lightning.data.sources.parts import (
    PARTS,
    Ratings,
    check_parts,
    check_units,
    join_parts,
    named_parts,
)
from recsys_lightning.data.sources.tables import (
    Format,
    NoRows,
    column_names,
    extension,
    format_of,
    read_table,
    submission_columns,
    time_column,
)
from recsys_lightning.data.sources.text import text_layout
from recsys_lightning.data.sources.values import concatenate_times
from recsys_lightning.errors import InputError

log = logging.getLogger(__name__)

INTERACTIONS = "the interactions"


class Files(Source):
    """Interactions, item table and submission template from files of the user's own.

    Args:
        path: the interactions; None where only `load_parts` is used.
        user_column: user ids.
        item_column: item ids.
        time_column: ISO 8601 times, or seconds since 1970, or thousandths and less of them where
            the numbers are too large for seconds; "auto": `time` or `timestamp`, in small
            or capital letters, also with a type of RecBole's (`timestamp:float`), where there is
            one; None: the file's order is the order in time.
        rating_column: what `min_rating` looks at.
        min_rating: lower ratings are no interactions; None: every row is one.
        min_user_interactions: users with fewer leave (k-core); 0: nobody.
        min_item_interactions: items with fewer leave (k-core); 0: none.
        items: a table of the items, one row or several an item; None: nothing is known of them.
        items_item_column: item ids in `items`; None: as `item_column`.
        title_column: in `items`; "auto": `title` or `Title`, where there is one; None: no titles.
        feature_columns: in `items`, one value a row or several, see `feature_separator`; "auto":
            all others with a name, but those in which no two items share a value; None: no
            features.
        feature_separator: between the values of a cell that is no list; None: `|`.
        submission_template: its `user_column` fixes the users to recommend to, and their order.
        separator: between two values of a text file, of all files; None: by their names.
        columns: the names of the columns of interactions without a header line.
        encoding: of all text files, as Python names it; None: UTF-8.
        cache_dir: where the encoded data is kept; None: nowhere.
    """

    not_identity = Source.not_identity | {"path", "items", "submission_template"}

    def __init__(
        self,
        path: str | None = None,
        user_column: str = "user",
        item_column: str = "item",
        time_column: str | None = "auto",
        rating_column: str | None = None,
        min_rating: float | None = None,
        min_user_interactions: int = 0,
        min_item_interactions: int = 0,
        items: str | None = None,
        items_item_column: str | None = None,
        title_column: str | None = "auto",
        feature_columns: str | Sequence[str] | None = "auto",
        feature_separator: str | None = None,
        submission_template: str | None = None,
        separator: str | None = None,
        columns: Sequence[str] | None = None,
        encoding: str | None = None,
        cache_dir: str | None = None,
    ) -> None:
        super().__init__("files", cache_dir, min_user_interactions, min_item_interactions)
        self.separator, self.columns, self.encoding = text_layout(separator, columns, encoding)
        if min_rating is not None and rating_column is None:
            raise InputError(f"data.min_rating={min_rating} needs data.rating_column")
        self.path = _text(path)
        self.user_column = str(user_column)
        self.item_column = str(item_column)
        if self.item_column == self.user_column:
            raise InputError(
                f"data.item_column={self.item_column}: expected another column than "
                "data.user_column's"
            )
        self.time_column = _text(time_column)
        self.rating_column = _text(rating_column)
        self.min_rating = min_rating
        self.items = _text(items)
        self.items_item_column = _text(items_item_column) or self.item_column
        self.title_column = _text(title_column)
        if isinstance(feature_columns, str) and feature_columns != "auto":
            feature_columns = [feature_columns]
        self.feature_columns = (
            feature_columns
            if feature_columns == "auto"
            else [str(column) for column in feature_columns or ()]
        )
        self.feature_separator = _text(feature_separator)
        if self.feature_separator == "":
            raise InputError("data.feature_separator is empty: expected text such as '|' or ','")
        self.submission_template = _text(submission_template)

    def _options(self) -> dict[str, Any]:
        """What came later, and is not set, is not in it: the data is what it was."""
        names = ("separator", "columns", "encoding", "feature_separator")
        later = {name: getattr(self, name) for name in names}
        unset = [name for name, value in later.items() if value is None]
        return {key: value for key, value in super()._options().items() if key not in unset}

    def _format(self, path: Path, columns: Sequence[str] | None = None) -> Format | None:
        return format_of(path, self.separator, columns, self.encoding)

    def _files(self) -> dict[str, Path]:
        """Every file named, by its key.

        Raises:
            InputError: `data.path` is not set.
        """
        if self.path is None:
            raise InputError(
                "data.path is not set: data=files needs data.path=<file of interactions>, "
                "or holdout=files with its own train, valid and test files"
            )
        return {"data.path": Path(self.path), **self._beside()}

    def _read(self) -> Interactions:
        """The data set, without the cache.

        Raises:
            InputError: a file or an option is wrong.
        """
        return self._encode([self._ratings(self._files()["data.path"])])[0]

    def load_parts(self, *files: str | None) -> tuple[Interactions, NDArray[np.int8]]:
        """A split made elsewhere, as one data set; ids are known if any file knows them.

        Args:
            files: of train, valid, test, valid_known and test_known; None, or left out at the end,
                where there is none.

        Returns:
            the interactions, and (N,) where each came from, aligned with their `indices`: 0 train,
            1 valid, 2 test, 3 valid_known, 4 test_known.

        Raises:
            InputError: a file or an option is wrong; a user to evaluate who has no history; a
                (user, item) pair in two files.
        """
        paths = named_parts(files)

        def read() -> Stored:
            parts = {role: self._part(role, path) for role, path in paths.items()}
            check_parts(parts)
            interactions, source = self._encode(list(parts.values()))
            interactions = replace(interactions, joins=join_parts(parts) + interactions.joins)
            sizes = [len(one.users.codes) for one in parts.values()]
            numbers = np.array([PARTS.index(role) for role in parts], np.int8)
            return interactions, np.repeat(numbers, sizes)[source]

        interactions, parts = self._load(lambda: self.parts_identity(*files), read)
        assert parts is not None
        return interactions, parts

    def parts_identity(self, *files: str | None) -> dict[str, Any]:
        """What `load_parts` of these files gives, as `identity` does for the data of `load`.

        Raises:
            InputError: a k-core is asked for, which would make another split; or there is a
                `path`, which is not read.
        """
        if self.path is not None:
            raise InputError(
                f"data.path={self.path}: the interactions of holdout=files are those of its own "
                "files; leave data.path out, or choose another holdout"
            )
        if thresholds := self._thresholds():
            keys = ", ".join(f"data.{key}={value}" for key, value in thresholds.items())
            raise InputError(
                f"{keys}: holdout=files takes a split as it is; leave them out, or give all "
                "interactions as data.path and choose another holdout"
            )
        return self._identity({**named_parts(files), **self._beside()})

    def _identity(self, files: Mapping[str, Path]) -> dict[str, Any]:
        formats = {role: extension(path) for role, path in files.items()}
        return {**super()._identity(files), "formats": formats}

    def _beside(self) -> dict[str, Path]:
        named = {"data.items": self.items, "data.submission_template": self.submission_template}
        return {role: Path(path) for role, path in named.items() if path is not None}

    def _has_template(self) -> bool:
        return self.submission_template is not None

    @override
    def submission_header(self) -> Sequence[str]:
        if self.submission_template is None:
            return super().submission_header()
        path = Path(self.submission_template)
        return submission_columns(path, self._format(path), self.user_column)

    def _part(self, role: str, path: Path) -> Ratings:
        try:
            return self._ratings(path)
        except NoRows as error:  # as the file of a split without test items, of ours too
            if role == "holdout.train":
                raise
            raise InputError(f"{error}: leave {role} out") from None

    def _ratings(self, path: Path) -> Ratings:
        if self.separator is None and self.columns is None and is_lightgcn(path, self.encoding):
            pairs = read_lightgcn(path)
            return Ratings(
                path, pairs.users, pairs.items, None, lambda n: f"{path}, line {pairs.lines[n]}"
            )
        format = self._format(path, self.columns)
        names = column_names(path, format)
        time = self.time_column
        if time == "auto":
            time = time_column(names)
        keys = {self.user_column: "data.user_column", self.item_column: "data.item_column"}
        others = {time: "data.time_column", self.rating_column: "data.rating_column"}
        texts = {name: key for name, key in others.items() if name is not None}
        table = read_table(path, list(keys), list(texts), format, {**keys, **texts})

        users, items = table.ids(self.user_column), table.ids(self.item_column)
        if (
            self.columns is not None
            and format is not None
            and has_name_first(users)
            and has_name_first(items)
        ):
            raise InputError(
                f"{table.where(0)}: {users.at(0)!r} and {items.at(0)!r} are names of columns, no "
                "ids: leave data.columns out, and name them by data.user_column, data.item_column"
            )
        times = None if time is None else table.times(time)
        if self.min_rating is None or self.rating_column is None:
            return Ratings(path, users, items, times, table.where)
        keep = at_least(table.numbers(self.rating_column), self.min_rating)
        rows = np.flatnonzero(keep)
        return Ratings(
            path,
            users.where(keep),
            items.where(keep),
            None if times is None else times.where(keep),
            lambda n: table.where(int(rows[n])),
        )

    def _encode(self, ratings: Sequence[Ratings]) -> tuple[Interactions, NDArray[np.intp]]:
        times = [one.times for one in ratings if one.times is not None]
        if 0 < len(times) < len(ratings):
            log.warning("not all of the files have times: the files' order is taken instead")
        check_units(ratings)
        users = concatenate([one.users for one in ratings])
        joins: list[Join] = []
        submission = None
        if self.submission_template is not None:
            path = Path(self.submission_template)
            keys = {self.user_column: "data.user_column"}
            template = read_table(path, list(keys), format=self._format(path), keys=keys)
            submission = template.ids(self.user_column).values
            role = "data.submission_template"
            joins.append(join("users", role, submission, INTERACTIONS, users.used()))
        interactions, source = encode(
            users,
            concatenate([one.items for one in ratings]),
            concatenate_times(times) if len(times) == len(ratings) else None,
            submission,
        )
        if self.items is None:
            return replace(interactions, joins=tuple(joins)), source
        attributes, ids = self._attributes(Path(self.items), interactions.items)
        joins.append(join("items", INTERACTIONS, attributes.positions, "data.items", ids))
        described = replace(
            interactions,
            titles=attributes.titles,
            features=attributes.features,
            joins=tuple(joins),
        )
        return described, source

    def _attributes(self, path: Path, items: NDArray) -> tuple[Attributes, list[str]]:
        """What the table knows of the items, and the ids that it has."""
        format = self._format(path)
        names = column_names(path, format)
        item, title = self.items_item_column, self.title_column
        if title == "auto":
            title = next((name for name in ("title", "Title") if name in names), None)
        features = self.feature_columns
        if features == "auto":
            features = [name for name in names if name not in (item, title) and has_name(name)]
        titles = [] if title is None else [title]
        keys = {
            **dict.fromkeys(features, "data.feature_columns"),
            **dict.fromkeys(titles, "data.title_column"),
            item: "data.items_item_column",
        }
        table = read_table(path, texts=list(keys), format=format, keys=keys)
        attributes = Attributes(items)
        if title is not None:
            attributes.add_titles(table.rows(item, title))
        for name in features:
            cells = table.rows(item, name)
            attributes.add_cells(
                name, cells, self.feature_separator, asked=self.feature_columns != "auto"
            )
        return attributes, [id for (id,) in table.rows(item)]


def _text(value: str | None) -> str | None:
    return None if value is None else str(value)  # Hydra takes a column called 0 for a number
