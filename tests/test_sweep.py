"""Multiruns of the real command: failures, a kill, and the same command again."""

import json
import os
import signal
import subprocess
import sys
import time

from recsys_lightning.sweep import find_done, job_hash, results
from tests.command import ROOT

SMALL = (
    "data=synthetic",
    "data.num_users=200",
    "data.num_items=100",
    "data.num_interactions=6000",
    "data.min_per_user=20",
    "logger=none",
    "callbacks=none",
    "trainer.enable_progress_bar=false",
)


def command(folder, *overrides):
    return [
        *(
            sys.executable,
            "run.py",
            "-m",
            *SMALL,
            *overrides,
            f"hydra.sweep.dir={folder / 'sweep'}",
        ),
        *(f"split_dir={folder / 'splits'}", f"data.cache_dir={folder / 'cache'}"),
    ]


def sweep(folder, *overrides, code=0):
    done = subprocess.run(
        command(folder, *overrides), cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def times(folder):
    """When each job wrote its result."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.rglob("result.json")}


def test_the_others_finish_the_failure_is_told_and_only_it_runs_again(tmp_path):
    overrides = ("model=ease,popularity", "holdout.valid_items=2,-2")
    done = sweep(tmp_path, *overrides, code=1)
    statuses = {run.name: result["status"] for run, result in results(tmp_path / "sweep")}
    assert statuses == {
        "0_ease": "done",
        "1_ease": "failed",
        "2_popularity": "done",
        "3_popularity": "failed",
    }
    told = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert len(told) == 2
    assert all("holdout.valid_items=-2" in line for line in told)
    before = times(tmp_path)
    again = sweep(tmp_path, *overrides, code=1)
    changed = {name for name, when in times(tmp_path).items() if when != before[name]}
    assert changed == {"1_ease", "3_popularity"}
    assert again.stdout.count("done already") == 2


def test_fail_fast_starts_no_further_job(tmp_path):
    overrides = ("model=ease", "model.l2=-1,3", "sweep.fail_fast=true")
    sweep(tmp_path, *overrides, code=1)
    assert list(times(tmp_path)) == ["0_ease"]
    sweep(tmp_path, "model=ease", "model.l2=2,3", "sweep.fail_fast=true")  # the same folder, mended
    assert sorted(times(tmp_path)) == ["0_ease", "1_ease"]


def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    overrides = ("model=ease", "model.l2=1,2,3,4")
    with subprocess.Popen(
        command(tmp_path, *overrides), cwd=ROOT, stdout=subprocess.DEVNULL
    ) as job:
        while len(times(tmp_path)) < 2:
            assert job.poll() is None
            time.sleep(0.01)
        os.kill(job.pid, signal.SIGKILL)
    before = times(tmp_path)
    assert len(before) < 4
    sweep(tmp_path, *overrides)
    after = times(tmp_path)
    assert len(after) == 4
    assert all(after[name] == when for name, when in before.items())
    l2 = [result["config"]["model"]["l2"] for _, result in results(tmp_path / "sweep")]
    assert l2 == [1, 2, 3, 4]


def test_two_sweeps_at_once_do_not_disturb_each_other(tmp_path):
    jobs = [
        subprocess.Popen(
            command(tmp_path / name, "model=ease,popularity", f"seed={seed}"),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        for name, seed in (("a", 1), ("b", 2))
    ]
    assert [job.wait(timeout=300) for job in jobs] == [0, 0]
    for name, seed in (("a", 1), ("b", 2)):
        seeds = [result["seed"] for _, result in results(tmp_path / name)]
        assert seeds == [seed, seed]


def test_a_job_is_known_whatever_its_paths(tmp_path):
    config = {
        "seed": 1,
        "split_dir": "x",
        "logger": {"csv": 1},
        "data": {"path": "p", "cache_dir": "q"},
    }
    moved = config | {"split_dir": "y", "data": {"path": "p", "cache_dir": "z"}, "logger": None}
    assert job_hash(config) == job_hash(moved)
    assert job_hash(config) != job_hash(config | {"data": {"path": "other", "cache_dir": "q"}})
    assert job_hash(config) != job_hash(config | {"seed": 2})
    assert job_hash(config, without="seed") == job_hash(config | {"seed": 2}, without="seed")
    for name, status in (("9_b", "failed"), ("10_a", "done")):
        (tmp_path / name).mkdir()
        result = {"job": job_hash(config), "status": status}
        (tmp_path / name / "result.json").write_text(json.dumps(result))
    assert [run.name for run, _ in results(tmp_path)] == ["9_b", "10_a"]
    assert find_done(tmp_path, job_hash(moved))[0].name == "10_a"
    assert find_done(tmp_path, "other") is None
