"""The commands beside run.py: report, ensemble, submission, evaluate; they have fast tests, too."""

import json
import shutil

import pytest

from tests.bad_input.case import Case, finished_run, refused

SUBMISSION = "user,item\n" + "".join(f"{user},{item}\n" for user in range(30) for item in range(10))
CASES = {
    "report: no folder": Case("-m .report nowhere", "nowhere"),
    "report: no run in it": Case("-m .report data", "data"),
    "report: a file": Case("-m .report ratings.csv", "ratings.csv"),
    "report: no scores": Case("-m .report done --scores nowhere.csv", "nowhere.csv"),
    "report: scores of other columns": Case(
        "-m .report done --scores s.csv", "s.csv", {"s.csv": "a,b\n1,2\n"}
    ),
    "report: scores of text": Case(
        "-m .report done --scores s.csv", "s.csv", {"s.csv": "run,score\ndone,good\n"}
    ),
    "report: scores of no run": Case(
        "-m .report done --scores s.csv", "s.csv", {"s.csv": "run,score\nother,0.5\n"}
    ),
    "report: a folder that is a file": Case("-m .report done --out ratings.csv", "ratings.csv"),
    "ensemble: no folder": Case("-m .ensemble nowhere --out out", "nowhere: there is no run in it"),
    "ensemble: into a run": Case("-m .ensemble done --out done", "done is the folder of a run"),
    "ensemble: an unknown fusion": Case(
        "-m .ensemble done --out out --fusion votes",
        "ensemble.fusion=votes: expected one of rank, ",
    ),
    "ensemble: unknown weights": Case(
        "-m .ensemble done --out out --weights bayes",
        "ensemble.weights=bayes: expected one of best",
    ),
    "ensemble: a metric": Case(
        "-m .ensemble done --out out --metric recal@10",
        "ensemble.metric=recal@10: expected one of recall",
    ),
    "ensemble: a bag of one": Case("-m .ensemble done --out out --bag", "done"),
    "submission: no file": Case("-m .submission nowhere.csv", "nowhere.csv"),
    "submission: no result beside it": Case(
        "-m .submission s.csv",
        "s.csv: no result.json or ensemble.json beside it|--split",
        {"s.csv": SUBMISSION},
    ),
    "submission: no split": Case(
        "-m .submission s.csv --split nowhere", "nowhere", {"s.csv": SUBMISSION}
    ),
    "submission: a split of nothing": Case(
        "-m .submission s.csv --split data", "data", {"s.csv": SUBMISSION}
    ),
    "submission: no template": Case(
        "-m .submission done/submission.csv --template nowhere.csv", "nowhere.csv"
    ),
    "evaluate: no file": Case("-m .evaluate nowhere.csv --split {split}", "nowhere.csv"),
    "evaluate: no split": Case(
        "-m .evaluate l.csv --split nowhere", "nowhere", {"l.csv": "user,item,rank\n1,2,1\n"}
    ),
    "evaluate: no rank": Case(
        "-m .evaluate l.csv --split {split}", "l.csv", {"l.csv": "user,item\n1,2\n"}
    ),
    "evaluate: a rank of text": Case(
        "-m .evaluate l.csv --split {split}",
        "l.csv, line 2",
        {"l.csv": "user,item,rank\n1,2,first\n"},
    ),
    "evaluate: a score of text": Case(
        "-m .evaluate l.csv --split {split}",
        "l.csv, line 2",
        {"l.csv": "user,item,score\n1,2,nan\n"},
    ),
    "evaluate: a rank twice": Case(
        "-m .evaluate l.csv --split {split}", "l.csv", {"l.csv": "user,item,rank\n1,2,1\n1,3,1\n"}
    ),
    "evaluate: users of other data": Case(
        "-m .evaluate l.csv --split {split}", "l.csv", {"l.csv": "user,item,rank\nanna,2,1\n"}
    ),
    "evaluate: a cut-off of 0": Case(
        "-m .evaluate l.csv --split {split} --k 0", "0", {"l.csv": "user,item,rank\n1,2,1\n"}
    ),
    "evaluate: an unknown metric": Case(
        "-m .evaluate l.csv --split {split} --metric recal@10",
        "recal@10",
        {"l.csv": "user,item,rank\n1,2,1\n"},
    ),
    "evaluate: against nothing": Case(
        "-m .evaluate l.csv --split {split} --against nowhere",
        "nowhere",
        {"l.csv": "user,item,rank\n1,2,1\n"},
    ),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("done"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_one_line(name, done, tmp_path):
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    split = json.loads((done / "done" / "result.json").read_text())["split_files"]
    case = CASES[name]
    refused(case._replace(command=case.command.replace("{split}", split)), tmp_path)
