"""Multiruns of the real command: failures, a kill, and the same command again."""

import json
import os
import signal
import time

import optuna
import pytest

from recsys_lightning.callbacks.pruning import open_storage
from recsys_lightning.sweeps.jobs import results
from tests.command import true_python
from tests.forked import forked_python, start_forked
from tests.runs.test_parameters import write_ratings

SMALL = (
    "data=synthetic",
    "data.num_users=200",
    "data.num_items=100",
    "data.num_interactions=6000",
    "data.min_per_user=20",
    "logger=none",
    "callbacks=none",
    "trainer.enable_progress_bar=false",
)

SPACE = (
    "hydra/sweeper=optuna",
    "model=ease",
    "model.l2=tag(log,interval(1.0,100.0))",
    "refit=false",
)


def arguments(folder, *overrides):
    return [
        *("run.py", "-m", *SMALL, *overrides, f"hydra.sweep.dir={folder / 'sweep'}"),
        *(f"split_dir={folder / 'splits'}", f"data.cache_dir={folder / 'cache'}"),
    ]


def sweep(folder, *overrides, code=0, python=forked_python):
    done = python(*arguments(folder, *overrides))
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def times(folder):
    """When each job wrote its result."""
    found = (folder / "sweep").glob("*/result.json")  # beside it splits come and go
    return {path.parent.name: path.stat().st_mtime_ns for path in found}


def wait_for(fact, job):
    """Until it is so, while a job is at work."""
    end = time.monotonic() + 120
    while not fact():
        assert job.is_alive(), "it ended before"
        assert time.monotonic() < end, "too late"
        time.sleep(0.01)


def kill_after(number, folder, *overrides, kill=os.kill):
    """Start a sweep, and kill it after so many results; `kill=os.killpg` kills its workers, too."""
    job = start_forked(*arguments(folder, *overrides))
    wait_for(lambda: len(times(folder)) >= number, job)
    kill(job.pid, signal.SIGKILL)
    job.join()
    return job.pid


def test_the_others_finish_the_failure_is_told_and_only_it_runs_again(tmp_path):
    overrides = ("model=ease,popularity", "holdout.valid_items=2,-2")
    done = sweep(tmp_path, *overrides, code=1)
    statuses = {run.name: result.status for run, result in results(tmp_path / "sweep")}
    assert statuses == {
        "0_ease": "done",
        "1_ease": "failed",
        "2_popularity": "done",
        "3_popularity": "failed",
    }
    told = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert len(told) == 2
    assert all("holdout.valid_items=-2" in line for line in told)
    before = times(tmp_path)
    again = sweep(tmp_path, *overrides, code=1)
    changed = {name for name, when in times(tmp_path).items() if when != before[name]}
    assert changed == {"1_ease", "3_popularity"}
    assert again.stdout.count("done already") == 2


def test_fail_fast_starts_no_further_job(tmp_path):
    overrides = ("model=ease", "model.l2=-1,3", "sweep.fail_fast=true")
    sweep(tmp_path, *overrides, code=1)
    assert list(times(tmp_path)) == ["0_ease"]
    sweep(tmp_path, "model=ease", "model.l2=2,3", "sweep.fail_fast=true")  # the same folder, mended
    assert sorted(times(tmp_path)) == ["0_ease", "1_ease"]


def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    overrides = ("model=ease", "model.l2=1,2,3,4")
    kill_after(2, tmp_path, *overrides)
    before = times(tmp_path)
    assert len(before) < 4
    sweep(tmp_path, *overrides)
    after = times(tmp_path)
    assert len(after) == 4
    assert all(after[name] == when for name, when in before.items())
    l2 = [result.config["model"]["l2"] for _, result in results(tmp_path / "sweep")]
    assert l2 == [1, 2, 3, 4]


def test_two_sweeps_at_once_do_not_disturb_each_other(tmp_path):
    jobs = [
        start_forked(*arguments(tmp_path / name, "model=ease,popularity", f"seed={seed}"))
        for name, seed in (("a", 1), ("b", 2))
    ]
    for job in jobs:
        job.join(300)
    assert [job.exitcode for job in jobs] == [0, 0]
    for name, seed in (("a", 1), ("b", 2)):
        seeds = [result.seed for _, result in results(tmp_path / name)]
        assert seeds == [seed, seed]


def test_two_searches_on_one_storage_share_its_trials_and_fail_none(tmp_path):
    storage = f"hydra.sweeper.storage=sqlite:///{tmp_path}/study.db"
    options = (*SPACE, storage, "hydra.sweeper.n_trials=8")
    (tmp_path / "a").mkdir()
    first = start_forked(*arguments(tmp_path / "a", *options))
    wait_for(lambda: times(tmp_path / "a"), first)
    second = start_forked(*arguments(tmp_path / "b", *options))
    for job in (first, second):
        job.join(300)
    assert (first.exitcode, second.exitcode) == (0, 0)
    trials = optuna.load_study(study_name="sweep", storage=storage.partition("=")[2]).trials
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    assert len(trials) in (8, 9)  # the last of each may be asked for at once
    ran = {name: len(list(results(tmp_path / name))) for name in ("a", "b")}
    assert ran["a"] + ran["b"] == len(trials)
    assert ran["b"]


def test_a_sweep_of_changed_data_runs_again_and_is_kept_apart(tmp_path):
    """The file changes, and a model comes to it; then the code that splits changes."""
    ratings = write_ratings(tmp_path / "ratings.csv", length=45)
    data = ("data=files", f"data.path={ratings}")

    def start(*overrides):
        given = [o for o in arguments(tmp_path, *overrides) if o not in SMALL[:5]]
        return forked_python(*given, *data)

    assert start("model=ease").returncode == 0
    os.utime(ratings, (0, 0))
    again = start("model=ease")
    assert again.stdout.count("done already") == 1
    [(_, first)] = results(tmp_path / "sweep")

    write_ratings(ratings, length=45, shift=1)
    changed = start("model=ease,popularity", "ensemble=rank")
    assert "done already" not in changed.stdout
    found = {run.name: result for run, result in results(tmp_path / "sweep")}
    aside = f"0_ease-{first.job}-{first.split[:8]}"
    assert list(found) == ["0_ease", aside, "1_popularity"]
    assert found[aside] == first
    assert found["0_ease"].split == found["1_popularity"].split != first.split
    assert "runs on 2 splits, whose figures cannot be compared" in changed.stdout
    assert changed.returncode == 2  # an ensemble of what?
    [line] = [line for line in changed.stderr.splitlines() if line.startswith("error: no ensemble")]
    assert "2 different splits" in line
    assert not (tmp_path / "sweep/submission.csv").exists()

    path = tmp_path / "sweep/0_ease/result.json"
    path.write_text(json.dumps(found["0_ease"].to_json() | {"split": "f" * 64}))
    last = start("model=ease,popularity")
    assert last.returncode == 0
    assert last.stdout.count("done with another split (ffffffffffffffff, and now it is ") == 1
    assert last.stdout.count("done already") == 1
    jobs = [result.job for _, result in results(tmp_path / "sweep")]
    assert len(jobs) == 4
    assert f"0_ease-{found['0_ease'].job}-ffffffff" in os.listdir(tmp_path / "sweep")


def test_a_changed_model_is_told_where_its_job_is_done_already(tmp_path, monkeypatch):
    (tmp_path / "conf/model").mkdir(parents=True)
    conf = "defaults: [/family@_global_: closed_form, _self_]\n_target_: of_a_test.Own\n"
    (tmp_path / "conf/model/own.yaml").write_text(conf)
    code = tmp_path / "of_a_test.py"
    model = "from recsys_lightning.models.popularity import Popularity\n"
    code.write_text(f"{model}class Own(Popularity): pass\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    own = arguments(tmp_path, "model=own,popularity", "refit=false")
    own[1:1] = "--config-dir", str(tmp_path / "conf")

    def start():
        done = true_python(*own)
        assert done.returncode == 0, done.stderr
        return done.stdout

    start()
    code.write_text(f"{model}class Own(Popularity): lr = 0.1\n")
    changed = start()
    assert changed.count("done already") == 2
    assert changed.count("has changed") == changed.count("of_a_test.Own has changed") == 1


def test_a_sweep_over_callbacks_that_change_the_fit_runs_each(tmp_path):
    """And not each of those that show it."""
    target = "+callbacks.a._target_=pytorch_lightning.callbacks."
    steps = "+callbacks.a.scheduling={0:1},{0:2}"
    fit = ("model=multi_dae", "max_epochs=1", "view.batch_size=20")
    sweep(tmp_path, *fit, f"{target}GradientAccumulationScheduler", steps)
    found = [result for _, result in results(tmp_path / "sweep")]
    assert len({result.job for result in found}) == 2
    assert found[0].steps == 2 * found[1].steps
    done = sweep(tmp_path / "shown", *fit, "callbacks=none,default", "eval_batch_size=1024,7")
    assert done.stdout.count("done already") == 3


def study_of(folder):
    storage = open_storage(str(folder / "sweep/study.journal"))
    return optuna.load_study(study_name="sweep", storage=storage)


def trials(folder):
    """State and value of every trial, as Optuna has them."""
    return [(trial.state.name, trial.value) for trial in study_of(folder).trials]


def test_optuna_searches_and_knows_the_results(tmp_path):
    sweep(tmp_path, *SPACE, "hydra.sweeper.n_trials=4")
    found = list(results(tmp_path / "sweep"))
    assert [run.name for run, _ in found] == [f"{number}_ease" for number in range(4)]
    values = [result.metrics["val/recall@10"] for _, result in found]
    assert trials(tmp_path) == [("COMPLETE", value) for value in values]
    l2 = {result.config["model"]["l2"] for _, result in found}
    assert len(l2) == 4
    assert all(1 <= value <= 100 for value in l2)


@pytest.mark.parametrize("sampler", ["cmaes", "gp"])
def test_the_other_samplers_search(sampler, tmp_path):
    options = (
        *(*SPACE, "model.dropout=interval(0.0,0.5)", "hydra.sweeper.n_trials=4"),
        *(f"hydra/sweeper/sampler={sampler}", "+hydra.sweeper.sampler.n_startup_trials=1"),
    )
    sweep(tmp_path, *options)
    assert [state for state, _ in trials(tmp_path)] == ["COMPLETE"] * 4
    models = [result.config["model"] for _, result in results(tmp_path / "sweep")]
    assert len({(model["l2"], model["dropout"]) for model in models}) == 4


def test_optuna_completes_the_total_after_a_kill(tmp_path):
    options = (*SPACE, "hydra.sweeper.n_trials=6")
    kill_after(2, tmp_path, *options)
    before = times(tmp_path)
    sweep(tmp_path, *options)
    after = times(tmp_path)
    assert all(after[name] == when for name, when in before.items())
    done = [value for state, value in trials(tmp_path) if state == "COMPLETE"]
    assert len(done) == len(after) == 6
    jobs = [result.job for _, result in results(tmp_path / "sweep")]
    assert len(set(jobs)) == 6  # nothing twice


def test_a_failed_trial_does_not_end_the_search_and_runs_again(tmp_path):
    space = ("hydra/sweeper=optuna", "model=ease", "model.l2=choice(-1,2,3,5)")
    options = (*space, "hydra/sweeper/sampler=random", "hydra.sweeper.n_trials=5")
    done = sweep(tmp_path, *options, code=1)
    states = [state for state, _ in trials(tmp_path)]
    assert len(states) == 5
    failed = states.count("FAIL")
    assert 0 < failed < 5
    assert "model.l2=-1" in done.stderr
    sweep(tmp_path, *options, code=1)
    again = [state for state, _ in trials(tmp_path)]
    assert again[:5] == states
    assert again.count("FAIL") == 2 * failed  # the same ones, once more


def test_a_hopeless_trial_is_pruned_and_no_failure(tmp_path):
    options = (
        *("hydra/sweeper=optuna", "hydra/sweeper/pruner=median", "hydra.sweeper.n_trials=5"),
        *("hydra.sweeper.pruner.n_startup_trials=1", "hydra.sweeper.pruner.n_warmup_steps=0"),
        *("hydra/sweeper/sampler=random", "model=multi_dae", "max_epochs=4", "view.batch_size=20"),
        "model.lr=tag(log,interval(0.00000001,0.1))",
    )
    sweep(tmp_path, *options)
    statuses = {run.name: result.status for run, result in results(tmp_path / "sweep")}
    assert "failed" not in statuses.values()
    assert [state for state, _ in trials(tmp_path)].count("PRUNED") == sum(
        status == "pruned" for status in statuses.values()
    )
    assert "pruned" in statuses.values()


@pytest.mark.parametrize("model", ["ease", "multi_vae", "ncf", "bert4rec", "s3rec"])
def test_a_search_space_of_each_family_runs_two_trials(model, tmp_path):
    """tests/test_configs.py makes every model with every choice and end of its space."""
    epochs = ["max_epochs=1", "refit=false"]
    if model == "s3rec":  # twenty epochs are not judged by default
        epochs = ["refit=false", "max_epochs=2", "model=s3rec", "model.pretrain_epochs=1"]
    sweep(tmp_path, f"sweep={model}", "hydra.sweeper.n_trials=2", *epochs)
    found = list(results(tmp_path / "sweep"))
    assert [(result.model, result.status) for _, result in found] == [(model, "done")] * 2
    assert len({result.job for _, result in found}) == 2


def test_seeds_of_any_model(tmp_path):
    sweep(tmp_path, "sweep=seeds", "model=popularity")
    assert [result.seed for _, result in results(tmp_path / "sweep")] == [1, 2, 3, 4, 5]
    assert len({result.repeated for _, result in results(tmp_path / "sweep")}) == 1


def test_draws_of_any_holdout(tmp_path):
    done = sweep(tmp_path, "sweep=holdouts", "model=popularity", "holdout=random")
    runs = list(results(tmp_path / "sweep"))
    assert [result.config["holdout"]["seed"] for _, result in runs] == [0, 1, 2, 3, 4]
    assert len({result.split for _, result in runs}) == 5
    mean = sum(result.metrics["val/recall@10"] for _, result in runs) / 5
    report = (tmp_path / "sweep/report.md").read_text()
    assert f"| val/recall@10 | popularity | 5 | 1 | {mean:.4f} |" in report
    assert "between draws" in done.stdout


def test_a_job_with_wrong_cut_offs_fails_alone(tmp_path):
    sweep(tmp_path, "model=popularity", "metrics.k=[10],[0],[10,20]", "refit=false", code=1)
    of = {p.parent.name: json.loads(p.read_text()) for p in tmp_path.glob("sweep/*/result.json")}
    assert [of[f"{n}_popularity"]["status"] for n in range(3)] == ["done", "failed", "done"]
    assert "metrics.k" in of["1_popularity"]["error"]
    assert (tmp_path / "sweep/leaderboard.csv").exists()


def test_what_a_search_put_off_a_grid_makes_up_for(tmp_path):
    """It was interrupted before it fitted its best trials again."""
    options = ("model=multi_dae", "max_epochs=1", "seed=1,2", "refit=true")
    sweep(tmp_path, *options)
    run = tmp_path / "sweep/0_multi_dae"
    result = json.loads((run / "result.json").read_text())
    final = (run / "candidates/final.parquet").read_bytes()
    del result["seconds"]["refit"]
    (run / "result.json").write_text(json.dumps(result))
    (run / "checkpoints/final.ckpt").unlink()
    (run / "candidates/final.parquet").unlink()
    done = sweep(tmp_path, *options)
    assert done.stdout.count("done already") == 1
    assert "refit" in json.loads((run / "result.json").read_text())["seconds"]
    assert (run / "candidates/final.parquet").read_bytes() == final


def test_an_evaluation_is_another_job_once_its_weights_are_others(tmp_path):
    fitted = tmp_path / "fitted"
    fit = ("run.py", *SMALL, "model=multi_dae", "refit=false", f"split_dir={tmp_path}/splits")
    values = []
    for epochs in (1, 4):
        made = forked_python(*fit, f"max_epochs={epochs}", f"hydra.run.dir={fitted}")
        assert made.returncode == 0, made.stderr
        done = sweep(tmp_path, f"ckpt_path={fitted}", "metrics.k=[10],[20]", "max_epochs=1")
        values.append(made.stdout.count("done already"))
        assert done.stdout.count("done already") == 0
    assert (
        "done already"
        in sweep(tmp_path, f"ckpt_path={fitted}", "metrics.k=[10],[20]", "max_epochs=1").stdout
    )
