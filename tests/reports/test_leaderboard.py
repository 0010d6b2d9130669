"""Tables of many runs, from folders written here."""

import json

import pytest

from recsys_lightning.reports.leaderboard import best_per_model, leaderboard, runs_table, varied


def write_run(folder, number, model, value, *, seed=1, split="s" * 64, status="done", **options):
    run = folder / f"{number}_{model}"
    run.mkdir(parents=True)
    result = {
        "status": status,
        "error": "no memory" if status == "failed" else None,
        "model": model,
        "data": "toy",
        "split": split,
        "seed": seed,
        "metrics": {} if value is None else {"val/recall@10": value, "test/recall@10": value / 2},
        "job": f"{model}{options}{seed}",
        "repeated": f"{model}{options}",
        "config": {"seed": seed, "model": {"_target_": model, **options}, "data": {"path": number}},
        "seconds": {"load": 1.0, "fit": 2.5},
        "peak_rss_mb": 100.0 + number,
        "parameters": 7,
        "best_epoch": 3,
        "finished": f"2026-01-01T00:00:{number:02}+00:00",
    }
    (run / "result.json").write_text(json.dumps(result))
    return run


@pytest.fixture
def runs(tmp_path):
    write_run(tmp_path, 11, "b", 0.30, l2=5, dropout=0.5)
    write_run(tmp_path, 0, "a", 0.10, seed=1, l2=1)
    write_run(tmp_path, 1, "a", 0.40, seed=2, l2=1)
    write_run(tmp_path, 2, "a", 0.20, seed=1, l2=[2, 3])
    write_run(tmp_path, 3, "a", None, status="failed", l2=4)
    write_run(tmp_path, 4, "b", 0.25, l2=6, dropout=0.5)
    return runs_table([tmp_path], tmp_path)


def test_a_row_a_run_in_the_order_of_time(runs):
    assert runs.run.tolist() == ["0_a", "1_a", "2_a", "3_a", "4_b", "11_b"]
    assert runs.error.tolist()[3] == "no memory"
    assert runs.seconds.tolist()[0] == 3.5
    assert runs.split.tolist()[0] == "s" * 8


def test_options_are_what_differs_within_a_model(runs):
    assert varied(runs, "a") == ["model.l2"]
    assert runs.options.tolist() == [
        "model.l2=1",
        "model.l2=1",
        "model.l2=[2, 3]",
        "model.l2=4",
        "model.l2=6",
        "model.l2=5",  # and not the dropout, which no run of b varies
    ]


def test_seeds_are_taken_together(runs):
    board = leaderboard(runs, "val/recall@10")
    assert board.model.tolist() == ["b", "a", "b", "a"]
    assert board["val/recall@10"].tolist() == pytest.approx([0.30, 0.25, 0.25, 0.20])
    assert board.runs.tolist() == [1, 2, 1, 1]
    assert board["std"][1] == pytest.approx(0.3 / 2**0.5)
    assert board["test/recall@10"][1] == pytest.approx(0.125)
    assert board.best_run.tolist() == ["11_b", "1_a", "4_b", "2_a"]
    assert best_per_model(board).best_run.tolist() == ["11_b", "1_a"]


def test_a_run_found_twice_counts_once(tmp_path):
    write_run(tmp_path / "x", 0, "a", 0.1)
    assert len(runs_table([tmp_path, tmp_path / "x"], tmp_path)) == 1


def test_splits_stay_apart(tmp_path):
    write_run(tmp_path, 0, "a", 0.1, split="s" * 64)
    write_run(tmp_path, 1, "a", 0.2, split="t" * 64)
    board = leaderboard(runs_table([tmp_path], tmp_path), "val/recall@10")
    assert board.split.tolist() == ["s" * 8, "t" * 8]
    assert len(best_per_model(board)) == 2


def test_without_any_done_run_the_leaderboard_is_empty(tmp_path):
    write_run(tmp_path, 0, "a", None, status="failed")
    assert leaderboard(runs_table([tmp_path], tmp_path), "val/recall@10").empty


def test_the_same_job_run_twice_is_one_row_without_seeds(tmp_path):
    write_run(tmp_path / "x", 1, "a", 0.3, seed=1)
    write_run(tmp_path / "y", 2, "a", 0.4, seed=1)  # the latest
    write_run(tmp_path / "z", 0, "a", 0.2, seed=1)
    runs = runs_table([tmp_path], tmp_path)
    assert len(runs) == 3
    board = leaderboard(runs, "val/recall@10")
    assert board["val/recall@10"].tolist() == [0.4]
    assert board.runs.tolist() == [1]
    assert board["std"].isna().all()
    assert board.best_run.tolist() == ["y/2_a"]
    write_run(tmp_path / "z", 3, "a", 0.6, seed=2)
    board = leaderboard(runs_table([tmp_path], tmp_path), "val/recall@10")
    assert board["val/recall@10"].tolist() == [0.5]
    assert board.runs.tolist() == [2]


def test_callbacks_that_change_the_fit_are_options(tmp_path):
    for number, lr in enumerate((0.1, 0.2)):
        run = write_run(tmp_path, number, "a", lr)
        result = json.loads((run / "result.json").read_text())
        result["config"]["callbacks"] = {
            "swa": {"_target_": "x.StochasticWeightAveraging", "swa_lrs": lr},
            "bar": {"_target_": "x.ProgressBar", "refresh_rate": number},
        }
        (run / "result.json").write_text(json.dumps(result | {"repeated": str(number), "job": lr}))
    runs = runs_table([tmp_path], tmp_path)
    assert runs.options.tolist() == ["callbacks.swa.swa_lrs=0.1", "callbacks.swa.swa_lrs=0.2"]


def test_runs_that_say_no_job_are_as_many_seeds_as_they_have(tmp_path):
    for number in range(2):
        run = write_run(tmp_path, number, "a", 0.3, seed=1)
        result = json.loads((run / "result.json").read_text())
        del result["job"]
        (run / "result.json").write_text(json.dumps(result))
    assert leaderboard(runs_table([tmp_path], tmp_path), "val/recall@10").runs.tolist() == [1]
