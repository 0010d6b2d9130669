"""What a checkpoint may be asked: other users by their ids, never other items or a leak."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pyarrow import parquet

from recsys_lightning.checkpoints import FittedOn, check_given, check_no_leak, open_checkpoint
from recsys_lightning.data.datamodule import RecommendationData
from recsys_lightning.data.holdout import NoHoldout, RandomHoldout, Split
from recsys_lightning.data.views.pairs import PairView
from recsys_lightning.data.views.rows import RowView
from recsys_lightning.errors import InputError
from recsys_lightning.models.deepfm import DeepFM
from recsys_lightning.models.ease import EASE
from recsys_lightning.models.multi_cdae import MultiCDAE
from recsys_lightning.models.multi_dae import MultiDAE
from recsys_lightning.models.recvae import RecVAE
from tests.conftest import make_interactions, run_experiment, two_tastes, with_features

cdae = partial(MultiCDAE, hidden_dims=[8], lr=0.05, user_dropout=0.1)


def without(x, users):
    """The same users' rows without some users, who are gone from the ids, too."""
    kept = np.setdiff1d(np.arange(x.num_users), users)
    items, offsets = x.gather(kept)
    return replace(
        x,
        users=x.users[kept],
        indptr=offsets,
        indices=items,
        times=None,
        submission_users=x.users[kept],
    )


def lists(folder):
    rows = parquet.read_table(folder / "candidates/final.parquet").to_pandas()
    return rows.groupby("user", observed=True)["item"].apply(list).to_dict()


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A model with user vectors, fitted on users 100 to 159."""
    folder = tmp_path_factory.mktemp("cdae")
    split = NoHoldout().split(two_tastes())
    run_experiment(folder, split, cdae, trainer={"max_epochs": 5}, refit=False)
    return folder, split.interactions


def test_a_user_is_found_by_id_among_other_users(fitted, tmp_path):
    """Not by position: the users behind one who has gone had each other's vectors."""
    folder, x = fitted
    others = NoHoldout().split(without(x, [0, 7]))
    run_experiment(tmp_path, others, cdae, ckpt_path=str(folder / "checkpoints/best.ckpt"))
    expected = {user: row for user, row in lists(folder).items() if user not in (100, 107)}
    assert lists(tmp_path) == expected


def test_a_new_user_is_answered_from_the_history_alone(fitted, tmp_path):
    folder, x = fitted
    new = replace(x, users=np.concatenate([x.users[:-1], [900]]))  # with user 159's history
    run_experiment(
        tmp_path, NoHoldout().split(new), cdae, ckpt_path=str(folder / "checkpoints/best.ckpt")
    )
    model = MultiCDAE.load_from_checkpoint(folder / "checkpoints/best.ckpt", weights_only=True)
    data = RecommendationData(NoHoldout().split(x), RowView(8, shuffle=False))
    [query] = data.predict_dataloader()
    query.users[-1] = -1
    asked = model.eval().recommend(query, 15).items[-1].numpy()
    assert lists(tmp_path)[900] == x.items[asked].tolist() != lists(folder)[159]


def test_ids_are_looked_up_as_text_where_some_are_no_numbers():
    fitted_on = FittedOn.of(make_interactions([[0], [], [1]], 2))
    assert fitted_on.rows_of(np.array(["102", "a", "100", "101"])).tolist() == [2, -1, 0, -1]


@pytest.mark.parametrize("ids", [np.array([3, 10, 200]), np.array(["b", "c", "long name"])])
def test_what_a_model_was_fitted_on_survives_a_checkpoint(ids, tmp_path):
    x = replace(make_interactions([[0], [], [1, 2]], 3), users=ids, items=ids)
    torch.save(FittedOn.of(x).state(), tmp_path / "state")
    again = FittedOn.from_state(torch.load(tmp_path / "state", weights_only=True))
    assert again.rows_of(ids).tolist() == [0, -1, 2]
    assert (again.items == ids).all()
    assert again.sha256 == FittedOn.of(x).sha256


def test_a_longer_id_that_is_not_in_the_data_does_not_make_it_another():
    """A run with a template was refused without it, and the other way round, as a leak."""
    x = make_interactions([[0], [2, 1]], 3)
    texts = {name: np.array([f"{i}é" for i in getattr(x, name)]) for name in ("users", "items")}
    roomy = {name: ids.astype("<U20") for name, ids in texts.items()}
    assert FittedOn.of(replace(x, **roomy)).learned_from(replace(x, **texts))


@pytest.mark.parametrize("fitted_again", [True, False])
def test_a_refit_on_more_interactions_is_one(fitted_again, tastes, tmp_path):
    """The refitted model of a run stood for that of the new data, without a word."""
    everything = NoHoldout().split(tastes)
    run_experiment(
        tmp_path / "old", NoHoldout().split(without(tastes, range(40))), EASE, refit=True
    )
    options = {"refit": fitted_again, "ckpt_path": str(tmp_path / "old")}
    again = run_experiment(tmp_path / "again", everything, EASE, **options)
    assert ("refit" in again.clock.seconds) == fitted_again
    run_experiment(tmp_path / "new", everything, EASE)
    assert (lists(tmp_path / "again") == lists(tmp_path / "new")) == fitted_again


@pytest.mark.parametrize("model", [EASE, partial(DeepFM, embedding_dim=4)])
def test_a_refit_learns_new_items_and_values_of_features(model, tmp_path):
    """Items were refused; of values that were new the fit ended in an error of torch's."""
    x = with_features(two_tastes())
    without_a_shelf = x.select(x.indices % 5 != 4).without_unused()
    old, new = (NoHoldout().split(data) for data in (without_a_shelf, x))
    options = {} if model is EASE else {"view": PairView(300)}
    run_experiment(tmp_path / "old", old, model, refit=False, **options)
    options |= {"refit": True, "ckpt_path": str(tmp_path / "old")}
    run_experiment(tmp_path / "again", new, model, **options)
    run_experiment(tmp_path / "new", new, model, **(options | {"ckpt_path": None}))
    assert lists(tmp_path / "again") == lists(tmp_path / "new")


def test_another_number_of_users_is_no_reason_to_refuse(tastes, tmp_path):
    split = NoHoldout().split(tastes)
    run_experiment(tmp_path / "a", split, EASE, refit=False)
    fewer = NoHoldout().split(without(tastes, range(40)))
    run_experiment(tmp_path / "b", fewer, EASE, refit=False, ckpt_path=str(tmp_path / "a"))
    expected = {user: row for user, row in lists(tmp_path / "a").items() if user >= 140}
    assert lists(tmp_path / "b") == expected


def test_a_user_without_a_training_interaction_is_unknown():
    """Whatever the tables' size: such a user's vector was never trained."""
    x = make_interactions([[0, 1, 2], [0, 1], [1, 2, 3]], 4)
    split = Split(x, np.int8([0, 0, 1, 1, 1, 0, 0, 2]))  # user 1 is asked for, not trained on
    data = RecommendationData(split, RowView(2, shuffle=False))
    [valid], [final] = data.val_dataloader(), data.predict_dataloader()
    assert valid.users.tolist() == [0, -1]
    assert final.users.tolist() == [0, -1, 2]


def test_other_items_are_refused_with_their_numbers(tastes, tmp_path):
    run_experiment(tmp_path / "a", NoHoldout().split(tastes), EASE, refit=False)
    other = replace(tastes, items=np.concatenate([tastes.items[1:], [5000]]))
    options = {"ckpt_path": str(tmp_path / "a"), "refit": False}
    with pytest.raises(InputError, match=r"1 of them it does not know, 1 .* 5000, 1000.* refit="):
        run_experiment(tmp_path, NoHoldout().split(other), EASE, **options)


def test_new_users_alone_are_refused_with_what_to_do(tastes, tmp_path):
    """A file of theirs has some of the items only."""
    run_experiment(tmp_path / "a", NoHoldout().split(tastes), EASE, refit=False)
    few = make_interactions([[0, 1], [1, 2]], 3)
    few = replace(few, items=tastes.items[:3])
    options = {"ckpt_path": str(tmp_path / "a"), "refit": False}
    with pytest.raises(InputError, match=r"0 of them .*, and add the rows of new users to it$"):
        run_experiment(tmp_path, NoHoldout().split(few), EASE, **options)


def test_strangers_can_be_evaluated_and_acquaintances_cannot(tastes, tmp_path):
    """Other users' held-out items cannot have been learned; the same users' can."""
    halves = without(tastes, range(30)), without(tastes, range(30, 60))
    splits = [RandomHoldout(2, 2).split(half) for half in halves]
    run_experiment(tmp_path / "a", splits[0], EASE, refit=False)
    ours = run_experiment(
        tmp_path / "b", splits[1], EASE, refit=False, ckpt_path=str(tmp_path / "a")
    )
    assert ours.outcome.metrics["test/recall@5"] > 0.2
    both = RandomHoldout(2, 2, seed=5).split(tastes)
    with pytest.raises(InputError, match=r"of 30 of the 60 users to evaluate.*could be a leak"):
        run_experiment(tmp_path / "c", both, EASE, ckpt_path=str(tmp_path / "a"))


def test_other_item_features_are_named_where_an_evaluation_is_refused():
    """It spoke of other interactions alone: another item table was not to be thought of."""
    x = with_features(two_tastes())
    fitted_on = FittedOn.of(x, ["shelf"])
    with pytest.raises(InputError, match="to evaluate, or on other item features, so metrics"):
        check_no_leak(Path("a"), fitted_on, replace(x, features={}), x)


@pytest.mark.parametrize("value", [{"_target_": "os.system"}, [["nested"]], [{"a": 1}]])
def test_hyper_parameters_are_scalars_and_lists_of_scalars(value, tastes, tmp_path):
    run_experiment(tmp_path, NoHoldout().split(tastes), EASE, refit=False)
    file = tmp_path / "checkpoints/best.ckpt"
    content = torch.load(file, weights_only=True)
    content["hyper_parameters"]["l2"] = value
    torch.save(content, file)
    with pytest.raises(InputError, match=r"best.ckpt: its hyper-parameter l2 is"):
        open_checkpoint(file)


dae = partial(MultiDAE, hidden_dims=[8], lr=0.05)


def interrupt_and_copy(split, folder, epochs):
    """A run of some epochs as it is after a kill, in another folder than where it was made."""
    made = folder / "made"
    run_experiment(made, split, dae, trainer={"max_epochs": epochs}, refit=False)
    return made.rename(folder / "moved")


def test_a_moved_folder_resumes_with_its_best_epoch(tastes, tmp_path):
    """An epoch that only later ones are compared with would pass for the best."""
    split = RandomHoldout(2, 2).split(tastes)
    options = {"trainer": {"max_epochs": 30}, "refit": False}
    whole = run_experiment(tmp_path / "whole", split, dae, **options)
    best = whole.outcome.best_epoch
    assert best < 29, "a best epoch before the end is what this test is about"
    moved = interrupt_and_copy(split, tmp_path, best + 1)
    resumed = run_experiment(moved, split, dae, ckpt_path="last", **options)
    assert resumed.outcome.best_epoch == best
    assert resumed.outcome.metrics == whole.outcome.metrics


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"settings": {"seed": 2, "view.batch_size": 16}}, "seed=1, not 2"),
        ({"settings": {"seed": 1, "view.batch_size": 8}}, "view.batch_size=16, not 8"),
        ({"settings": {"seed": 1, "view.batch_size": 16, "trainer.x": 1}}, "trainer.x=null, not 1"),
    ],
)
def test_a_fit_is_resumed_with_the_same_settings_only(change, key, tastes, tmp_path):
    split = RandomHoldout(2, 2).split(tastes)
    options = {"trainer": {"max_epochs": 1}, "settings": {"seed": 1, "view.batch_size": 16}}
    run_experiment(tmp_path, split, dae, **options)
    with pytest.raises(InputError, match=f"the interrupted run had {key}"):
        run_experiment(tmp_path, split, dae, ckpt_path="last", **(options | change))


def test_a_fit_is_resumed_on_the_same_training_interactions_only(tastes, tmp_path):
    splits = [RandomHoldout(2, 2, seed).split(tastes) for seed in (0, 1)]
    run_experiment(tmp_path, splits[0], dae)
    with pytest.raises(InputError, match="the interrupted run had other training interactions"):
        run_experiment(tmp_path, splits[1], dae, ckpt_path="last")


def test_a_value_that_a_rule_has_set_is_named_as_a_command_line_has_it():
    model = RecVAE(num_users=2, num_items=3, hidden_dim=4, latent_dim=2)
    with pytest.raises(InputError, match=r"gamma=0\.1: a\.ckpt was fitted with null; leave it out"):
        check_given(Path("a.ckpt"), {"gamma": 0.1}, model)
