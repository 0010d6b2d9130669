"""The recipes of CONTRIBUTING.md, followed to the letter on a copy of the tree."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from textwrap import dedent

import pytest

from tests.command import ROOT, true_python

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
RECIPES = dict(re.findall(r"^## (Add .*?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))


@pytest.fixture
def tree(tmp_path):
    """What git would check out of the working tree."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in done.stdout.splitlines():
        if not name.startswith(("experiments/", "notebooks/")) and (ROOT / name).exists():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def follow(recipe, tree):
    """Write what the recipe shows where it says, and return its commands."""
    for fence in FENCE.finditer(recipe):
        language, content = fence[2], dedent(fence[3])
        if language == "bash":
            return content.splitlines()
        if language == "markdown":  # a row below the table's last
            readme = tree / "README.md"
            last = re.findall(r"^\| `\w+` \|.*\n(?=\n)", readme.read_text(), re.MULTILINE)[0]
            readme.write_text(readme.read_text().replace(last, last + content))
        else:
            path = re.findall(r"`([\w/]+\.(?:py|yaml))`", recipe[: fence.start()])[-1]
            assert not (tree / path).exists(), path
            (tree / path).write_text(content)
    raise AssertionError("no command")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_works_as_it_stands(name, tree):
    environment = os.environ | {"PYTHONPATH": str(tree)}
    for command in follow(RECIPES[name], tree):
        python, *arguments = shlex.split(command)
        assert python == "python"
        done = true_python(*arguments, cwd=tree, env=environment)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    own = [sys.executable, "-m", "ruff", "check", "recsys_lightning", "tests/models"]
    done = subprocess.run(own, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
