"""Figures show the numbers they are given."""

import numpy as np
import pandas as pd
import pytest

from recsys_lightning.reports import figures
from recsys_lightning.reports.importance import importances

MONITOR = "val/recall@10"


@pytest.fixture
def runs():
    """l2 decides, dropout is noise, hidden is a list."""
    rng = np.random.default_rng(0)
    l2 = 10 ** rng.uniform(0, 3, 40)
    return pd.DataFrame(
        {
            "model": "a",
            "options": "",
            "l2": l2,
            "dropout": rng.uniform(0, 0.5, 40),
            "hidden": rng.choice(["[]", "[600]"], 40),
            MONITOR: -((np.log10(l2) - 2) ** 2),
            "seconds": 1.0,
            "peak_rss_mb": 5.0,
        }
    )


def test_what_decides_is_the_most_important(runs):
    shares = importances(runs, ["dropout", "hidden", "l2"], MONITOR)
    assert shares.index[0] == "l2"
    assert shares["l2"] > 0.7
    assert shares.sum() == pytest.approx(1)


def test_no_importance_from_one_option_a_few_runs_or_equal_values(runs):
    assert importances(runs, ["l2"], MONITOR) is None
    assert importances(runs.head(5), ["l2", "dropout"], MONITOR) is None
    assert importances(runs.assign(**{MONITOR: 0.1}), ["l2", "dropout"], MONITOR) is None


def test_parallel_coordinates_have_axes_for_what_they_show(runs):
    figure = figures.parallel_coordinates(runs, ["l2", "dropout", "hidden"], MONITOR)
    assert figure.layout.margin.t >= 60  # of the names above the axes
    [lines] = figure.data
    l2, dropout, hidden, metric = lines.dimensions
    assert list(l2["values"]) == pytest.approx(np.log10(runs.l2).tolist())  # spans 1 to 1000
    assert list(dropout["values"]) == runs.dropout.tolist()
    assert list(hidden.ticktext) == ["[600]", "[]"]  # sorted as text
    assert metric.label == MONITOR


def test_history_has_the_best_so_far():
    runs = pd.DataFrame({"model": "a", "split": "s", "options": "", MONITOR: [0.1, 0.3, 0.2]})
    runs["run"] = ["x/0_a", "x/1_a", "x/2_a"]
    points, best = figures.history(runs, MONITOR).data
    assert list(points.y) == [0.1, 0.3, 0.2]
    assert list(best.y) == [0.1, 0.3, 0.3]
    runs["run"] = ["x/0_a", "y/0_a", "x/1_a"]  # another search knows nothing of the first
    points, best, others, _ = figures.history(runs, MONITOR).data
    assert (points.name, others.name) == ("a, x", "a, y")
    assert list(best.y) == [0.1, 0.2]
    assert list(others.y) == [0.3]


def test_whiskers_are_intervals_over_users_and_splits_stay_apart():
    best = pd.DataFrame({"model": ["a", "a"], "split": ["s", "t"], MONITOR: [0.3, 0.2]})
    [points] = figures.best_per_model(best.assign(standard_error=[0.01, np.nan]), MONITOR).data
    assert list(points.y) == ["a, s", "a, t"]
    assert points.error_x.array[0] == pytest.approx(0.0196)
    assert np.isnan(points.error_x.array[1])
    [points] = figures.best_per_model(best.assign(split="s", standard_error=0), MONITOR).data
    assert list(points.y) == ["a", "a"]


def test_coverage_and_novelty_of_the_cutoff_that_decides(runs):
    runs = runs.assign(split="s")
    assert figures.beyond_accuracy(runs, MONITOR) is None
    runs = runs.assign(**{"val/coverage@10": 0.5, "val/coverage@20": 0.7, "val/novelty@10": 3.0})
    coverage, novelty = figures.beyond_accuracy(runs, MONITOR).data
    assert set(coverage.x) == {0.5}
    assert set(novelty.x) == {3.0}
    assert list(coverage.y) == list(novelty.y) == runs[MONITOR].tolist()
    seconds, memory = figures.costs(runs, MONITOR).data
    assert (set(seconds.x), set(memory.x)) == ({1.0}, {5.0})
