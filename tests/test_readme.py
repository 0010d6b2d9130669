"""Every command that a README shows is run here, or composed, or says why not."""

import json
import re
import shlex

import numpy as np
import pandas as pd
import pytest
import yaml
from hydra.errors import HydraException

from experiments.seventeen_ml1m.table import of_the_defaults
from tests.command import ROOT
from tests.forked import forked_python
from tests.shell import check, commands_of, expanded

BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BETWEEN_BACKTICKS = re.compile(r"`((?:python|make|pip) [^`]+)`")


def shown_in(path):
    """The commands in the blocks of a README, and the text around these."""
    text = path.read_text()
    return commands_of("".join(BLOCK.findall(text))), BLOCK.sub("", text)


SHOWN, AROUND = shown_in(ROOT / "README.md")
SHOWN += [shlex.split(span) for span in BETWEEN_BACKTICKS.findall(AROUND)]

STUDIES = (ROOT / "experiments").glob("*/README.md")

# run, in this order, with what makes it small or says where
FIRST = "outputs/ease/2026-11-24_10-00-00"
RUN = {
    "python run.py data=files data.path=ratings.csv": [f"hydra.run.dir={FIRST}"],
    f"python run.py ckpt_path={FIRST} 'recommend.users=[7,30]'": [],
    f"python run.py -m ckpt_path={FIRST} model.recency=0,1,2": [],
    f"python run.py ckpt_path={FIRST} data.path=more.csv holdout=none": [],
    f"python run.py ckpt_path={FIRST} data.path=more.csv holdout=none refit=true": [],
    "python run.py data=files data.path=log.tsv data.user_column=uid data.item_column=sku "
    "data.items=items.csv data.title_column=name": [],
    "python run.py holdout=files holdout.train=a.csv holdout.valid=b.csv holdout.test=c.csv": [],
    "python run.py --help": [],
    "python run.py -m model=popularity,ease,admm_slim": [
        *("data=files", "data.path=ratings.csv", "hydra.sweep.dir=multirun/a"),
    ],
    "python run.py --config-dir multirun/a +best=ease": [],
    "python run.py -m ensemble=rank model=ease,admm_slim,recvae": [
        *("data=files", "data.path=ratings.csv", "hydra.sweep.dir=multirun/b", "max_epochs=1"),
    ],
    "python -m recsys_lightning.ensemble multirun/a multirun/b --out ensembles/ab": [],
    "python -m recsys_lightning.ensemble multirun/a lists/theirs --out ensembles/mixed": [],
    "python -m recsys_lightning.evaluate lists.csv --split data/splits/... --against "
    "multirun/a/1_ease": [],
    "make check-submission FILE=multirun/b/submission.csv TEMPLATE=sample_submission.csv": [],
    "make leaderboard RUNS='outputs multirun/a' OUT=folder": [],
}
FETCHED = "its data is fetched"
SEARCH = "30 or 40 trials: tests/sweeps/test_sweep.py"
# composed only
COMPOSED = {
    "python run.py": "the real data: tests/test_run.py",
    "make run": "the real data: tests/test_run.py",
    "python run.py model=admm_slim model.l1=5 data=movielens_1m": FETCHED,
    "python run.py -m model=ease,admm_slim seed=1,2,3": "a grid as the one that is run",
    "python run.py sweep=ease hydra.sweep.dir=multirun/ease": SEARCH,
    "python run.py -m model=multi_vae hydra/sweeper=optuna hydra/sweeper/pruner=median "
    "hydra.sweeper.n_trials=40 'model.beta=tag(log, interval(0.01, 1.0))' "
    "'model.hidden_dims=choice([200],[600])'": SEARCH,
    "python run.py logger=wandb": "tests/tracking/test_trackers.py",
    "python run.py 'logger=[csv,mlflow]' logger.mlflow.tracking_uri=http://127.0.0.1:5000": (
        "needs a server: tests/tracking/test_trackers.py"
    ),
    "python run.py sweep=holdouts model=ease refit=false ensemble=bag": (
        "five runs: tests/ensemble/test_bag.py"
    ),
    "python run.py -m experiment=contest data=competition data.path=...": (
        "its data is not public: tests/test_experiments.py"
    ),
    "make submission": "five models on real data: tests/test_experiments.py",
    'make sweep MODELS="ease recvae" SWEEP=multirun/all ARGS="data=movielens_1m"': FETCHED,
    "make dashboard SWEEP=multirun/all/ease": "serves a page until it is interrupted",
    "make test": "is what runs this",
    "make test-ray": "makes an environment of its own",
    "make help": "prints the comments of the Makefile",
}
# neither
LEFT_OUT = {
    "pip install -c requirements.lock -e '.[demo,html]'": "as `make install` does, before any test",
    "python run.py model=recvae hydra.run.dir=outputs/mine ckpt_path=last": (
        "needs an interrupted fit: tests/test_interruption.py"
    ),
    "wandb sweep --project recsys_lightning conf/wandb_sweep/recvae.yaml": (
        "needs W&B's server: tests/tracking/test_trackers.py runs the command of its agents"
    ),
    "python run.py --config-dir my_conf model=mine": "tests/contracts/test_new_model.py has one",
    "python -m recsys_lightning.evaluate": "names the command that a block shows",
    "python -m recsys_lightning.report": "names the command of `make leaderboard`",
}


def test_every_command_of_the_readme_is_run_or_composed_or_says_why_not():
    covered = map(shlex.split, (*RUN, *COMPOSED, *LEFT_OUT))
    assert sorted(map(shlex.join, covered)) == sorted(set(map(shlex.join, SHOWN)))
    for reason in (*COMPOSED.values(), *LEFT_OUT.values()):
        for file in re.findall(r"tests/[\w/]+\.py", reason):
            assert (ROOT / file).is_file(), reason


def write_data(folder):
    """What the commands read: 60 users with 45 of 80 items each, in several forms."""
    rng = np.random.default_rng(0)
    rows = [(u, i) for u in range(1, 61) for i in rng.permutation(80)[:45]]
    ratings = pd.DataFrame(rows, columns=["user", "item"])
    ratings.assign(time=np.arange(len(rows))).to_csv(folder / "ratings.csv", index=False)
    newcomers = ratings[ratings.user <= 3].assign(user=ratings.user + 100)
    more = pd.concat([ratings, newcomers], ignore_index=True)
    more.assign(time=np.arange(len(more))).to_csv(folder / "more.csv", index=False)
    named = ratings.rename(columns={"user": "uid", "item": "sku"})
    named.to_csv(folder / "log.tsv", sep="\t", index=False)
    items = pd.DataFrame({"sku": np.arange(80), "name": [f"item {i}" for i in range(80)]})
    items.to_csv(folder / "items.csv", index=False)
    place = ratings.groupby("user").cumcount()
    for file, part in (("a", place < 25), ("b", place.between(25, 34)), ("c", place > 34)):
        ratings[part].to_csv(folder / f"{file}.csv", index=False)
    ratings.drop_duplicates("user").to_csv(folder / "sample_submission.csv", index=False)


def write_lists(folder):
    """The lists of a run as another program would write them."""
    (folder / "lists/theirs").mkdir(parents=True)
    for stage in ("valid", "test", "final"):
        lists = pd.read_parquet(folder / f"multirun/a/1_ease/candidates/{stage}.parquet")
        lists.drop(columns="score").to_csv(folder / f"lists/theirs/{stage}.csv", index=False)
    (folder / "lists/theirs/valid.csv").rename(folder / "lists.csv")
    (folder / "lists/theirs/valid.csv").write_bytes((folder / "lists.csv").read_bytes())


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """What each command of RUN gave, one after another in a folder."""
    folder, results = tmp_path_factory.mktemp("readme"), {}
    (folder / "run.py").symlink_to(ROOT / "run.py")
    write_data(folder)
    for command, more in RUN.items():
        if "lists/theirs" in command:
            write_lists(folder)
        words = [*shlex.split(command), *more]
        if words[0] == "make":
            [[_, *words[1:]]] = expanded(words)
        if "data/splits/..." in words:
            result = json.loads((folder / FIRST / "result.json").read_text())
            words[words.index("data/splits/...")] = result["split_files"]
        results[command] = forked_python(*words[1:], cwd=folder)
    return results


@pytest.mark.parametrize("command", RUN)
def test_a_command_of_the_readme_runs(command, done):
    assert done[command].returncode == 0, done[command].stdout + done[command].stderr


@pytest.mark.parametrize("command", COMPOSED)
def test_a_command_of_the_readme_would_start(command):
    check(shlex.split(command))


@pytest.mark.parametrize("study", sorted(path.parent.name for path in STUDIES))
def test_the_commands_of_a_study_would_start(study):
    commands, _ = shown_in(ROOT / "experiments" / study / "README.md")
    assert commands
    for command in commands:
        check(command)


@pytest.mark.parametrize(
    "command",
    [
        *("make runn", "make run ARGS=model=eas", "python run.py -m model=ease,eas"),
        *("python run.py model.l3=1", "python run.py experiment=contest jobs=[model=eas]"),
        *("python -m recsys_lightning.report", "python -m experiments.seventeen_ml1m.rows x"),
        *("python -m recsys_lightning.reprt x", "python experiments/row.py x", "pythn run.py"),
    ],
)
def test_what_would_not_start_is_seen(command):
    with pytest.raises((AssertionError, ValueError, HydraException, OSError, ImportError)):
        check(shlex.split(command))


def test_the_jobs_list_of_the_readme_composes():
    [text] = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    for line in yaml.safe_load(text)["jobs"]:
        check(["python", "run.py", "-m", *shlex.split(line)])


def test_the_figures_of_the_readme_are_those_of_the_runs():
    [table] = re.findall(r"^\| .*`hybrid`.*\n\|---.*\n((?:\|.*\n)+)", AROUND, re.MULTILINE)
    runs = of_the_defaults()
    for line in table.splitlines():
        name, *figures = (cell.strip() for cell in line.strip("|").split("|"))
        of_model = runs[runs.model == name.lower().replace("-", "_")]
        means = of_model.groupby("holdout")[["recall@10", "fit s"]].mean()
        recall = [f"{means['recall@10'][kind]:.3f}"[1:] for kind in ("random", "hybrid", "last")]
        assert figures == [*recall, f"{means['fit s']['hybrid']:,.0f}"], name
