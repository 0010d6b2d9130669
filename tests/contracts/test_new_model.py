"""A model of one's own: one module and one YAML, beside the repository, and no other file."""

import inspect
import os
import sys

import pytest
from hydra import compose, initialize_config_dir

from recsys_lightning.data.holdout import RandomHoldout
from tests.command import run, true_python
from tests.conftest import run_experiment, two_tastes, with_features
from tests.models import test_contract as contract
from tests.models.toys import ToyCounts
from tests.test_run import SMALL

IMPORT = "from recsys_lightning.families.closed_form import ClosedForm\n\n\n"
MODULE = IMPORT + inspect.getsource(ToyCounts).replace("ToyCounts", "Counts")
YAML = """# python run.py --config-dir conf model=my_counts
defaults: [/family@_global_: closed_form, _self_]
_target_: my_counts.Counts
"""
FAMILY = """# chosen by a model file
defaults:
  - closed_form
eval_batch_size: 16
"""


@pytest.fixture
def conf(tmp_path, monkeypatch):
    (tmp_path / "my_counts.py").write_text(MODULE)
    for name, text in (("model/my_counts", YAML), ("family/towers", FAMILY)):
        file = tmp_path / f"conf/{name}.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_counts", raising=False)
    return tmp_path / "conf"


def test_it_passes_the_contract_tests(conf, tmp_path, monkeypatch):
    case = contract.case_of("my_counts", f"hydra.searchpath=[file://{conf}]")
    split = RandomHoldout(valid_items=2, test_items=2).split(with_features(two_tastes()))
    fitted = case, split, tmp_path / "fitted", contract.fit(case, split, tmp_path / "fitted")
    of_three_epochs = contract.after_three_epochs(case, split, tmp_path / "three")
    tests = [test for name, test in vars(contract).items() if name.startswith("test_")]
    for number, test in enumerate(tests):
        given = {"fitted": fitted, "tmp_path": tmp_path / str(number), "monkeypatch": monkeypatch}
        given["of_three_epochs"] = of_three_epochs
        test(**{name: given[name] for name in inspect.signature(test).parameters})
    assert len(tests) > 8


def test_the_command_runs_it(conf, tmp_path):
    done = run(
        *("--config-dir", str(conf), *SMALL, "model=my_counts", "trainer.accelerator=cpu"),
        folder=tmp_path / "run",
        python=true_python,  # for its path
        PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    )
    assert done.result["metrics"]["val/recall@10"] > 0.05


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("solve", r"Counts has no solve\(\): write it"),
        ("score", r"Counts has no score\(query\) -> \(B, I\): write it"),
        ("self.register_weight(num_items)", "Counts: call self.register_weight in __init__"),
    ],
)
def test_what_is_missing_is_named(method, message, conf, tmp_path):
    text = MODULE.replace(f"def {method}", "def other").replace(f"{method}\n", "pass\n")
    (tmp_path / "my_counts.py").write_text(text)
    case = contract.case_of("my_counts", f"hydra.searchpath=[file://{conf}]")
    split = RandomHoldout(valid_items=2, test_items=2).split(two_tastes())
    with pytest.raises((TypeError, NotImplementedError), match=message):
        run_experiment(tmp_path / "run", split, case.model)


def test_a_family_lowers_the_evaluation_batch_and_the_command_line_wins(conf):
    file = conf / "model/my_counts.yaml"
    file.write_text(YAML.replace("closed_form", "towers"))
    with initialize_config_dir(str(contract.CONF), version_base="1.3"):
        for given, size in (([], 16), (["eval_batch_size=7"], 7)):
            overrides = ["model=my_counts", f"hydra.searchpath=[file://{conf}]", *given]
            config = compose("config", overrides=overrides)
            assert (config.eval_batch_size, config.refit) == (size, True)
