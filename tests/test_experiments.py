"""The experiment files of public benchmarks run on made-up files of their layout."""

import json
import shutil
import zipfile

import numpy as np
import pytest

from tests.command import run
from tests.forked import forked_python


@pytest.mark.parametrize("name", ["gowalla", "yelp2018", "amazon_book"])
def test_lightgcn_on_its_authors_splits(name, tmp_path):
    rng, train, test = np.random.default_rng(0), [], []
    for user in range(40):
        items = [str(item) for item in rng.permutation(60)[:10]]
        train.append(" ".join([str(user), *items[:7]]))
        test.append(" ".join([str(user), *items[7:]]))
    files = {"train": tmp_path / "train.txt", "test": tmp_path / "test.txt"}
    files["train"].write_text("\n".join(train) + "\n")
    files["test"].write_text("\n".join(test) + "\n")
    done = run(
        *(f"experiment=lightgcn_{name}", "max_epochs=3", "logger=none"),
        *(f"holdout.{part}={path}" for part, path in files.items()),
        folder=tmp_path / "run",
    )
    assert "280 to train on, test 120 of 40 users" in done.out
    result = done.result
    assert result["best_epoch"] == 3  # the last: nothing to choose by
    assert 0 < result["metrics"]["test/recall@20"] < 1
    assert "test/ndcg@20" in result["metrics"]
    assert "test/recall@10" not in result["metrics"]
    authors = {"embedding_dim": 64, "num_layers": 3, "l2": 1e-4, "lr": 1e-3}
    assert result["config"]["model"].items() >= authors.items()
    assert result["config"]["view"].items() >= {"batch_size": 2048, "pairs": "users"}.items()


def test_movielens_1m_as_recbole_gnn_has_it(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    ratings = "".join(
        f"{user}::{item}::{2 + (place < 20)}::{place}\n"
        for user in range(1, 13)
        for place, item in enumerate(rng.permutation(50)[:25])
    )
    with zipfile.ZipFile(tmp_path / "data/ml-1m.zip", "w") as file:
        file.writestr("ml-1m/ratings.dat", ratings)
        file.writestr("ml-1m/movies.dat", "".join(f"{i}::M{i} (1999)::Drama\n" for i in range(50)))
    done = run(
        *("experiment=recbole_gnn_ml1m", "max_epochs=2", "logger=none"),
        *(f"data.root={tmp_path}/data", "data.checksum=null"),
        folder=tmp_path / "run",
    )
    # of 25 ratings of a user five are below 3; 20 are 16, 2 and 2
    assert "192 to train on, valid 24 of 12 users, test 24 of 12 users" in done.out
    assert done.result["config"]["monitor"] == "val/mrr@10"


@pytest.mark.parametrize("model", ["ease", "multi_vae"])
def test_strong_generalisation_as_the_authors_of_multi_vae_write_it(model, tmp_path):
    rng = np.random.default_rng(0)
    rows = {part: ["uid,sid"] for part in ("train", "valid", "valid_known", "test", "test_known")}
    for user in range(60):  # of five tastes
        liked = 30 * (user % 5) + rng.permutation(30)[:15]
        part = ("train", "train", "valid", "test")[user // 15]
        asked = 0 if part == "train" else 3
        rows[part] += [f"{user},{item}" for item in (liked if not asked else liked[:asked])]
        if asked:
            rows[f"{part}_known"] += [f"{user},{item}" for item in liked[asked:]]
    for part, lines in rows.items():
        (tmp_path / f"{part}.csv").write_text("\n".join(lines) + "\n")
    done = run(
        *("experiment=vae_cf_ml20m", f"model={model}", "view.batch_size=5", "logger=none"),
        *(f"holdout.{part}={tmp_path}/{part}.csv" for part in rows),
        folder=tmp_path / "run",
    )
    assert "450 to train on, valid 45 of 15 users, test 45 of 15 users" in done.out
    metrics = done.result["metrics"]
    assert metrics["test/recall_capped@20"] > 0.9  # 18 of its taste are unseen
    assert {"val/ndcg@100", "test/ndcg@100", "test/recall_capped@50"} < set(metrics)


def test_sasrec_as_for_a_gpu_composes_and_runs_without_one(tmp_path):
    done = run(
        *("experiment=sasrec_gpu", "data=synthetic", "data.num_users=60", "data.num_items=40"),
        *("data.num_interactions=1200", "data.min_per_user=10", "holdout=last", "max_epochs=1"),
        *("trainer.accelerator=cpu", "trainer.precision=32-true", "logger=none"),
        folder=tmp_path / "run",
    )
    given = {"embedding_dim": 256, "length": 300, "loss": "cross_entropy"}
    assert done.result["config"]["model"].items() >= given.items()
    assert done.result["status"] == "done"


def test_the_contests_recipe_fuses_one_voice_a_model_and_starts_again_where_it_was(tmp_path):
    arguments = [
        *("run.py", "-m", "experiment=contest", "data=synthetic", "data.num_users=60"),
        *("data.num_items=40", "data.num_interactions=1200", "data.min_per_user=10"),
        *("max_epochs=1", "logger=none", f"hydra.sweep.dir={tmp_path}/sweep"),
        *(f"data.cache_dir={tmp_path}/cache", f"split_dir={tmp_path}/splits"),
    ]
    alone = forked_python(*arguments, "ensemble=none")
    assert alone.returncode == 0, alone.stderr
    assert not (tmp_path / "sweep/ensemble.json").exists()
    first = forked_python(*arguments)
    assert first.returncode == 0, first.stderr
    said = json.loads((tmp_path / "sweep/ensemble.json").read_text())
    voices = {"ease", "admm_slim", "easer", "recvae", "multi_vae", "sasrec", "bert4rec"}
    [equal] = [method for method in said["methods"] if method["name"] == "equal"]
    runs = {member["model"]: member["folder"] for member in equal["members"]}
    assert set(runs) == voices
    assert len(runs["sasrec"]) == 3
    submission = (tmp_path / "sweep/submission.csv").read_bytes()
    [killed] = (tmp_path / "sweep").glob("*_bert4rec")
    shutil.rmtree(killed)  # as if it had been killed in the last job
    again = forked_python(*arguments)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("done already") == 8
    assert (tmp_path / "sweep/submission.csv").read_bytes() == submission
