"""What a model is built from, and the tensors whose shape only the data knows."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from recsys_lightning.checkpoints import FittedOn
from recsys_lightning.data.holdout import RandomHoldout
from recsys_lightning.errors import InputError
from tests.conftest import run_experiment, two_tastes, with_features
from tests.models.toys import PairView, ToyCounts, ToyFeatures


@pytest.fixture(scope="module")
def split():
    return RandomHoldout(valid_items=2, test_items=2).split(with_features(two_tastes()))


@pytest.fixture(scope="module")
def folder(split, tmp_path_factory):
    """Of a run with one of the two features."""
    folder = tmp_path_factory.mktemp("shelf")
    model = partial(ToyFeatures, features=["shelf"], pretrain_epochs=0)
    run_experiment(folder, split, model, view=PairView(300), refit=False)
    return folder


def hyper_parameters(folder):
    content = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)
    return content["hyper_parameters"]


def test_a_model_is_built_with_the_numbers_of_its_features_values(folder, split, tmp_path):
    assert hyper_parameters(folder)["features"] == ["shelf"]
    assert hyper_parameters(folder)["num_values"] == [5]
    model = partial(ToyFeatures, pretrain_epochs=0)  # by default all that the data has
    run_experiment(tmp_path, split, model, view=PairView(300), refit=False)
    assert hyper_parameters(tmp_path)["features"] == ["shelf", "taste"]
    assert hyper_parameters(tmp_path)["num_values"] == [5, 2]


@pytest.mark.parametrize("features", [["shelf", "genre"], "shelf"])
def test_a_feature_that_the_data_lacks_names_those_it_has(features, split, tmp_path):
    model = partial(ToyFeatures, features=features)
    with pytest.raises(InputError, match=r"model\.features=.*the data has \(shelf, taste\)"):
        run_experiment(tmp_path, split, model, view=PairView(300))


def test_the_fingerprint_covers_used_features_and_is_the_recorded_one_without():
    x = with_features(two_tastes())
    recorded = "6c4f7a184e131203d0a20cdbc4abb0b8c2f1e346cba2b4e7108a52c33900bcfd"
    assert FittedOn.of(x).sha256 == recorded
    other = x.features["shelf"].matrix.copy()
    other.indices[0] = 3
    moved = replace(x.features["shelf"], matrix=other)
    y = replace(x, features=dict(x.features) | {"shelf": moved})
    for features, changes in ((["shelf"], True), (["taste"], False), ([], False)):
        assert FittedOn.of(x, features).learned_from(x)
        assert FittedOn.of(x, features).learned_from(y) != changes
        assert FittedOn.of(x, features).learned_from(two_tastes()) == (not features)


def test_a_checkpoint_loads_without_the_data_and_its_features(folder, split, tmp_path):
    model = ToyFeatures.load_from_checkpoint(folder / "checkpoints/best.ckpt", weights_only=True)
    matrix = split.train.features["shelf"].matrix
    assert (model.bags.numpy() == matrix.indices).all()
    assert (model.bag_offsets.numpy() == matrix.indptr).all()
    x = replace(split.interactions, features={}, users=split.interactions.users + 1000)
    strangers = RandomHoldout(valid_items=2, test_items=2).split(x)
    again = run_experiment(tmp_path, strangers, ToyFeatures, refit=False, ckpt_path=str(folder))
    assert again.outcome.metrics


def damage(content, how):
    tensors = content["state_dict"]
    if how == "missing":
        del tensors["bags"]
    elif how == "unknown":
        tensors["more"] = torch.zeros(3)
    elif how == "dimensions":
        tensors["bags"] = tensors["bags"][None]
    elif how == "fixed":
        tensors["bag_offsets"] = tensors["bag_offsets"][:-1]
    elif how == "dtype":
        tensors["bags"] = tensors["bags"].float()
    elif how == "weight":
        tensors["items.weight"] = tensors["items.weight"][:, :-1]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "no tensor bags"),
        ("unknown", "an unknown tensor more"),
        ("dimensions", r"tensor bags is torch.int32 \(1, 40\), expected torch.int32 \(values\)"),
        ("fixed", r"bag_offsets is torch.int64 \(40,\), expected torch.int64 \(41\)"),
        ("dtype", r"tensor bags is torch.float32 \(40,\)"),
        ("weight", r"items.weight is torch.float32 \(40, 7\), expected torch.float32 \(40, 8\)"),
    ],
)
def test_a_damaged_file_is_one_line_with_file_and_tensor(how, message, folder, split, tmp_path):
    content = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)
    damage(content, how)
    file = tmp_path / "damaged.ckpt"
    torch.save(content, file)
    with pytest.raises(InputError, match=rf"damaged\.ckpt.*{message}") as error:
        run_experiment(tmp_path / "run", split, ToyFeatures, ckpt_path=str(file))
    assert "\n" not in str(error.value)


def test_tensors_that_share_a_length_must_agree(split, tmp_path):
    class ToySparse(ToyCounts):
        def __init__(self, **sizes):
            super().__init__(**sizes)
            self.register_from_data("columns", "nnz", dtype=torch.int64)
            self.register_from_data("values", "nnz")

        def prepare(self, interactions):
            super().prepare(interactions)
            self.columns, self.values = torch.arange(7), torch.ones(7, dtype=torch.float64)

    run_experiment(tmp_path / "run", split, ToySparse, refit=False)
    file = tmp_path / "run/checkpoints/best.ckpt"
    model = ToySparse.load_from_checkpoint(file, weights_only=True)
    assert (len(model.values), model.values.dtype) == (7, torch.float64)
    content = torch.load(file, weights_only=True)
    content["state_dict"]["values"] = torch.ones(6)
    torch.save(content, tmp_path / "damaged.ckpt")
    with pytest.raises(InputError, match=r"values is torch.float32 \(6,\), expected .* \(7\)"):
        run_experiment(tmp_path / "a", split, ToySparse, ckpt_path=str(tmp_path / "damaged.ckpt"))


def test_an_old_checkpoint_without_features_is_read():
    state = FittedOn.of(two_tastes()).state()
    del state["features"]
    assert FittedOn.from_state(state).learned_from(with_features(two_tastes()))
    assert np.array_equal(FittedOn.from_state(state).items, two_tastes().items)
