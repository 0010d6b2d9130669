"""A fit that starts from another run, by `init_from`."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from recsys_lightning.data.holdout import NoHoldout, RandomHoldout
from recsys_lightning.errors import InputError
from recsys_lightning.starts import digests
from tests.conftest import run_experiment, two_tastes, with_features
from tests.models.toys import PairView, ToyCounts, ToyFeatures, ToyPairs

STILL = partial(ToyFeatures, lr=1e-30, pretrain_epochs=0)  # what it starts from, it keeps


@pytest.fixture(scope="module")
def split():
    return RandomHoldout(valid_items=2, test_items=2).split(with_features(two_tastes()))


@pytest.fixture(scope="module")
def earlier(split, tmp_path_factory):
    folder = tmp_path_factory.mktemp("earlier")
    run_experiment(folder, split, ToyPairs, view=PairView(300), trainer={"max_epochs": 2})
    return folder


def fit(folder, split, model=STILL, **options):
    return run_experiment(folder, split, model, **{"view": PairView(300), **options})


def tensors(folder, file="best"):
    return torch.load(folder / f"checkpoints/{file}.ckpt", weights_only=True)["state_dict"]


def test_a_fit_and_its_refit_start_from_the_best_checkpoint(earlier, split, tmp_path):
    fit(tmp_path, split, init_from=str(earlier))
    for file in ("best", "final"):
        for name in ("items.weight", "users.weight"):
            assert torch.equal(tensors(tmp_path, file)[name], tensors(earlier)[name])
    content = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)
    assert not [key for key in content["hyper_parameters"] if "init" in key or "start" in key]


def test_rows_are_matched_by_original_ids(earlier, split, tmp_path, caplog):
    """Of items 1000 to 1039 and users 100 to 159, to 1001 to 1040 and 110 to 169."""
    caplog.set_level("INFO", "recsys_lightning")
    x = split.interactions
    moved = replace(x, items=x.items + 1, users=x.users + 10)
    own = NoHoldout().split(moved)
    fit(tmp_path / "a", own, refit=False)
    fit(tmp_path / "b", own, refit=False, init_from=str(earlier / "checkpoints/best.ckpt"))
    without, ours, theirs = tensors(tmp_path / "a"), tensors(tmp_path / "b"), tensors(earlier)
    for name, shift in (("items.weight", 1), ("users.weight", 10)):
        assert torch.equal(ours[name][:-shift], theirs[name][shift:])
        assert torch.equal(ours[name][-shift:], without[name][-shift:])
    assert "knows 39 of 40 items and 50 of 60 users" in caplog.text


def test_it_resumes_as_if_nothing_had_happened(earlier, split, tmp_path):
    model = partial(ToyFeatures, pretrain_epochs=0)
    options = {"init_from": str(earlier), "settings": {"init_from": digests(str(earlier))}}
    fit(tmp_path / "whole", split, model, trainer={"max_epochs": 4}, **options)
    fit(tmp_path / "cut", split, model, trainer={"max_epochs": 2}, refit=False, **options)
    fit(tmp_path / "cut", split, model, trainer={"max_epochs": 4}, ckpt_path="last", **options)
    for file in ("submission.csv", "candidates/valid.parquet", "candidates/final.parquet"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "cut" / file).read_bytes()
    with pytest.raises(InputError, match="the interrupted run had init_from="):
        fit(tmp_path / "cut", split, model, ckpt_path="last")


def test_the_identity_is_the_content_of_the_checkpoint(earlier, tmp_path):
    copied = tmp_path / "copy.ckpt"
    copied.write_bytes((earlier / "checkpoints/best.ckpt").read_bytes())
    assert digests(str(earlier)) == digests(str(copied)) != digests(str(tmp_path / "none"))
    assert digests({"a": str(copied)}) == {"a": digests(str(copied))}
    assert digests(None) is None


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", "init_from: no checkpoint at .*nowhere"),
        ("model", "holds a ToyCounts; expected ToyPairs or ToyFeatures"),
        ("items", "knows none of the 40 items"),
        ("not taken", "init_from: ToyCounts starts from no other run"),
        ("name", r"init_from\.gmf: ToyFeatures starts from toy"),
        ("size", "rows of tensor items.weight have size 8, expected 4"),
        ("both", "init_from and ckpt_path"),
        ("leak", "final.ckpt was fitted on other training interactions .* could be a leak"),
    ],
)
def test_what_does_not_fit_is_one_line(what, message, earlier, split, tmp_path):
    model, path, options = STILL, str(earlier), {}
    if what == "missing":
        path = "nowhere"
    elif what == "model":
        run_experiment(tmp_path / "counts", split, ToyCounts)
        path = str(tmp_path / "counts")
    elif what == "items":
        x = split.interactions
        split = NoHoldout().split(replace(x, items=np.arange(40)))
    elif what == "not taken":
        model = ToyCounts
    elif what == "name":
        path = {"gmf": path}
    elif what == "size":
        model = partial(STILL, embedding_dim=4)
    elif what == "both":
        options = {"ckpt_path": path, "refit": False}
    else:
        path = str(earlier / "checkpoints/final.ckpt")
    with pytest.raises(InputError, match=message) as error:
        fit(tmp_path / "run", split, model, init_from=path, **options)
    assert "\n" not in str(error.value)


def test_several_starts_are_named(earlier, split, tmp_path):
    class Two(ToyFeatures):
        starts_from = {"gmf": (), "mlp": ("ToyPairs",)}  # noqa: RUF012

        def prepare(self, interactions):
            self.names = sorted(self.starts)
            super().prepare(interactions)
            assert self.names == ["gmf", "mlp"]

    model = partial(Two, pretrain_epochs=0)
    fit(tmp_path / "a", split, model, init_from={"gmf": str(earlier), "mlp": str(earlier)})
    with pytest.raises(InputError, match="expected a mapping of gmf, mlp to paths"):
        fit(tmp_path / "b", split, model, init_from=str(earlier))
