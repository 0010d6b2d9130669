"""The ensemble at the end of a multirun of the real command."""

import json

import pandas as pd
import pytest

from tests.forked import forked_python
from tests.sweeps.test_sweep import sweep

MEMBERS = (
    "ensemble=rank",
    "ensemble.per_model=3",
    "model=ease",
    "holdout.valid_items=5",
    "holdout.test_items=5",
)


def test_a_failed_member_and_a_failed_ensemble(tmp_path):
    folder = tmp_path / "sweep"
    done = sweep(tmp_path, *MEMBERS, "model.l2=-1,5,500", code=1)
    result = json.loads((folder / "ensemble.json").read_text())
    assert result["status"] == "done"
    [left_out] = result["left_out"]
    assert left_out["folder"] == "0_ease"  # from the ensemble's own folder
    assert "model.l2=-1" in left_out["reason"]
    assert f"left out: {folder / '0_ease'}: " in done.stdout
    assert {member["name"] for member in result["members"]} <= {"1_ease", "2_ease"}
    submission = (folder / "submission.csv").read_bytes()
    board = pd.read_csv(folder / "leaderboard.csv").set_index("model")
    row = board.loc["ensemble"]
    assert row["test/recall@10"] == pytest.approx(result["metrics"]["test/recall@10"])
    assert row.split == board.split.iloc[0] == f"random {result['split'][:8]}"
    assert row.options.startswith(f"{result['fusion']} {result['weights']}: ")
    report = (folder / "report.md").read_text()
    assert "3 runs: 2 done, 1 failed" in report  # the ensemble is none
    assert f"| {row['val/recall@10']:.4f} |" in report
    assert [path.stem for path in (folder / "best").iterdir()] == ["ease"]

    # the same thing as a command, to the byte
    command = ["-m", "recsys_lightning.ensemble", str(folder), "--per-model", "3"]
    again = forked_python(*command, "--out", str(tmp_path / "out"))
    assert again.returncode == 1, again.stderr  # a run failed
    assert (tmp_path / "out" / "submission.csv").read_bytes() == submission
    check = forked_python("-m", "recsys_lightning.submission", str(folder / "submission.csv"))
    assert check.returncode == 0, check.stderr

    # what goes wrong in the ensemble is no warning of Hydra's
    done = sweep(tmp_path, *MEMBERS, "model.l2=5,500", "ensemble.folds=1000", code=2)
    assert done.stdout.count("done already") == 2
    assert "error: no ensemble: ensemble.folds=1000: only" in done.stderr
    assert not (folder / "submission.csv").exists()
    assert json.loads((folder / "ensemble.json").read_text())["status"] == "failed"
