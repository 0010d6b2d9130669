"""Multiruns: grids, lists of jobs, searches, and the ensembles at their end."""

import pytest

from tests.bad_input.case import RATINGS, Case, refused

POP = f"-m {RATINGS} model=popularity"
OPTUNA = f"-m {RATINGS} model=ease hydra/sweeper=optuna"
CASES = {
    "an unknown model in a grid": Case(
        f"-m {RATINGS} model=ease,eas", "model=eas: expected one of"
    ),
    "an option of one of several models": Case(
        f"-m {RATINGS} model=ease,popularity model.l2=1,2",
        "model.l2: no such key in model=popularity; options of some alone go in a list of jobs",
    ),
    "an unknown key in a grid": Case(f"{POP} model.l9=1,2", "model.l9: no such key"),
    "jobs of text": Case(f"{POP} jobs=ease", "jobs: 'ease': expected a list of lines"),
    "a job of an unknown model": Case(
        f'-m {RATINGS} \'jobs=["model=ease","model=eas"]\'', "jobs, line 2 (model=eas)"
    ),
    "a job of a number": Case(f"-m {RATINGS} 'jobs=[1]'", "jobs, line 1 (1): expected text"),
    "a job of an unknown key": Case(
        f"-m {RATINGS} 'jobs=[\"model=ease model.l9=3\"]'", "jobs, line 1|l9"
    ),
    "a job with a quote left open": Case(
        f"-m {RATINGS} \"jobs=['model=ease data.path=\\\\'a']\"",
        "jobs, line 1|No closing quotation",
    ),
    "a job's Hydra": Case(
        f"-m {RATINGS} 'jobs=[\"model=ease hydra.run.dir=a\"]'", "belongs to all jobs"
    ),
    "no trials": Case(
        f"{OPTUNA} hydra.sweeper.n_trials=0 'model.l2=interval(1,9)'",
        "hydra.sweeper.n_trials=0: expected a whole number",
    ),
    "no trial at once": Case(
        f"{OPTUNA} hydra.sweeper.n_jobs=0 'model.l2=interval(1,9)'", "hydra.sweeper.n_jobs=0"
    ),
    "another direction": Case(
        f"{OPTUNA} hydra.sweeper.direction=minimize 'model.l2=interval(1,9)'",
        "hydra.sweeper.direction=minimize: expected maximize",
    ),
    "an unknown sampler": Case(
        f"{OPTUNA} hydra/sweeper/sampler=bayes 'model.l2=interval(1,9)'",
        "hydra/sweeper/sampler=bayes: expected one of",
    ),
    "an unknown launcher": Case(
        f"-m {RATINGS} hydra/launcher=gpu", "hydra/launcher=gpu: expected one of"
    ),
    "a search of an unknown key": Case(f"{OPTUNA} 'model.l9=interval(1,9)'", "model.l9"),
    "a search of nothing": Case(f"{OPTUNA}", "there is nothing to search"),
    "a search turned around": Case(
        f"{OPTUNA} 'model.l2=interval(9,1)'", "model.l2=interval(9,1): Optuna refuses the space"
    ),
    "a logarithm of 0": Case(
        f"{OPTUNA} 'model.l2=tag(log, interval(0, 9))'",
        "model.l2=tag(log, interval(0, 9)): Optuna refuses the space",
    ),
    "a search without validation": Case(
        f"{OPTUNA} holdout.valid_items=0 'model.l2=interval(1,9)'", "monitor"
    ),
    "a search by an unknown metric": Case(
        f"{OPTUNA} monitor=val/recal@10 'model.l2=interval(1,9)'", "monitor=val/recal@10"
    ),
    "a storage that there is not": Case(
        f"{OPTUNA} hydra.sweeper.storage=nowhere://x 'model.l2=interval(1,9)'",
        "hydra.sweeper.storage",
    ),
    "a damaged journal": Case(
        f"{OPTUNA} 'model.l2=interval(1,9)'",
        "sweep/study.journal",
        {"sweep/study.journal": "{}\nnonsense\n{}\n"},
    ),
    "a journal that was cut": Case(
        f"{OPTUNA} 'model.l2=interval(1,9)'",
        "sweep/study.journal: its last line is not whole; remove the file",
        {"sweep/study.journal": '{"op_code":0,"worker_id":"a","study_na'},
    ),
    "another file for a journal": Case(
        f"{OPTUNA} hydra.sweeper.storage=log.jsonl 'model.l2=interval(1,9)'",
        "log.jsonl: is no journal of Optuna",
        {"log.jsonl": '{"user": 1}\n'},
    ),
    "an unknown fusion": Case(
        f"{POP},ease ensemble=rank ensemble.fusion=votes",
        "ensemble.fusion=votes: expected one of rank",
    ),
    "an unknown way to weights": Case(
        f"{POP},ease ensemble=rank ensemble.weights=bayes",
        "ensemble.weights=bayes: expected one of best",
    ),
    "weights in a list": Case(
        f"{POP},ease ensemble=rank ensemble.weights=[1,2]", "ensemble.weights=[1, 2]"
    ),
    "no depth": Case(f"{POP},ease ensemble=rank ensemble.depth=0", "ensemble.depth=0"),
    "an unknown metric of an ensemble": Case(
        f"{POP},ease ensemble=rank ensemble.metric=recal@10", "ensemble.metric=recal@10"
    ),
    "kinds in no list": Case(
        f"{POP},ease ensemble=rank ensemble.by=length", "ensemble.by=length: expected a list"
    ),
    "seeds of an ensemble": Case(
        f"{POP},ease ensemble=rank ensemble.seeds=mean",
        "ensemble.seeds=mean: expected separate or average",
    ),
    "a mixer of text": Case(
        f"{POP},ease ensemble=rank ensemble.mixer=maybe",
        "ensemble.mixer=maybe: expected true or false",
    ),
    "an unknown ensemble": Case(
        f"{POP},ease ensemble=stack",
        "ensemble=stack: expected one of bag, contest, none, rank",
    ),
    "a fusion of a bag": Case(
        f"{POP} ensemble=bag holdout.seed=0,1 ensemble.fusion=votes", "ensemble.fusion=votes"
    ),
    "a number to keep": Case(
        f"{POP},ease sweep.keep=all", "sweep.keep=all: expected a whole number"
    ),
    "a failure to be fast": Case(
        f"{POP},ease sweep.fail_fast=maybe", "sweep.fail_fast=maybe: expected true or false"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line(name, tmp_path):
    refused(CASES[name], tmp_path)
