"""Runs that differ in seed alone: as members of their own, or averaged; how many are in."""

import csv
import json
import shutil

import numpy as np
import pandas as pd
import pytest

import recsys_lightning
from recsys_lightning.ensemble.__main__ import main
from recsys_lightning.ensemble.build import Ensemble
from recsys_lightning.ensemble.fusion import average
from recsys_lightning.errors import InputError
from recsys_lightning.metrics.of_lists import user_values
from recsys_lightning.runs.lists import Lists, read_lists
from tests.ensemble.runs import K, make_split, write_run
from tests.sweeps.test_sweep import sweep as start

METRIC = f"recall@{K}"


def write_seeds(folder, first, skills, *, model="vae", options="a"):
    """Runs of a configuration, by seeds 1, 2, ...; what they recommend is as good as the skills."""
    return [
        write_run(
            folder / f"{first + n}_{model}",
            make_split(),
            skill,
            seed=n + 1,
            model=model,
            job=f"{model}-{options}-{n + 1}",
            repeated=f"{model}-{options}",
        )
        for n, skill in enumerate(skills)
    ]


def members(*folders, out, **options):
    return [m["name"] for m in Ensemble(weights="equal", **options)(folders, out).members]


def by_hand(lists, popularity):
    """The order of all items by the mean z-score; one that a list lacks has the list's lowest."""
    total = np.zeros((len(lists[0].items), len(popularity)))
    held = np.zeros(total.shape, dtype=bool)
    for of_run in lists:
        for user, (items, scores) in enumerate(zip(of_run.items, of_run.scores, strict=True)):
            items, scores = items[items >= 0], scores[items >= 0].astype(float)
            z = (scores - scores.mean()) / scores.std()
            filled = np.full(total.shape[1], z.min())
            filled[items] = z
            total[user] += filled / len(lists)
            held[user, items] = True
    total[~held] = -np.inf
    return np.array([np.lexsort((-popularity, -row)) for row in total]), total


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_the_average_is_the_mean_of_z_scores():
    rng = np.random.default_rng(3)
    lists = []
    for length in (6, 8, 7):
        items = np.array([rng.permutation(20)[:length] for _ in range(50)], dtype=np.int32)
        scores = -np.sort(-rng.normal(rng.normal(), 1 + rng.random(), size=items.shape), axis=1)
        items[::7, 4:], scores[::7, 4:] = -1, -np.inf
        lists.append(Lists(items, scores.astype(np.float32)))
    popularity = rng.permutation(20)
    items, scores = average(lists, np.argsort(-popularity))
    assert items.shape == scores.shape == (50, 8)
    order, total = by_hand(lists, popularity)
    count = np.isfinite(total).sum(axis=1)
    assert count.min() >= 8
    assert np.array_equal(items, order[:, :8])
    best = np.take_along_axis(total, order[:, :8], axis=1)
    below = scores - best  # each list's z-scores begin at 0, so of a user all are as much higher
    np.testing.assert_allclose(below, below[:, :1].repeat(8, axis=1), atol=1e-5)


def test_ties_go_to_the_preferred_item_and_ended_lists_stay_so():
    runs = [
        Lists(np.int32([[0, 1], [3, -1]]), np.float32([[2, 1], [1, -np.inf]])),
        Lists(np.int32([[2, 1], [3, -1]]), np.float32([[2, 1], [5, -np.inf]])),
    ]
    items, scores = average(runs, np.array([3, 2, 1, 0]))
    assert items.tolist() == [[2, 0], [3, -1]]
    assert scores[1].tolist() == [1, -np.inf]


def test_many_ties_are_in_the_order_of_preference():
    runs = [Lists(np.arange(200, dtype=np.int32)[None], np.zeros((1, 200), np.float32))] * 2
    preferred = np.random.default_rng(0).permutation(200)
    assert average(runs, preferred).items[0].tolist() == preferred.tolist()


def test_seeds_are_one_member_by_their_average(tmp_path, out):
    write_seeds(tmp_path / "sweep", 0, (0.9, 1.0, 0.8))
    write_seeds(tmp_path / "sweep", 3, (0.3,), model="ease")
    result = Ensemble(weights="equal", seeds="average")([tmp_path / "sweep"], out).to_json()
    assert json.loads((out / "ensemble.json").read_text()) == result
    ease, vae = result["members"]
    folders = [str(tmp_path / "sweep" / f"{n}_vae") for n in range(3)]
    assert (ease["name"], ease["seed"]) == ("ease", 1)
    assert vae == {
        **{"name": "vae (3 seeds)", "folder": folders, "model": "vae", "seed": [1, 2, 3]},
        "weight": 1.0,
    }
    assert result["best_single"]["name"] == "vae (3 seeds)"
    assert result["best_single"]["folder"] == folders
    split = make_split()
    x = split.interactions
    for stage, name, history, held_out in (
        ("valid", "val", split.train, split.valid),
        ("test", "test", split.question("test").known, split.test),
    ):
        files = [tmp_path / f"sweep/{n}_vae/candidates/{stage}.parquet" for n in range(3)]
        lists = [read_lists(path, x.users, x.items) for path in files]
        order, _ = by_hand(lists, history.popularity)
        value = np.nanmean(user_values(METRIC, order, held_out))
        assert result["best_single"]["metrics"][f"{name}/{METRIC}"] == pytest.approx(value)
        length = lists[0].items.shape[1]
        shown = recsys_lightning.read_member(out, vae, stage, split).items
        assert np.array_equal(shown, order[:, :length])
        alone = recsys_lightning.read_member(out, ease, stage, split).items
        path = tmp_path / f"sweep/3_ease/candidates/{stage}.parquet"
        assert np.array_equal(alone, read_lists(path, x.users, x.items).items)
        of_runs = [np.nanmean(user_values(METRIC, one.items, held_out)) for one in lists]
        assert value > max(of_runs)
        gain = result["gain"][f"{name}/{METRIC}"]["mean"]
        assert gain == pytest.approx(result["metrics"][f"{name}/{METRIC}"] - value)
    assert "test/coverage@10" in result["best_single"]["metrics"]


def test_one_member_by_average_submits_the_average(tmp_path, out, capsys):
    runs = write_seeds(tmp_path / "sweep", 0, (0.9, 1.0, 0.8))
    arguments = [str(runs[0]), str(runs[1]), str(runs[2]), "--out", str(out)]
    assert main([*arguments, "--seeds", "average"]) == 0
    assert "one member only: these are the lists of vae (3 seeds)" in capsys.readouterr().out
    x = make_split().interactions
    lists = [read_lists(run / "candidates/final.parquet", x.users, x.items) for run in runs]
    order, _ = by_hand(lists, x.popularity)
    expected = [
        (str(x.users[user]), str(item))
        for user in range(x.num_users)
        for item in x.items[order[user, :K]]
    ]
    with (out / "submission.csv").open() as file:
        assert [tuple(row) for row in csv.reader(file)][1:] == expected


def test_configurations_are_counted_and_judged_by_the_mean_of_their_seeds(tmp_path, out):
    sweep = tmp_path / "sweep"
    write_seeds(sweep, 0, (2.5, 0.0), options="a lucky seed")
    write_seeds(sweep, 2, (1.6, 1.6, 1.7), options="good")
    write_seeds(sweep, 5, (0.1,), options="bad")
    assert members(sweep, out=out) == ["2_vae", "3_vae", "4_vae"]
    assert members(sweep, out=out, seeds="average") == ["vae (3 seeds)"]
    assert members(sweep, out=out, per_model=2) == [f"{n}_vae" for n in (0, 2, 1, 3, 4)]
    names = members(sweep, out=out, per_model=2, seeds="average")
    assert names == ["0_vae (2 seeds)", "2_vae (3 seeds)"]
    weights = {"2_vae (3 seeds)": 1.0}
    result = Ensemble(weights=weights, per_model=2, seeds="average")([sweep], out)
    assert [m["name"] for m in result.members] == list(weights)


def test_a_job_that_was_run_twice_is_one_seed(tmp_path, out):
    sweep = tmp_path / "sweep"
    write_seeds(sweep, 0, (0.9, 1.0))
    shutil.copytree(sweep / "1_vae", sweep / "8_vae")
    assert members(sweep, out=out, seeds="average") == ["vae (2 seeds)"]


@pytest.mark.parametrize("stage", ["valid", "test"])
def test_a_seed_with_lists_of_another_run_is_refused(stage, tmp_path, out):
    write_seeds(tmp_path / "sweep", 0, (0.9, 1.0))
    write_seeds(tmp_path / "sweep", 2, (0.1,), model="ease")
    file = f"candidates/{stage}.parquet"
    shutil.copy(tmp_path / "sweep/2_ease" / file, tmp_path / "sweep/1_vae" / file)
    with pytest.raises(InputError, match=rf"1_vae/candidates/{stage}\.parquet: its lists have"):
        Ensemble(seeds="average")([tmp_path / "sweep"], out)


def test_a_template_that_one_seed_alone_had_is_refused(tmp_path, out):
    runs = write_seeds(tmp_path / "sweep", 0, (0.9, 1.0))
    lines = (runs[1] / "submission.csv").read_text().splitlines()
    (runs[1] / "submission.csv").write_text("\n".join([lines[0], *lines[1 + K :]]) + "\n")
    with pytest.raises(InputError, match="have different columns or users"):
        Ensemble(seeds="average")([tmp_path / "sweep"], out)


def test_another_word_is_refused():
    with pytest.raises(InputError, match=r"ensemble\.seeds=mean: expected separate or average"):
        Ensemble(seeds="mean")


def test_the_real_command_names_the_average(tmp_path):
    options = ("ensemble=rank", "ensemble.seeds=average", "ensemble.weights=equal")
    fit = ("max_epochs=1", "model=multi_dae,ease", "seed=1,2", "holdout.valid_items=5")
    done = start(tmp_path, *options, *fit)
    assert "multi_dae (2 seeds) 1" in done.stdout
    board = pd.read_csv(tmp_path / "sweep/leaderboard.csv").set_index("model")
    assert board.loc["ensemble"].options == "rank equal: ease (2 seeds) 1, multi_dae (2 seeds) 1"
