"""A graph model that scores from the history, and an id model among other users."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recsys_lightning.data.batches import Query
from recsys_lightning.data.holdout import NoHoldout, RandomHoldout
from recsys_lightning.data.views.sampler import bag
from tests.conftest import run_experiment, two_tastes
from tests.models.toys import PairView, ToyGraph, ToyPairs


@pytest.fixture(scope="module")
def split():
    return RandomHoldout(valid_items=2, test_items=2).split(two_tastes())


def ask(model, x, rows, users):
    history = bag(x, np.asarray(rows))
    with torch.no_grad():
        return model.score(Query(torch.tensor(users), history, history))


def test_scores_from_the_history_equal_full_propagation(split, tmp_path):
    run_experiment(tmp_path, split, ToyGraph, view=PairView(300), trainer={"max_epochs": 2})
    file = tmp_path / "checkpoints/best.ckpt"
    model = ToyGraph.load_from_checkpoint(file, weights_only=True).eval()
    x, u = split.train, split.train.num_users
    full = np.zeros((u + x.num_items,) * 2)
    full[:u, u:] = x.matrix.toarray()
    full += full.T
    norms = np.maximum(full.sum(1), 1) ** -0.5
    step = norms[:, None] * full * norms
    layers = [torch.cat([model.users.weight, model.items.weight]).detach().double().numpy()]
    for _ in range(model.num_layers):
        layers.append(step @ layers[-1])
    users, items = np.split(np.mean(layers, axis=0), [u])
    scores = ask(model, x, range(u), list(range(u)))
    assert np.abs(scores.numpy() - users @ items.T).max() < 1e-5
    # a stranger with the same history lacks the own layer 0 only
    unknown = ask(model, x, [3], [-1])
    own = layers[0][3] / (model.num_layers + 1) @ items.T
    assert np.abs((scores[3] - unknown[0]).numpy() - own).max() < 1e-5
    nothing = x.select(np.zeros(x.num_interactions, bool))
    assert (ask(model, nothing, [3], [-1]) == 0).all()


def test_an_id_model_finds_its_users_among_others(split, tmp_path):
    """Users 101 to 159 and a new one, each by id: the new one gets what is popular."""
    options = {"view": PairView(300), "refit": False}
    run_experiment(tmp_path / "a", split, ToyPairs, **options)
    x = split.interactions
    users = np.concatenate([x.users[1:], [900]])
    moved = NoHoldout().split(replace(x, users=users, submission_users=users))
    path = str(tmp_path / "a/checkpoints/best.ckpt")
    again = run_experiment(tmp_path / "b", moved, ToyPairs, ckpt_path=path, **options)
    model = ToyPairs.load_from_checkpoint(path, weights_only=True).eval()
    with torch.no_grad():
        known = model.recommend(Query(torch.arange(1, 60), *[bag(x, np.arange(59))] * 2), 15)
    assert (again.outcome.final[:-1] == known.items.numpy()).all()
    order = np.argsort(-split.train.popularity, kind="stable")
    unseen = [item for item in order if item not in set(x.gather(np.array([59]))[0])]
    popularity = split.train.popularity
    assert (popularity[again.outcome.final[-1]] == popularity[unseen[:15]]).all()
