"""The lifecycle, with two toy models: one with a gradient, one without."""

from functools import partial

import numpy as np
import pytest
import torch
from pyarrow import parquet
from torch import nn

from recsys_lightning.data.holdout import NoHoldout, RandomHoldout
from recsys_lightning.data.views.rows import RowView
from recsys_lightning.errors import InputError
from recsys_lightning.models.multi_dae import MultiDAE
from recsys_lightning.recommender import Recommender
from tests.conftest import make_interactions, pressing_ctrl_c, run_experiment
from tests.models.toys import ToyCounts


class ToyAutoencoder(Recommender):
    """A linear autoencoder: what the gradient families will stand on."""

    lr, weight_decay = 0.05, 0.0

    def __init__(self, *, num_users, num_items, hidden_dim=8):
        super().__init__(num_users=num_users, num_items=num_items)
        self.encoder, self.decoder = (
            nn.Linear(num_items, hidden_dim),
            nn.Linear(hidden_dim, num_items),
        )

    def loss(self, rows):
        x = rows.history.dense(self.num_items)
        return -(x * self.decoder(self.encoder(x)).log_softmax(-1)).sum(-1).mean()

    def score(self, query):
        return self.decoder(self.encoder(query.history.dense(self.num_items)))


@pytest.fixture
def split(tastes):
    return RandomHoldout(valid_items=2, test_items=2).split(tastes)


def test_a_closed_form_model_is_validated_with_its_solution_and_checkpointed(split, tmp_path):
    experiment = run_experiment(tmp_path, split, ToyCounts)
    checkpoint = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)
    gram = (split.train.matrix.T @ split.train.matrix).toarray()
    assert (checkpoint["state_dict"]["weight"].numpy() == gram).all()
    assert experiment.outcome.metrics["val/recall@5"] > 0.3  # by chance 5/28


def test_a_closed_form_model_is_solved_once_whatever_max_epochs(split, tmp_path):
    experiment = run_experiment(tmp_path, split, ToyCounts, trainer={"max_epochs": 3})
    assert experiment.outcome.best_epoch == 1


def test_refit_learns_from_everything(split, tmp_path):
    run_experiment(tmp_path, split, ToyCounts)
    checkpoint = torch.load(tmp_path / "checkpoints/final.ckpt", weights_only=True)
    x = split.interactions.matrix
    assert (checkpoint["state_dict"]["weight"].numpy() == (x.T @ x).toarray()).all()


def test_a_gradient_model_keeps_and_refits_its_best_epoch(split, tmp_path):
    seen = []

    class Recorded(ToyAutoencoder):
        def on_validation_epoch_end(self):
            super().on_validation_epoch_end()
            if self.trainer.state.fn == "fit":
                seen.append(self.measured["val/recall@5"])

        def on_train_end(self):
            trained.append(self.current_epoch)

    trained = []
    experiment = run_experiment(
        tmp_path, split, Recorded, view=RowView(16, shuffle=True), trainer={"max_epochs": 12}
    )
    best = int(np.argmax(seen))
    checkpoint = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)
    assert len(seen) == 12
    assert checkpoint["epoch"] == best
    assert trained == [12, best + 1]
    assert experiment.outcome.metrics["val/recall@5"] == max(seen)


def test_the_kept_epoch_is_not_computed_again_where_it_was_the_last_one(split, tmp_path):
    """Its metrics and lists are those of a run that is evaluated from the checkpoint."""
    first = run_experiment(tmp_path / "first", split, ToyCounts, refit=False)
    assert "validate" not in first.clock.seconds
    again = run_experiment(tmp_path / "again", split, ToyCounts, ckpt_path=str(tmp_path / "first"))
    assert "validate" in again.clock.seconds
    assert first.outcome.metrics == again.outcome.metrics
    assert first.outcome.standard_errors == again.outcome.standard_errors
    lists = [tmp_path / name / "candidates/valid.parquet" for name in ("first", "again")]
    assert lists[0].read_bytes() == lists[1].read_bytes()


def test_an_earlier_best_epoch_is_computed_again(split, tmp_path):
    view, trainer = RowView(16, shuffle=True), {"max_epochs": 12}
    first = run_experiment(tmp_path / "first", split, ToyAutoencoder, view=view, trainer=trainer)
    assert first.outcome.best_epoch < 12, "another best epoch is what this test is about"
    assert "validate" in first.clock.seconds
    path = str(tmp_path / "first")
    again = run_experiment(tmp_path / "again", split, ToyAutoencoder, ckpt_path=path)
    assert first.outcome.metrics == again.outcome.metrics


def test_candidates_and_submission_have_original_ids_and_unseen_items(split, tmp_path):
    experiment = run_experiment(tmp_path, split, ToyCounts)
    for name in ("valid", "test", "final"):
        rows = parquet.read_table(tmp_path / "candidates" / f"{name}.parquet").to_pandas()
        assert list(rows.columns) == ["user", "item", "rank", "score"]
        assert (rows.groupby("user")["rank"].apply(list).map(len) == 15).all()
        assert not rows.duplicated(["user", "item"]).any()
        history = split.question(name).known.matrix.toarray()
        seen = history[rows.user.astype(int) - 100, rows.item.astype(int) - 1000]
        assert not seen.any()
        assert (
            rows.groupby("user", observed=True)
            .score.apply(lambda s: s.is_monotonic_decreasing)
            .all()
        )
    final = rows[rows["rank"] <= 5]
    lines = (tmp_path / "submission.csv").read_text().splitlines()
    assert lines[0] == "user,item"
    assert lines[1:] == [
        f"{user},{item}" for user, item in zip(final.user, final.item, strict=True)
    ]
    assert experiment.outcome.final.shape == (60, 15)


def test_without_refit_the_same_weights_see_the_full_history(split, tmp_path):
    run_experiment(tmp_path, split, ToyCounts, refit=False)
    assert not (tmp_path / "checkpoints/final.ckpt").exists()
    rows = parquet.read_table(tmp_path / "candidates/final.parquet").to_pandas()
    gram = (split.train.matrix.T @ split.train.matrix).toarray()
    scores = split.interactions.matrix.toarray() @ gram
    expected = scores[rows.user.astype(int) - 100, rows.item.astype(int) - 1000]
    assert (rows.score.to_numpy() == expected).all()


def test_no_holdout_means_no_metrics_but_a_submission(tastes, tmp_path):
    experiment = run_experiment(tmp_path, NoHoldout().split(tastes), ToyCounts)
    assert experiment.outcome.metrics == {}
    assert (tmp_path / "submission.csv").exists()
    assert [path.name for path in (tmp_path / "candidates").iterdir()] == ["final.parquet"]


def test_a_validation_set_alone(tastes, tmp_path):
    split = RandomHoldout(valid_items=2, test_items=0).split(tastes)
    experiment = run_experiment(tmp_path, split, ToyCounts)
    assert {name.split("/")[0] for name in experiment.outcome.metrics} == {"val"}
    assert not (tmp_path / "candidates/test.parquet").exists()


def test_submission_keeps_the_template_order_and_falls_back_on_popularity(tmp_path):
    from dataclasses import replace

    x = make_interactions([[0, 1], [1, 2], [1, 3]], 6)
    x = replace(x, submission_users=np.array([102, 999, 100]))
    experiment = run_experiment(
        tmp_path,
        NoHoldout().split(x),
        ToyCounts,
        num_recommended=2,
        cutoffs=[2],
        monitor="val/recall@2",
        num_candidates=3,
    )
    lines = (tmp_path / "submission.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == ["102", "102", "999", "999", "100", "100"]
    assert lines[2] == "999,1001"  # the most popular
    assert experiment.outcome.submission["unknown"] == 1


def test_a_stored_run_evaluates_to_the_same_without_fitting(split, tmp_path):
    first = run_experiment(tmp_path / "first", split, ToyCounts)
    again = run_experiment(tmp_path / "again", split, ToyCounts, ckpt_path=str(tmp_path / "first"))
    assert again.outcome.metrics == first.outcome.metrics
    assert not {"fit", "refit"} & set(again.clock.seconds)
    submissions = [tmp_path / name / "submission.csv" for name in ("first", "again")]
    assert submissions[0].read_bytes() == submissions[1].read_bytes()  # by the refitted model
    assert {what: file.rpartition("/")[2] for what, file in again.outcome.checkpoints.items()} == {
        "evaluate": "best.ckpt",
        "recommend": "final.ckpt",
    }
    assert not (tmp_path / "again/checkpoints").exists()


@pytest.mark.parametrize("interrupted", [False, True])
def test_weights_of_64_bits_are_read_back_whole(interrupted, split, tmp_path, monkeypatch):
    """Into a model of 64 bits: one of 32 would round them before Lightning makes it 64."""
    options = {
        "trainer": {"max_epochs": 3, "precision": "64-true"},
        "settings": {"trainer.precision": "64-true"},
        "refit": False,
    }
    run_experiment(tmp_path / "first", split, MultiDAE, **options)
    if interrupted:
        with pressing_ctrl_c(monkeypatch, 2, 1):
            run_experiment(tmp_path / "again", split, MultiDAE, **options)
        stored = "last"
    else:
        stored = str(tmp_path / "first")
    run_experiment(tmp_path / "again", split, MultiDAE, ckpt_path=stored, **options)
    lists = [tmp_path / name / "candidates/final.parquet" for name in ("first", "again")]
    assert lists[0].read_bytes() == lists[1].read_bytes()


def test_a_refitted_run_recommends_the_same_lists(split, tmp_path):
    run_experiment(tmp_path / "first", split, ToyCounts)
    path = tmp_path / "first/checkpoints/final.ckpt"
    run_experiment(
        tmp_path / "again", NoHoldout().split(split.interactions), ToyCounts, ckpt_path=str(path)
    )
    submissions = [(tmp_path / name / "submission.csv").read_bytes() for name in ("first", "again")]
    assert submissions[0] == submissions[1]


def test_a_stored_run_keeps_its_hyper_parameters(split, tmp_path):
    smaller = partial(ToyAutoencoder, hidden_dim=3)
    run_experiment(tmp_path / "first", split, smaller, refit=False)
    again = run_experiment(
        tmp_path / "again", split, ToyAutoencoder, ckpt_path=str(tmp_path / "first")
    )
    assert again.outcome.metrics


@pytest.mark.parametrize("held_out", [True, False])
def test_a_stored_run_can_be_fitted_again_on_everything(held_out, split, tmp_path):
    """With its own hyper-parameters and epochs, as it would have been by itself."""
    smaller = partial(ToyAutoencoder, hidden_dim=3)
    epochs = {"max_epochs": 3}
    whole = run_experiment(tmp_path / "whole", split, smaller, trainer=epochs, refit=True)
    run_experiment(tmp_path / "first", split, smaller, trainer=epochs, refit=False)
    now = split if held_out else NoHoldout().split(split.interactions)
    options = {"trainer": epochs, "refit": True, "ckpt_path": str(tmp_path / "first")}
    again = run_experiment(tmp_path / "again", now, ToyAutoencoder, **options)
    assert "fit" not in again.clock.seconds
    assert again.outcome.metrics == (whole.outcome.metrics if held_out else {})
    submissions = [(tmp_path / name / "submission.csv").read_bytes() for name in ("whole", "again")]
    assert submissions[0] == submissions[1]
    assert again.outcome.checkpoints["recommend"] == str(tmp_path / "again/checkpoints/final.ckpt")


@pytest.mark.parametrize("what", ["file", "model", "data", "split", "garbage"])
def test_a_checkpoint_that_does_not_fit_is_refused(what, split, tastes, tmp_path):
    run_experiment(tmp_path / "first", split, ToyCounts)
    path, model, message = str(tmp_path / "first"), ToyCounts, ""
    if what == "file":
        path, message = str(tmp_path / "nowhere"), "no checkpoint at"
    elif what == "model":
        model, message = ToyAutoencoder, "holds a ToyCounts"
    elif what == "data":
        split = RandomHoldout(1, 1).split(make_interactions([[0, 1, 2, 3]], 5))
        message = "fitted on 40 items, and the data has 5"
    elif what == "split":
        split, message = RandomHoldout(2, 2, seed=1).split(tastes), "could be a leak"
    else:
        (tmp_path / "bad.ckpt").write_bytes(b"nothing")
        path, message = str(tmp_path / "bad.ckpt"), "not a checkpoint"
    with pytest.raises(InputError, match=message):
        run_experiment(tmp_path / "again", split, model, ckpt_path=path, cutoffs=[1, 2, 5])


def test_a_monitor_that_is_not_measured_names_the_choices(split, tmp_path):
    with pytest.raises(InputError, match=r"monitor=val/recall@7.*val/recall@5"):
        run_experiment(tmp_path, split, ToyCounts, monitor="val/recall@7")


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"num_recommended": 0}, "recommend.k"),
        ({"num_candidates": 4}, "recommend.candidates"),
        ({"eval_batch_size": 0}, "eval_batch_size"),
        ({"test_history": "valid"}, "test_history"),
        ({"cutoffs": [0]}, "metrics.k"),
    ],
)
def test_options_out_of_range_name_their_key(options, key, split, tmp_path):
    with pytest.raises(InputError, match=key):
        run_experiment(tmp_path, split, ToyCounts, **options)


def test_metrics_do_not_depend_on_the_batch_size(split, tmp_path):
    values = [
        run_experiment(tmp_path / str(size), split, ToyCounts, eval_batch_size=size).outcome.metrics
        for size in (1, 7, 1000)
    ]
    for other in values[1:]:
        assert other == pytest.approx(values[0], abs=1e-12)
