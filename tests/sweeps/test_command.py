"""Options of the model where a multirun has several, and the default model has no such keys."""

import pytest

from recsys_lightning.sweeps.command import for_the_jobs
from tests.command import run

TWO = "model=sasrec,bert4rec"


@pytest.mark.parametrize(
    "given",
    [
        ["-m", "model=sasrec", "model.lr=0.1,0.2", "model.dropout=0.3"],  # one model
        [TWO, "model.lr=0.1"],  # no multirun: refused as it was typed
        ["-m", TWO, "model.lr=0.1,0.2"],  # swept already
        ["-m", TWO, "data.path=a", "max_epochs=2", "hydra.sweep.dir=b", "model.lr="],
        ["-m", TWO, "~model.dropout", "+model.more=1", "view=pairs"],
        ["-m", "seed=1,2", "model=sasrec", "model.lr=0.1"],
        ["-m", TWO, "model.lr=[0.1"],  # Hydra says what is wrong
    ],
)
def test_what_is_left_as_it_is(given):
    assert for_the_jobs(given) == given


@pytest.mark.parametrize(
    ("several", "option", "expected"),
    [
        (["-m", TWO], "model.lr=0.1", "model.lr=choice(0.1)"),
        (["-m", TWO], "view.negatives=2", "view.negatives=choice(2)"),
        (["-m", "model=glob(*)"], "model.lr=null", "model.lr=choice(null)"),
        (["-m", "jobs=['model=sasrec']"], "model.dims=[1, 2]", "model.dims=choice([1, 2])"),
        (["sweep=seeds", TWO], "model.lr='a=b'", "model.lr=choice('a=b')"),
        (["-m", "holdout=last,hybrid"], "holdout.test_items=0", "holdout.test_items=choice(0)"),
    ],
)
def test_an_option_of_several_models_is_for_the_jobs(several, option, expected):
    assert for_the_jobs([*several, option, "seed=1"]) == [*several, expected, "seed=1"]


def test_two_models_share_what_the_default_model_lacks(tmp_path):
    models = ["-m", "model=multi_dae,mf_bpr", "model.lr=0.02", "max_epochs=1", "refit=false"]
    done = run(*models, f"hydra.sweep.dir={tmp_path}/sweep", folder=tmp_path / "run")
    folders = sorted((tmp_path / "sweep").glob("[0-9]_*"))
    assert [folder.name for folder in folders] == ["0_multi_dae", "1_mf_bpr"]
    for folder in folders:
        done.folder = folder
        assert done.result["config"]["model"]["lr"] == 0.02
        assert "model.lr=0.02" in done.result["overrides"]
