"""The public layouts: the contest's folder, GroupLens' archives, the sample and made-up data."""

import io
import zipfile

import pytest

from tests.bad_input.case import HISTORIES, Case, refused


def contest(**files):
    return {
        "c/train/train_ratings.csv": HISTORIES,
        "c/eval/sample_submission.csv": "user,item\n1,2\n",
    } | {f"c/{name.replace('__', '/', 1).replace('__', '.')}": text for name, text in files.items()}


def archive(**files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as opened:
        for name, text in files.items():
            opened.writestr(f"ml/{name.replace('__', '.')}", text)
    return {"data/ml-x.zip": packed.getvalue()}


CONTEST = "data=competition data.path=c"
ML = "data=movielens data.url=http://127.0.0.1:9/ml-x.zip"
SMALL = "data=synthetic data.num_users=20 data.num_items=50 data.num_interactions=400"
CASES = {
    "contest: no folder": Case(
        "data=competition", "data.path=data/competition: no train/train_ratings.csv in it"
    ),
    "contest: another folder": Case(
        "data=competition data.path=.", "data.path=.: no train/train_ratings.csv|train/ and eval/"
    ),
    "contest: other columns": Case(
        CONTEST,
        "train_ratings.csv has no column 'user'",
        contest(train__train_ratings__csv="a,b,c\n1,2,3\n"),
    ),
    "contest: no times": Case(
        CONTEST, "no column 'time'", contest(train__train_ratings__csv="user,item\n1,2\n")
    ),
    "contest: a template without users": Case(
        CONTEST,
        "sample_submission.csv has no column 'user'",
        contest(eval__sample_submission__csv="id\n1\n"),
    ),
    "contest: an empty template": Case(
        CONTEST, "sample_submission.csv: is empty", contest(eval__sample_submission__csv="")
    ),
    "contest: titles of three columns": Case(
        CONTEST,
        "titles.tsv: expected a header of two columns",
        contest(train__titles__tsv="item\ttitle\tyear\n1\ta\t2\n"),
    ),
    "contest: titles without a header": Case(
        CONTEST,
        "titles.tsv: expected a header of two columns",
        contest(train__titles__tsv="1\tToy Story\n2\tHeat\n"),
    ),
    "contest: genres between commas": Case(
        CONTEST,
        "genres.tsv: expected a header of two columns",
        contest(train__genres__tsv="item,genre\n1,Drama\n"),
    ),
    "contest: a genre is missing": Case(
        CONTEST,
        "genres.tsv, line 3: expected 2 values, found 1",
        contest(train__genres__tsv="item\tgenre\n1\tDrama\n2\n"),
    ),
    "contest: an option of files": Case(
        f"{CONTEST} data.item_column=x", "data.item_column: no such key; data has "
    ),
    "MovieLens: no url": Case("data=movielens", "data.url=???"),
    "MovieLens: no server": Case(
        ML, "data.url=http://127.0.0.1:9/ml-x.zip: the download failed|data/ml-x.zip"
    ),
    "MovieLens: no address": Case("data=movielens data.url=ml-25m.zip", "data.url=ml-25m.zip"),
    "MovieLens: no archive": Case(
        "data=movielens data.url=http://127.0.0.1:9/", "data.url=http://127.0.0.1:9/"
    ),
    "MovieLens: a damaged archive": Case(
        ML, "ml-x.zip: is damaged", {"data/ml-x.zip": b"PK\x03\x04" + bytes(100)}
    ),
    "MovieLens: a page in place of it": Case(
        ML, "ml-x.zip: is damaged", {"data/ml-x.zip": "<html>"}
    ),
    "MovieLens: another archive": Case(ML, "ml-x", archive(readme__txt="hello")),
    "MovieLens: another checksum": Case(
        f"{ML} data.checksum=md5:00",
        "the download failed",
        archive(ratings__csv="userId,movieId,rating,timestamp\n1,2,3,4\n"),
    ),
    "MovieLens: no known checksum": Case(
        f"{ML} data.checksum=crc:00",
        "data.checksum=crc:00",
        archive(ratings__csv="userId,movieId,rating,timestamp\n1,2,3,4\n"),
    ),
    "MovieLens: ratings without movies": Case(
        ML,
        "data/ml-x: holds no MovieLens data",
        archive(ratings__csv="userId,movieId,rating,timestamp\n1,2,3,4\n"),
    ),
    "MovieLens: a smallest rating": Case(
        "data=movielens_small data.min_rating=6",
        "data.min_rating=6: no interactions left; the ratings run from 0.5 to 5",
    ),
    "an unknown data set": Case(
        "data=movielens_32m", "data=movielens_32m: expected one of competition, files, movielens"
    ),
    "a path as data": Case("data=ratings.csv", "data=ratings.csv: expected one of"),
    "a path in a folder as data": Case(
        "data=my/ratings.csv", "data=my/ratings.csv: expected one of"
    ),
    "made up: no users": Case(
        "data=synthetic data.num_users=0", "data.num_users=0: expected a whole number"
    ),
    "made up: more than there is room": Case(
        SMALL.replace("=400", "=4000"), "data.num_interactions=4000"
    ),
    "made up: too few": Case(SMALL.replace("=400", "=4"), "data.num_interactions=4"),
    "made up: half an item": Case(SMALL.replace("=50", "=50.5"), "data.num_items=50.5"),
    "made up: a seed": Case(f"{SMALL} data.seed=-1", "data.seed=-1"),
    "made up: a folder that is a file": Case(f"{SMALL} data.write_to=ratings.csv", "ratings.csv"),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line(name, tmp_path):
    refused(CASES[name], tmp_path)
