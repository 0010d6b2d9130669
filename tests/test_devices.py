"""Jobs of a multirun on several devices, whose processes run the job alone."""

from recsys_lightning.sweeps.jobs import results
from tests.forked import forked_python
from tests.sweeps.test_sweep import SMALL, study_of, sweep


def test_jobs_on_two_devices_run_one_after_the_other(tmp_path):
    ddp = ("trainer=ddp", "trainer.accelerator=cpu", "max_epochs=1", "refit=true")
    sweep(tmp_path, "model=multi_dae,popularity", *ddp, "ensemble=rank")
    jobs = dict(results(tmp_path / "sweep"))
    assert [result.status for result in jobs.values()] == ["done"] * 2
    assert all((run / "train_ddp_process_1.log").exists() for run in jobs)  # the other's, there
    first = next(run for run in jobs if run.name == "0_multi_dae")
    same = [*SMALL, "model=multi_dae", *ddp, f"split_dir={tmp_path}/splits"]
    alone = forked_python("run.py", *same, f"hydra.run.dir={tmp_path}/alone")
    assert alone.returncode == 0, alone.stderr
    lists = "candidates/final.parquet"
    assert (tmp_path / "alone" / lists).read_bytes() == (first / lists).read_bytes()
    assert (tmp_path / "sweep/ensemble.json").exists()


def test_a_search_on_two_devices_reports_its_trial_and_refits_it(tmp_path):
    """The other process knows neither the study nor, by itself, that it fits on everything."""
    ddp = ("trainer=ddp", "trainer.accelerator=cpu", "refit=true", "sweep.keep=1")
    search = ("hydra/sweeper=optuna", "hydra/sweeper/pruner=median", "hydra.sweeper.n_trials=1")
    sweep(tmp_path, "model=ease", "model.l2=interval(10,90)", *search, *ddp)
    [trial] = study_of(tmp_path).trials
    [(_, result)] = results(tmp_path / "sweep")
    assert trial.intermediate_values == {0: result.metrics["val/recall@10"]}
    assert "refit" in result.seconds


def test_a_job_on_two_devices_needs_the_command_line_of_its_own(tmp_path):
    joblib = ("trainer=ddp", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    done = sweep(tmp_path, "model=ease", "seed=1,2", *joblib, code=1)
    assert "needs hydra/launcher=basic, not joblib" in done.stderr
    assert "Traceback" not in done.stderr
