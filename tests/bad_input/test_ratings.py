"""Files of interactions: what they are named, how they are written, what stands in them."""

import gzip

import pytest

from tests.bad_input.case import HISTORIES, RATINGS, Case, refused

HEADER = "user,item,time\n"
CASES = {
    "one column for both": Case(
        f"{RATINGS} data.item_column=user",
        "data.item_column=user: expected another column than data.user_column",
    ),
    "no path": Case("data=files", "data.path is not set|holdout=files"),
    "no file": Case("data=files data.path=rating.csv", "rating.csv: no such file"),
    "a folder": Case(
        "data=files data.path=folder.csv", "folder.csv: is a directory", {"folder.csv/a": ""}
    ),
    "an unknown extension": Case(
        "data=files data.path=r.xlsx", "r.xlsx: expected a file named .csv, .tsv", {"r.xlsx": "PK"}
    ),
    "an empty file": Case(RATINGS, "ratings.csv: is empty", {"ratings.csv": ""}),
    "a header alone": Case(RATINGS, "ratings.csv: has no rows", {"ratings.csv": HEADER}),
    "a name of another column": Case(
        f"{RATINGS} data.item_column=movie",
        "no column 'movie'|'user', 'item', 'time'|set data.item_column",
    ),
    "a user column of another file": Case(
        RATINGS,
        "no column 'user'|'userId', 'movieId'|set data.user_column",
        {"ratings.csv": "userId,movieId\n1,2\n"},
    ),
    "no such rating": Case(
        f"{RATINGS} data.rating_column=stars data.min_rating=3",
        "no column 'stars'|data.rating_column",
    ),
    "a column twice": Case(
        RATINGS, "more than one column 'user'", {"ratings.csv": "user,item,user\n1,2,3\n"}
    ),
    "no header": Case(
        RATINGS, "no column 'user'|data.columns", {"ratings.csv": HISTORIES.partition("\n")[2]}
    ),
    "semicolons": Case(
        RATINGS, "no column 'user'|data.separator", {"ratings.csv": HISTORIES.replace(",", ";")}
    ),
    "tabs in a csv": Case(
        RATINGS, "no column 'user'|data.separator", {"ratings.csv": HISTORIES.replace(",", "\t")}
    ),
    "commas in a tsv": Case(
        "data=files data.path=r.tsv", "no column 'user'|data.separator", {"r.tsv": HISTORIES}
    ),
    "a short line": Case(
        RATINGS,
        "ratings.csv, line 3: expected 3 values, found 2",
        {"ratings.csv": HEADER + "1,2,3\n1,3\n"},
    ),
    "a long line": Case(
        RATINGS,
        "ratings.csv, line 2: expected 3 values, found 4",
        {"ratings.csv": HEADER + "1,2,3,4\n"},
    ),
    "no user": Case(
        RATINGS,
        "line 3, column 'user': expected an id, found nothing",
        {"ratings.csv": HEADER + "1,2,3\n,2,3\n"},
    ),
    "no item": Case(
        RATINGS,
        "line 2, column 'item': expected an id, found nothing",
        {"ratings.csv": HEADER + "1,,3\n"},
    ),
    "a blank item": Case(
        RATINGS,
        "line 2, column 'item': expected an id, found '  '",
        {"ratings.csv": HEADER + "1,  ,3\n"},
    ),
    "nan of pandas": Case(
        RATINGS,
        "line 3, column 'user': expected an id, found 'nan'",
        {"ratings.csv": HEADER + "1,2,3\nnan,2,3\n"},
    ),
    "a time that is text": Case(
        RATINGS,
        "line 1202, column 'time': expected seconds or an ISO 8601 time, found 'yesterday'",
        {"ratings.csv": HISTORIES + "1,99,yesterday\n"},
    ),
    "no time": Case(
        RATINGS,
        "line 2, column 'time': expected seconds|found nothing",
        {"ratings.csv": HEADER + "1,2,\n"},
    ),
    "one that is no date": Case(
        RATINGS,
        "ratings.csv, line 3, column 'time': expected a date, as 20240131 is and most",
        {"ratings.csv": HEADER + "1,2,20240131\n1,3,0\n1,4,20240201\n2,2,20240131\n"},
    ),
    "an id that was a float": Case(
        RATINGS,
        "ratings.csv, line 2, column 'user': expected an id that a float holds exactly",
        {"ratings.csv": HEADER + "1000000000000003328.0,2,3\n2.0,3,4\n"},
    ),
    "a European date": Case(
        RATINGS,
        "line 2, column 'time'|found '31.12.2020'",
        {"ratings.csv": HEADER + "1,2,31.12.2020\n"},
    ),
    "a rating that is text": Case(
        f"{RATINGS} data.rating_column=rating data.min_rating=3",
        "line 2, column 'rating': expected a number, found 'good'",
        {"ratings.csv": "user,item,rating\n1,2,good\n"},
    ),
    "a rating with a comma": Case(
        f"{RATINGS} data.rating_column=rating data.min_rating=3",
        "line 2, column 'rating': expected a number, found '4,5'",
        {"ratings.csv": 'user,item,rating\n1,2,"4,5"\n'},
    ),
    "no rating is high enough": Case(
        f"{RATINGS} data.rating_column=time data.min_rating=99",
        "data.min_rating=99: no interactions left; the ratings run from 0 to 39",
    ),
    "a smallest rating without ratings": Case(
        f"{RATINGS} data.min_rating=4", "data.min_rating=4 needs data.rating_column"
    ),
    "a smallest rating of text": Case(
        f"{RATINGS} data.rating_column=time data.min_rating=high",
        "data.min_rating=high: expected a number",
    ),
    "Latin-1": Case(
        RATINGS,
        "ratings.csv, line 3: byte 0xe9 is not UTF-8|data.encoding",
        {"ratings.csv": (HEADER + "1,2,3\nRené,2,3\n").encode("latin-1")},
    ),
    "UTF-16": Case(
        RATINGS,
        "ratings.csv, line 1: byte 0xff is not UTF-8|data.encoding",
        {"ratings.csv": HISTORIES.encode("utf-16")},
    ),
    "zeros": Case(RATINGS, "ratings.csv", {"ratings.csv": bytes(1000)}),
    "only a quote opened": Case(
        RATINGS,
        "ratings.csv, line 5: expected 3 values, found 2",
        {"ratings.csv": HEADER + '1,2,3\n1,"4,4\n2,5,5\n2,6,6\n'},
    ),
    "a quote in a column that is not used": Case(
        RATINGS,
        "ratings.csv, line 2: a quote opens a value that goes on to line 3",
        {"ratings.csv": 'user,item,name\n1,2,"Alien\n1,3,"Heat"\n1,4,Up\n2,4,Up\n'},
    ),
    "an id over two lines": Case(
        RATINGS,
        "ratings.csv, line 2: a quote opens a value that goes on to line 3",
        {"ratings.csv": HEADER + '"1\n1",2,3\n2,2,3\n'},
    ),
    "gzip by content": Case(
        RATINGS,
        "ratings.csv: is packed by gzip|.gz",
        {"ratings.csv": gzip.compress(HISTORIES.encode())},
    ),
    "gzip by name": Case(
        "data=files data.path=r.csv.gz", "r.csv.gz: cannot be read", {"r.csv.gz": HISTORIES}
    ),
    "a zip": Case(
        RATINGS,
        "ratings.csv",
        {"ratings.csv": b"PK\x03\x04\x14\x00\x00\x00\x08\x00" + bytes(range(200))},
    ),
    "a web page": Case(
        RATINGS,
        "ratings.csv",
        {"ratings.csv": "<!DOCTYPE html>\n<html><body>404, not found</body></html>\n"},
    ),
    "no Parquet": Case(
        "data=files data.path=r.parquet",
        "r.parquet: is not a readable Parquet file",
        {"r.parquet": HISTORIES},
    ),
    "a k-core of nobody": Case(
        f"{RATINGS} data.min_user_interactions=50",
        "data.min_user_interactions=50: no interactions left of 1,200|The longest history has 40",
    ),
    "a negative k-core": Case(
        f"{RATINGS} data.min_item_interactions=-1",
        "data.min_item_interactions=-1: expected a whole number",
    ),
    "one user": Case(
        f"{RATINGS} holdout.valid_items=30",
        "no history is long enough|holdout.valid_items",
        {"ratings.csv": HEADER + "1,1,1\n1,2,2\n"},
    ),
    "300,000 items of EASE": Case(
        RATINGS,
        "300,000 items|360.0 GB|fewer items",
        {"ratings.csv": "user,item\n" + "".join(f"{n // 100},{n}\n" for n in range(300_000))},
    ),
    "LightGCN's text of a table": Case(
        "data=files data.path=r.txt",
        "r.txt, line 2: user 1 has a line before|.tsv",
        {"r.txt": "1 2 5\n1 3 4\n2 2 3\n"},
    ),
    "LightGCN's text with a header": Case(
        "data=files data.path=r.txt",
        "r.txt, line 1: found 'user', which is not a whole number",
        {"r.txt": "user item\n1 3\n"},
    ),
    "LightGCN's text of users alone": Case(
        "data=files data.path=r.txt",
        "r.txt: expected lines `user item item ...`",
        {"r.txt": "1\n2\n"},
    ),
    "an empty text": Case("data=files data.path=r.txt", "r.txt", {"r.txt": ""}),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line(name, tmp_path):
    refused(CASES[name], tmp_path)
