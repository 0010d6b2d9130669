"""What every model of the catalogue must do, on tiny data with its own configuration."""

import re
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from pyarrow import parquet

from recsys_lightning.data.batches import Bag, Query
from recsys_lightning.data.holdout import RandomHoldout, Split
from recsys_lightning.data.views.rows import RowDataset
from recsys_lightning.data.views.sampler import bag
from recsys_lightning.errors import Interrupted
from tests.conftest import run_experiment

CONF = Path(__file__).parents[2] / "conf"
NAMES = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
CLOSED_FORM = {"popularity", "ease", "admm_slim", "easer"}
SMALLER = {  # than the defaults, which are for real data
    "easer": {"num_pairs": 30},
    "autorec": {"hidden_dims": [16], "lr": 0.01},
    "multi_dae": {"hidden_dims": [16], "lr": 0.01},
    "multi_cdae": {"hidden_dims": [16], "lr": 0.01},
    "multi_vae": {"hidden_dims": [16], "latent_dim": 8, "lr": 0.01},
    "recvae": {"hidden_dim": 16, "latent_dim": 8, "lr": 0.01},
}


def fit(name, split, folder, **options):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=[f"model={name}"])
    model = OmegaConf.to_container(config.model) | SMALLER.get(name, {})
    return run_experiment(
        folder,
        split,
        lambda **sizes: instantiate(model, _convert_="all", **sizes),
        trainer={"max_epochs": min(config.max_epochs, 10)},
        **{"view": instantiate(config.view, batch_size=16)} | options,
    )


def reload(name, path):
    """From the file alone: no data, no configuration, `weights_only=True`."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cls = get_class(compose("config", overrides=[f"model={name}"]).model["_target_"])
    return cls.load_from_checkpoint(path, weights_only=True).eval()


def query(interactions, users):
    users = np.asarray(users)
    nothing = Bag(torch.empty(0, dtype=torch.int32), torch.zeros(len(users) + 1, dtype=torch.int64))
    return Query(torch.from_numpy(users), bag(interactions, users), nothing)


@pytest.fixture(scope="module", params=NAMES)
def fitted(request, tmp_path_factory):
    from tests.conftest import two_tastes

    folder = tmp_path_factory.mktemp(request.param)
    split = RandomHoldout(valid_items=2, test_items=2).split(two_tastes())
    experiment = fit(request.param, split, folder)
    return request.param, split, folder, experiment


def test_a_reloaded_checkpoint_gives_the_same_lists(fitted):
    name, split, folder, experiment = fitted
    model = reload(name, folder / "checkpoints/final.ckpt")
    x = split.interactions
    lists = model.recommend(query(x, range(x.num_users)), 15)
    assert (lists.items.numpy() == experiment.outcome.final).all()


def test_scores_are_unmasked_finite_and_independent_of_batch_mates(fitted):
    name, split, folder, _ = fitted
    model, x = reload(name, folder / "checkpoints/best.ckpt"), split.train
    with torch.no_grad():
        together = model.score(query(x, range(x.num_users)))
        alone = torch.cat([model.score(query(x, [user])) for user in range(x.num_users)])
        again = model.score(query(x, range(x.num_users)))
    assert together.shape == (x.num_users, x.num_items)
    assert together.isfinite().all()
    torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-6)
    assert (again == together).all()


def test_lists_are_distinct_unseen_items(fitted):
    _, split, folder, experiment = fitted
    assert experiment.outcome.final.min() >= 0
    for stage, history in (("valid", split.train), ("test", split.question("test").known)):
        rows = parquet.read_table(folder / f"candidates/{stage}.parquet").to_pandas()
        assert not rows.duplicated(["user", "item"]).any()
        seen = history.matrix.toarray()
        assert not seen[rows.user.astype(int) - 100, rows.item.astype(int) - 1000].any()
    for user, items in enumerate(experiment.outcome.final):
        assert len(set(items)) == len(items)
        assert not set(items) & set(split.interactions.gather(np.array([user]))[0])


def test_an_empty_history_gets_the_popular_items(fitted):
    name, split, folder, _ = fitted
    model = reload(name, folder / "checkpoints/best.ckpt")
    nobody = query(split.train.select(np.zeros(split.train.num_interactions, bool)), [0])
    items = model.recommend(nobody, 5).items[0]
    popularity = split.train.popularity
    assert (popularity[items.numpy()] == np.sort(popularity)[::-1][:5]).all()


def test_an_unknown_user_with_a_history_gets_lists(fitted):
    name, split, folder, _ = fitted
    model = reload(name, folder / "checkpoints/best.ckpt")
    known = query(split.train, range(5))
    unknown = known._replace(users=torch.full((5,), -1))
    with torch.no_grad():
        assert model.score(unknown).isfinite().all()
    lists = model.recommend(unknown, 5).items.numpy()
    for user in range(5):
        assert not set(lists[user]) & set(split.train.gather(np.array([user]))[0])


def test_an_evaluation_leaves_the_model_as_it_was(fitted):
    name, split, folder, _ = fitted
    model = reload(name, folder / "checkpoints/best.ckpt")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.recommend(query(split.train, range(10)), 5)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_seed_repeats_byte_for_byte(fitted, tmp_path):
    name, split, folder, _ = fitted
    fit(name, split, tmp_path)
    for file in ("submission.csv", "candidates/valid.parquet", "candidates/final.parquet"):
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes()


def test_interrupted_and_resumed_equals_uninterrupted(fitted, tmp_path, monkeypatch):
    name, split, folder, _ = fitted
    if name in CLOSED_FORM:
        pytest.skip("one pass: there is nothing to go on with")
    read = RowDataset.__getitem__

    def press_ctrl_c(dataset, users):
        pressed.append(0 in users)
        if sum(pressed) > 6 * passes:
            raise Interrupted(signal.SIGINT)
        return read(dataset, users)

    pressed, passes = [], 4 if name == "recvae" else 1
    with monkeypatch.context() as patch:
        patch.setattr(RowDataset, "__getitem__", press_ctrl_c)
        with pytest.raises(Interrupted) as interruption:
            fit(name, split, tmp_path)
    assert re.search(r"^in epoch 7; .* ckpt_path=last", interruption.value.kept)
    assert not (tmp_path / "submission.csv").exists()
    fit(name, split, tmp_path, ckpt_path="last")
    for file in ("submission.csv", "candidates/valid.parquet", "candidates/final.parquet"):
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes()


def test_another_seed_gives_other_weights_where_there_is_chance(fitted, tmp_path):
    name, split, folder, _ = fitted
    fit(name, split, tmp_path, seed=2, refit=False)
    ours, theirs = (
        torch.load(path / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
        for path in (folder, tmp_path)
    )
    same = all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert same == (name in CLOSED_FORM)


def test_held_out_items_leave_no_trace_in_the_weights(fitted, tmp_path):
    """Other held-out items, the same training rows: the fitted model must be the same.

    After the last epoch: which one is best is for the held-out items to say.
    """
    name, split, folder, _ = fitted
    x, rng = split.interactions, np.random.default_rng(0)
    indices = x.indices.copy()
    for user in range(x.num_users):
        entries = np.arange(x.indptr[user], x.indptr[user + 1])
        held = entries[split.part[entries] != 0]
        others = np.setdiff1d(np.arange(x.num_items), indices[entries])
        indices[held] = rng.choice(others, len(held), replace=False)
    fit(name, Split(replace(x, indices=indices), split.part), tmp_path, refit=False)
    file = "best.ckpt" if name in CLOSED_FORM else "last.ckpt"
    ours, theirs = (
        torch.load(path / "checkpoints" / file, weights_only=True)["state_dict"]
        for path in (folder, tmp_path)
    )
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_model_beats_popularity_where_taste_decides(fitted):
    name, split, _, experiment = fitted
    held_out = split.valid
    popular = np.argsort(-split.train.popularity, kind="stable")
    if name == "popularity":
        pytest.skip("it is the control")
    hits = 0
    for user in range(held_out.num_users):
        seen = set(split.train.gather(np.array([user]))[0])
        top = [item for item in popular if item not in seen][:5]
        hits += len(set(top) & set(held_out.gather(np.array([user]))[0])) / 2
    assert experiment.outcome.metrics["val/recall@5"] > hits / held_out.num_users
