"""What every model must do, the catalogue's and the toys, on tiny data; it asks their classes."""

import re
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from pyarrow import parquet

from recsys_lightning.data.batches import Bag, Query
from recsys_lightning.data.datamodule import View
from recsys_lightning.data.holdout import RandomHoldout, Split
from recsys_lightning.data.views.rows import RowView
from recsys_lightning.data.views.sampler import bag
from recsys_lightning.errors import InputError
from recsys_lightning.families.closed_form import ClosedForm
from recsys_lightning.models.popularity import Popularity
from recsys_lightning.recommender import Recommender
from tests.conftest import pressing_ctrl_c, run_experiment, two_tastes, with_features
from tests.models.toys import TOYS, PairView

CONF = Path(__file__).parents[2] / "conf"
NAMES = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
SMALLER = {  # than the defaults, which are for real data
    **{"hidden_dims": [16], "hidden_dim": 16, "latent_dim": 8, "embedding_dim": 8},
    **{"num_pairs": 30, "lr": 0.03, "pretrain_epochs": 2},
}
AT_SCORING = {"recency": 3.0, "num_masks": 2}  # what no fit reads: another value than the default
EPOCHS = 5


class Case(NamedTuple):
    """A model, and how it is fitted."""

    model: "partial[Recommender]"
    view: View
    max_epochs: int
    trains_in_turns: bool = False

    @property
    def cls(self) -> type[Recommender]:
        return self.model.func

    @property
    def is_drawn(self) -> bool:
        """Whether chance decides on the weights."""
        return not issubclass(self.cls, ClosedForm)


def class_of(name: str) -> type[Recommender]:
    """By its file alone, which takes no time."""
    return get_class(OmegaConf.load(CONF / "model" / f"{name}.yaml")._target_)


def case_of(name: str, *overrides: str) -> Case:
    """A model of the catalogue, as its family fits it."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=[f"model={name}", *overrides])
    parameters = OmegaConf.to_container(config.model)
    cls = get_class(parameters.pop("_target_"))
    parameters |= {key: value for key, value in SMALLER.items() if key in parameters}
    view = instantiate(config.view, batch_size=128 if "pairs" in config.view else 25)
    epochs = min(config.max_epochs, EPOCHS)
    return Case(partial(cls, **parameters), view, epochs, config.trains_in_turns)


def toy_case(cls: type[Recommender]) -> Case:
    if issubclass(cls, ClosedForm):
        return Case(partial(cls), RowView(25, shuffle=False), 1)
    return Case(partial(cls), PairView(128), EPOCHS)


def fit(case, split, folder, **options):
    options = {"view": case.view, "trainer": {"max_epochs": case.max_epochs}} | options
    return run_experiment(folder, split, case.model, **options)


def reload(case, path):
    """From the file alone: no data, no configuration, `weights_only=True`."""
    return case.cls.load_from_checkpoint(path, weights_only=True).eval()


def query(interactions, users):
    users = np.asarray(users)
    return Query(torch.from_numpy(users), bag(interactions, users), Bag.empty(len(users)))


@pytest.fixture(scope="module", params=[*NAMES, *TOYS])
def fitted(request, tmp_path_factory):
    case = case_of(request.param) if request.param in NAMES else toy_case(request.param)
    folder = tmp_path_factory.mktemp(case.cls.__name__)
    split = RandomHoldout(valid_items=2, test_items=2).split(with_features(two_tastes()))
    return case, split, folder, fit(case, split, folder)


def test_a_fit_in_double_precision_ends(fitted, tmp_path):
    """Eight models mixed it with single, and ended in an error of torch's."""
    case, split, _, _ = fitted
    if not case.is_drawn:
        return  # no gradient, no loss
    trainer = {"max_epochs": 3, "precision": "64-true"}
    outcome = fit(case, split, tmp_path, trainer=trainer, refit=False).outcome
    assert outcome.metrics["val/recall@5"] > 0


def test_a_reloaded_checkpoint_gives_the_same_lists(fitted):
    case, split, folder, experiment = fitted
    model = reload(case, folder / "checkpoints/final.ckpt")
    x = split.interactions
    lists = model.recommend(query(x, range(x.num_users)), 15)
    assert (lists.items.numpy() == experiment.outcome.final).all()


def test_it_recommends_by_original_ids(fitted):
    case, split, folder, experiment = fitted
    model, x = reload(case, folder / "checkpoints/final.ckpt").train(), split.interactions
    histories = [x.items[items].tolist() for items in np.split(x.indices, x.indptr[1:-1])]
    again = [[*history, *history[:2]] for history in histories]
    assert model.recommend_to(again, 15, x.users) == x.items[experiment.outcome.final].tolist()
    assert model.training
    stranger, nobody = model.recommend_to([histories[0], []], x.num_items)
    assert sorted(stranger + histories[0]) == sorted(nobody) == x.items.tolist()
    for wrong, words in (
        ({"histories": [[x.items[0]], ["such"]]}, "not fitted on some items: such"),
        ({"histories": [5, 8]}, "histories: 5 is not a list"),
        ({"histories": ["m12"]}, "histories: 'm12' is not a list"),
        ({"histories": [[]], "k": x.num_items + 1}, "k="),
        ({"histories": [[]], "users": [1, 2]}, "2 users: expected one for each of 1 histories"),
    ):
        with pytest.raises(InputError, match=words):
            model.recommend_to(**wrong)


def test_its_folder_recommends_the_same_without_fitting(fitted, tmp_path):
    case, split, folder, experiment = fitted
    again = fit(case, split, tmp_path, ckpt_path=str(folder)).outcome
    assert (again.final == experiment.outcome.final).all()
    assert again.metrics == pytest.approx(experiment.outcome.metrics, abs=1e-6)


def test_what_scoring_alone_reads_can_be_another_without_fitting(fitted, tmp_path):
    case, split, folder, experiment = fitted
    own = signature(case.cls).parameters
    changed = {name: value for name, value in AT_SCORING.items() if name in own}
    assert set(case.cls.at_scoring) == set(changed)
    if not changed:  # a fit reads all of its hyper-parameters
        return
    again = fit(case, split, tmp_path / "a", ckpt_path=str(folder), given=changed).outcome
    anew = case._replace(model=partial(case.model, **changed))
    expected = fit(anew, split, tmp_path / "b").outcome
    assert (again.final == expected.final).all()
    assert (again.final != experiment.outcome.final).any()
    assert again.hyper_parameters.items() >= changed.items()


def test_scores_are_unmasked_finite_and_independent_of_batch_mates(fitted):
    case, split, folder, _ = fitted
    model, x = reload(case, folder / "checkpoints/best.ckpt"), split.train
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
    case, split, folder, _ = fitted
    model = reload(case, folder / "checkpoints/best.ckpt")
    nobody = query(split.train.select(np.zeros(split.train.num_interactions, bool)), [0])
    items = model.recommend(nobody, 5).items[0]
    popularity = split.train.popularity
    assert (popularity[items.numpy()] == np.sort(popularity)[::-1][:5]).all()


def test_an_unknown_user_with_a_history_gets_lists(fitted):
    case, split, folder, _ = fitted
    model = reload(case, folder / "checkpoints/best.ckpt")
    known = query(split.train, range(5))
    unknown = known._replace(users=torch.full((5,), -1))
    with torch.no_grad():
        assert model.score(unknown).isfinite().all()
    lists = model.recommend(unknown, 5).items.numpy()
    for user in range(5):
        assert not set(lists[user]) & set(split.train.gather(np.array([user]))[0])


def test_an_evaluation_leaves_the_model_as_it_was(fitted):
    case, split, folder, _ = fitted
    model = reload(case, folder / "checkpoints/best.ckpt")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.recommend(query(split.train, range(10)), 5)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_seed_repeats_byte_for_byte_even_interrupted_and_resumed(fitted, tmp_path, monkeypatch):
    """What is fitted in one pass has nothing to resume."""
    case, split, folder, _ = fitted
    if case.cls.resumable:
        with pressing_ctrl_c(monkeypatch, 3, 1) as interruption:
            fit(case, split, tmp_path)
        assert re.search(r"^in epoch 4; .* ckpt_path=last", interruption.value.kept)
        assert not (tmp_path / "submission.csv").exists()
    fit(case, split, tmp_path, ckpt_path="last" if case.cls.resumable else None)
    for file in ("submission.csv", "candidates/valid.parquet", "candidates/final.parquet"):
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes()


def after_three_epochs(case, split, folder, **options):
    """The weights; of one who pre-trains for two the third is the first that is judged."""
    trainer = {"max_epochs": min(case.max_epochs, 3)}
    fit(case, split, folder, refit=False, trainer=trainer, **options)
    file = "last.ckpt" if case.cls.resumable else "best.ckpt"
    return torch.load(folder / "checkpoints" / file, weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def of_three_epochs(fitted, tmp_path_factory):
    case, split, folder, _ = fitted
    return after_three_epochs(case, split, tmp_path_factory.mktemp(folder.name))


def test_another_seed_gives_other_weights_where_there_is_chance(fitted, of_three_epochs, tmp_path):
    case, split, _, _ = fitted
    ours, theirs = of_three_epochs, after_three_epochs(case, split, tmp_path, seed=2)
    same = all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert same != case.is_drawn


def test_held_out_items_leave_no_trace_in_the_weights(fitted, of_three_epochs, tmp_path):
    """Other held-out items, the same training rows: the fitted model must be the same.

    After the last epoch: which one is best is for the held-out items to say.
    """
    case, split, _, _ = fitted
    x, rng = split.interactions, np.random.default_rng(0)
    indices = x.indices.copy()
    for user in range(x.num_users):
        entries = np.arange(x.indptr[user], x.indptr[user + 1])
        held = entries[split.part[entries] != 0]
        others = np.setdiff1d(np.arange(x.num_items), indices[entries])
        indices[held] = rng.choice(others, len(held), replace=False)
    other = Split(replace(x, indices=indices), split.part)
    ours, theirs = of_three_epochs, after_three_epochs(case, other, tmp_path)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_model_beats_popularity_where_taste_decides(fitted):
    case, split, _, experiment = fitted
    held_out = split.valid
    popular = np.argsort(-split.train.popularity, kind="stable")
    if case.cls is Popularity:
        pytest.skip("it is the control")
    hits = 0
    for user in range(held_out.num_users):
        seen = set(split.train.gather(np.array([user]))[0])
        top = [item for item in popular if item not in seen][:5]
        hits += len(set(top) & set(held_out.gather(np.array([user]))[0])) / 2
    assert experiment.outcome.metrics["val/recall@5"] > hits / held_out.num_users
