"""Jobs of a multirun on several devices, whose processes run the job alone."""

from recsys_lightning.sweeps.jobs import results
from tests.forked import forked_python
from tests.sweeps.test_sweep import SMALL, sweep


def test_jobs_on_two_devices_run_one_after_the_other(tmp_path):
    ddp = ("trainer=ddp", "trainer.accelerator=cpu", "max_epochs=1", "refit=true")
    sweep(tmp_path, "model=multi_dae,popularity", *ddp)
    jobs = dict(results(tmp_path / "sweep"))
    assert [result.status for result in jobs.values()] == ["done"] * 2
    assert all((run / "train_ddp_process_1.log").exists() for run in jobs)  # the other's, there
    first = next(run for run in jobs if run.name == "0_multi_dae")
    same = [*SMALL, "model=multi_dae", *ddp, f"split_dir={tmp_path}/splits"]
    alone = forked_python("run.py", *same, f"hydra.run.dir={tmp_path}/alone")
    assert alone.returncode == 0, alone.stderr
    lists = "candidates/final.parquet"
    assert (tmp_path / "alone" / lists).read_bytes() == (first / lists).read_bytes()


def test_a_job_on_two_devices_needs_the_command_line_of_its_own(tmp_path):
    joblib = ("trainer=ddp", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    done = sweep(tmp_path, "model=ease", "seed=1,2", *joblib, code=1)
    assert "needs hydra/launcher=basic, not joblib" in done.stderr
    assert "Traceback" not in done.stderr
