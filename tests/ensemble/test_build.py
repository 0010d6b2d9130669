"""The ensemble of runs on disk: what it writes."""

import csv
import json
import shutil
from dataclasses import replace
from inspect import signature

import numpy as np
import pytest
from omegaconf import OmegaConf
from pyarrow import parquet

from recsys_lightning.ensemble.__main__ import main
from recsys_lightning.ensemble.build import Ensemble
from recsys_lightning.ensemble.features import features
from recsys_lightning.ensemble.search import SEARCHES
from recsys_lightning.errors import InputError
from recsys_lightning.functional.bootstrap import paired_bootstrap
from recsys_lightning.metrics.of_lists import user_values
from recsys_lightning.runs.lists import read_lists
from recsys_lightning.runs.submission import violations
from tests.ensemble.runs import K, edit, make_split, refused, told, write_run

METRIC = f"recall@{K}"


def test_it_gains_and_writes_what_it_found(sweep, out):
    result = Ensemble()([sweep], out).to_json()
    assert result == told(out)
    assert result["status"] == "done"
    assert result["model"] == "ensemble"
    values = {(m["fusion"], m["name"]): m["metrics"][f"val/{METRIC}"] for m in result["methods"]}
    assert list(values) == [
        *(("rank", name) for name in ("single", "equal", "coordinate", "greedy", "combination")),
        ("interleave", "coordinate"),
    ]
    eligible = {name: value for (fusion, name), value in values.items() if fusion == "rank"}
    assert result["weights"] == max(eligible, key=eligible.get)
    # each fold's lists are of what is the best without it, so not of the best of all
    assert result["metrics"][f"val/{METRIC}"] < max(eligible.values())
    assert result["gain"][f"val/{METRIC}"] == result["choice"]["gain"][f"val/{METRIC}"]
    assert result["best_single"]["name"] == "ease"
    single = json.loads((sweep / "0_ease" / "result.json").read_text())["metrics"]
    assert result["best_single"]["metrics"] == single
    for stage in ("val", "test"):
        key = f"{stage}/{METRIC}"
        gain = result["gain"][key]
        assert gain["mean"] == pytest.approx(result["metrics"][key] - single[key])
        assert 0 < gain["low"] < gain["mean"] < gain["high"]
        for name in (METRIC, "ndcg@10", "coverage@10", "novelty@5"):
            assert f"{stage}/{name}" in result["metrics"]
    for stage in ("val", "test"):
        of_all = [m["metrics"][f"{stage}/{METRIC}"] for m in result["methods"]]
        assert max(of_all) < result["oracle"][f"{stage}/{METRIC}"] < 1
        for method in result["methods"]:
            gained = method["metrics"][f"{stage}/{METRIC}"] - single[f"{stage}/{METRIC}"]
            assert method["gain"][f"{stage}/{METRIC}"]["mean"] == pytest.approx(gained)
    assert {"load", "search", "measure", "write"} == set(result["seconds"])
    assert result["peak_rss_mb"] > 0


def test_its_lists_are_kept_as_those_of_a_run(sweep, out):
    result = Ensemble()([sweep], out).to_json()
    split = make_split()
    x = split.interactions
    lists = {
        stage: read_lists(out / "candidates" / f"{stage}.parquet", x.users, x.items).items
        for stage in ("valid", "test", "final")
    }
    for stage, name in (("valid", "val"), ("test", "test")):
        values = user_values(METRIC, lists[stage], getattr(split, stage))
        assert np.nanmean(values) == pytest.approx(result["metrics"][f"{name}/{METRIC}"])
    with (out / "submission.csv").open() as file:
        submitted = {(int(user), int(item)) for user, item in list(csv.reader(file))[1:]}
    users, items = np.repeat(x.users, K), x.items[lists["final"]].ravel()
    assert submitted == set(zip(users.tolist(), items.tolist(), strict=True))


def test_the_submission_is_whole_and_in_order(sweep, out):
    Ensemble()([sweep], out)
    x = make_split().interactions
    order = x.submission_users.tolist()
    assert violations(out / "submission.csv", x, [str(user) for user in order], K) == []
    with (out / "submission.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    assert [int(user) for user, _ in rows] == np.repeat(order, K).tolist()


def test_the_submission_is_made_of_the_final_lists_by_these_weights(sweep, out):
    result = Ensemble(weights={"ease": 3.0, "easer": 1.0})([sweep], out).to_json()
    weights = [(m["name"], m["weight"]) for m in result["members"]]
    assert weights == [("ease", 1), ("easer", 0.3333)]
    assert result["weights"] == "given"
    x = make_split().interactions
    final = {
        name: read_lists(sweep / run / "candidates/final.parquet", x.users, x.items).items
        for name, run in (("ease", "0_ease"), ("easer", "2_easer"))
    }
    with (out / "submission.csv").open() as file:
        rows = [(int(user), int(item)) for user, item in list(csv.reader(file))[1:]]
    for user in range(0, x.num_users, 17):
        scores = {}
        for name, weight in weights:
            for place, item in enumerate(final[name][user], start=1):
                scores[item] = scores.get(item, 0) + weight / np.log2(place + 1)
        best = sorted(scores, key=scores.get, reverse=True)[:K]
        assert [item for u, item in rows if u == x.users[user]] == x.items[best].tolist()


def test_the_same_bytes_whatever_the_order_of_discovery(sweep, out, tmp_path):
    Ensemble()([sweep], out)
    expected = (out / "submission.csv").read_bytes()
    Ensemble()([sweep], out)
    assert (out / "submission.csv").read_bytes() == expected
    moved = tmp_path / "moved"  # other names, found in another order
    for number, run in enumerate(sorted(sweep.glob("[0-9]*"), reverse=True)):
        shutil.copytree(run, moved / f"{number}_x" if number % 2 else moved / f"sub/{number}_y")
    Ensemble()([moved], tmp_path / "other")
    assert (tmp_path / "other" / "submission.csv").read_bytes() == expected
    runs = list(moved.rglob("result.json"))
    for order in (runs, runs[::-1]):
        Ensemble()([path.parent for path in order], tmp_path / "third")
        assert (tmp_path / "third" / "submission.csv").read_bytes() == expected


def test_the_template_has_its_way_and_users_nobody_knows_get_the_popular(sweep, out):
    split = make_split()
    x = split.interactions
    users = np.concatenate([[7], x.users[::-1][:100]])  # 7 is unknown
    for run in ("0_ease", "1_recvae"):
        shutil.rmtree(sweep / run)
        write_run(sweep / run, split, 1.0, order=replace(x, submission_users=users))
    result = Ensemble()([sweep / "0_ease", sweep / "1_recvae"], out).to_json()
    assert result["submission"] == {"unknown": 1, "short": 0}
    assert violations(out / "submission.csv", x, [str(user) for user in users], K) == []
    with (out / "submission.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    popular = x.items[x.most_popular(K)]
    assert [int(item) for user, item in rows if user == "7"] == popular.tolist()
    for run in ("0_ease", "1_recvae"):  # the same as in the members' own submissions
        with (sweep / run / "submission.csv").open() as file:
            own = [int(item) for user, item in list(csv.reader(file))[1:] if user == "7"]
        assert own == popular.tolist()
    refused([sweep], out, "different columns or users, or users in another order")


def test_lists_that_are_too_short_go_on_by_popularity(sweep, out):
    for run in sweep.glob("[0-9]*"):
        path = run / "candidates" / "final.parquet"
        table = parquet.read_table(path)
        parquet.write_table(table.filter(table["rank"].to_numpy() <= 2), path)
    Ensemble(weights="equal")([sweep / "0_ease"], out)
    x = make_split().interactions
    assert violations(out / "submission.csv", x, [str(user) for user in x.users], K) == []
    with (out / "submission.csv").open() as file:
        rows = [(int(user), int(item)) for user, item in list(csv.reader(file))[1:]]
    history = x.matrix.toarray()
    by_popularity = np.argsort(-x.popularity, kind="stable")
    own = read_lists(sweep / "0_ease/candidates/final.parquet", x.users, x.items).items
    for user in range(0, x.num_users, 23):
        first = own[user, :2].tolist()
        left = [i for i in by_popularity if not history[user, i] and i not in first]
        found = [item for u, item in rows if u == x.users[user]]
        assert found == x.items[[*first, *left[: K - 2]]].tolist()


def test_the_best_runs_of_each_model(sweep, out):
    split = make_split()
    write_run(sweep / "4_ease", split, 2.0, seed=5)
    result = Ensemble(weights="equal")([sweep], out).to_json()
    assert [m["folder"] for m in result["members"] if m["model"] == "ease"] == [
        str(sweep / "4_ease")
    ]
    result = Ensemble(weights="equal", per_model=2)([sweep], out).to_json()
    assert [m["name"] for m in result["members"]] == [
        *("0_ease", "4_ease", "easer", "noise", "recvae"),
    ]
    result = Ensemble(weights="equal")([sweep, sweep / "0_ease"], out).to_json()  # named, so in
    assert "0_ease" in [m["name"] for m in result["members"]]


def test_another_metric_and_fusion(sweep, out):
    result = Ensemble(fusion="combsum_zscore", metric=f"ndcg@{K}", weights="coordinate")(
        [sweep], out
    ).to_json()
    assert list(result["gain"]) == [f"val/ndcg@{K}", f"test/ndcg@{K}"]


def test_the_command_has_the_defaults_of_the_class_and_of_the_configuration(monkeypatch):
    given = {}

    def record(**options):
        given.update(options)
        raise InputError("enough")

    monkeypatch.setattr("recsys_lightning.ensemble.__main__.Ensemble", record)
    assert main(["runs", "--out", "out"]) == 2
    of_class = {name: of.default for name, of in signature(Ensemble).parameters.items()}
    of_class["by"] = list(of_class["by"])
    assert of_class | given == of_class
    assert OmegaConf.load("conf/ensemble/rank.yaml") == {
        "_target_": "recsys_lightning.ensemble.build.Ensemble",
        **of_class,
    }


def test_one_member_is_its_own_ensemble(sweep, out, capsys):
    assert main([str(sweep / "0_ease"), "--out", str(out)]) == 0
    assert "one member only" in capsys.readouterr().out
    assert (out / "submission.csv").read_bytes() == (
        sweep / "0_ease" / "submission.csv"
    ).read_bytes()
    assert told(out)["gain"][f"val/{METRIC}"] == {"mean": 0, "low": 0, "high": 0, "p": 1}


def test_a_failed_member_is_left_out_and_named(sweep, out, capsys):
    edit(sweep / "1_recvae", status="failed", error="it diverged", metrics={})
    assert main([str(sweep), "--out", str(out)]) == 1
    assert "1_recvae: it diverged" in capsys.readouterr().out.replace("\n", "")
    result = told(out)
    assert result["status"] == "done"
    assert result["left_out"] == [{"folder": str(sweep / "1_recvae"), "reason": "it diverged"}]
    assert "recvae" not in [m["model"] for m in result["members"]]
    for run in sweep.glob("[0-9]*"):
        edit(run, status="failed", error="all")
    refused([sweep], out, "none of the 4 runs in .* has succeeded")


def test_weights_of_zero(sweep, out):
    result = Ensemble(weights={"ease": 1.0, "easer": 0.0, "recvae": 0.5})([sweep], out).to_json()
    assert [m["name"] for m in result["members"]] == ["ease", "recvae"]
    with pytest.raises(InputError, match=r"ensemble\.weights: all are 0"):
        Ensemble(weights={"ease": 0.0})
    refused(
        [sweep],
        out,
        r"ensemble\.weights\.bert: no member of this name; there are ease, ",
        weights={"bert": 1.0},
    )


def test_a_given_weight_is_not_rounded_away(sweep, out):
    result = Ensemble(weights={"ease": 3.0, "easer": 1e-4})([sweep], out).to_json()
    assert [m["weight"] for m in result["members"]] == pytest.approx([1.0, 1e-4 / 3], rel=1e-3)


def test_without_a_test_set_there_is_nothing_to_confirm(tmp_path, out):
    split = make_split(test_items=0)
    for name in ("0_ease", "1_easer"):
        write_run(tmp_path / "sweep" / name, split, 1.0)
    result = Ensemble()([tmp_path / "sweep"], out).to_json()
    assert list(result["gain"]) == [f"val/{METRIC}"]
    assert not [name for name in result["metrics"] if name.startswith("test/")]


def test_an_error_nobody_foresaw_leaves_no_submission(sweep, out, monkeypatch):
    edit(sweep / "0_ease", config=None)
    with pytest.raises(TypeError):
        Ensemble()([sweep], out)
    assert told(out)["error"].startswith("TypeError: ")
    assert not (out / "submission.csv").exists()


def test_the_gain_is_that_of_the_lists(sweep, out):
    result = Ensemble(weights="equal")([sweep], out).to_json()
    split = make_split()
    x = split.interactions
    files = [sweep / m["folder"] / "candidates/test.parquet" for m in result["members"]]
    lists = [read_lists(path, x.users, x.items).items for path in files]
    scores = np.zeros((x.num_users, x.num_items))
    for of_member in lists:
        for place, items in enumerate(of_member.T, start=1):
            scores[np.arange(x.num_users), items] += 1 / np.log2(place + 1)
    fused = user_values(METRIC, np.argsort(-scores, axis=1), split.test)
    ease = user_values(METRIC, lists[0], split.test)
    assert result["gain"][f"test/{METRIC}"]["mean"] == pytest.approx(
        paired_bootstrap(fused, ease).mean, abs=2e-3
    )


@pytest.mark.parametrize("informative", [True, False], ids=["it wins", "it does not"])
def test_the_mixer_is_kept_where_it_wins(tmp_path, out, informative):
    pytest.importorskip("lightgbm", reason="extra rank")
    split = make_split(num_users=250)
    skills = (1.5, 0.0, 0.0) if informative else (0.3, 0.3, 0.3)
    for number, skill in enumerate(skills):
        write_run(tmp_path / "sweep" / f"{number}_m{number}", split, skill)
    result = Ensemble(mixer=True, weights="equal")([tmp_path / "sweep"], out).to_json()
    values = {m["name"]: m["metrics"][f"val/{METRIC}"] for m in result["methods"]}
    assert list(values) == ["single", "equal", "mixer"]
    assert (values["mixer"] > values["equal"]) == informative
    assert result["fusion"] == ("lambdarank" if informative else "rank")
    before = (out / "submission.csv").read_bytes()
    Ensemble(mixer=True, weights="equal")([tmp_path / "sweep"], out)
    assert (out / "submission.csv").read_bytes() == before


def test_a_planted_leak_raises_no_test_value(tmp_path, out, monkeypatch):
    """A feature made of validation's held-out items tells all there, and nothing of test's."""
    pytest.importorskip("lightgbm", reason="extra rank")
    split = make_split(num_users=300)
    for number, skill in enumerate((0.6, 0.5)):
        write_run(tmp_path / "sweep" / f"{number}_m{number}", split, skill)

    def leaking(union, members, history):
        users = np.repeat(np.arange(history.num_users), np.diff(union.starts))
        is_held_out = split.valid.matrix[users, union.items]
        return np.column_stack([features(union, members, history), is_held_out])

    monkeypatch.setattr("recsys_lightning.ensemble.mixer.features", leaking)
    methods = Ensemble(mixer=True, weights="equal")([tmp_path / "sweep"], out).methods
    _, equal, leaky = (method["metrics"] for method in methods)
    assert leaky[f"val/{METRIC}"] > equal[f"val/{METRIC}"] + 0.2
    assert leaky[f"test/{METRIC}"] <= equal[f"test/{METRIC}"] + 0.01


def test_twelve_members_make_an_ensemble_by_default(tmp_path, out):
    split = make_split()
    for number in range(12):
        write_run(tmp_path / f"{number}_m{number}", split, 0.5 + number / 20)
    result = Ensemble()([tmp_path], out).to_json()
    assert "combination" in [method["name"] for method in result["methods"]]
    users = list(map(str, split.interactions.users))
    assert not violations(out / "submission.csv", split.interactions, users, K)


@pytest.mark.parametrize("name", ["greedy", "coordinate", "combination"])
def test_a_method_that_refuses_costs_no_submission_unless_it_is_asked_for(
    name, sweep, out, monkeypatch, caplog
):
    def refuses(*_):
        raise InputError("too many members")

    monkeypatch.setitem(SEARCHES, name, refuses)
    result = Ensemble()([sweep], out).to_json()
    assert name not in [m["name"] for m in result["methods"] if m["fusion"] == "rank"]
    assert f"rank, {name} is left out of the ensemble's methods: too many members" in caplog.text
    assert (out / "submission.csv").exists()
    refused([sweep], tmp := out.parent / "asked", "too many members", weights=name)
    assert not (tmp / "submission.csv").exists()
