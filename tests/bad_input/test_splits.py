"""Holdouts, splits made elsewhere, templates and item tables."""

import pytest

from tests.bad_input.case import HISTORIES, RATINGS, Case, refused

SPLIT = "holdout=files holdout.train=train.csv holdout.valid=valid.csv"
TRAIN = {"train.csv": HISTORIES}
VALID = {"valid.csv": "user,item,time\n1,50,99\n"}
ITEMS = f"{RATINGS} data.items=items.csv"
TEMPLATE = f"{RATINGS} data.submission_template=t.csv"
CASES = {
    "an unknown holdout": Case(
        f"{RATINGS} holdout=lats", "holdout=lats: expected one of files, hybrid, last, none, random"
    ),
    "a negative number": Case(
        f"{RATINGS} holdout.valid_items=-3",
        "holdout.valid_items=-3: expected a whole number in [0, inf)",
    ),
    "an infinite number": Case(
        f"{RATINGS} holdout=last holdout.test_items=.inf",
        "holdout.test_items=.inf: expected a whole number",
    ),
    "a number and a share": Case(
        f"{RATINGS} holdout.test_items=0 holdout.valid_share=0.1",
        "holdout.test_items=0, holdout.valid_share=0.1: expected numbers of items, or shares",
    ),
    "a share in percent": Case(
        f"{RATINGS} holdout.valid_share=10", "holdout.valid_share=10: expected a number in [0, 1)"
    ),
    "a share of text": Case(
        f"{RATINGS} holdout.test_share=10%", "holdout.test_share=10%: expected a number"
    ),
    "all in shares": Case(
        f"{RATINGS} holdout.valid_share=0.5 holdout.test_share=0.5",
        "holdout.valid_share=0.5, holdout.test_share=0.5: expected less than 1 together",
    ),
    "a share of one interaction": Case(
        f"{RATINGS} holdout.valid_share=0.1",
        "no history is long enough: the longest has 1",
        {"ratings.csv": "user,item\n1,1\n2,2\n"},
    ),
    "a seed of null": Case(
        f"{RATINGS} holdout.seed=null", "holdout.seed=None: expected a whole number"
    ),
    "hybrid: a share above a half": Case(
        f"{RATINGS} holdout=hybrid holdout.share=0.6",
        "holdout.share=0.6: expected a number in (0, 0.5]",
    ),
    "hybrid: a latest share": Case(
        f"{RATINGS} holdout=hybrid holdout.latest_share=40",
        "holdout.latest_share=40: expected a number in [0, 1]",
    ),
    "all too short": Case(
        f"{RATINGS} holdout.valid_items=15 holdout.test_items=15",
        "no history is long enough for the holdout: the longest has 40|holdout.valid_items",
    ),
    "time: all is held out": Case(
        f"{RATINGS} holdout=time holdout.valid_share=0.5 holdout.test_share=0.5",
        "holdout.valid_share=0.5, holdout.test_share=0.5: expected less than 1 together",
    ),
    "time: no times": Case(
        f"{RATINGS} holdout=time data.time_column=null", "holdout=time: the data has no times"
    ),
    "time: all at one moment": Case(
        f"{RATINGS} holdout=time",
        "holdout.valid_share=0.1, holdout.test_share=0.1: nobody with earlier interactions",
        {"ratings.csv": "user,item,time\n" + "".join(f"{n % 9},{n % 7},5\n" for n in range(60))},
    ),
    "users: histories are too short": Case(
        f"{RATINGS} holdout=users holdout.share=0.01",
        "holdout.share=0.01, holdout.seed=0: no user|has a history of 100 interactions",
    ),
    "users: nobody to train on": Case(
        f"{RATINGS} holdout=users holdout.valid_users=0.5 holdout.test_users=0.5",
        "holdout.valid_users=0.5, holdout.test_users=0.5: expected less than 1 together",
    ),
    "nobody to be evaluated, but a monitor": Case(
        f"{RATINGS} model=multi_dae max_epochs=1 holdout=none monitor=val/recal@10",
        "monitor=val/recal@10: expected one of",
    ),
    "files: no train": Case("holdout=files", "holdout.train=???: a value is missing"),
    "files: train of null": Case(
        "holdout=files holdout.train=null", "holdout.train=null: expected a file"
    ),
    "files: no such file": Case(SPLIT, "train.csv: no such file"),
    "files: no such valid": Case(SPLIT, "valid.csv: no such file", TRAIN),
    "files: other data": Case(
        "holdout=files data=movielens_small holdout.train=train.csv",
        "holdout=files reads its files by data=files",
        TRAIN,
    ),
    "files: an unknown user": Case(
        SPLIT,
        "valid.csv, line 3: user '888' is not in train.csv (1 such users in all)",
        TRAIN | {"valid.csv": "user,item,time\n1,50,1\n888,1,1\n"},
    ),
    "files: a user known at test time only": Case(
        f"{SPLIT} holdout.test_known=known.csv",
        "valid.csv, line 2: user '888' is not in train.csv (1 such users in all)",
        TRAIN
        | {"valid.csv": "user,item,time\n888,1,1\n", "known.csv": "user,item,time\n888,2,1\n"},
    ),
    "files: no such file of what is known": Case(
        f"{SPLIT} holdout.valid_known=known.csv", "known.csv: no such file", TRAIN | VALID
    ),
    "files: a leak": Case(
        SPLIT,
        "valid.csv, line 2: user '1' with item '7' is in train.csv too (1 such pairs in all)",
        TRAIN | {"valid.csv": "user,item,time\n1,7,1\n"},
    ),
    "files: the same file twice": Case(
        "holdout=files holdout.train=train.csv holdout.test=train.csv",
        "train.csv, line 2|(1200 such pairs in all)",
        TRAIN,
    ),
    "files: a k-core": Case(
        f"{SPLIT} data.min_user_interactions=5",
        "data.min_user_interactions=5: holdout=files takes a split as it is",
        TRAIN | VALID,
    ),
    "files: interactions beside them": Case(
        f"{SPLIT} {RATINGS}",
        "data.path=|: the interactions of holdout=files are those of its own files",
        TRAIN | VALID,
    ),
    "files: an empty valid": Case(
        SPLIT,
        "valid.csv: has no rows: leave holdout.valid out",
        TRAIN | {"valid.csv": "user,item,time\n"},
    ),
    "files: a column of its own": Case(
        SPLIT,
        "valid.csv has no column 'user': its columns are 'uid', 'item'",
        TRAIN | {"valid.csv": "uid,item\n1,50\n"},
    ),
    "files: LightGCN's": Case(
        "holdout=files holdout.train=a.txt holdout.test=b.txt",
        "b.txt, line 1: user '0' with item '2' is in a.txt too",
        {"a.txt": "0 1 2\n1 3\n", "b.txt": "0 2\n"},
    ),
    "items: no such file": Case(ITEMS, "items.csv: no such file"),
    "items: no ids": Case(
        ITEMS,
        "items.csv has no column 'item': its columns are 'id', 'title'; set data.items_item_column",
        {"items.csv": "id,title\n1,a\n"},
    ),
    "items: no title": Case(
        f"{ITEMS} data.title_column=name",
        "no column 'name'|set data.title_column",
        {"items.csv": "item,title\n1,a\n"},
    ),
    "items: no feature": Case(
        f"{ITEMS} data.feature_columns=[genres]",
        "no column 'genres'|set data.feature_columns",
        {"items.csv": "item,title\n1,a\n"},
    ),
    "items: a header alone": Case(ITEMS, "items.csv: has no rows", {"items.csv": "item,title\n"}),
    "items: two quotes that are open": Case(
        ITEMS,
        "items.csv, line 2, column 'title': a quote opens a value that goes on to line 3",
        {"items.csv": 'item,title,genre\n1,"Alien,Horror\n2,"Heat,Crime\n3,Up,Drama\n'},
    ),
    "items: a comma in a title": Case(
        ITEMS,
        "items.csv, line 2: expected 2 values, found 3",
        {"items.csv": "item,title\n1,Good, Bad\n"},
    ),
    "items: no extension": Case(
        f"{RATINGS} data.items=u.info", "u.info: expected a file named .csv", {"u.info": "1|a\n"}
    ),
    "items: no feature of a model": Case(
        f"{ITEMS} model=deepfm max_epochs=1 model.features=[mood]",
        "mood|genre",
        {"items.csv": "item,genre\n" + "".join(f"{n},g\n" for n in range(60))},
    ),
    "items: none, and a model that needs them": Case(
        f"{RATINGS} model=s3rec max_epochs=1",
        "model=s3rec learns from item features, and the data has none",
    ),
    "template: no such file": Case(TEMPLATE, "t.csv: no such file"),
    "template: no users": Case(
        TEMPLATE,
        "t.csv has no column 'user': its columns are 'id'; set data.user_column",
        {"t.csv": "id\n1\n"},
    ),
    "template: a missing user": Case(
        TEMPLATE,
        "t.csv, line 3, column 'user': expected an id, found nothing",
        {"t.csv": "user,item\n1,2\n,3\n"},
    ),
    "template: a spreadsheet": Case(
        f"{RATINGS} data.submission_template=t.xlsx",
        "t.xlsx: expected a file named .csv",
        {"t.xlsx": "PK"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line(name, tmp_path):
    refused(CASES[name], tmp_path)
