"""Models on two gloo processes: one start of Python for all of them."""

import csv

import pytest
import torch

from recsys_lightning.families.pairwise import Propagated
from tests.conftest import run_experiment
from tests.contracts.two_processes import CLOSED, DRAWN, MODELS, fit_rows, made_split
from tests.forked import forked_python


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    done = forked_python("-m", "tests.contracts.two_processes", str(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def state(folder, name, file="best"):
    return torch.load(folder / name / f"checkpoints/{file}.ckpt", weights_only=True)["state_dict"]


def test_every_model_recommends_from_both_processes_steps(folder):
    for name in (*MODELS, *DRAWN):
        assert len((folder / name / "submission.csv").read_text().splitlines()) == 1 + 60 * 5, name
        last = "final" if name in MODELS else "best"  # the others are not fitted again
        assert all(tensor.isfinite().all() for tensor in state(folder, name, last).values())


@pytest.mark.parametrize("name", CLOSED)
def test_a_closed_form_model_is_the_same_as_on_one(name, folder, tmp_path):
    run_experiment(tmp_path / name, made_split(name), CLOSED[name])
    for file in ("best", "final"):
        one, two = state(tmp_path, name, file), state(folder, name, file)
        assert one.keys() == two.keys()
        for key in one:
            assert torch.equal(one[key], two[key]), key  # counts are exact in any order
    for file in ("submission.csv", "candidates/valid.parquet", "candidates/test.parquet"):
        assert (tmp_path / name / file).read_bytes() == (folder / name / file).read_bytes()


def test_pairs_resumed_equal_pairs_uninterrupted(folder):
    for file in ("submission.csv", "candidates/valid.parquet", "candidates/final.parquet"):
        assert (folder / "pairs" / file).read_bytes() == (folder / "cut" / file).read_bytes()


@pytest.mark.parametrize(
    "name", [name for name, cls in DRAWN.items() if issubclass(cls, Propagated)]
)
def test_a_graph_models_buffers_are_those_of_the_synchronised_weights(name, folder):
    stored = state(folder, name)
    checkpoint = folder / name / "checkpoints/best.ckpt"
    model = DRAWN[name].load_from_checkpoint(checkpoint, weights_only=True)
    model.prepare(made_split().train)
    with torch.no_grad():
        model.keep()
    for key, buffer in model.named_buffers():
        torch.testing.assert_close(buffer, stored[key], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "share"), [("multi_cdae", 1e-5), ("recvae", 0.02)])
def test_two_processes_train_as_one_with_the_same_batches(name, share, folder, tmp_path):
    fit_rows(tmp_path, name, devices=1)
    one, two = (
        [float(line["train/loss"]) for line in csv.DictReader(file) if line["train/loss"]]
        for file in map(open, [tmp_path / name / "metrics.csv", folder / name / "metrics.csv"])
    )
    assert len(one) == 5
    assert two == pytest.approx(one, rel=share)  # RecVAE draws other noise
    assert one[-1] < 0.99 * one[0]
