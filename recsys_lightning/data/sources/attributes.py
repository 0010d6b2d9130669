"""What is known of the items: titles, and multi-valued features from (item, value) pairs."""

import json
import logging
import re
from ast import literal_eval
from collections.abc import Iterable, Mapping
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_lightning.data.interactions import Feature
from recsys_lightning.data.sources.encoding import MISSING

log = logging.getLogger(__name__)

Pairs = Iterable[tuple[str, ...]]
"""(item id, value), both as text; an item may come any number of times."""


_NO_COMMA = re.compile(r"""(?<=['"])\s+(?=['"])""")


class Attributes:
    """Collects titles and features of known items; pairs that name unknown items are ignored.

    >>> items = Attributes(np.array([3, 8]))
    >>> items.add("genre", [("8", "Drama"), ("8", "Crime"), ("9", "Drama")])
    >>> items.features["genre"].values.tolist(), items.features["genre"].matrix.toarray().tolist()
    (['Crime', 'Drama'], [[0.0, 0.0], [1.0, 1.0]])

    Attributes:
        titles: (I,) text, empty where an item has none; None until `add_titles`.
        features: by name; a feature no known item has is left out.
    """

    def __init__(self, items: NDArray) -> None:
        self.positions: Mapping[str, int] = {str(item): n for n, item in enumerate(items.tolist())}
        self.titles: NDArray[np.str_] | None = None
        self.features: dict[str, Feature] = {}

    def add_titles(self, pairs: Pairs) -> None:
        """The first non-empty title of an item is its title."""
        titles = [""] * len(self.positions)
        for position, title in self._known(pairs):
            titles[position] = titles[position] or title
        self.titles = np.array(titles, dtype=np.str_)

    def add(self, name: str, pairs: Pairs) -> None:
        """A feature; repeated pairs count once, and what stands for no value not at all."""
        known = sorted({pair for pair in self._known(pairs) if pair[1] not in MISSING})
        if not known:
            return
        values = sorted({value for _, value in known})
        columns = {value: n for n, value in enumerate(values)}
        rows = [position for position, _ in known]
        matrix = csr_array(
            (np.ones(len(known), np.float32), (rows, [columns[value] for _, value in known])),
            shape=(len(self.positions), len(values)),
        )
        self.features[name] = Feature(np.array(values, dtype=np.str_), matrix)

    def add_cells(self, name: str, cells: Pairs, separator: str | None, *, asked: bool) -> None:
        """A feature of cells with several values, see `split_values`.

        Args:
            name: of the feature, and of its column in data.items.
            cells: one an item and row.
            separator: between the values of a cell that is no list; None: `|`.
            asked: whether it was asked for; else one in which no two items share a value is left
                out, as it says nothing.
        """
        self.add(name, split_values(cells, separator or "|"))
        if name not in self.features:
            return
        feature = self.features[name]
        commas = sum("," in value for value in feature.values)
        if not asked and feature.matrix.sum(axis=0).max() < 2:
            log.warning(
                "%s of data.items is no feature: no two items share a value; "
                "data.feature_columns=[%s] makes it one",
                *(name, name),
            )
            del self.features[name]
        elif separator is None and commas:
            log.warning(
                "%d of %d values of %s in data.items hold commas; data.feature_separator=',' takes "
                "them apart",
                *(commas, len(feature.values), name),
            )

    def add_years(self, pairs: Pairs = ()) -> None:
        """The feature `year`: the pairs, and for items without one the `(yyyy)` ending a title."""
        years = dict(self._known(pairs))
        titles = [] if self.titles is None else self.titles.tolist()
        for position, title in enumerate(titles):
            if position not in years and (year := title_year(title)):
                years[position] = year
        ids = list(self.positions)
        self.add("year", [(ids[position], year) for position, year in years.items()])

    def _known(self, pairs: Pairs) -> Iterable[tuple[int, str]]:
        unknown = 0
        for item, value in pairs:
            position = self.positions.get(item)
            if position is None:
                unknown += 1
            elif value:
                yield position, value
        if unknown:
            log.debug("%d rows name items that nobody interacted with", unknown)


def split_values(pairs: Pairs, separator: str = "|") -> list[tuple[str, str]]:
    """One pair a value, of cells with several: a list of JSON or Python, or text between `|`.

    Of a list of objects, as TMDB's tables have it, the values are their names.

    >>> split_values([("1", "Drama|Crime"), ("2", "['Drama']"), ("3", "")])
    [('1', 'Drama'), ('1', 'Crime'), ('2', 'Drama'), ('3', '')]
    """
    return [(item, value) for item, cell in pairs for value in _values(cell.strip(), separator)]


def _values(cell: str, separator: str) -> list[str]:
    if cell.startswith("[") and cell.endswith("]"):
        # numpy puts no commas, and Python makes one text of 'a' 'b'
        for parse, written in (json.loads, cell), (literal_eval, _NO_COMMA.sub(", ", cell)):
            with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                parsed = parse(written)
                names = [one.get("name") if isinstance(one, dict) else one for one in parsed]
                if all(isinstance(name, str | int | float) for name in names):
                    return [str(name).strip() for name in names]
    return [value.strip() for value in cell.split(separator)]


def has_name(column: str) -> bool:
    """Not so the index that pandas writes: it has none, or, written twice, `Unnamed: 0`."""
    return bool(column.strip()) and not column.startswith("Unnamed: ")


def title_year(title: str) -> str | None:
    """The year a title ends with.

    >>> title_year("Heat (1995)"), title_year("Fawlty Towers (1975-1979)")
    ('1995', None)
    """
    match = re.search(r"\((\d{4})\)\s*$", title)
    return match[1] if match else None
