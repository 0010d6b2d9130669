"""The best of each model and split keep their lists and weights, whatever happens meanwhile."""

import json

import pytest

from recsys_lightning.runs.record import RunResult
from recsys_lightning.sweeps.jobs import begin
from recsys_lightning.sweeps.keep import drop_all_but_best
from tests.sweeps.test_large_sweeps import files_read

MONITOR = "val/recall@10"


def end(folder, name, value, *, model="ease", split="s", status="done", keep=1, minimize=False):
    """A run ends with these."""
    run = folder / name
    run.mkdir()
    metrics = {} if value is None else {MONITOR: value}
    result = RunResult(model=model, split=split, metrics=metrics, status=status)
    result.write(run / "result.json")
    (run / "submission.csv").touch()
    (run / "checkpoints").mkdir()
    drop_all_but_best(folder, run, result, MONITOR, keep, minimize=minimize)


def kept(folder):
    names = {path.parent.name for path in folder.glob("*/submission.csv")}
    assert names == {path.parent.name for path in folder.glob("*/checkpoints")}
    return sorted(names)


@pytest.mark.parametrize("minimize", [False, True])
def test_the_best_of_each_model_and_split_keep_their_lists(minimize, tmp_path):
    runs = [("ease", "s", 0.1), ("ease", "s", 0.3), ("ease", "t", 0.01), ("ease", "t", 0.02)]
    runs += [("popularity", "s", 0.05), ("popularity", "s", 0.04)]
    for number, (model, split, value) in enumerate(runs):
        end(tmp_path, str(number), value, model=model, split=split, minimize=minimize)
    assert kept(tmp_path) == (["0", "2", "5"] if minimize else ["1", "3", "4"])


def test_a_pruned_run_keeps_nothing_and_a_failed_one_counts_for_nothing(tmp_path):
    end(tmp_path, "0", 0.1)
    end(tmp_path, "1", None, status="pruned", keep=5)
    end(tmp_path, "2", None, status="failed")
    assert "1" not in kept(tmp_path)
    assert "0" in kept(tmp_path)


def test_what_a_kill_left_is_found_at_the_first_end_after_a_start(tmp_path):
    end(tmp_path, "0", 0.3)
    (tmp_path / "1").mkdir()  # it wrote its result, and was killed
    RunResult(model="ease", split="s", metrics={MONITOR: 0.2}).write(tmp_path / "1/result.json")
    (tmp_path / "1/submission.csv").touch()
    (tmp_path / "1/checkpoints").mkdir()
    begin(tmp_path)
    end(tmp_path, "2", 0.1)
    assert kept(tmp_path) == ["0"]
    [state] = (tmp_path / ".kept").iterdir()
    state.write_text(state.read_text()[:5])  # killed as it wrote
    end(tmp_path, "3", 0.4)
    assert kept(tmp_path) == ["3"]


def test_a_folder_that_another_job_got_is_left_alone(tmp_path):
    end(tmp_path, "0", 0.1)
    other = RunResult(model="ease", split="other", metrics={MONITOR: 0.5})
    other.write(tmp_path / "0/result.json")
    end(tmp_path, "1", 0.3)
    assert kept(tmp_path) == ["0", "1"]


def test_an_end_reads_no_other_results(tmp_path, monkeypatch):
    for number in range(20):
        end(tmp_path, str(number), number / 100, keep=3)
    with files_read(monkeypatch) as read:
        end(tmp_path, "20", 0.5, keep=3)
    assert len(read) <= 1  # the one that is dropped
    assert kept(tmp_path) == ["18", "19", "20"]
    [state] = (tmp_path / ".kept").iterdir()
    assert len(json.loads(state.read_text())) == 3
