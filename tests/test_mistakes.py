"""What Hydra and OmegaConf refuse is one line that names the key, what there is, and what to do."""

import pytest

from tests.command import run

CASES = {
    "model.l22=3": "model.l22: no such key; model has dropout, l2, recency, side",
    "nokey=3": "nokey: no such key; the configuration has callbacks, ckpt_path, data, ",
    "model.l2.x=3": "model.l2.x: no such key: model.l2 is 500.0",
    "model=eas": "model=eas: expected one of admm_slim, autorec, ",
    "holdout=las": "holdout=las: expected one of files, hybrid, last, none, random",
    "+model.l2=3": "+model.l2: there is such a key; leave out the +",
    "model.l2=[": "no viable alternative at input '[': expected key=value; a value with blanks",
    "data.path=/tmp/a(b).csv": "expected key=value; a value with blanks, commas, brackets or = has",
    "data.path": "Error parsing override 'data.path': expected key=value; a value with",
}


@pytest.mark.parametrize("override", CASES)
def test_one_line(override, tmp_path):
    done = run(override, folder=tmp_path / "run", code=2)
    assert done.err.startswith("error: ")
    assert CASES[override] in done.err
    assert done.err.count("\n") == 1


def test_a_key_that_needs_another_familys(tmp_path):
    done = run("view=sequences", "view.windows=latest", folder=tmp_path / "run", code=2)
    assert "error: Interpolation key 'model.length' not found, which view.length needs" in done.err
    assert "full_key" not in done.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("view=pairs",), "view.shuffle=False: PairView has no such option, but batch_size, "),
        (
            ("model=sasrec", "max_epochs=1", "view=rows"),
            "view: its batches are Rows, and SASRec learns from Sequences: leave the view to",
        ),
    ],
)
def test_the_view_of_another_family(options, words, tmp_path):
    done = run(*options, folder=tmp_path / "run", code=2)
    assert words in done.err
    assert done.result["status"] == "failed"
