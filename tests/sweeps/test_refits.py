"""What a search fits again on everything when it ends."""

import shutil
from dataclasses import replace

from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.record import RunResult
from recsys_lightning.sweeps.jobs import results
from tests.forked import forked_python
from tests.sweeps.test_sweep import SPACE, arguments, sweep, times


def run_alone(tmp_path, *overrides):
    """The result of a job by itself."""
    given = arguments(tmp_path, *overrides)
    given = [one for one in given if one != "-m" and not one.startswith("hydra.sweep.dir")]
    done = forked_python(*given, f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    return RunResult.read(tmp_path / "run" / "result.json")


def test_a_search_fits_its_best_again_in_the_end_and_no_other_trial(tmp_path):
    options = (*SPACE, "refit=true", "hydra.sweeper.n_trials=4", "sweep.keep=2")
    sweep(tmp_path, *options)
    found = dict(results(tmp_path / "sweep"))
    assert list(found) == sorted(found, key=lambda run: found[run].finished)  # the refit aside
    order = sorted(found, key=lambda run: found[run].metrics["val/recall@10"], reverse=True)
    for run in order:
        kept = run in order[:2]
        assert ("refit" in found[run].seconds) == RunFolder(run).final.exists() == kept
        assert RunFolder(run).submission.exists() == kept
    best, other = order[:2]
    alone = run_alone(tmp_path, "model=ease", f"model.l2={found[best].config['model']['l2']}")
    assert "refit" in alone.seconds
    for name in ("submission.csv", "candidates/final.parquet"):
        assert (best / name).read_bytes() == (tmp_path / "run" / name).read_bytes()

    # killed as it did the last of them, which is done still: that one alone is fitted again
    before = times(tmp_path)
    content = {name: v for name, v in found[other].seconds.items() if name != "refit"}
    replace(found[other], seconds=content).write(RunFolder(other).result)
    RunFolder(other).final.unlink()
    expected = (other / "submission.csv").read_bytes()
    (other / "submission.csv").unlink()
    again = sweep(tmp_path, *options)
    assert "best" not in again.stderr
    changed = {name for name, when in times(tmp_path).items() if when != before[name]}
    assert changed == {other.name}
    assert (other / "submission.csv").read_bytes() == expected
    assert "refit" in dict(results(tmp_path / "sweep"))[other].seconds


def test_a_refit_that_fails_leaves_the_trials_as_they_were_and_is_said(tmp_path):
    options = (*SPACE, "hydra.sweeper.n_trials=2")
    sweep(tmp_path, *options)
    found = dict(results(tmp_path / "sweep"))
    for run, result in found.items():
        assert not RunFolder(run).final.exists()
        replace(result, config={**result.config, "refit": True}).write(RunFolder(run).result)
    broken, _ = found
    RunFolder(broken).best.write_text("damaged")
    done = sweep(tmp_path, *options, code=1)
    assert f"error: {broken}: not fitted again on everything: " in done.stderr
    assert "Traceback" not in done.stderr
    after = dict(results(tmp_path / "sweep"))
    assert after[broken].status == "done"
    assert "refit" not in after[broken].seconds
    assert (tmp_path / "sweep/report.md").exists()


def test_a_refit_that_was_killed_before_its_result_was_written_is_ended(tmp_path):
    options = (*SPACE, "hydra.sweeper.n_trials=1")
    sweep(tmp_path, *options)
    [(run, result)] = results(tmp_path / "sweep")
    replace(result, config={**result.config, "refit": True}).write(RunFolder(run).result)
    shutil.copy(RunFolder(run).best, RunFolder(run).final)  # the model that it has left
    sweep(tmp_path, *options)
    [(_, ended)] = results(tmp_path / "sweep")
    assert ended.seconds["refit"] == 0
    assert ended.seconds["fit"] == result.seconds["fit"]
    written = times(tmp_path)
    sweep(tmp_path, *options)
    assert times(tmp_path) == written


def test_a_run_that_failed_after_its_fit_is_not_fitted_again(tmp_path):
    """It has a best epoch, but is no trial that counts."""
    options = (*SPACE, "hydra.sweeper.n_trials=1")
    sweep(tmp_path, *options)
    [(run, result)] = results(tmp_path / "sweep")
    failed = replace(result, status="failed", error="x", config={**result.config, "refit": True})
    failed.write(RunFolder(run).result)
    sweep(tmp_path, *options, code=1)
    assert list(results(tmp_path / "sweep")) == [(run, failed)]
    assert not RunFolder(run).final.exists()
