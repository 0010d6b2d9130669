"""A password in an address reaches who needs it, and no file, no tracker and no screen."""

import json
import os

import pytest
import yaml
from omegaconf import OmegaConf

from recsys_lightning.runs.secrets import VARIABLE, hide, hide_in_files, mask, masked
from recsys_lightning.sweeps.end import hide_passwords
from tests.forked import forked_python
from tests.test_configs import composed

PASSWORD = "s3cr3t-w0rd"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith(VARIABLE)]:
        monkeypatch.delenv(name)
    yield
    for name in [name for name in os.environ if name.startswith(VARIABLE)]:
        del os.environ[name]


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("http://me:PW@host:5000/path", "pw"),
        ("postgresql+psycopg2://me:PW@host/db?connect_timeout=10", "pw"),
        ("mysql://:PW@host", "pw"),
        ("http://me:PW@host", "12345"),
        ("http://me:PW@host", "with@an@at"),
        ("http://me:PW@host", "with/a/slash"),
        ("http://me:PW@host", "percent%40%2F"),
        ("sqlite:///file:a.db?uri=true&password=PW&x=1", "pw"),
        ("'http://me:PW@host', and another.", "pw"),
        ("http://me:PW@host\nhttp://you@host:80/a@b", "pw"),
    ],
)
def test_passwords_are_masked_and_hidden_and_read_again(text, password):
    whole = text.replace("PW", password)
    assert mask(whole) == text.replace("PW", "***")
    hidden = hide(whole)
    assert password not in hidden
    assert hide(hidden) == hidden
    assert OmegaConf.create({"x": hidden}).x == whole


@pytest.mark.parametrize(
    "text",
    [
        *("http://127.0.0.1:5000", "http://host:5000/a@b", "sqlite:///mlflow.db", "val/recall@10"),
        *("s3://bucket/x@y", "http://me@host/x", "https://host/?q=1", "a: b@c.org", "model.l2=3"),
    ],
)
def test_other_texts_stay(text):
    assert mask(text) == hide(text) == text


def test_equal_passwords_share_a_variable_and_others_do_not():
    hidden = hide("http://a:one@x http://b:two@x http://c:one@y")
    assert [os.environ[f"{VARIABLE}{n}"] for n in (1, 2)] == ["one", "two"]
    assert hidden.count(f"{VARIABLE}1") == 2
    assert f"{VARIABLE}3" not in os.environ


def test_a_composed_configuration_is_hidden_in_place_wherever_it_stands():
    address = f"http://me:{PASSWORD}@host"
    cfg = composed(
        *("sweep=ease", f"hydra.sweeper.storage='{address}'", f"+logger.x.uri='{address}'"),
        f"+more=[a,{{b: '{address}'}}]",
    )
    hide_passwords(cfg)
    assert PASSWORD not in OmegaConf.to_yaml(cfg)
    assert cfg.logger.x.uri == cfg.hydra.sweeper.storage == cfg.more[1].b == address


def test_files_of_hydra_are_hidden_and_stay_yaml(tmp_path):
    content = {"uri": f"http://me:{PASSWORD}@host:5000", "overrides": [f"a=x://:{PASSWORD}@h"]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    hide_in_files(tmp_path)
    text = (tmp_path / "config.yaml").read_text()
    assert PASSWORD not in text
    assert OmegaConf.to_container(OmegaConf.create(text), resolve=True) == content
    assert masked(content)["overrides"] == ["a=x://:***@h"]


def written_with(folder, password):
    """The files below a folder that hold a text."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [str(path) for path in files if password.encode() in path.read_bytes()]


SMALL = (
    *("data=synthetic", "data.num_users=200", "data.num_items=100", "data.num_interactions=6000"),
    *("data.min_per_user=20", "trainer.enable_progress_bar=false"),
)
OWN = """# @package _global_
defaults:
  - override /logger: [csv, tensorboard, mlflow]
logger:
  mlflow:
    tracking_uri: sqlite:///file:{}/mlflow.db?uri=true&password={}
"""


def test_a_search_writes_no_password(tmp_path):
    """Of Optuna's storage, on the command line, and of MLflow's, in a file of the user's own."""
    (own := tmp_path / "own/experiment/own.yaml").parent.mkdir(parents=True)
    own.write_text(OWN.format(tmp_path, PASSWORD))
    storage = f"sqlite:///file:{tmp_path}/study.db?uri=true&password={PASSWORD}"
    done = forked_python(
        *("run.py", "--config-dir", str(own.parent.parent), *SMALL),
        *("experiment=own", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "max_epochs=2"),
        *("model=multi_dae", "seed=choice(1,2)", "view.batch_size=50"),
        *("hydra/launcher=joblib", "hydra.launcher.n_jobs=1", "hydra/sweeper/pruner=median"),
        "hydra.mode=MULTIRUN",
        *(f"hydra.sweep.dir={tmp_path}/sweep", f"hydra.sweeper.storage='{storage}'"),
        *(f"data.cache_dir={tmp_path}/cache", f"split_dir={tmp_path}/splits"),
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for database in ("study.db", "mlflow.db"):  # the passwords were given to who needs them
        assert (tmp_path / database).stat().st_size
    runs = [path.name for path in (tmp_path / "sweep").glob("*_multi_dae")]
    assert len(runs) == 2
    assert {"multirun.yaml", "report.html"} <= set(os.listdir(tmp_path / "sweep"))
    own.unlink()
    assert written_with(tmp_path, PASSWORD) == []
    assert PASSWORD not in done.stdout + done.stderr
    result = json.loads((tmp_path / "sweep" / runs[0] / "result.json").read_text())
    assert result["config"]["logger"]["mlflow"]["tracking_uri"].endswith("password=***")
