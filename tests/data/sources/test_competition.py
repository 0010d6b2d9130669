"""The contest's directory."""

import logging
import shutil

import numpy as np
import pytest

from recsys_lightning.data.sources.competition import Competition, write_competition
from recsys_lightning.errors import InputError
from tests.data.sources.helpers import assert_same, rows_of, values_of, write

FILES = {
    "train/train_ratings.csv": "user,item,time\n11,20,7\n11,10,5\n4,10,6\n4,30,6\n",
    "train/titles.tsv": "item\ttitle\n10\tHeat (1995)\n20\tFawlty Towers (1975-1979)\n"
    '99\tX (2000)\n30\t"""Great"" Cats (1998)"\n',
    "train/years.tsv": "item\tyear\n20\t1975\n30\t1997\n99\t2000\n",
    "train/genres.tsv": "item\tgenre\n10\tDrama\n10\tCrime\n30\tDrama\n",
    "train/directors.tsv": "item\tdirector\n10\tnm0000005\n",
    "train/writers.tsv": "item\twriter\n99\tnm1\n",
    "eval/sample_submission.csv": "user,item\n4,1\n4,2\n77,1\n11,1\n",
}


@pytest.fixture
def path(tmp_path):
    for name, text in FILES.items():
        write(tmp_path / name, text)
    return tmp_path


def test_everything_is_read(path):
    loaded = Competition(str(path)).load()
    assert Competition(str(path)).name == "competition"
    assert rows_of(loaded) == {4: [10, 30], 11: [10, 20]}
    assert loaded.times.tolist() == [6, 6, 5, 7]
    assert loaded.titles.tolist() == [
        "Heat (1995)",
        "Fawlty Towers (1975-1979)",
        '"Great" Cats (1998)',
    ]
    assert list(loaded.features) == ["genre", "director", "year"]
    assert values_of(loaded, "genre") == {10: ["Crime", "Drama"], 30: ["Drama"]}
    assert values_of(loaded, "director") == {10: ["nm0000005"]}
    assert values_of(loaded, "year") == {10: ["1995"], 20: ["1975"], 30: ["1997"]}
    assert loaded.features["genre"].matrix.dtype == np.float32
    assert loaded.submission_users.tolist() == [4, 77, 11]


def test_ids_agree_however_each_file_writes_its_integers(path):
    for name, text in FILES.items():
        if name.endswith("tsv"):
            header, *lines = text.splitlines()
            floats = (line.replace("\t", ".0 \t", 1) for line in lines)
            write(path / name, "\n".join([header, *floats]) + "\n")
    write(path / "eval/sample_submission.csv", "user,item\n4.0,1\n77.0,1\n11.0,1\n")
    loaded = Competition(str(path)).load()
    assert loaded.titles.tolist()[0] == "Heat (1995)"
    assert values_of(loaded, "genre") == {10: ["Crime", "Drama"], 30: ["Drama"]}
    assert values_of(loaded, "year") == {10: ["1995"], 20: ["1975"], 30: ["1997"]}
    assert loaded.submission_users.tolist() == [4, 77, 11]
    assert [(j.what, j.file, j.other, j.found, j.total) for j in loaded.joins] == [
        ("users", "eval/sample_submission.csv", "train/train_ratings.csv", 2, 3),
        ("items", "train/train_ratings.csv", "train/titles.tsv", 3, 3),
        ("items", "train/train_ratings.csv", "train/years.tsv", 2, 3),
        ("items", "train/train_ratings.csv", "train/genres.tsv", 2, 3),
        ("items", "train/train_ratings.csv", "train/directors.tsv", 1, 3),
        ("items", "train/train_ratings.csv", "train/writers.tsv", 0, 3),
    ]


def test_all_but_the_ratings_may_lack(path, caplog):
    shutil.rmtree(path / "eval")
    for name in FILES:
        if name.endswith(".tsv"):
            (path / name).unlink()
    loaded = Competition(str(path)).load()
    assert loaded.titles is None
    assert loaded.features == {}
    assert loaded.submission_users.tolist() == [11, 4]
    for name in FILES:
        if "ratings" not in name:
            assert f"{path / name} not found" in caplog.text
    assert {record.levelno for record in caplog.records} <= {logging.WARNING, logging.INFO}


def test_years_come_from_the_titles_alone(path):
    (path / "train/years.tsv").unlink()
    assert values_of(Competition(str(path)).load(), "year") == {10: ["1995"], 30: ["1998"]}


@pytest.mark.parametrize("name", ["nowhere", "train"])
def test_another_directory(path, name):
    with pytest.raises(InputError) as error:
        Competition(str(path / name)).load()
    assert str(error.value) == (
        f"data.path={path / name}: no train/train_ratings.csv in it; "
        "expected the directory the contest ships, with train/ and eval/"
    )


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "train/train_ratings.csv",
            "user,item\n1,2\n",
            "has no column 'time': its columns are 'user', 'item'",
        ),
        (
            "train/train_ratings.csv",
            "user,item,time\n1,2,x\n",
            ", line 2, column 'time': expected seconds",
        ),
        (
            "train/genres.tsv",
            "item,genre\n1,2\n",
            ": expected a header of two columns, item<TAB>value",
        ),
        ("train/genres.tsv", "item\tgenre\n1\n", ", line 2: expected 2 values, found 1"),
        (
            "eval/sample_submission.csv",
            "item\n1\n",
            " has no column 'user': its columns are 'item'",
        ),
        ("eval/sample_submission.csv", "user,item\n", ": has no rows"),
    ],
)
def test_wrong_files(path, name, text, expected):
    write(path / name, text)
    with pytest.raises(InputError) as error:
        Competition(str(path)).load()
    assert str(path / name) in str(error.value)
    assert expected in str(error.value)


def test_a_missing_attribute_file_that_appears_is_read(path):
    text = (path / "train/genres.tsv").read_text()
    (path / "train/genres.tsv").unlink()
    source = Competition(str(path), cache_dir=str(path / "cache"))
    assert "genre" not in source.load().features
    write(path / "train/genres.tsv", text)
    assert "genre" in source.load().features


def test_what_is_written_reads_equal(path, tmp_path):
    loaded = Competition(str(path)).load()
    write_competition(loaded, tmp_path / "copy")
    assert_same(Competition(str(tmp_path / "copy")).load(), loaded)
