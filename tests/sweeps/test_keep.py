"""The best of each model and split keep their lists and weights, whatever happens meanwhile.

The configuration of the run that ended last keeps them, too, until another's ends or the sweep.
"""

import json

import pytest

from recsys_lightning.runs.record import RunResult
from recsys_lightning.sweeps.jobs import begin, results
from recsys_lightning.sweeps.keep import BEST, drop_all_but_best, settle
from tests.sweeps.test_large_sweeps import files_read

MONITOR = "val/recall@10"


def write(folder, name, value, of=None, *, model="ease", split="s", status="done"):
    """A run of the configuration `of`, or of its own, with its files; returns what it says."""
    run = folder / name
    run.mkdir()
    result = RunResult(
        status=status,
        model=model,
        split=split,
        repeated=f"{model} {of or name}",
        metrics={} if value is None else {MONITOR: value},
        config={"monitor": MONITOR},
    )
    result.write(run / "result.json")
    (run / "submission.csv").touch()
    (run / "checkpoints").mkdir()
    return result


def end(folder, name, value, of=None, *, keep=1, **options):
    """A run ends with these."""
    result = write(folder, name, value, of, **options)
    drop_all_but_best(folder, folder / name, result, MONITOR, keep)


def end_all(folder, keep=1):
    settle(folder, list(results(folder)), keep)


def kept(folder):
    names = {path.parent.name for path in folder.glob("*/submission.csv")}
    assert names == {path.parent.name for path in folder.glob("*/checkpoints")}
    return sorted(names)


def test_the_best_of_each_model_and_split_keep_their_lists(tmp_path):
    runs = [("ease", "s", 0.1), ("ease", "s", 0.3), ("ease", "t", 0.01), ("ease", "t", 0.02)]
    runs += [("popularity", "s", 0.05), ("popularity", "s", 0.04)]
    for number, (model, split, value) in enumerate(runs):
        end(tmp_path, str(number), value, model=model, split=split)
    end_all(tmp_path)
    assert kept(tmp_path) == ["1", "3", "4"]


def test_all_seeds_of_the_best_by_their_mean(tmp_path):
    seeds = {"a": (0.9, 0.1), "b": (0.6, 0.5, 0.7), "c": (0.8, 0.2), "d": (0.55, 0.5)}
    for configuration, values in seeds.items():
        for number, value in enumerate(values):
            end(tmp_path, f"{configuration}{number}", value, configuration, keep=2)
    assert kept(tmp_path) == ["b0", "b1", "b2", "d0", "d1"]
    end_all(tmp_path, keep=2)
    assert kept(tmp_path) == ["b0", "b1", "b2", "d0", "d1"]
    end_all(tmp_path, keep=1)
    assert kept(tmp_path) == ["b0", "b1", "b2"]


def test_a_weak_first_seed_costs_no_files_while_the_seeds_run(tmp_path):
    end(tmp_path, "a0", 0.5, "a")
    end(tmp_path, "b0", 0.1, "b")
    assert kept(tmp_path) == ["a0", "b0"]
    end(tmp_path, "b1", 0.99, "b")
    end(tmp_path, "c0", 0.0, "c")
    assert kept(tmp_path) == ["b0", "b1", "c0"]
    end_all(tmp_path)
    assert kept(tmp_path) == ["b0", "b1"]


@pytest.mark.parametrize("started_again_after", ["d0", "b0"])
def test_a_configuration_is_judged_by_the_seeds_that_were_dropped_too(
    started_again_after, tmp_path
):
    for name, value in {"a0": 0.5, "b0": 0.1, "c0": 0.2, "b1": 0.7, "d0": 0.0}.items():
        end(tmp_path, name, value, name[0])
        if name == started_again_after:
            begin(tmp_path)
    assert kept(tmp_path) == ["a0", "d0"]  # b is 0.4


def test_the_end_leaves_what_an_earlier_start_kept_of_others(tmp_path):
    for name in ("0", "1"):
        end(tmp_path, name, 0.1, keep=2)
    begin(tmp_path)
    for name in ("2", "3"):
        end(tmp_path, name, 0.1, model="popularity")
    end_all(tmp_path)
    assert kept(tmp_path) == ["0", "1", "2"]


def test_none_are_kept(tmp_path):
    end(tmp_path, "0", 0.1, keep=0)
    end(tmp_path, "1", 0.2, keep=0)
    assert kept(tmp_path) == ["1"]
    end_all(tmp_path, keep=0)
    assert kept(tmp_path) == []


def test_the_end_deletes_what_a_killed_job_left(tmp_path):
    end(tmp_path, "0", 0.3)
    write(tmp_path, "1", 0.2)
    write(tmp_path, "2", None, status="pruned")
    end_all(tmp_path)
    assert kept(tmp_path) == ["0"]


def test_a_pruned_run_keeps_nothing_and_a_failed_one_counts_for_nothing(tmp_path):
    end(tmp_path, "0", 0.1)
    end(tmp_path, "1", None, status="pruned", keep=5)
    end(tmp_path, "2", None, status="failed")
    assert "1" not in kept(tmp_path)
    assert "0" in kept(tmp_path)


def test_what_a_kill_left_is_found_at_the_first_end_after_a_start(tmp_path):
    end(tmp_path, "0", 0.3)
    write(tmp_path, "1", 0.2)  # it wrote its result, and was killed
    begin(tmp_path)
    end(tmp_path, "2", 0.1)
    assert kept(tmp_path) == ["0", "2"]
    [best] = tmp_path.glob(f".kept/*/{BEST}")
    best.write_text(best.read_text()[:5])  # killed as it wrote
    end(tmp_path, "3", 0.4)
    assert kept(tmp_path) == ["3"]


def test_a_folder_that_another_job_got_is_left_alone(tmp_path):
    end(tmp_path, "0", 0.1)
    other = RunResult(model="ease", split="other", repeated="ease 0", metrics={MONITOR: 0.5})
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
    [best] = tmp_path.glob(f".kept/*/{BEST}")
    assert len(json.loads(best.read_text())) == 3
