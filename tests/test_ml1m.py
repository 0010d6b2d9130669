"""Accuracy on MovieLens-1M (random holdout, 10 items): figures of an independent computation."""

import pytest

from tests.command import ROOT, run

DATA = ROOT.parent / "shared/data/ml-1m"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason=f"MovieLens-1M is not at {DATA}"),
]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (["model=popularity"], 0.0747),
        (["model=ease", "model.l2=100"], 0.2001),
        (["model=ease", "model.l2=500"], 0.2148),
        (["model=ease", "model.l2=1000"], 0.2140),
        (["model=ease", "model.l2=300", "model.dropout=0.33"], 0.2167),
    ],
)
def test_recall_is_that_of_an_independent_computation(model, expected, tmp_path):
    """Another draw of the holdout moves the third digit by a few units: 0.004 covers that."""
    done = run(
        *(*model, "data=files", f"data.path={DATA}/ratings.csv", "holdout.test_items=0"),
        *("refit=false", "logger=none"),
        folder=tmp_path / "run",
    )
    assert done.result["users"] == {"valid": 6040, "too_short": 0}
    assert done.result["metrics"]["val/recall@10"] == pytest.approx(expected, abs=0.004)
