"""The lists of any program on one of our splits."""

import json
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet
from rich.console import Console

from recsys_lightning.evaluate import main
from recsys_lightning.functional.bootstrap import paired_bootstrap
from recsys_lightning.metrics.of_lists import user_values
from recsys_lightning.reports.evaluation import Comparison, Evaluation, show
from recsys_lightning.runs.lists import read_lists
from recsys_lightning.runs.record import EnsembleResult, RunResult
from tests.ensemble.runs import edit, make_split, write_run
from tests.forked import forked_python


@pytest.fixture
def split():
    return make_split()


@pytest.fixture
def run(tmp_path, split):
    return write_run(tmp_path / "0_ease", split, 1.0)


@pytest.fixture
def files(run):
    return RunResult.read(run / "result.json").split_files


def as_csv(run, stage, path, columns=("user", "item", "rank")):
    table = parquet.read_table(run / f"candidates/{stage}.parquet").to_pandas()
    table.sample(frac=1, random_state=0)[list(columns)].to_csv(path, index=False)
    return str(path)


def found(capsys, *arguments):
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("columns", [("user", "item", "rank"), ("score", "item", "user")])
@pytest.mark.parametrize("stage", ["valid", "test"])
def test_a_runs_own_lists_have_its_metrics(tmp_path, run, files, capsys, columns, stage):
    path = as_csv(run, stage, tmp_path / "lists.csv", columns)
    here = found(capsys, path, "--split", files, "--stage", stage, "--k", "5", "10")
    name = stage.removesuffix("id")
    told = {
        key: value
        for key, value in RunResult.read(run / "result.json").metrics.items()
        if key.startswith(name)
    }
    assert {key: here["metrics"][key] for key in told} == pytest.approx(told)
    assert {key.partition("@")[0] for key in here["metrics"]} >= {f"{name}/coverage", f"{name}/map"}
    assert (here["users"], here["without"], here["had"]) == (150, 0, 0)


def test_users_without_a_list_are_misses(tmp_path, run, files, capsys):
    path = as_csv(run, "valid", tmp_path / "lists.csv")
    all_users = found(capsys, path, "--split", files, "--k", "5")
    table = pd.read_csv(path)
    table[table.user >= 130].to_csv(path, index=False)  # 120 of the users 100 to 249
    here = found(capsys, path, "--split", files, "--k", "5", "--against", str(run))
    assert here["without"] == 30
    [of_recall, of_ndcg] = here["against"]
    assert (of_recall["metric"], of_ndcg["metric"]) == ("val/recall@5", "val/ndcg@5")
    assert of_recall["there"] == pytest.approx(all_users["metrics"]["val/recall@5"])
    assert of_recall["here"] == pytest.approx(here["metrics"]["val/recall@5"])
    assert of_recall["mean"] == pytest.approx(of_recall["here"] - of_recall["there"])
    assert of_recall["high"] < 0


def test_the_difference_is_the_paired_bootstraps(tmp_path, run, files, split, capsys):
    other = write_run(tmp_path / "1_recvae", split, 0.5)
    path = as_csv(run, "test", tmp_path / "lists.csv")
    options = "--split", files, "--stage", "test", "--metric", "map@10", "--k", "5"
    here = found(capsys, path, *options, "--against", str(run), str(other))
    x = split.interactions
    of_run, of_other = (
        user_values(
            "map@10",
            read_lists(each / "candidates/test.parquet", x.users, x.items).items,
            split.test,
        )
        for each in (run, other)
    )
    first, second = here["against"]
    assert (first["run"], first["mean"], first["p"]) == (str(run), 0, 1)
    assert second["metric"] == "test/map@10"
    values = [second[key] for key in ("mean", "low", "high", "p")]
    assert values == pytest.approx(paired_bootstrap(of_run, of_other))
    assert second["there"] == pytest.approx(np.mean(of_other))


def test_what_is_known_at_test_time_counts_as_had(tmp_path, run, files, split, capsys):
    x, user = split.interactions, 7
    valid = split.valid.indices[split.valid.indptr[user]]
    path = tmp_path / "lists.csv"
    hits = split.test.indices[split.test.indptr[user]], *split.valid.gather(np.array([user]))[0]
    rows = [f"{x.users[user]},{x.items[item]},{rank}" for rank, item in enumerate((valid, hits[0]))]
    path.write_text("\n".join(["user,item,rank", *rows]) + "\n")
    here = found(capsys, str(path), "--split", files, "--stage", "test", "--k", "1")
    assert here["had"] == 1
    assert here["metrics"]["test/precision@1"] == pytest.approx(1 / 150)  # the hit moved up
    here = found(capsys, str(path), "--split", files, "--k", "1")
    assert here["had"] == 0
    assert here["metrics"]["val/precision@1"] == pytest.approx(1 / 150)


def test_the_screen(tmp_path, run, files, capsys):
    path = as_csv(run, "valid", tmp_path / "lists.csv")
    done = forked_python(
        *("-m", "recsys_lightning.evaluate", path, "--split", files, "--k", "5", "10"),
        *("--against", str(run)),
    )
    assert done.returncode == 0, done.stderr
    value = RunResult.read(run / "result.json").metrics["val/recall@5"]
    assert f"{value:.4f} ± " in done.stdout
    assert "150 users; 0 without a list count as misses; 0 items that the user" in done.stdout
    assert "+0.0000 [+0.0000, +0.0000]" in done.stdout


def refused(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_what_is_refused(tmp_path, run, files, capsys):
    path = as_csv(run, "valid", tmp_path / "lists.csv")
    assert "no such file" in refused(capsys, tmp_path / "none.csv", "--split", files)
    assert "train.parquet" in refused(capsys, path, "--split", tmp_path)
    assert "--k 20: the longest list of" in refused(capsys, path, "--split", files)
    assert "--k=0: expected a whole" in refused(capsys, path, "--split", files, "--k", "0")
    options = path, "--split", files, "--k", "5"
    told = refused(capsys, *options, "--metric", "recall@500")
    assert "--metric val/recall@500: the longest list of" in told
    assert "coverage@5: expected one of" in refused(capsys, *options, "--metric", "coverage@5")
    assert "no result.json" in refused(capsys, *options, "--against", tmp_path)

    other = write_run(tmp_path / "other/1_ease", make_split(seed=1), 1.0)
    told = refused(capsys, *options, "--against", other)
    assert "1_ease: its split is" in told
    assert "cannot be compared" in told

    edit(run, config={"test_history": "train"})
    assert main([*options, "--against", str(run)]) == 0
    capsys.readouterr()
    told = refused(capsys, *options, "--stage", "test", "--against", run)
    assert "its test_history=train" in told
    fused = tmp_path / "fused"
    fused.mkdir()
    members = [{"name": "ease", "weight": 1.0, "folder": "../0_ease"}]
    sha256 = RunResult.read(run / "result.json").split
    EnsembleResult(split=sha256, members=members).write(fused / "ensemble.json")
    told = refused(capsys, *options, "--stage", "test", "--against", fused)
    assert "its test_history=train" in told

    (run / "candidates/valid.parquet").unlink()
    assert "valid.parquet: there is no such" in refused(capsys, *options, "--against", run)


def test_a_split_without_test_items(tmp_path, capsys):
    run = write_run(tmp_path / "0_ease", make_split(test_items=0), 1.0)
    files = RunResult.read(run / "result.json").split_files
    path = as_csv(run, "valid", tmp_path / "lists.csv")
    told = refused(capsys, path, "--split", files, "--stage", "test", "--k", "5")
    assert "the split has no test items: choose another --stage" in told


def test_the_metrics_of_a_comparison_are_whole_on_a_narrow_screen():
    names = "test/recall_capped@10", "test/recall@10"
    against = [Comparison("multirun/rand/2_ease", name, *[0.1] * 6) for name in names]
    console = Console(width=80, file=StringIO())
    show(console, Evaluation({}, {}, 1, 0, 0, against, names[0]))
    assert all(f" {name} " in console.file.getvalue() for name in names)
