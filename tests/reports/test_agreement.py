"""Which holdout's metrics follow what a leaderboard said."""

import json

import pytest
from scipy.stats import kendalltau

from recsys_lightning.errors import InputError
from recsys_lightning.report import main
from recsys_lightning.reports.agreement import agreement
from recsys_lightning.reports.leaderboard import runs_table
from tests.reports.test_leaderboard import write_run

FOLLOWS, OPPOSES = [0.10, 0.30, 0.20, 0.40, 0.60, 0.50], [0.6, 0.5, 0.4, 0.3, 0.1, 0.2]
SCORES = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]


def describe(run, share):
    """What a run of `holdout=hybrid` says of itself, and `write_run` does not."""
    path = run / "result.json"
    result = json.loads(path.read_text())
    result["config"] |= {"monitor": "val/recall@10", "holdout": {"share": share, "seed": 0}}
    choices = {"data": "files", "holdout": "hybrid", "model": result["model"]}
    path.write_text(json.dumps(result | {"choices": choices, "overrides": []}))


@pytest.fixture
def folder(tmp_path):
    """Six models on each of two splits, a seventh without a score, and one that failed."""
    folder = tmp_path / "runs"
    for n in range(6):
        for split, values, share in (("a", OPPOSES, 0.2), ("b", FOLLOWS, 0.4)):
            describe(write_run(folder / split, n, f"m{n}", values[n], split=split * 64), share)
    describe(write_run(folder / "b", 7, "other", 0.9, split="b" * 64), 0.4)
    describe(write_run(folder / "b", 8, "broken", None, split="b" * 64, status="failed"), 0.4)
    return folder


def scores(path, *rows):
    path.write_text("\n".join(["run,score", *rows]) + "\n")
    return path


@pytest.fixture
def known(tmp_path):
    rows = [f"{split}/{n}_m{n},{SCORES[n]}" for n in range(6) for split in "ab"]
    return scores(tmp_path / "scores.csv", *rows)


def test_each_holdout_by_itself_the_best_first(folder, known):
    runs = runs_table([folder], folder)
    table = agreement(known, runs, folder, [folder], "val/recall@10")
    assert table.metric.tolist() == ["val/recall@10"] * 2 + ["test/recall@10"] * 2
    assert table.holdout.tolist() == ["hybrid share=0.4", "hybrid share=0.2"] * 2
    assert table.split.tolist() == ["hybrid bbbbbbbb", "hybrid aaaaaaaa"] * 2
    assert table.runs.tolist() == [6] * 4  # those that have a score
    expected = [kendalltau(values, SCORES).statistic for values in (FOLLOWS, OPPOSES)]
    assert table.tau.tolist() == pytest.approx(expected * 2)
    assert (table.low <= table.tau).all()
    assert (table.tau <= table.high).all()


def test_a_run_is_named_from_here_from_the_report_or_from_where_it_was_found(
    folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    runs = runs_table([folder], out)
    rows = ["runs/b/0_m0,1", "b/1_m1,2", f"{folder}/b/2_m2,3", "../runs/b/3_m3,4", "b/4_m4/,5"]
    table = agreement(scores(tmp_path / "scores.csv", *rows), runs, out, [folder], "val/recall@10")
    assert table.runs.tolist() == [5, 5]


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        (["b/0_m0,1", "b/9_m9,1"], r"scores\.csv, line 3: 'b/9_m9' is not one of the 13 runs that"),
        (["b/8_broken,1"], "line 2: 'b/8_broken' is not one of the 13 runs that are done"),
        (["b/0_m0,1", "b/0_m0,2"], "line 3: 'b/0_m0' has a score already"),
        (["b/0_m0,1", "b/1_m1,-inf"], "line 3: a score of -inf; expected a finite number"),
        (["b/0_m0,best"], "line 2, column 'score': expected a number, found 'best'"),
        ([f"b/{n}_m{n},1" for n in range(4)], "no split has 5 runs with a score"),
    ],
)
def test_what_is_refused(folder, tmp_path, rows, match, capsys):
    path = scores(tmp_path / "scores.csv", *rows)
    runs = runs_table([folder], folder)
    with pytest.raises(InputError, match=match):
        agreement(path, runs, folder, [folder], "val/recall@10")
    assert main([str(folder), "--scores", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_without_any_done_run_there_is_nothing_to_correlate(tmp_path, capsys):
    describe(write_run(tmp_path, 0, "a", None, status="failed"), 0.4)
    path = scores(tmp_path / "scores.csv", "0_a,1")
    assert main([str(tmp_path), "--scores", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"error: {path}: no run is done, so there is nothing to correlate\n"
    )


def test_equal_scores_have_no_order_to_follow(folder, tmp_path):
    rows = [f"b/{n}_m{n},{SCORES[n]}" for n in range(6)] + [f"a/{n}_m{n},1" for n in range(6)]
    assert main([str(folder), "--scores", str(scores(tmp_path / "scores.csv", *rows))]) == 0
    text = (folder / "report.md").read_text()
    assert "| val/recall@10 | hybrid share=0.2 | 6 |  |  |" in text
    assert "nan" not in text


def test_the_report_has_it(folder, known, capsys):
    assert main([str(folder), "--scores", str(known)]) == 0
    tau = f"{kendalltau(FOLLOWS, SCORES).statistic:+.2f}"
    screen = capsys.readouterr().out
    text, page = (folder / "report.md").read_text(), (folder / "report.html").read_text()
    for shown in (screen, text, page):
        assert tau in shown
        assert "hybrid share=0.4" in shown
    assert "## Which holdout follows the leaderboard" in text
    assert main([str(folder)]) == 0
    assert "Kendall" not in capsys.readouterr().out + (folder / "report.md").read_text()
