"""One name, four places: conf/model/x.yaml, models/x.py, its class, and a row of the README."""

import re
from pathlib import Path

import pytest
import yaml

from recsys_lightning import models

ROOT = Path(__file__).parent.parent
NAMES = sorted(path.stem for path in (ROOT / "conf/model").glob("*.yaml"))


def test_files_and_configurations_agree():
    files = {path.stem for path in Path(models.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == set(NAMES)


def test_the_readme_lists_exactly_these():
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert sorted(set(rows) & set(NAMES)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_class_is_named_like_the_file(name):
    target = yaml.safe_load((ROOT / f"conf/model/{name}.yaml").read_text())["_target_"]
    module, _, cls = target.rpartition(".")
    assert module == f"recsys_lightning.models.{name}"
    assert cls.lower() == name.replace("_", "")
