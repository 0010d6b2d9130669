"""Which folder of a sweep has a job's result, and what makes room for another."""

import json

from recsys_lightning.sweeps.jobs import find_done, make_room, name_runs, results
from recsys_lightning.sweeps.locks import JobLock


def write_result(folder, **fields):
    folder.mkdir(parents=True)
    result = {"status": "done", "model": "ease", "split": "s", "metrics": {"val/recall@10": 0.1}}
    (folder / "result.json").write_text(json.dumps(result | fields))


def test_a_job_is_done_on_the_split_that_it_would_have_now(tmp_path, capsys):
    write_result(tmp_path / "9_b", job="x", status="failed")
    write_result(tmp_path / "10_a", job="x", split="old")
    write_result(tmp_path / "11_a", job="x", split="new")
    assert [run.name for run, _ in results(tmp_path)] == ["9_b", "10_a", "11_a"]
    runs = [tmp_path / name for name in ("9_b", "10_a", "11_a", "12_gone")]
    assert find_done(runs, "x", lambda: "new")[0].name == "11_a"
    assert find_done(runs, "x", lambda: "old")[0].name == "10_a"
    assert capsys.readouterr().out == ""
    assert find_done(runs, "x", lambda: "other") is None
    out = capsys.readouterr().out
    assert out.count("done with another split") == 2

    def no_split():
        raise AssertionError("made for nothing")

    assert find_done(runs, "y", no_split) is None


def test_what_is_done_is_moved_aside_and_what_failed_is_not(tmp_path):
    write_result(tmp_path / "0_ease", job="x", split="old")
    (tmp_path / "0_ease" / "submission.csv").touch()
    make_room(tmp_path, tmp_path / "0_ease")
    assert [run.name for run, _ in results(tmp_path)] == ["0_ease-x-old"]
    assert (tmp_path / "0_ease-x-old" / "submission.csv").exists()
    write_result(tmp_path / "1_ease", job="x", status="failed")
    make_room(tmp_path, tmp_path / "1_ease")
    assert (tmp_path / "1_ease" / "result.json").exists()


def test_a_lock_that_was_cut_names_the_run_again(tmp_path):
    write_result(tmp_path / "0_ease", job="x")
    with JobLock(tmp_path, "x") as lock:
        lock.name(tmp_path / "0_ease")
    path = tmp_path / ".locks" / "x"
    whole = path.read_text()
    for length in range(len(whole)):
        path.write_text(whole[:length])
        name_runs(tmp_path)
        with JobLock(tmp_path, "x") as lock:
            assert tmp_path / "0_ease" in lock.runs, whole[:length]
            assert tmp_path not in lock.runs
