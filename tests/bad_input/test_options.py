"""Options of every group: the run's own, metrics, trainer, view, callbacks, logger, Hydra."""

import pytest

from tests.bad_input.case import RATINGS, Case, refused

DAE = f"{RATINGS} model=multi_dae max_epochs=1"
BPR = f"{RATINGS} model=mf_bpr max_epochs=1"
SAS = f"{RATINGS} model=sasrec max_epochs=1"
CASES = {
    "an unknown key": Case(
        "nokey=3", "nokey: no such key; the configuration has callbacks, ckpt_path, data, "
    ),
    "an unknown key below": Case(
        "recommend.n=3", "recommend.n: no such key; recommend has candidates, k, users"
    ),
    "a plus too much": Case("+seed=3", "+seed: there is such a key; leave out the +"),
    "a key without a value": Case("seed", "Error parsing override 'seed'"),
    "a dash": Case("--seed=3", "--seed=3: options have no dashes: seed=3"),
    "two dashes and a model": Case(
        "--model ease", "--model: options have no dashes: model=<value>"
    ),
    "a colon": Case("seed:3", "seed:3: expected key=value"),
    "blanks around =": Case("seed = 3", "expected key=value"),
    "a bracket left open": Case(
        "metrics.k=[10,20", "expected key=value; a value with blanks, commas, brackets or ="
    ),
    "an unknown group": Case("models=ease", "models: no such key"),
    "an unknown experiment": Case("experiment=mine", "experiment=mine: expected one of contest"),
    "an unknown trainer": Case("trainer=gpu", "trainer=gpu: expected one of ddp, default"),
    "an unknown logger": Case(
        "logger=wandbs", "logger=wandbs: expected one of csv, mlflow, none, tensorboard, wandb"
    ),
    "an unknown view": Case("view=row", "view=row: expected one of pairs, rows, sequences"),
    "an unknown sweep": Case("sweep=eas", "sweep=eas: expected one of"),
    "a missing value": Case(
        f"{RATINGS} model.l2=???", "model.l2=???: a value is missing; give it on the command line"
    ),
    "an interpolation of nothing": Case(f"{RATINGS} seed=${{nothing}}", "nothing"),
    "a seed of text": Case(f"{RATINGS} seed=abc", "seed=abc: expected a whole number in [0, "),
    "a negative seed": Case(f"{RATINGS} seed=-1", "seed=-1"),
    "a seed of null": Case(f"{RATINGS} seed=null", "seed=None"),
    "a seed that is too large": Case(
        f"{RATINGS} seed=99999999999999999999", "seed=99999999999999999999"
    ),
    "a seed of true": Case(f"{RATINGS} seed=true", "seed=True: expected a whole number"),
    "no epoch": Case(f"{DAE} max_epochs=0", "max_epochs=0: expected at least 1"),
    "half an epoch": Case(f"{DAE} max_epochs=1.5", "max_epochs=1.5"),
    "epochs of text": Case(f"{DAE} max_epochs=ten", "max_epochs=ten"),
    "epochs of null": Case(f"{DAE} max_epochs=null", "max_epochs"),
    "epochs without end": Case(f"{DAE} max_epochs=-1 patience=null", "max_epochs=-1"),
    "no patience": Case(f"{DAE} patience=0", "patience=0: expected a whole number in [1, inf)"),
    "patience of text": Case(f"{DAE} patience=five", "patience=five"),
    "a refit of text": Case(f"{DAE} refit=maybe", "refit=maybe: expected true or false"),
    "no cut-off": Case(f"{RATINGS} metrics.k=[]", "metrics.k"),
    "a cut-off of 0": Case(
        f"{RATINGS} metrics.k=[0]", "metrics.k=0: expected a whole number, 1 or more"
    ),
    "a cut-off in no list": Case(f"{RATINGS} metrics.k=5", "metrics.k=5: expected a list"),
    "a cut-off of text": Case(f"{RATINGS} metrics.k=[ten]", "metrics.k=ten"),
    "half a cut-off": Case(f"{RATINGS} metrics.k=[2.5]", "metrics.k=2.5"),
    "a cut-off beyond the lists": Case(
        f"{RATINGS} metrics.k=[200]", "metrics.k=[200]: 200 is more than the 60 items there are"
    ),
    "a monitor at another cut-off": Case(
        f"{RATINGS} monitor=val/recall@7", "monitor=val/recall@7: expected one of val/recall@10"
    ),
    "a monitor of no stage": Case(
        f"{RATINGS} monitor=recall@10", "monitor=recall@10: expected one of val/recall@10"
    ),
    "a monitor of the test": Case(
        f"{RATINGS} monitor=test/recall@10", "monitor=test/recall@10: expected one of val/"
    ),
    "a monitor of another name": Case(
        f"{RATINGS} monitor=val/hit@10", "monitor=val/hit@10: expected one of"
    ),
    "a monitor of null": Case(f"{RATINGS} monitor=null", "monitor=None: expected one of"),
    "no recommendation": Case(
        f"{RATINGS} recommend.k=0", "recommend.k=0: expected a whole number in [1, inf)"
    ),
    "recommendations of text": Case(f"{RATINGS} recommend.k=ten", "recommend.k=ten"),
    "fewer candidates": Case(
        f"{RATINGS} recommend.candidates=5",
        "recommend.candidates=5: expected a whole number in [10, inf)",
    ),
    "candidates of null": Case(f"{RATINGS} recommend.candidates=null", "recommend.candidates=None"),
    "more than there are items": Case(f"{RATINGS} recommend.k=100", "recommend.k=100"),
    "an unknown user to show": Case(f"{RATINGS} recommend.users=[99999]", "recommend.users|99999"),
    "a user in no list": Case(f"{RATINGS} recommend.users=7", "recommend.users=7: expected a list"),
    "users of lists": Case(f"{RATINGS} 'recommend.users=[[1]]'", "recommend.users"),
    "no user a query": Case(
        f"{RATINGS} eval_batch_size=0", "eval_batch_size=0: expected a whole number in [1, inf)"
    ),
    "a query of text": Case(f"{RATINGS} eval_batch_size=auto", "eval_batch_size=auto"),
    "an unknown history": Case(
        f"{RATINGS} test_history=valid", "test_history=valid: expected train or train_valid"
    ),
    "no folder of splits": Case(f"{RATINGS} split_dir=null", "split_dir=null: expected a folder"),
    "a single run of a list": Case(
        f"{RATINGS} 'jobs=[\"model=ease\"]'", "jobs: a list of several runs: give -m"
    ),
    "an ensemble of one run": Case(
        f"{RATINGS} ensemble=rank", "ensemble= is made of several runs: give -m"
    ),
    "a negative number to keep": Case(
        f"{RATINGS} sweep.keep=-1", "sweep.keep=-1: expected a whole number"
    ),
    "a precision": Case(
        f"{RATINGS} trainer.precision=17",
        "trainer: Lightning refuses its options: Precision 17 is invalid",
    ),
    "no device": Case(f"{RATINGS} trainer.devices=0", "`Trainer(devices=0)`"),
    "a device of text": Case(
        f"{RATINGS} trainer.devices=many", "trainer: Lightning refuses its options: `devices`"
    ),
    "an unknown accelerator": Case(f"{RATINGS} trainer.accelerator=cuda:0", "trainer|cuda:0"),
    "a strategy": Case(f"{RATINGS} trainer.strategy=fastest", "trainer|fastest"),
    "an option that Lightning has not": Case(
        f"{RATINGS} +trainer.max_hours=1", "unexpected keyword argument 'max_hours'"
    ),
    "a negative norm": Case(
        f"{DAE} trainer.gradient_clip_val=-1", "trainer.gradient_clip_val=-1: expected a number"
    ),
    "a norm of text": Case(f"{DAE} trainer.gradient_clip_val=big", "trainer.gradient_clip_val=big"),
    "an infinite norm": Case(
        f"{DAE} trainer.gradient_clip_val=.nan", "trainer.gradient_clip_val=.nan"
    ),
    "validation in no epoch": Case(
        f"{DAE} trainer.check_val_every_n_epoch=0", "trainer.check_val_every_n_epoch=0"
    ),
    "a negative time to log": Case(
        f"{DAE} trainer.log_every_n_steps=-1", "trainer.log_every_n_steps=-1"
    ),
    "overfitting on batches": Case(f"{DAE} +trainer.overfit_batches=1", "trainer.overfit_batches"),
    "batches of training": Case(
        f"{DAE} +trainer.limit_train_batches=0",
        "the fit ended in epoch 0, before one was validated",
    ),
    "no batch of validation": Case(
        f"{DAE} +trainer.limit_val_batches=0", "trainer.limit_val_batches"
    ),
    "a fast run": Case(f"{DAE} +trainer.fast_dev_run=true", "trainer.fast_dev_run"),
    "a share of validation": Case(f"{DAE} +trainer.val_check_interval=2.0", "val_check_interval"),
    "accumulation of nothing": Case(
        f"{DAE} +trainer.accumulate_grad_batches=0", "accumulate_grad_batches"
    ),
    "an end before a step": Case(
        f"{DAE} +trainer.max_steps=0",
        "the fit ended in epoch 0, before one was validated: give it more epochs, steps or time",
    ),
    "an end before time": Case(
        f"{DAE} +trainer.max_time=soon", "trainer: Lightning refuses its options|'soon'"
    ),
    "a profiler": Case(
        f"{DAE} +trainer.profiler=fast", "trainer: Lightning refuses its options|`profiler`"
    ),
    "a trainer's logger": Case(f"{DAE} +trainer.logger=csv", "trainer.logger"),
    "two devices that there are not": Case(
        f"{DAE} trainer.accelerator=gpu trainer.devices=64", "trainer"
    ),
    "no row": Case(
        f"{DAE} view.batch_size=0", "view.batch_size=0: expected a whole number in [1, inf)"
    ),
    "rows of null": Case(f"{DAE} view.batch_size=null", "view.batch_size=None"),
    "rows of text": Case(f"{DAE} view.batch_size=all", "view.batch_size=all"),
    "a shuffle of text": Case(
        f"{DAE} view.shuffle=maybe", "view.shuffle=maybe: expected true or false"
    ),
    "no pass": Case(f"{DAE} view.passes=0", "view.passes=0"),
    "no negative": Case(f"{BPR} view.negatives=0", "view.negatives=0"),
    "negatives of text": Case(f"{BPR} view.negatives=many", "view.negatives=many"),
    "a negative power": Case(f"{BPR} view.negative_power=big", "view.negative_power=big"),
    "an infinite power": Case(f"{BPR} view.negative_power=.inf", "view.negative_power=.inf"),
    "unknown pairs": Case(
        f"{BPR} view.pairs=items", "view.pairs=items: expected interactions or users"
    ),
    "no largest batch": Case(f"{BPR} view.largest_batch=0", "view.largest_batch=0"),
    "unknown windows": Case(f"{SAS} view.windows=all", "view.windows=all: expected one of"),
    "no length": Case(f"{SAS} view.length=0", "view.length=0"),
    "a view of another family": Case(
        f"{SAS} view=rows", "view: its batches are Rows, and SASRec learns from Sequences"
    ),
    "a view that needs another model": Case(
        f"{DAE} view=sequences", "Interpolation key 'model.length' not found"
    ),
    "a view's options of another": Case(
        f"{RATINGS} view=pairs", "view.shuffle=False: PairView has no such option, but batch_size, "
    ),
    "a view that is no class": Case(f"{RATINGS} view._target_=nowhere.View", "nowhere"),
    "a callback that is no class": Case(
        f"{DAE} +callbacks.stop._target_=lightning.Stop", "lightning"
    ),
    "a callback's option": Case(f"{DAE} +callbacks.progress_bar.speed=2", "speed"),
    "a callback of nothing": Case(f"{DAE} +callbacks.stop=1", "callbacks.stop=1: expected a class"),
    "a logger of nothing": Case(f"{DAE} +logger.mine=1", "logger.mine=1: expected a class"),
    "a mode of W&B": Case(
        f"{RATINGS} logger=wandb logger.wandb.mode=foo", "logger.wandb.mode=foo: expected"
    ),
    "tags of W&B in no list": Case(
        f"{RATINGS} logger=wandb logger.wandb.mode=offline logger.wandb.tags=a",
        "logger.wandb.tags=a: expected a list",
    ),
    "no server of MLflow": Case(
        f"{RATINGS} logger=mlflow logger.mlflow.tracking_uri=nowhere://a",
        "logger.mlflow.tracking_uri=nowhere://a",
    ),
    "files for MLflow in no list": Case(
        f"{RATINGS} logger=mlflow logger.mlflow.artifacts=result.json",
        "logger.mlflow.artifacts=result.json: expected a list",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line(name, tmp_path):
    refused(CASES[name], tmp_path)
