"""Paths that cannot be written or read, the shell's characters in them, and the environment."""

import os
import subprocess

import pytest

from tests.bad_input.case import HISTORIES, RATINGS, Case, refused

GRAMMAR = (
    "expected key=value; a value with blanks, commas, semicolons, brackets, =, ~ or letters beyond "
    "ASCII"
)
CASES = {
    "brackets": Case("data=files data.path=a(b).csv", GRAMMAR, {"a(b).csv": HISTORIES}),
    "a blank": Case(
        "data=files 'data.path=my file.csv' seed=-1", "seed=-1", {"my file.csv": HISTORIES}
    ),
    "an =": Case("data=files data.path=a=b.csv", GRAMMAR, {"a=b.csv": HISTORIES}),
    "a comma": Case("data=files data.path=a,b.csv", "-m", {"a,b.csv": HISTORIES}),
    "a colon": Case("data=files data.path=a:b.csv", "a:b.csv: no such file"),
    "a tilde": Case("data=files data.path=~/nowhere.csv", GRAMMAR),
    "Korean": Case("data=files data.path=평점.csv", GRAMMAR),
    "quoted Korean": Case("data=files 'data.path=\"평점 1.csv\"'", "평점 1.csv: no such file"),
    "a dollar": Case(
        "data=files 'data.path=${HOME}/r.csv'",
        "key 'HOME' not found, which data.path=${HOME}/r.csv needs; |${oc.env:NAME}",
    ),
    "a variable that is not set": Case(
        "data=files 'data.path=${oc.env:NOT_SET}'",
        "Environment variable 'NOT_SET' not found|which data.path=${oc.env:NOT_SET} needs",
    ),
    "an address": Case(
        "data=files data.path=https://a.org/r.csv", "https:/a.org/r.csv: no such file"
    ),
    "a backslash": Case("data=files 'data.path=C:\\data\\r.csv'", "r.csv: no such file"),
    "a cache in a file": Case(f"{RATINGS} data.cache_dir=ratings.csv/cache seed=-1", "seed=-1"),
    "a run where nobody may write": Case(f"{RATINGS} hydra.run.dir=/sys/recsys/run", "/sys/recsys"),
    "a run in a file": Case(f"{RATINGS} hydra.run.dir=ratings.csv/run", "ratings.csv"),
    "splits in a file": Case(f"{RATINGS} split_dir=ratings.csv", "ratings.csv"),
    "splits where nobody may write": Case(f"{RATINGS} split_dir=/proc/splits", "/proc/splits"),
    "an MLflow server that does not answer": Case(
        f"{RATINGS} logger=mlflow",
        "logger.mlflow.tracking_uri=nowhere://x",
        environment={"MLFLOW_TRACKING_URI": "nowhere://x"},
    ),
    "a mode of W&B in the environment": Case(
        f"{RATINGS} logger=wandb",
        "WANDB_MODE=sometimes: expected one of online, offline",
        environment={"WANDB_MODE": "sometimes"},
    ),
    "threads of text": Case(f"{RATINGS} seed=-1", "seed=-1", environment={"MKL_DYNAMIC": "maybe"}),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line(name, tmp_path):
    refused(CASES[name], tmp_path)


@pytest.mark.parametrize("key", ["data.path", "data.items", "data.submission_template"])
def test_a_pipe_is_not_waited_for(key, tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    refused(Case(f"{RATINGS} {key}=pipe.csv", "pipe.csv: is a pipe or a device"), tmp_path)


def test_a_full_disk(tmp_path):
    disk = tmp_path / "run"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(disk)], capture_output=True
    )
    if os.geteuid() != 0 or mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        case = Case(f"{RATINGS} recommend.candidates=20", "No space left")
        refused(case, tmp_path, whole=("metrics.csv", "checkpoints/best.ckpt"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_device_behind_a_link(tmp_path):
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    refused(Case("data=files data.path=zero.csv", "zero.csv: is a pipe or a device"), tmp_path)


def test_a_link_to_nothing(tmp_path):
    (tmp_path / "link.csv").symlink_to(tmp_path / "nowhere")
    refused(Case("data=files data.path=link.csv", "link.csv: no such file"), tmp_path)
