"""Titles and features of items, read from the user's own files."""

import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_lightning.data.sources.files import Files
from tests.data.sources.helpers import message, values_of, write


@pytest.fixture
def path(tmp_path):
    return str(write(tmp_path / "log.csv", "user,item\nb,x\na,y\nb,y\n"))


def test_items_one_row_a_value_or_many_values_a_row(path, tmp_path):
    items = write(
        tmp_path / "items.tsv",
        "item\ttitle\tgenre\tyear\nx\tX\tDrama|Crime\t1999\nx\t\tWar\t1999\nz\tZ\tFolk\t1\ny\t\t\t\n",
    )
    loaded = Files(path, items=str(items), feature_columns=["genre", "year"]).load()
    assert loaded.titles.tolist() == ["X", ""]
    assert values_of(loaded, "genre") == {"x": ["Crime", "Drama", "War"]}
    assert values_of(loaded, "year") == {"x": ["1999"]}
    assert loaded.features["genre"].values.tolist() == ["Crime", "Drama", "War"]
    assert loaded.features["genre"].matrix.shape == (2, 3)

    loaded = Files(path, items=str(items), title_column=None, feature_columns=["genre"]).load()
    assert loaded.titles is None
    assert list(loaded.features) == ["genre"]
    for none in ([], None):
        assert Files(path, items=str(items), feature_columns=none).load().features == {}
    assert list(Files(path, items=str(items), feature_columns="year").load().features) == ["year"]


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("Crime|Drama", {}),
        ("Crime, Drama", {"feature_separator": ","}),
        ("['Crime', 'Drama']", {}),
        ('["Crime", "Drama"]', {}),
        ("[{'id': 80, 'name': 'Crime'}, {'id': 18, 'name': 'Drama'}]", {}),
        ("['Crime' 'Drama']", {}),
        ("['Crime'\n 'Drama']", {}),
        ("nan|Drama|None|Crime", {}),
    ],
)
def test_several_values_of_a_cell(cell, options, path, tmp_path):
    items = tmp_path / "items.csv"
    with items.open("w", newline="") as file:
        csv.writer(file).writerows([["item", "genre"], ["x", cell], ["y", "Drama"]])
    feature = Files(path, items=str(items), **options).load().features["genre"]
    assert feature.values.tolist() == ["Crime", "Drama"]


@pytest.mark.parametrize("separator", [None, ","])
@pytest.mark.parametrize(
    "cells",
    [
        [["R&B|Soul", "Pop, Rock"], ["Pop, Rock", None], []],
        [[{"id": 1, "name": "R&B|Soul"}, {"id": 2, "name": "Pop, Rock"}], [], None],
    ],
    ids=["texts", "objects"],
)
def test_a_list_of_parquet_is_not_taken_apart(cells, separator, path, tmp_path):
    table = pa.table({"item": ["x", "y", "z"], "genre": cells})
    pq.write_table(table, tmp_path / "items.parquet")
    options = {"feature_separator": separator, "feature_columns": ["genre"]}
    loaded = Files(path, items=str(tmp_path / "items.parquet"), **options).load()
    assert loaded.features["genre"].values.tolist() == ["Pop, Rock", "R&B|Soul"]


def test_a_list_in_a_cell_is_not_run(path, tmp_path):
    items = tmp_path / "items.csv"
    cell = f"[open('{tmp_path}/run' and 'w')]"
    items.write_text(f"item,genre\nx,{cell}\ny,{cell}\n")
    feature = Files(path, items=str(items)).load().features["genre"]
    assert len(feature.values) == 1
    assert not (tmp_path / "run").exists()


def test_what_is_no_feature_is_left_out_unless_it_is_asked_for(path, tmp_path, caplog):
    items = tmp_path / "items.csv"
    items.write_text(',item,Title,plot,genre\n0,x,X,a boy,a\n1,y,Y,a girl,"a|b, c"\n')
    loaded = Files(path, items=str(items)).load()
    assert list(loaded.features) == ["genre"]
    assert loaded.titles.tolist() == ["X", "Y"]
    assert "plot of data.items is no feature: no two items share a value" in caplog.text
    assert "1 of 2 values of genre in data.items hold commas" in caplog.text
    loaded = Files(path, items=str(items), feature_columns=["plot"]).load()
    assert loaded.features["plot"].matrix.shape == (2, 2)


def test_items_of_parquet_with_numbers(tmp_path):
    path = write(tmp_path / "log.csv", "user,item\n1,10\n1,20\n")
    pq.write_table(
        pa.table({"id": [20.0, 10.0], "year": [1999.0, 1999.0], "tag": [["a", "b"], ["b"]]}),
        tmp_path / "items.parquet",
    )
    source = Files(str(path), items=str(tmp_path / "items.parquet"), items_item_column="id")
    loaded = source.load()
    assert loaded.titles is None
    assert values_of(loaded, "year") == {20: ["1999"], 10: ["1999"]}
    assert values_of(loaded, "tag") == {10: ["b"], 20: ["a", "b"]}


def test_wrong_items(path, tmp_path):
    items = str(write(tmp_path / "items.csv", "id,title\nx,X\n"))
    there = "its columns are 'id', 'title'"
    assert message(Files(path, items=items).load) == (
        f"{items} has no column 'item': {there}; set data.items_item_column"
    )
    source = Files(path, items=items, items_item_column="id", feature_columns=["genre"])
    assert message(source.load) == (
        f"{items} has no column 'genre': {there}; set data.feature_columns"
    )
    source = Files(path, items=items, items_item_column="id", title_column="name")
    assert message(source.load) == f"{items} has no column 'name': {there}; set data.title_column"
