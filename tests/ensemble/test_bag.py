"""The bag: draws of the holdout, fused on their final lists alone."""

import csv
import json
import logging
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd
import pytest
import yaml

from recsys_lightning.data.holdout import RandomHoldout
from recsys_lightning.ensemble import bag
from recsys_lightning.ensemble.__main__ import main
from recsys_lightning.ensemble.bag import Bag
from recsys_lightning.ensemble.fusion import average
from recsys_lightning.errors import InputError
from recsys_lightning.metrics.of_lists import user_values
from recsys_lightning.reports.evaluation import evaluate
from recsys_lightning.reports.writing import write_report
from recsys_lightning.runs.lists import read_lists
from recsys_lightning.runs.submission import violations
from tests.command import ROOT
from tests.ensemble.runs import K, edit, make_split, refused, told, write_run
from tests.ensemble.test_seeds import by_hand
from tests.forked import forked_python
from tests.sweeps.test_sweep import sweep as start

METRIC = f"recall@{K}"
X = make_split().interactions


def write_draw(folder, number, draw, *, seed=1, model="vae", split=None, **options):
    """A run of `model=vae holdout.seed=draw seed=seed`; every one has random lists of its own."""
    run = folder / f"{number}_{model}"
    write_run(run, split or make_split(seed=draw), 1.0, seed=10 * draw + seed, model=model)
    holdout = {"_target_": "recsys_lightning.data.holdout.RandomHoldout", "seed": draw}
    config = json.loads((run / "result.json").read_text())["config"]
    config |= {"seed": seed, "holdout": holdout, "model": {"lr": 0.1} | options}
    edit(
        run,
        seed=seed,
        config=config,
        choices={"data": "files", "holdout": "random", "model": model},
    )
    return run


def own(run):
    return json.loads((run / "result.json").read_text())["metrics"]


def reported(content, found=None):
    """All values of metrics, wherever they stand in ensemble.json."""
    found = [] if found is None else found
    if isinstance(content, dict):
        for key, value in content.items():
            if key.startswith(("val/", "test/")):
                found += value.values() if isinstance(value, dict) else [value]
            else:
                reported(value, found)
    elif isinstance(content, list):
        for value in content:
            reported(value, found)
    return found


def final(run):
    return read_lists(run / "candidates/final.parquet", X.users, X.items)


def submitted(out):
    """(U, K) items."""
    assert violations(out / "submission.csv", X, X.users.tolist(), K) == []
    with (out / "submission.csv").open() as file:
        rows = [(int(user), int(item)) for user, item in list(csv.reader(file))[1:]]
    assert [user for user, _ in rows] == X.users.repeat(K).tolist()
    return np.searchsorted(X.items, [item for _, item in rows]).reshape(-1, K)


@pytest.fixture
def draws(tmp_path):
    """Three runs, the draws in another order than their numbers."""
    return [write_draw(tmp_path / "draws", n, draw) for n, draw in enumerate((2, 0, 1))]


def test_the_final_lists_are_averaged_and_nothing_else_is_left(draws, out):
    (out / "candidates").mkdir(parents=True)
    (out / "candidates/valid.parquet").write_text("of an earlier ensemble")
    result = Bag()([draws[0].parent], out)
    assert (result.status, result.fusion, result.weights) == ("done", "combsum_zscore", "bag")
    assert [(m["name"], m["holdout_seed"], m["weight"]) for m in result.members] == [
        *(("1_vae", 0, 1.0), ("2_vae", 1, 1.0), ("0_vae", 2, 1.0)),
    ]
    order, _ = by_hand([final(run) for run in draws], X.popularity)
    assert np.array_equal(submitted(out), order[:, :K])
    assert np.array_equal(final(out).items, order[:, :K])
    assert [path.name for path in (out / "candidates").iterdir()] == ["final.parquet"]
    before = (out / "submission.csv").read_bytes()
    Bag()(draws[::-1], out)
    assert (out / "submission.csv").read_bytes() == before


def test_only_what_a_draw_says_of_its_own_split_is_reported(draws, out):
    """What is held out in one draw, the models of the others were fitted on."""
    Bag()(draws, out)
    content = told(out)
    assert (content["split"], content["metrics"], content["standard_errors"]) == (None, {}, {})
    values = [own(run) for run in (draws[1], draws[2], draws[0])]
    assert [member["metrics"] for member in content["members"]] == values
    spread = {name: [of[name] for of in values] for name in values[0]}
    assert {name: (of["mean"], of["std"]) for name, of in content["draws"].items()} == {
        name: (pytest.approx(np.mean(of)), pytest.approx(np.std(of, ddof=1)))
        for name, of in spread.items()
    }
    assert len(reported(content)) == sum(map(len, values)) + 2 * len(spread)
    for run, draw in zip(draws, (2, 0, 1), strict=True):  # of its own lists, on its own split
        split, path = make_split(seed=draw), run / "candidates/valid.parquet"
        alone = user_values(METRIC, read_lists(path, X.users, X.items).items, split.valid)
        assert own(run)[f"val/{METRIC}"] == pytest.approx(np.nanmean(alone))


def test_lists_of_validation_and_test_are_not_even_read(draws, out):
    Bag()(draws, out)
    before, content = (out / "submission.csv").read_bytes(), told(out)
    for run in draws:
        for stage in ("valid", "test"):
            (run / f"candidates/{stage}.parquet").unlink()
    Bag()(draws, out)
    assert (out / "submission.csv").read_bytes() == before
    assert reported(told(out)) == reported(content)


def test_the_monitored_metric_is_shown_draw_by_draw(draws, out, capsys):
    assert main([*map(str, draws), "--out", str(out), "--bag"]) == 0
    shown = capsys.readouterr().out
    for number, run in ((1, draws[2]), (0, draws[1]), (2, draws[0])):
        [line] = [line for line in shown.splitlines() if run.name in line]
        values = (f"{own(run)[f'{stage}/{METRIC}']:.4f}" for stage in ("val", "test"))
        assert line.split() == [str(number), run.name, *values]
    mean = np.mean([own(run)[f"val/{METRIC}"] for run in draws])
    assert f"{mean:.4f}" in next(line for line in shown.splitlines() if "mean of" in line)
    assert "the fused lists have no such value: what one draw holds out, the others" in shown


def test_seeds_of_a_draw_have_one_voice(tmp_path, out):
    runs = [
        write_draw(tmp_path / "draws", n, draw, seed=seed)
        for n, (draw, seed) in enumerate([(0, 1), (0, 2), (1, 1)])
    ]
    result = Bag()(runs, out)
    members = [(member["name"], member["seed"]) for member in result.members]
    assert members == [("0_vae (2 seeds)", [1, 2]), ("2_vae", 1)]
    first = average([final(run) for run in runs[:2]], np.argsort(-X.popularity, kind="stable"))
    order, _ = by_hand([first, final(runs[2])], X.popularity)
    assert np.array_equal(submitted(out), order[:, :K])
    name = f"val/{METRIC}"
    seeds = fmean([own(runs[0])[name], own(runs[1])[name]])
    assert result.members[0]["metrics"][name] == pytest.approx(seeds)
    assert result.draws[name]["mean"] == pytest.approx(fmean([seeds, own(runs[2])[name]]))


def test_another_rule_of_fusion(draws, out):
    Bag(fusion="rank", depth=7)(draws, out)
    total = np.zeros((X.num_users, X.num_items))
    for run in draws:
        items = final(run).items[:, :7]
        weights = np.broadcast_to(1 / np.log2(np.arange(7) + 2), items.shape)
        np.add.at(total, (np.arange(X.num_users)[:, None], items), weights)
    at = total + 1e-6 * X.popularity - 1e-9 * np.arange(X.num_items)
    assert np.array_equal(submitted(out), np.argsort(-at, axis=1)[:, :K])


def test_a_job_that_was_run_twice_is_one_run(draws, out):
    twice = write_draw(draws[0].parent, 9, 1)
    assert own(twice) == own(draws[2])
    names = [member["name"] for member in Bag()([draws[0].parent], out).members]
    assert names == ["1_vae", "2_vae", "0_vae"]


@pytest.mark.parametrize("twice_first", [False, True])
def test_of_two_runs_of_a_job_the_same_counts_wherever_it_is_named(draws, out, twice_first):
    twice = write_draw(draws[0].parent, 9, 1)
    named = [twice, *draws] if twice_first else [*draws, twice]
    names = [member["name"] for member in Bag()(named, out).members]
    assert names == ["1_vae", "2_vae", "0_vae"]


def test_draws_are_in_the_order_of_the_holdouts_seeds(tmp_path, out):
    """Whatever the seeds and the jobs of their runs are."""
    runs = [
        write_draw(tmp_path / "draws", n, draw, seed=seed)
        for n, (draw, seed) in enumerate([(10, 1), (2, 3), (9, 2)])
    ]
    members = Bag()(runs, out).members
    assert [(member["holdout_seed"], member["seed"]) for member in members] == [
        *((2, 3), (9, 2), (10, 1)),
    ]


def test_a_holdout_without_a_seed_is_told_as_minus_one(draws, out):
    for run in draws:
        config = json.loads((run / "result.json").read_text())["config"]
        holdout = {"_target_": "recsys_lightning.data.holdout.LastHoldout"}
        edit(run, config=config | {"holdout": holdout})
    members = Bag()(draws, out).members
    assert [member["holdout_seed"] for member in members] == [-1, -1, -1]


def test_draws_that_recommend_the_same_are_told(draws, out, caplog):
    Bag()(draws, out)
    assert not caplog.records
    for run in draws[1:]:
        path = "candidates/final.parquet"
        (run / path).write_bytes((draws[0] / path).read_bytes())
    with caplog.at_level(logging.WARNING):
        Bag()(draws, out)
    assert "all draws recommend the same, and so does the bag: try refit=false" in caplog.text
    assert np.array_equal(submitted(out), final(draws[0]).items[:, :K])


def test_a_failed_draw_is_left_out(draws, out):
    failed = write_draw(draws[0].parent, 3, 3)
    edit(failed, status="failed", error="no memory")
    result = Bag()([draws[0].parent], out)
    assert result.left_out == [{"folder": str(failed), "reason": "no memory"}]
    assert len(result.members) == 3


def test_several_configurations_are_refused(draws, out):
    other = write_draw(draws[0].parent, 3, 3, lr=0.2)
    message = r"1_vae and .*3_vae are of two configurations \(model\.lr=0\.1 and 0\.2\)"
    refused([*draws, other], out, message, Bag)
    other = write_draw(draws[0].parent, 4, 4, model="dae")
    refused([*draws, other], out, r"two configurations \(model=vae and dae\)", Bag)


def test_other_options_of_the_holdout_are_another_configuration(draws, out):
    config = json.loads((draws[0] / "result.json").read_text())["config"]
    edit(draws[0], config=config | {"holdout": config["holdout"] | {"valid_items": 3}})
    refused(draws, out, r"\(holdout\.valid_items=None and 3\)", Bag)


@pytest.mark.parametrize("number", [1, 2])
def test_one_split_is_no_bag(tmp_path, out, number):
    runs = [write_draw(tmp_path / "draws", n, 0, seed=n) for n in range(number)]
    message = rf"one split alone, of {number} run\(s\) such as .*0_vae: a bag is of two draws"
    refused(runs, out, message, Bag)


def test_splits_of_other_data_are_refused(draws, out):
    """A user has another item in the place of one."""
    x = make_split().interactions
    row = x.indices[: x.indptr[1]]
    row[0] = np.setdiff1d(np.arange(X.num_items), row)[0]
    split = RandomHoldout(valid_items=3, test_items=3, seed=5).split(x)
    other = write_draw(draws[0].parent, 3, 5, split=split)
    refused([*draws, other], out, "1_vae and .*3_vae have splits of different data", Bag)


def test_lists_of_another_program_are_refused(draws, out, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/final.csv").write_text("user,item,rank\n")
    refused([*draws, tmp_path / "theirs"], out, "theirs holds lists of another program", Bag)


def test_missing_lists_are_refused(draws, out):
    (draws[1] / "candidates/final.parquet").unlink()
    refused(draws, out, r"1_vae/candidates/final\.parquet: there is no such file", Bag)


@pytest.mark.parametrize(
    ("options", "match"),
    [({"fusion": "votes"}, "fusion=votes"), ({"depth": 0}, "depth=0"), ({"k0": -1}, "k0=-1")],
)
def test_options(options, match):
    with pytest.raises(InputError, match=rf"ensemble\.{match}"):
        Bag(**options)


def test_a_killed_rebuild_leaves_nothing_half_written(draws, out, monkeypatch):
    Bag()(draws, out)

    def strike(*arguments):
        assert (out / "candidates/final.parquet").exists()
        assert not (out / "submission.csv").exists()  # that of before
        raise KeyboardInterrupt

    monkeypatch.setattr(bag, "submit", strike)
    with pytest.raises(KeyboardInterrupt):
        Bag()(draws, out)
    assert [path.name for path in out.iterdir()] == ["ensemble.json"]
    assert told(out)["status"] == "failed"


def test_the_command_takes_no_option_of_a_search(draws, out, capsys):
    arguments = [*map(str, draws), "--out", str(out), "--bag"]
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, "--max-members", "3"])
    assert exit_.value.code == 2
    assert "--max-members: not of a --bag" in capsys.readouterr().err
    assert main([*arguments, "--fusion", "borda"]) == 0
    assert told(out)["fusion"] == "borda"


def test_the_defaults_of_its_file_are_the_constructors():
    options = yaml.safe_load((ROOT / "conf/ensemble/bag.yaml").read_text())
    assert options.pop("_target_").endswith(".ensemble.bag.Bag")
    assert vars(Bag()) == options


def test_report_and_evaluation_show_no_value_of_it(draws):
    folder = draws[0].parent
    Bag()(draws, folder)
    report = write_report(folder, [folder])
    [row] = report.runs[report.runs.model == "ensemble"].to_dict("records")
    assert (row["status"], row["split"]) == ("done", "")
    assert row["options"] == "combsum_zscore bag: 1_vae 1, 2_vae 1, 0_vae 1"
    assert all(pd.isna(value) for name, value in row.items() if "@" in name)
    assert sorted(report.board.model) == ["vae"] * 3
    assert "3 splits, and figures of different splits" in (folder / "report.md").read_text()
    [drawn] = report.draws[report.draws.metric == f"val/{METRIC}"].to_dict("records")
    here = told(folder)["draws"][f"val/{METRIC}"]
    assert (drawn["mean"], drawn["between_draws"]) == pytest.approx((here["mean"], here["std"]))
    lists = folder / "lists.csv"
    final_lists = pd.read_parquet(folder / "candidates/final.parquet")
    final_lists[["user", "item", "rank"]].to_csv(lists, index=False)
    with pytest.raises(InputError, match="its split is None"):
        evaluate(lists, Path(told(folder)["split_files"]), runs=[folder])


def test_the_real_command_draws_and_bags(tmp_path):
    drawn = ("sweep=holdouts", "holdout.seed=0,1", "holdout.valid_items=5", "ensemble=bag")
    fit = ("model=multi_dae", "max_epochs=1", "refit=false")
    done = start(tmp_path, *drawn, *fit)
    folder = tmp_path / "sweep"
    content = told(folder)
    runs = [folder / "0_multi_dae", folder / "1_multi_dae"]
    assert [member["metrics"] for member in content["members"]] == [own(run) for run in runs]
    assert len({member["split"] for member in content["members"]}) == 2
    assert content["metrics"] == {}
    assert "bag of 2 draws of the holdout, fused by combsum_zscore" in done.stdout
    assert "recommend the same" not in done.stdout + done.stderr
    board = pd.read_csv(folder / "leaderboard.csv")
    assert board.model.tolist() == ["multi_dae"] * 2
    submission = (folder / "submission.csv").read_bytes()
    assert submission not in [(run / "submission.csv").read_bytes() for run in runs]
    check = forked_python("-m", "recsys_lightning.submission", str(folder / "submission.csv"))
    assert check.returncode == 0, check.stderr

    again = forked_python(
        *("-m", "recsys_lightning.ensemble", str(folder), "--bag", "--out", str(tmp_path / "out"))
    )
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "out/submission.csv").read_bytes() == submission

    done = start(tmp_path, *drawn, "model=popularity,ease", code=2)
    assert "error: no ensemble: " in done.stderr
    assert "are of two configurations (model=" in done.stderr
    assert not (folder / "submission.csv").exists()
