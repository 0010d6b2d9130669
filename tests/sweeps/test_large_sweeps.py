"""What a sweep costs grows with its jobs, not with their square: files read, counted."""

from contextlib import contextmanager
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from recsys_lightning.runs.record import RunResult
from recsys_lightning.sweeps import end
from recsys_lightning.sweeps.jobs import (
    begin,
    find_done,
    has_failed,
    make_room,
    mark_failed,
    running,
)
from recsys_lightning.sweeps.keep import drop_all_but_best
from recsys_lightning.sweeps.locks import LOCKS, JobLock
from tests.ensemble.runs import make_split, write_run

SPLIT = "s" * 64


@contextmanager
def files_read(monkeypatch):
    """The names of result.json files that are read inside."""
    read, of_path = [], Path.read_text

    def read_text(self, *args, **kwargs):
        text = of_path(self, *args, **kwargs)
        if self.name == "result.json":
            read.append(self)
        return text

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", read_text)
        yield read


def finished_sweep(folder, number):
    """A folder of finished jobs, as a sweep leaves it."""
    for n in range(number):
        run = folder / f"{n}_ease"
        run.mkdir(parents=True)
        metrics = {"val/recall@10": n / number}
        RunResult(model="ease", job=f"job{n}", split=SPLIT, metrics=metrics).write(
            run / "result.json"
        )
        with JobLock(folder, f"job{n}") as lock:
            lock.name(run)
    (folder / "multirun.yaml").touch()
    return folder


def runs_of(folder, *models):
    """A sweep in which whatever comes first is the best."""
    split = make_split()
    for number, model in enumerate(models):
        choices = {"data": "made_up", "holdout": "random", "model": model}
        run = folder / f"{number}_{model}"
        write_run(run, split, 1 / (1 + number), seed=number, choices=choices)
    (folder / "multirun.yaml").touch()
    return folder


def decide(folder, job):
    """Whether a job is done, as `job.run_job` asks."""
    with JobLock(folder, job) as lock:
        return find_done(lock.runs, job, lambda: SPLIT)


@pytest.fixture
def sweep(tmp_path):
    return finished_sweep(tmp_path / "sweep", 30)


def test_a_job_that_is_done_reads_its_own_result_alone(sweep, monkeypatch):
    with files_read(monkeypatch) as read:
        begin(sweep)
        assert read == []
        for number in range(30):
            assert decide(sweep, f"job{number}")[0] == sweep / f"{number}_ease"
        assert decide(sweep, "another") is None
        assert not has_failed(sweep)
    assert len(read) == 30


def test_a_moved_sweep_knows_its_jobs(sweep):
    moved = sweep.rename(sweep.with_name("moved"))
    assert decide(moved, "job3")[0] == moved / "3_ease"


@pytest.mark.parametrize("left", ["absolute", "elsewhere", "nothing"])
def test_a_sweep_of_an_earlier_version_is_scanned_once(left, sweep, monkeypatch):
    """Its locks name one run by an absolute path; or somebody has removed them."""
    for lock in (sweep / LOCKS).iterdir():
        run = f"{lock.name.removeprefix('job')}_ease"
        place = {"absolute": sweep / run, "elsewhere": f"/moved/since/{run}"}.get(left)
        lock.write_text(f"{place}\nin process 1 on a\n") if place else lock.unlink()
    with files_read(monkeypatch) as read:
        begin(sweep)
        for number in range(30):
            assert decide(sweep, f"job{number}")[0] == sweep / f"{number}_ease"
    assert len(read) == (60 if left == "nothing" else 30)


def test_what_was_moved_aside_is_still_known(sweep):
    make_room(sweep, sweep / "4_ease")
    with JobLock(sweep, "new") as lock:
        lock.name(sweep / "4_ease")
    RunResult(job="new", split=SPLIT).write(sweep / "4_ease/result.json")
    assert decide(sweep, "job4")[0].name == f"4_ease-job4-{SPLIT[:8]}"
    assert decide(sweep, "new")[0].name == "4_ease"
    (sweep / LOCKS / "job4").unlink()  # killed before it was written down
    begin(sweep)
    assert decide(sweep, "job4")[0].name == f"4_ease-job4-{SPLIT[:8]}"


def test_a_failure_is_of_this_start(sweep):
    assert not has_failed(sweep)
    mark_failed(sweep)
    assert has_failed(sweep)
    (sweep / "multirun.yaml").write_text("started again")
    assert not has_failed(sweep)
    with running(sweep, "job1", sweep / "1_ease"):
        assert not has_failed(sweep)
        (sweep / "1_ease/unfinished.json").write_text("{}")  # and nobody holds it
        assert has_failed(sweep)
    assert not has_failed(sweep)


def test_the_end_of_a_sweep_reads_every_result_once(tmp_path, monkeypatch):
    folder = runs_of(tmp_path / "sweep", "ease", "recvae", "easer", "ease")
    options = {"_target_": "recsys_lightning.ensemble.build.Ensemble", "weights": "equal"}
    config = {"ensemble": options, "sweep": {"keep": 5}}
    with files_read(monkeypatch) as read:
        assert end.end_sweep(folder, OmegaConf.create(config)) == 0
    assert sorted(path.parent.name for path in read) == ["0_ease", "1_recvae", "2_easer", "3_ease"]
    assert (folder / "submission.csv").exists()
    assert (folder / "best" / "ease.yaml").exists()


def test_the_end_of_a_sweep_deletes_what_is_not_of_the_best(tmp_path):
    folder = runs_of(tmp_path / "sweep", "ease", "ease")
    last = folder / "1_ease"
    drop_all_but_best(folder, last, RunResult.read(last / "result.json"), "val/recall@5", 5)
    assert end.end_sweep(folder, OmegaConf.create({"sweep": {"keep": 1}})) == 0
    assert [path.parent.name for path in folder.glob("*/submission.csv")] == ["0_ease"]
