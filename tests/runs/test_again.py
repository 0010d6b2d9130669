"""A second command on a finished run: it is what it was, or refused with nothing of it lost."""

import json

import pytest

from tests.command import run
from tests.test_run import SMALL

OPTIONS = (
    *("model=mf_bpr", "max_epochs=3", "seed=7", "view.batch_size=512", "model.lr=0.05"),
    *("model.embedding_dim=8", "average_weights=true"),
)


@pytest.fixture(scope="module")
def refitted(tmp_path_factory):
    return run(*SMALL, *OPTIONS, "refit=true", folder=tmp_path_factory.mktemp("refitted") / "run")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    return run(*SMALL, *OPTIONS, "refit=false", folder=tmp_path_factory.mktemp("fitted") / "run")


def contents(done):
    """Of its files; empty of those that Hydra writes before a command begins."""
    return {
        name: b"" if name.startswith(".hydra") else (done.folder / name).read_bytes()
        for name in done.files() - {"run.log"}
    }


def test_a_refit_from_a_folder_is_the_runs_own(fitted, refitted, tmp_path):
    again = run(f"ckpt_path={fitted.folder}", "refit=true", folder=tmp_path / "run")
    submissions = [done.folder / "submission.csv" for done in (refitted, again)]
    assert submissions[0].read_bytes() == submissions[1].read_bytes()


def test_a_stored_run_keeps_its_seed_and_its_epoch(refitted, tmp_path):
    again = run(f"ckpt_path={refitted.folder}", folder=tmp_path / "run").result
    for key in ("seed", "best_epoch", "metrics"):
        assert again[key] == refitted.result[key], key
    for key in ("max_epochs", "view"):
        assert again["config"][key] == refitted.result["config"][key], key
    of_everything = run(f"ckpt_path={refitted.folder}", "holdout=none", folder=tmp_path / "all")
    assert of_everything.result["best_epoch"] == refitted.result["best_epoch"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["seed=3"], "seed=3: |best.ckpt was fitted with 7; give the same"),
        (["view.batch_size=9"], "view.batch_size=9: |best.ckpt was fitted with 512"),
        (["refit=true", "trainer.gradient_clip_val=1"], "trainer.gradient_clip_val=1: |null"),
    ],
)
def test_other_settings_than_the_fits_are_refused(options, message, fitted, tmp_path):
    done = run(f"ckpt_path={fitted.folder}", *options, folder=tmp_path / "run", code=2)
    for words in message.split("|"):
        assert words in done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["data=files", "data.path=typo.csv"], "typo.csv: no such file"),
        ([*SMALL, "ckpt_path=last"], "holds a MFBPR"),
        ([*SMALL, *OPTIONS, "ckpt_path=last", "seed=8"], "had seed=7, not 8"),
        ([*SMALL, *OPTIONS, "ckpt_path=last", "monitor=val/ndcg@10"], "had monitor=val/recall@10"),
        (["ckpt_path={folder}"], "this run would take its place"),
        ([*SMALL, *OPTIONS, "model.l2=-1"], "model.l2=-1"),
    ],
)
def test_what_is_refused_leaves_a_finished_run_as_it_was(options, message, fitted):
    before = contents(fitted)
    options = [option.format(folder=fitted.folder) for option in options]
    assert message in run(*options, folder=fitted.folder, code=2).err
    after = contents(fitted)
    assert {name: after[name] for name in before} == before


def test_null_is_another_value_than_the_fits(tmp_path):
    options = "model=recvae", "model.gamma=0.01", "model.hidden_dim=8", "model.latent_dim=4"
    made = run(*SMALL, *options, "max_epochs=1", folder=tmp_path / "made" / "run")
    done = run(f"ckpt_path={made.folder}", "model.gamma=null", folder=tmp_path / "run", code=2)
    assert "model.gamma=null: " in done.err
    assert "was fitted with 0.01" in done.err


def test_a_failed_run_takes_the_place_of_a_failed_one(tmp_path):
    for number in range(2):
        run("data=files", f"data.path=typo{number}.csv", folder=tmp_path / "run", code=2)
        result = json.loads((tmp_path / "run/result.json").read_text())
        assert result["error"] == f"typo{number}.csv: no such file"
