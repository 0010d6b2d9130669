"""What an ensemble refuses: one message, and no submission is left."""

import json
import re
import shutil

import numpy as np
import pytest
from pyarrow import parquet

from recsys_lightning.ensemble.build import Ensemble
from recsys_lightning.errors import InputError
from tests.ensemble.runs import edit, make_split, refused, write_run


def test_different_splits(sweep, out):
    write_run(sweep / "4_other", make_split(seed=1), 1.0)
    refused([sweep], out, "the runs have 2 different splits: .*4_other")
    named = [sweep / "0_ease", sweep / "4_other"]
    refused(named, out, "0_ease and .*4_other have different splits")


def test_the_better_runs_of_an_earlier_split(sweep, out):
    """Of the best of each model, all would be on the earlier split."""
    for number, model in enumerate(("ease", "recvae", "easer", "noise")):
        write_run(sweep / f"{number}_{model}-before", make_split(seed=1), 2.0, model=model)
    refused([sweep], out, "the runs have 2 different splits")


def test_runs_that_are_ranked_by_different_metrics(sweep, out):
    """An earlier start of the sweep had another: a value at 10 is larger than one at 5."""
    earlier = write_run(sweep / "0_ease-before", make_split(), 2.0, model="ease")
    config = json.loads((earlier / "result.json").read_text())["config"]
    edit(earlier, job="earlier", config=config | {"monitor": "val/hit_rate@5"})
    refused(
        [sweep], out, r"monitor=val/\w+@5 and .* monitor=val/\w+@5, by which members are chosen"
    )


def test_candidates_of_other_data(sweep, out):
    path = sweep / "0_ease/candidates/valid.parquet"
    table = parquet.read_table(path)
    items = table["item"].to_numpy() + 5000
    parquet.write_table(table.set_column(1, "item", [items]), path)
    refused([sweep], out, r"0_ease/candidates/valid\.parquet: item \d+ is not in the split")


def test_candidates_of_another_run(sweep, out):
    shutil.copy(sweep / "3_noise/candidates/valid.parquet", sweep / "0_ease/candidates")
    refused([sweep], out, r"0_ease/candidates/valid\.parquet: its lists have val/recall@5")


@pytest.mark.parametrize("off", [-2e-6, 2e-6])
def test_a_metric_that_is_not_quite_that_of_the_lists(sweep, out, off):
    metrics = json.loads((sweep / "0_ease/result.json").read_text())["metrics"]
    metrics["val/recall@5"] += off
    edit(sweep / "0_ease", metrics=metrics)
    refused([sweep], out, r"0_ease/candidates/valid\.parquet: its lists have val/recall@5")


@pytest.mark.parametrize("stage", ["valid", "test", "final"])
def test_missing_users(sweep, out, stage):
    path = sweep / f"1_recvae/candidates/{stage}.parquet"
    table = parquet.read_table(path)
    parquet.write_table(table.filter(table["user"].to_numpy() > 102), path)
    refused([sweep], out, rf"{stage}\.parquet: no list for 3 of 150 users, such as 100")


def test_a_user_of_whom_nothing_is_held_out_needs_no_list(tmp_path, out):
    split = make_split(lengths=(1, 15))
    idle = split.interactions.users[split.valid.lengths == 0]
    assert len(idle)
    for name in ("0_ease", "1_recvae"):
        path = write_run(tmp_path / "sweep" / name, split, 1.0) / "candidates/valid.parquet"
        table = parquet.read_table(path)
        parquet.write_table(table.filter(~np.isin(table["user"].to_numpy(), idle)), path)
    assert Ensemble(weights="equal")([tmp_path / "sweep"], out).status == "done"


def test_a_user_who_has_every_item_needs_no_final_list(tmp_path, out):
    split = make_split(lengths=(30, 40))
    x = split.interactions
    full = x.users[x.lengths == x.num_items]
    assert 0 < len(full) < x.num_users
    for name in ("0_ease", "1_recvae"):
        path = write_run(tmp_path / "sweep" / name, split, 1.0) / "candidates/final.parquet"
        assert not np.isin(full, parquet.read_table(path)["user"].to_numpy()).any()
    assert Ensemble(weights="equal")([tmp_path / "sweep"], out).status == "done"


@pytest.mark.parametrize("stage", ["valid", "test", "final"])
def test_an_unreadable_parquet(sweep, out, stage):
    path = sweep / f"1_recvae/candidates/{stage}.parquet"
    path.write_bytes(path.read_bytes()[:100])
    refused([sweep], out, rf"1_recvae/candidates/{stage}\.parquet: cannot be read as parquet")


def test_seen_items(sweep, out):
    for run in sweep.glob("[0-9]*"):  # those of test have been refused by their metric
        shutil.copy(run / "candidates/valid.parquet", run / "candidates/final.parquet")
    refused([sweep], out, r"submission\.csv, line \d+: user \d+ has seen item")


def test_duplicates(sweep, out):
    shutil.copytree(sweep / "0_ease", sweep.parent / "again")
    refused([sweep, sweep.parent / "again"], out, r"are the same job \(ease-0\): leave one out")


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("test_history", "train", "test_history=train"),
        ("recommend", {"k": 7}, r"recommend\.k=7"),
        ("recommend", {"k": 5, "candidates": 7}, r"recommend\.candidates=7"),
        ("monitor", "val/recall@10", "monitor=val/recall@10"),
    ],
)
def test_runs_that_do_not_go_together(sweep, out, key, value, match):
    config = json.loads((sweep / "3_noise/result.json").read_text())["config"]
    edit(sweep / "3_noise", config=config | {key: value})
    refused([sweep], out, match)


def test_runs_without_validation(sweep, out):
    edit(sweep / "3_noise", metrics={})
    refused([sweep], out, "has no val/recall@5.*choose a holdout with validation items")


def test_no_run(tmp_path, out):
    refused([tmp_path / "nowhere"], out, "nowhere: there is no run in it")


def test_a_result_that_is_none(sweep, out):
    (sweep / "0_ease/result.json").write_text("{")
    refused([sweep], out, r"0_ease/result\.json: cannot be read: ")


def test_too_many_folds(sweep, out):
    refused([sweep], out, r"folds=200: only 150 users", folds=200)


def test_the_folder_of_a_run(sweep):
    with pytest.raises(InputError, match="0_ease is the folder of a run"):
        Ensemble()([sweep], sweep / "0_ease")
    assert (sweep / "0_ease/submission.csv").exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"fusion": "votes"}, "ensemble.fusion=votes: expected one of rank, "),
        ({"weights": "bayes"}, "ensemble.weights=bayes: expected one of best, single"),
        ({"weights": {"ease": -1}}, "ensemble.weights.ease=-1: expected a number in [0, inf)"),
        ({"depth": 0}, "ensemble.depth=0: expected a whole number in [1, 32767]"),
        ({"folds": 1}, "ensemble.folds=1: expected a whole number in [2, inf)"),
        ({"k0": -1}, "ensemble.k0=-1: expected a number in [0, inf)"),
        ({"max_members": 0}, "ensemble.max_members=0: expected a whole number in [1, inf)"),
        ({"per_model": 0}, "ensemble.per_model=0: expected a whole number in [1, inf)"),
        ({"seed": -1}, "ensemble.seed=-1: expected a whole number in [0, inf)"),
    ],
)
def test_options(options, match):
    with pytest.raises(InputError, match=re.escape(match)):
        Ensemble(**options)
