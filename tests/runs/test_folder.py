import csv
import gc
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from recsys_lightning.runs.folder import write_json
from recsys_lightning.runs.meter import Stopwatch, forget_peak_rss, peak_rss_mb
from recsys_lightning.runs.submission import write_submission
from tests.conftest import make_interactions


def test_json_is_strict(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "result.json", {"metric": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_stage_may_be_timed_in_parts():
    watch = Stopwatch()
    for _ in range(2):
        with watch("split"):
            pass
    assert list(watch.seconds) == ["split"]


def test_ids_that_need_quotes_survive_and_short_lists_are_counted(tmp_path):
    x = make_interactions([[0], [1]], 3)
    x = replace(
        x,
        users=np.array(["Ann, B.", "Cé"]),
        items=np.array(['say "hi"', "x", "y"]),
        submission_users=np.array(["Cé", "Ann, B."]),
    )
    lists = np.array([[1, 2], [0, -1]])
    path = tmp_path / "submission.csv"
    assert write_submission(path, x, lists, k=2) == {
        "unknown": 0,
        "short": 1,
    }
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [["user", "item"], ["Cé", 'say "hi"'], ["Ann, B.", "x"], ["Ann, B.", "y"]]


@pytest.fixture
def without_collection():
    gc.disable()
    yield
    gc.enable()


@pytest.mark.skipif(sys.platform != "linux", reason="the peak can be reset on Linux only")
def test_the_peak_is_that_of_a_job_not_of_the_process():
    forget_peak_rss()  # that of earlier tests in this process
    before = peak_rss_mb()
    block = np.ones(40_000_000, dtype=np.int64)  # 305 MiB
    assert peak_rss_mb() > before + 250
    del block
    forget_peak_rss()
    assert peak_rss_mb() < before + 100


@pytest.mark.skipif(sys.platform != "linux", reason="the peak can be reset on Linux only")
def test_what_an_earlier_job_left_is_freed_before_the_next(without_collection):
    """A trainer and its model name each other; Python alone frees such pairs some time later."""
    forget_peak_rss()
    before = peak_rss_mb()
    model, trainer = SimpleNamespace(weight=np.ones(40_000_000)), SimpleNamespace()  # 305 MiB
    model.trainer, trainer.model = trainer, model
    del model, trainer
    assert peak_rss_mb() > before + 250
    forget_peak_rss()
    assert peak_rss_mb() < before + 100
