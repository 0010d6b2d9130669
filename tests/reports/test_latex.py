"""The table of a paper: what is bold, underlined and marked."""

import re

import pandas as pd
import pytest

from recsys_lightning.report import main
from recsys_lightning.reports.latex import as_latex, paper_metrics
from tests.ensemble import runs as listed

METRIC = "test/recall@10"
DAGGER = "$^\\dagger$"


def compared(*rows):
    columns = ["split", "metric", "better", "other", "difference", "p_holm"]
    return pd.DataFrame([("s", METRIC, *row) for row in rows], columns=columns)


def lines(values, pairs, data=(), seeds=1):
    best = pd.DataFrame({"model": ["a_1", "b", "c"], "split": "s", "runs": seeds, METRIC: values})
    about = pd.DataFrame(data, columns=["split", "data", "users", "items", "holdout"])
    return as_latex(best, "val/recall@10", pairs, about).splitlines()


def cells(values, *pairs):
    text = lines(values, compared(*pairs))
    start = text.index("\\midrule") + 1
    return [line.partition(" & ")[2].removesuffix(" \\\\") for line in text[start : start + 3]]


def test_best_second_and_what_is_significant():
    better = [("a_1", "b", -0.1, 0.04), ("a_1", "c", 0.1, 0.2), ("b", "c", 0.2, 0.01)]
    shown = ["\\underline{0.2000}", "\\textbf{0.3000}" + DAGGER, "0.1000"]
    assert cells([0.2, 0.3, 0.1], *better) == shown
    shown[1] = "\\textbf{0.3000}"
    assert cells([0.2, 0.3, 0.1], ("a_1", "b", -0.1, 0.05), *better[1:]) == shown
    assert cells([0.2, 0.3, 0.1], ("a_1", "b", 0.1, 0.01), *better[1:]) == shown
    assert cells([0.2, 0.3, 0.1], *better[:2]) == shown  # one was not compared


def test_an_ensemble_that_submitted_a_members_lists_is_no_model_more():
    pairs = compared(("a", "b", 0.1, 0.01))
    best = pd.DataFrame({"model": ["a", "b", "ensemble"], "split": "s", METRIC: [0.3, 0.2, 0.3]})
    about = pd.DataFrame(columns=["split", "data", "users", "items", "holdout"])
    text = as_latex(best, "val/recall@10", pairs, about)
    assert "ensemble" not in text
    assert "\\textbf{0.3000}" + DAGGER in text
    assert "\\underline{0.2000}" in text
    fused = best.assign(**{METRIC: [0.3, 0.2, 0.31]})  # and kept no lists to be compared by
    text = as_latex(fused, "val/recall@10", pairs, about)
    assert "ensemble & \\textbf{0.3100}" in text
    assert DAGGER not in text.partition("midrule")[2]


def test_equal_values_share_a_mark_and_missing_ones_have_none():
    assert cells([0.3, 0.30001, 0.1]) == ["\\textbf{0.3000}", "\\textbf{0.3000}", "0.1000"]
    assert cells([0.3, None, 0.1]) == ["\\textbf{0.3000}", "--", "\\underline{0.1000}"]


def test_the_caption_names_the_data():
    text = lines([3, 2, 1], compared(), [("t", "x", 1, 1, "y"), ("s", "ml_1m", 6040, 3416, "last")])
    assert text[3].startswith(
        "\\caption{ml\\_1m (6,040 users, 3,416 items), holdout last, test set. Best bold"
    )
    assert text[-1] == "\\end{table}"
    assert any(line.startswith("a\\_1 & ") for line in text)
    old = lines([3, 2, 1], compared(), [("s", "ml", None, None, "last")])
    assert old[3].startswith("\\caption{ml, holdout last, test set.")


def test_the_caption_says_that_values_are_means_over_seeds():
    about = [("s", "ml", None, None, "last")]
    said = {seeds: lines([3, 2, 1], compared(), about, seeds)[3] for seeds in (1, 3)}
    assert "Means" not in said[1]
    assert "test set. Means over 3 seeds. Best bold" in said[3]
    assert "Means over 1 to 5 seeds." in lines([3, 2, 1], compared(), about, [1, 5, 2])[3]


def test_validation_where_nothing_else_is_held_out():
    board = pd.DataFrame(columns=["val/ndcg@20", "val/map@5", "val/ndcg@5", "val/coverage@5"])
    assert paper_metrics(board, "val/map@5") == ["val/map@5", "val/ndcg@5", "val/ndcg@20"]


def test_each_split_has_the_stage_that_it_has(tmp_path):
    """One holds out a test set, one does not, and a third nothing."""
    for name, test_items in (("x", 3), ("y", 0)):
        split = listed.make_split(test_items=test_items)
        for number, (model, skill) in enumerate([("strong", 3.0), ("weak", 0.3)]):
            run = listed.write_run(tmp_path / name / f"{number}_{model}", split, skill)
            listed.edit(run, choices={"holdout": "random", "data": "x", "model": model})
    run = listed.write_run(tmp_path / "z/0_strong", split, 3.0)
    choices = {"holdout": "none", "data": "x", "model": "strong"}
    listed.edit(run, choices=choices, split="z" * 64, metrics={})
    assert main([str(tmp_path), "--latex"]) == 0
    tables = (tmp_path / "report.tex").read_text().split("\\begin{table}")[1:]
    assert sorted(["test set." in text, "validation set." in text] for text in tables) == (
        [[False, True], [True, False]]
    )
    for text in tables:
        assert re.search(r"holdout random \([0-9a-f]{8}\), ", text)  # two draws differ in it alone
        assert "--" not in text
        [strong] = [line for line in text.splitlines() if line.startswith("strong")]
        assert strong.count(DAGGER) == 3


@pytest.mark.parametrize("test_items", [3, 0])
def test_the_command_writes_it(test_items, tmp_path, capsys):
    """Of the stages and metrics that the runs have, each compared."""
    split = listed.make_split(test_items=test_items)
    for number, (model, skill) in enumerate([("strong", 3.0), ("weak", 0.3)]):
        run = listed.write_run(tmp_path / f"{number}_{model}", split, skill)
        listed.edit(run, choices={"holdout": "random", "data": "x", "model": model})
    assert main([str(tmp_path)]) == 0
    assert not (tmp_path / "report.tex").exists()
    assert main([str(tmp_path), "--latex"]) == 0
    text = (tmp_path / "report.tex").read_text()
    assert "model & recall@5 & ndcg@5 & recall@10" in text
    assert ("test set" in text, "validation set" in text) == (test_items > 0, test_items == 0)
    [strong] = [line for line in text.splitlines() if line.startswith("strong")]
    assert strong.count("\\textbf") == strong.count(DAGGER) == 3
