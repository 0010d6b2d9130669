"""Draws of the holdout, taken together as seeds are."""

import json

import numpy as np
import pandas as pd
import pytest

from recsys_lightning.reports.draws import draws
from recsys_lightning.reports.leaderboard import runs_table
from recsys_lightning.reports.rendering import as_markdown
from recsys_lightning.reports.report import Report
from tests.reports.test_leaderboard import write_run

MONITOR = "val/recall@10"


def write(folder, number, model, value, draw, *, seed=1, **options):
    """A run of `holdout=hybrid holdout.seed=draw`."""
    run = write_run(folder, number, model, value, seed=seed, split=f"{draw}" * 64, **options)
    path = run / "result.json"
    result = json.loads(path.read_text())
    result["config"] |= {"holdout": {"share": 0.1, "seed": draw}, "data": {}}
    result |= {"job": f"{number}", "choices": {"model": model}}
    result["repeated"] = f"{model}{options}{draw}"
    path.write_text(json.dumps(result))
    return path


def table(folder):
    return draws(runs_table([folder], folder), folder, MONITOR)


@pytest.fixture
def folder(tmp_path):
    """Two draws of two seeds of `a`, two of one seed of `b`, one of `c`."""
    for number, (draw, seed, value) in enumerate(
        [(0, 1, 0.10), (0, 2, 0.14), (1, 1, 0.20), (1, 2, 0.28)]
    ):
        write(tmp_path, number, "a", value, draw, seed=seed)
    write(tmp_path, 4, "b", 0.3, 0, l2=1)
    write(tmp_path, 5, "b", 0.4, 1, l2=1)
    write(tmp_path, 6, "b", 0.9, 1, l2=2)
    write(tmp_path, 7, "c", 0.9, 0)
    return tmp_path


def test_spreads_between_draws_and_between_seeds(folder):
    found = table(folder)
    assert found.metric.tolist() == [MONITOR] * 2 + ["test/recall@10"] * 2
    assert found.model.tolist() == ["b", "a"] * 2
    assert found.options.tolist() == ["model.l2=1", ""] * 2  # and not the draw
    assert found.draws.tolist() == [2] * 4
    assert found.seeds.tolist() == [1, 2] * 2
    assert found["mean"].tolist() == pytest.approx([0.35, 0.18, 0.175, 0.09])
    between = [np.std([0.3, 0.4], ddof=1), np.std([0.12, 0.24], ddof=1)]
    assert found.between_draws.tolist() == pytest.approx([*between, *np.array(between) / 2])
    within = np.sqrt((np.var([0.10, 0.14], ddof=1) + np.var([0.20, 0.28], ddof=1)) / 2)
    assert np.isnan(found.between_seeds[0])
    assert found.between_seeds[1] == pytest.approx(within)


def test_a_draw_that_was_run_again_counts_as_it_finished_last(folder):
    """Changed data is another split of the same seed."""
    path = write(folder, 9, "b", 0.6, 1, l2=1)
    path.write_text(path.read_text().replace("1" * 64, "9" * 64))
    assert table(folder)["mean"][0] == pytest.approx(0.45)


def test_draws_of_data_of_another_size_are_told_apart(folder):
    """The file under `data.path` has changed."""
    for number, draw in ((9, 0), (10, 2)):
        path = write(folder, number, "a", 0.5, draw)
        path.write_text(json.dumps(json.loads(path.read_text()) | {"sizes": {"interactions": 9}}))
    of_a = table(folder).query("model == 'a' and metric == @MONITOR")
    assert of_a["mean"].tolist() == pytest.approx([0.5, 0.18])
    assert of_a.draws.tolist() == [2, 2]


def test_other_holdouts_are_no_draws(folder):
    path = write(folder, 9, "c", 0.6, 1)
    path.write_text(path.read_text().replace('"share": 0.1', '"share": 0.2'))
    assert "c" not in table(folder).model.tolist()


def test_holdouts_without_a_seed_have_no_draws(tmp_path):
    write_run(tmp_path, 0, "a", 0.1)
    assert table(tmp_path).empty


def test_the_report_has_them(folder):
    runs = runs_table([folder], folder)
    board = pd.DataFrame(
        {"split": ["s"], "model": "a", "options": "", MONITOR: 0.1, "std": 0.0, "runs": 1}
        | {"standard_error": 0.01, "seconds": 1.0, "peak_rss_mb": 1.0, "best_run": "0_a"}
    )
    report = Report("x", MONITOR, runs, board, board, pd.DataFrame(), table(folder))
    text = as_markdown(report, folder)
    assert "## How much the draw of the holdout matters" in text
    assert f"| {MONITOR} | a |  | 2 | 2 | 0.1800 | 0.0849 | 0.0447 |" in text
    assert f"| {MONITOR} | b | model.l2=1 | 2 | 1 | 0.3500 | 0.0707 |  |" in text
