"""Lists of other programs as members."""

import logging

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

import recsys_lightning
from recsys_lightning.ensemble.__main__ import main
from recsys_lightning.ensemble.build import Ensemble
from recsys_lightning.metrics.of_lists import user_values
from tests.ensemble.runs import NUM_USERS, make_split, refused, told, write_run

STAGES = ("valid", "test", "final")


def from_elsewhere(folder, run, columns=("user", "item", "score"), stages=STAGES):
    """The lists of a run as another program would have written them."""
    folder.mkdir()
    for stage in stages:
        table = parquet.read_table(run / f"candidates/{stage}.parquet").to_pandas()
        table.sample(frac=1, random_state=0)[list(columns)].to_csv(
            folder / f"{stage}.csv", index=False
        )
    return folder


@pytest.fixture
def two(tmp_path):
    """A run, and a better one."""
    split = make_split()
    return [
        write_run(tmp_path / name, split, skill)
        for name, skill in (("0_ease", 0.8), ("1_recvae", 1.2))
    ]


def test_they_count_as_the_run_would_that_made_them(tmp_path, two, out):
    runs, lists = Ensemble()(two, tmp_path / "runs"), from_elsewhere(tmp_path / "theirs", two[1])
    mixed = Ensemble()([lists, two[0]], out)
    assert [each["weight"] for each in mixed.members] == [each["weight"] for each in runs.members]
    for here, there in zip(mixed.methods, runs.methods, strict=True):
        assert here["metrics"] == there["metrics"]
        assert here["gain"] == there["gain"]
    submission = (tmp_path / "runs/submission.csv").read_bytes()
    assert (out / "submission.csv").read_bytes() == submission
    single = told(out)["best_single"]
    assert single["name"] == "theirs"
    for name, value in runs.best_single["metrics"].items():
        assert single["metrics"][name] == pytest.approx(value)  # measured, as nobody says it
    member = told(out)["members"][-1]
    assert (member["folder"], member["model"], member["seed"]) == (str(lists), "theirs", None)


def test_a_member_is_read_again(tmp_path, two, out):
    lists = from_elsewhere(tmp_path / "theirs", two[1])
    result = Ensemble(weights="equal")([two[0], lists], out)
    split = make_split()
    for stage in STAGES:
        theirs = recsys_lightning.read_member(out, result.members[1], stage, split)
        run = recsys_lightning.read_lists(
            two[1], stage, split.interactions.users, split.interactions.items
        )
        assert np.array_equal(theirs.items, run.items)


def test_short_lists_with_items_that_users_have(tmp_path, two, out, caplog):
    lists = from_elsewhere(tmp_path / "theirs", two[1], ("user", "item", "rank"))
    split = make_split()
    x = split.interactions
    for stage in STAGES:
        table = pd.read_csv(lists / f"{stage}.csv")
        table = table[table["rank"] <= 6]
        known = split.question(stage).known
        had = x.items[known.indices[known.indptr[:-1]]]  # one of each user, before all others
        first = pd.DataFrame({"user": x.users, "item": had, "rank": 0})
        pd.concat([table, first]).to_csv(lists / f"{stage}.csv", index=False)
    with caplog.at_level(logging.WARNING):
        result = Ensemble(weights="equal")([two[0], lists], out)
    assert f"final.csv: {NUM_USERS} items that the user already has are left out" in caplog.text
    [theirs] = [each for each in result.members if each["name"] == "theirs"]
    items = recsys_lightning.read_member(out, theirs, "valid", split).items
    run = recsys_lightning.read_lists(two[1], "valid", x.users, x.items).items
    assert np.array_equal(items[:, :6], run[:, :6])
    assert result.best_single["name"] == "theirs"
    short = result.best_single["metrics"]  # at 10, of 6 items
    value = np.nanmean(user_values("recall@6", run, split.valid))
    assert short["val/recall@10"] == pytest.approx(value)


def test_validation_items_are_known_at_test_time(tmp_path, two, out):
    lists, split = from_elsewhere(tmp_path / "theirs", two[1]), make_split()
    x, valid = split.interactions, split.valid
    table = pd.read_csv(lists / "test.csv")
    had = pd.DataFrame(
        {"user": x.users[valid.rows], "item": x.items[valid.indices], "score": table.score.max()}
    )
    pd.concat([had, table]).to_csv(lists / "test.csv", index=False)
    result = Ensemble(weights="equal")([two[0], lists], out)
    theirs = recsys_lightning.read_member(out, result.members[1], "test", split).items
    run = recsys_lightning.read_lists(two[1], "test", x.users, x.items).items
    assert np.array_equal(theirs[:, : run.shape[1]], run)
    assert (theirs[:, run.shape[1] :] == -1).all()


def test_a_split_without_test_items_needs_no_lists_of_test(tmp_path, out):
    run = write_run(tmp_path / "0_ease", make_split(test_items=0), 1.0)
    lists = from_elsewhere(tmp_path / "theirs", run, stages=("valid", "final"))
    assert Ensemble()([run, lists], out).status == "done"


def test_names(tmp_path, two, out, monkeypatch):
    """A folder called like a model takes the model's short name away."""
    lists = from_elsewhere(tmp_path / "ease", two[1])
    monkeypatch.chdir(lists)
    result = Ensemble(weights="equal")([lists.relative_to(lists), *two], out)
    assert [each["name"] for each in result.members] == ["0_ease", "recvae", "ease"]


def test_what_is_refused(tmp_path, two, out):
    lists = from_elsewhere(tmp_path / "theirs", two[1], stages=("valid", "final"))
    refused([lists], out, "theirs holds lists of another program: name a run beside it")
    refused([two[0], lists], out, r"theirs/test\.csv: no such file")
    from_elsewhere(tmp_path / "short", two[1])
    table = pd.read_csv(tmp_path / "short/valid.csv").sort_values("score").groupby("user").tail(3)
    table.to_csv(tmp_path / "short/valid.csv", index=False)
    match = r"short: val/recall@5: expected .* a cut-off from 1 to 3, the length of the lists"
    refused([two[0], tmp_path / "short"], out, match)
    rows = (lists / "valid.csv").read_text().splitlines()
    (lists / "valid.csv").write_text("\n".join([*rows, "7,1000,1"]))
    refused([two[0], lists], out, r"theirs/valid\.csv, line \d+: user '7' is not in the split")
    table = pd.read_csv(lists / "final.csv")
    table[table.user > 102].to_csv(lists / "valid.csv", index=False)
    refused([two[0], lists], out, r"valid\.csv: no list for 3 of 150 users, such as 100")
    (lists / "valid.csv").unlink()
    refused([two[0], lists], out, r"theirs/valid\.csv: no such file")


def test_the_command(tmp_path, two, out, capsys):
    lists = from_elsewhere(tmp_path / "theirs", two[1])
    assert main([str(two[0]), str(lists), "--out", str(out), "--weights", "ease=1,theirs=2"]) == 0
    assert "theirs 1" in capsys.readouterr().out
    assert [each["weight"] for each in told(out)["members"]] == [0.5, 1]
