"""Options of every group: the run's own, metrics, trainer, view, callbacks, logger, Hydra."""

import pytest

from tests.bad_input.case import RATINGS, Case, refused

DAE = f"{RATINGS} model=multi_dae max_epochs=1"
BPR = f"{RATINGS} model=mf_bpr max_epochs=1"
SAS = f"{RATINGS} model=sasrec max_epochs=1"
CASES = {
    "an unknown key": Case(
        "nokey=3", "nokey: no such key; the configuration has average_weights, callbacks, "
    ),
    "an unknown key below": Case(
        "recommend.n=3", "recommend.n: no such key; recommend has candidates, k, users"
    ),
    "a key that is elsewhere": Case(
        "model=multi_dae lr=0.1",
        "lr: no such key; there is model.lr; the configuration has average_weights, callbacks, ",
    ),
    "an unknown group of keys": Case(
        "a.b.c=3", "a: no such key; the configuration has average_weights, callbacks, "
    ),
    "a key below none": Case("jobs.x=3", "jobs.x: no such key: jobs is None"),
    "a plus too much": Case("+seed=3", "+seed: there is such a key; leave out the +"),
    "a dash": Case("--seed=3", "--seed=3: options have no dashes: seed=3"),
    "two dashes and a model": Case(
        "--model ease", "--model: options have no dashes: model=<value>"
    ),
    "options on both sides of a flag": Case(
        "seed=3 --config-dir conf model=ease",
        "model=ease: another option stands before a flag: first all flags, such as -m and ",
    ),
    "a colon": Case("seed:3", "seed:3: expected key=value"),
    "an unknown group": Case("models=ease", "models: no such key"),
    "an unknown experiment": Case("experiment=mine", "experiment=mine: expected one of contest"),
    "an unknown logger": Case(
        "logger=wandbs", "logger=wandbs: expected one of csv, mlflow, none, tensorboard, wandb"
    ),
    "an unknown logger of several": Case(
        "logger=[csv,tensorbord]",
        "logger=tensorbord: expected one of csv, mlflow, none, tensorboard, wandb",
    ),
    "a comma for a point": Case(
        "model.l2=0,5",
        "model.l2=0,5: several values are several runs, with -m; a list is model.l2=[0,5], and a "
        "decimal number has a point",
    ),
    "a list with a blank and without quotes": Case(
        "metrics.k=[10, 20]",
        "metrics.k=[10,: no ] in this argument: a list with blanks has quotes around it all",
    ),
    "a missing value": Case(
        f"{RATINGS} model.l2=???", "model.l2=???: a value is missing; give it on the command line"
    ),
    "an interpolation of nothing": Case(f"{RATINGS} seed=${{nothing}}", "nothing"),
    "a seed of text": Case(f"{RATINGS} seed=abc", "seed=abc: expected a whole number in [0, "),
    "a negative seed": Case(f"{RATINGS} seed=-1", "seed=-1"),
    "a seed that is too large": Case(
        f"{RATINGS} seed=99999999999999999999", "seed=99999999999999999999"
    ),
    "no epoch": Case(f"{DAE} max_epochs=0", "max_epochs=0: expected at least 1"),
    "half an epoch": Case(f"{DAE} max_epochs=1.5", "max_epochs=1.5"),
    "epochs of null": Case(f"{DAE} max_epochs=null", "max_epochs"),
    "epochs without end": Case(f"{DAE} max_epochs=-1 patience=null", "max_epochs=-1"),
    "no patience": Case(
        f"{DAE} patience=0", "patience=0: expected a whole number in [1, inf) or null"
    ),
    "a refit of text": Case(f"{DAE} refit=maybe", "refit=maybe: expected true or false"),
    "an average of a number": Case(
        f"{DAE} average_weights=0.999", "average_weights=0.999: expected true or false"
    ),
    "no cut-off": Case(
        f"{RATINGS} metrics.k=[]", "metrics.k=[]: expected a list of numbers, like [10, 20]"
    ),
    "a cut-off of 0": Case(
        f"{RATINGS} metrics.k=[0]", "metrics.k=0: expected a whole number, 1 or more"
    ),
    "a cut-off in no list": Case(f"{RATINGS} metrics.k=5", "metrics.k=5: expected a list"),
    "a cut-off of text": Case(f"{RATINGS} metrics.k=[ten]", "metrics.k=ten"),
    "a cut-off beyond the lists": Case(
        f"{RATINGS} metrics.k=[200]", "metrics.k=[200]: 200 is more than the 60 items there are"
    ),
    "a monitor at another cut-off": Case(
        f"{RATINGS} monitor=val/recall@7", "monitor=val/recall@7: expected one of val/recall@10"
    ),
    "a monitor of the test": Case(
        f"{RATINGS} monitor=test/recall@10", "monitor=test/recall@10: expected one of val/"
    ),
    "a monitor of null": Case(f"{RATINGS} monitor=null", "monitor=None: expected one of"),
    "no recommendation": Case(
        f"{RATINGS} recommend.k=0", "recommend.k=0: expected a whole number in [1, inf)"
    ),
    "fewer candidates": Case(
        f"{RATINGS} recommend.candidates=5",
        "recommend.candidates=5: expected a whole number in [10, 32767]",
    ),
    "more than there are items": Case(f"{RATINGS} recommend.k=100", "recommend.k=100"),
    "an unknown user to show": Case(f"{RATINGS} recommend.users=[99999]", "recommend.users|99999"),
    "a user in no list": Case(f"{RATINGS} recommend.users=7", "recommend.users=7: expected a list"),
    "no user a query": Case(
        f"{RATINGS} eval_batch_size=0", "eval_batch_size=0: expected a whole number in [1, inf)"
    ),
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
    "a half precision of everything": Case(
        f"{RATINGS} trainer.precision=bf16-true",
        "trainer.precision=bf16-true: counts and metrics need 32 bits; expected 32-true",
    ),
    "more candidates than a rank can count": Case(
        f"{RATINGS} recommend.candidates=40000", "recommend.candidates=40000: expected a whole"
    ),
    "clipping for two optimisers": Case(
        f"{RATINGS} model=multi_cdae max_epochs=1 trainer.gradient_clip_val=1",
        "trainer, with MultiCDAE: Automatic gradient clipping is not supported",
    ),
    "no device": Case(f"{RATINGS} trainer.devices=0", "`Trainer(devices=0)`"),
    "a device of text": Case(
        f"{RATINGS} trainer.devices=many", "trainer: Lightning refuses its options: `devices`"
    ),
    "an unknown accelerator": Case(f"{RATINGS} trainer.accelerator=cuda:0", "trainer|cuda:0"),
    "an option that Lightning has not": Case(
        f"{RATINGS} +trainer.max_hours=1", "unexpected keyword argument 'max_hours'"
    ),
    "a negative norm": Case(
        f"{DAE} trainer.gradient_clip_val=-1", "trainer.gradient_clip_val=-1: expected a number"
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
        "the fit ended before an epoch was validated",
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
        "the fit ended before an epoch was validated: give it more epochs, steps or time",
    ),
    "a trainer's logger": Case(f"{DAE} +trainer.logger=csv", "trainer.logger"),
    "no row": Case(
        f"{DAE} view.batch_size=0", "view.batch_size=0: expected a whole number in [1, inf) or null"
    ),
    "a shuffle of text": Case(
        f"{DAE} view.shuffle=maybe", "view.shuffle=maybe: expected true or false"
    ),
    "no negative": Case(f"{BPR} view.negatives=0", "view.negatives=0"),
    "a negative power": Case(f"{BPR} view.negative_power=big", "view.negative_power=big"),
    "unknown pairs": Case(
        f"{BPR} view.pairs=items", "view.pairs=items: expected interactions or users"
    ),
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
    "a callback of nothing": Case(f"{DAE} +callbacks.stop=1", "callbacks.stop=1: expected a class"),
    "a logger of nothing": Case(f"{DAE} +logger.mine=1", "logger.mine=1: expected a class"),
    "a mode of W&B": Case(
        f"{RATINGS} logger=wandb logger.wandb.mode=foo", "logger.wandb.mode=foo: expected"
    ),
    "tags of W&B in no list": Case(
        f"{RATINGS} logger=wandb logger.wandb.mode=offline logger.wandb.tags=a",
        "logger.wandb.tags=a: expected a list",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line(name, tmp_path):
    refused(CASES[name], tmp_path)
