"""Tables of many runs, from folders written here."""

import json

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from recsys_lightning.functional.bootstrap import holm, paired_bootstrap
from recsys_lightning.metrics.of_lists import user_values
from recsys_lightning.reports.leaderboard import (
    best_per_model,
    differences,
    leaderboard,
    runs_table,
    varied,
)
from recsys_lightning.reports.origins import data_table
from recsys_lightning.runs.lists import read_lists
from recsys_lightning.sweeps.jobs import Runs
from tests.ensemble import runs as listed


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


def test_seconds_are_without_those_of_the_refit(tmp_path):
    """In a search some trials have one, and others none."""
    run = write_run(tmp_path, 0, "a", 0.1)
    before = runs_table([tmp_path], tmp_path).seconds.tolist()
    result = json.loads((run / "result.json").read_text())
    result["seconds"]["refit"] = 100
    (run / "result.json").write_text(json.dumps(result))
    assert runs_table([tmp_path], tmp_path).seconds.tolist() == before


def test_in_what_sweeps_differ_is_varied_by_none(tmp_path):
    for number, sweep in enumerate(["one", "one", "two", "two"]):
        write_run(tmp_path / sweep, number, "a", 0.1, l2=number % 2, dropout=sweep == "one")
    runs = runs_table([tmp_path], tmp_path)
    assert varied(runs, "a") == ["model.l2"]
    assert "model.dropout" in runs
    assert varied(runs[runs["model.l2"] == 0], "a") == ["model.dropout"]


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


def test_tests_by_other_histories_stay_apart(tmp_path):
    """A test list that knows less answers another question."""
    for number, history in enumerate(("train_valid", "train")):
        run = write_run(tmp_path, number, "a", 0.1 + number)
        result = json.loads((run / "result.json").read_text())
        result["config"]["test_history"] = history
        (run / "result.json").write_text(json.dumps(result))
    board = leaderboard(runs_table([tmp_path], tmp_path), "val/recall@10")
    assert board.split.tolist() == ["s" * 8, "s" * 8 + " test_history=train"]
    assert data_table([tmp_path], Runs()).split.tolist() == board.split.tolist()


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


def test_options_have_as_many_digits_as_tell_them_apart(tmp_path):
    for number, l2 in enumerate((1234.56, 1234.61, 0.1, 1 / 3)):
        write_run(tmp_path, number, "a", 0.1, l2=l2)
    write_run(tmp_path, 4, "b", 0.1, l2=1 / 3)
    write_run(tmp_path, 5, "b", 0.1, l2=0.5)
    options = runs_table([tmp_path], tmp_path).options.str.removeprefix("model.l2=")
    assert options.tolist() == ["1234.56", "1234.61", "0.1", "0.333333", "0.3333", "0.5"]


def test_an_option_that_makes_no_other_job_is_shown_all_the_same(tmp_path):
    for number, recency in enumerate([0, 2]):
        write_run(tmp_path, number, "ease", 0.1, recency=recency)
    runs = runs_table([tmp_path], tmp_path)
    assert runs.options.tolist() == ["model.recency=0", "model.recency=2"]


def configure(run, **config):
    """Change the configuration of a run that was written."""
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(result | {"config": result["config"] | config}))


def test_the_monitor_is_an_option_of_all_models_where_they_differ_in_it(tmp_path):
    runs = [write_run(tmp_path, number, model, 0.1) for number, model in enumerate("ab")]
    for run in runs:
        configure(run, monitor="val/recall@10")
    assert runs_table([tmp_path], tmp_path).options.tolist() == ["", ""]
    configure(runs[1], monitor="val/ndcg@10")
    expected = ["monitor=val/recall@10", "monitor=val/ndcg@10"]
    assert runs_table([tmp_path], tmp_path).options.tolist() == expected


def test_an_option_of_the_data_is_one_where_the_split_does_not_tell_it(tmp_path):
    for number, (split, table) in enumerate([("s", "x"), ("t", "y")]):
        configure(write_run(tmp_path, number, "a", 0.1, split=split), data={"items": table})
    assert runs_table([tmp_path], tmp_path).options.tolist() == ["", ""]
    configure(write_run(tmp_path, 2, "a", 0.1, split="t"), data={"items": "z", "path": "another"})
    expected = ["data.items=x", "data.items=y", "data.items=z"]
    assert runs_table([tmp_path], tmp_path).options.tolist() == expected


def hold_out(run, choice, **options):
    """Let a run be one of a holdout."""
    result = json.loads((run / "result.json").read_text())
    result["choices"] = {"holdout": choice}
    (run / "result.json").write_text(json.dumps(result))
    configure(run, holdout={"_target_": choice.title(), **options})


def test_a_split_is_named_by_its_holdout_whose_options_are_those_that_differ_in_one(tmp_path):
    asked = [("last", {"items": 1}), ("random", {"items": 2, "seed": 0}), ("files", {"test": "t"})]
    for number, (choice, options) in enumerate(asked):
        split = "ab"[number > 0] * 64  # the files are those of the random one
        hold_out(write_run(tmp_path, number, "m", 0.1, split=split), choice, **options)
    table = runs_table([tmp_path], tmp_path)
    assert table.split.tolist() == ["last aaaaaaaa", "random bbbbbbbb", "random bbbbbbbb"]
    assert table.options.tolist() == ["", "", ""]
    assert data_table([tmp_path], Runs()).split.tolist() == ["last aaaaaaaa", "random bbbbbbbb"]
    hold_out(write_run(tmp_path, 3, "m", 0.1, split="c" * 64), "random", items=2, seed=1)
    expected = ["", "holdout.seed=0", "", "holdout.seed=1"]
    assert [o.strip() for o in runs_table([tmp_path], tmp_path).options] == expected


def test_trials_and_standard_errors_of_what_was_watched(tmp_path):
    for number, (watched, trial) in enumerate([("val/a@1", None), ("val/b@1", 0), ("val/b@1", 1)]):
        path = write_run(tmp_path, number, "a", 0.1, l2=trial) / "result.json"
        result = json.loads(path.read_text())
        result["config"] |= {"monitor": watched, "sweep": {"trial": trial}}
        errors = {"val/a@1": 0.5, "val/b@1": 0.01 * number}
        path.write_text(json.dumps(result | {"standard_errors": errors if trial != 0 else {}}))
    runs = runs_table([tmp_path], tmp_path)
    assert runs.trial.isna().tolist() == [True, False, False]
    assert runs.trial.tolist()[1:] == [0, 1]
    assert "trial" not in varied(runs, "a")
    assert runs.standard_error.fillna(-1).tolist() == [0, -1, 0.02]
    board = leaderboard(runs, "val/recall@10")
    assert sorted(board.standard_error.fillna(-1)) == [-1, 0, 0.02]


def test_all_pairs_are_compared_and_their_p_raised_together(tmp_path):
    splits = [listed.make_split(seed) for seed in (0, 1)]
    for number, split in enumerate(splits):
        for model, skill in (("a", 1.0), ("b", 0.6), ("c", 0.55)):
            listed.write_run(tmp_path / f"{number}_{model}", split, skill)
    metric = f"val/recall@{listed.K}"
    best = best_per_model(leaderboard(runs_table([tmp_path], tmp_path), metric))
    found = differences(best, tmp_path, metric)
    assert len(found) == 2 * 2 * 3  # splits, stages, pairs
    for number, split in enumerate(splits):
        of_split = found[found.split == split.sha256[:8]]
        x, order = split.interactions, best[best.split == split.sha256[:8]].model.tolist()
        for stage, file, held_out in (("val", "valid", split.valid), ("test", "test", split.test)):
            name = f"{stage}/recall@{listed.K}"
            values = []
            for model in order:
                path = tmp_path / f"{number}_{model}/candidates/{file}.parquet"
                values.append(user_values(name, read_lists(path, x.users, x.items).items, held_out))
            here = of_split[of_split.metric == name]
            pairs = [(0, 1), (0, 2), (1, 2)]
            assert here.better.tolist() == [order[a] for a, _ in pairs]
            assert here.other.tolist() == [order[b] for _, b in pairs]
            alone = [paired_bootstrap(values[a], values[b]) for a, b in pairs]
            shown = here[["difference", "low", "high", "p"]].to_numpy()
            assert shown == pytest.approx(np.array(alone))
            assert here.p_holm.tolist() == holm(here.p.to_numpy()).tolist()


def test_an_ensemble_that_is_its_best_member_is_no_model_more(tmp_path):
    """It would raise the p of the others, and be like the best."""
    split = listed.make_split(0)
    for model, skill in (("a", 1.0), ("b", 0.6), ("c", 0.55)):
        listed.write_run(tmp_path / f"0_{model}", split, skill)
    metric = f"val/recall@{listed.K}"
    best = best_per_model(leaderboard(runs_table([tmp_path], tmp_path), metric))
    found = differences(best, tmp_path, metric)
    twin = best.iloc[[0]].assign(model="ensemble")
    assert_frame_equal(differences(pd.concat([twin, best]), tmp_path, metric), found)
    other = differences(pd.concat([twin, best.iloc[1:]]), tmp_path, metric)
    assert set(other.better) == {"ensemble", best.model.iloc[1]}


def test_what_has_no_value_a_user_is_not_compared(tmp_path):
    split = listed.make_split(0)
    for model, skill in (("a", 1.0), ("b", 0.6)):
        listed.write_run(tmp_path / f"0_{model}", split, skill)
    best = best_per_model(leaderboard(runs_table([tmp_path], tmp_path), f"val/recall@{listed.K}"))
    assert len(best) == 2
    assert differences(best, tmp_path, f"val/coverage@{listed.K}").empty
    assert differences(best, tmp_path, "val/recall@5000").empty  # no list is as long


def test_a_split_that_is_not_there_is_said(tmp_path, caplog):
    split = listed.make_split(0)
    for model in ("a", "b"):
        run = listed.write_run(tmp_path / f"0_{model}", split, 1.0)
        result = json.loads((run / "result.json").read_text())
        (run / "result.json").write_text(json.dumps(result | {"split_files": "elsewhere/s"}))
    metric = f"val/recall@{listed.K}"
    best = best_per_model(leaderboard(runs_table([tmp_path], tmp_path), metric))
    assert differences(best, tmp_path, metric).empty
    assert "elsewhere/s: the split is not there" in caplog.text


def test_an_ensemble_stands_beside_its_members_whatever_their_test_history(tmp_path):
    members = []
    for number, model in enumerate("ab"):
        run = write_run(tmp_path, number, model, 0.1 + number)
        result = json.loads((run / "result.json").read_text())
        result["config"]["test_history"] = "train"
        (run / "result.json").write_text(json.dumps(result))
        members.append({"name": model, "folder": [run.name], "model": model, "weight": 1})
    fused = {"status": "done", "model": "ensemble", "data": "toy", "split": "s" * 64}
    fused |= {"members": members, "metrics": {"val/recall@10": 0.5, "test/recall@10": 0.5}}
    (tmp_path / "ensemble.json").write_text(json.dumps(fused))
    board = leaderboard(runs_table([tmp_path], tmp_path), "val/recall@10")
    assert len(board) == 3
    assert set(board.split) == {"s" * 8 + " test_history=train"}
