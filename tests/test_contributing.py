"""The recipes of CONTRIBUTING.md, all followed to the letter on one copy of the tree."""

import json
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
FENCE = re.compile(r"^( *)(`{3,4})(\w+)\n(.*?)^ *\2$", re.MULTILINE | re.DOTALL)
WHERE = re.compile(r"`([\w/]+\.(?:py|yaml|md))`|`(## \w+)`")  # a file, or a table of the README
RECIPES = dict(re.findall(r"^## (Add .*?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
PACKAGES = ("recsys_lightning", "tests")
IN_FORKS = """
import json, sys
from pathlib import Path
from tests.forked import forked_python
for arguments in json.loads(sys.argv[1]):
    file = arguments.pop() if ">" in arguments else None
    done = forked_python(*[word for word in arguments if word != ">"])
    if file:
        Path(file).write_text(done.stdout)
    print(json.dumps([done.returncode, done.stdout + done.stderr]))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """What git would check out of the working tree, with what Python and numba have compiled."""
    folder = tmp_path_factory.mktemp("tree")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    compiled = [path for name in PACKAGES for path in (ROOT / name).glob("**/__pycache__/*")]
    for path in [*(ROOT / name for name in done.stdout.splitlines()), *compiled]:
        if path.exists():
            copy = folder / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)  # with its time, by which what was compiled is known
    return folder


def follow(recipe, tree):
    """Write what the recipe shows where it says."""
    for fence in FENCE.finditer(recipe):
        language, content = fence[3], dedent(fence[4])
        if language == "bash":
            return
        name, heading = WHERE.findall(recipe[: fence.start()])[-1]
        path = tree / (name or "README.md")
        if heading:
            _, section = path.read_text().split(f"\n{heading}\n")
            table = re.search(r"(^\|.*\n)+", section, re.MULTILINE)[0]
            replace(path, table, table + content)
        elif language == "diff":
            lines = [line or " " for line in content.splitlines()]
            old, new = (
                "\n".join(line[1:] for line in lines if line[0] in kept) for kept in (" -", " +")
            )
            replace(path, old, new)
        else:
            assert not path.exists(), path
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)


def commands_of(recipe):
    [commands] = [fence[4] for fence in FENCE.finditer(recipe) if fence[3] == "bash"]
    return [shlex.split(line) for line in commands.splitlines()]


def replace(path, old, new):
    assert path.read_text().count(old) == 1, f"{path}: {old}"
    path.write_text(path.read_text().replace(old, new))


def at_once(tests):
    """The commands `python -m pytest -k X -m "not gpu" FILE ...` as one, which collects once."""
    words, files = ["test_catalogue"], ["tests/test_architecture.py"]
    for command in tests:
        assert command[:4] == ["python", "-m", "pytest", "-k"]
        assert command[5:7] == ["-m", "not gpu"]
        words.append(command[4])
        files += command[7:]
    some, options = " or ".join(words), ["-p", "no:xdist", "-m", "not gpu"]
    return ["python", "-m", "pytest", *options, "-k", some, *dict.fromkeys(files)]


@pytest.fixture(scope="module")
def done(tree):
    """What each command gave, after all recipes were followed: exit code and output.

    In forks of one server of the tree's; and pytest once for all.
    """
    for recipe in RECIPES.values():
        follow(recipe, tree)
    commands = [command for recipe in RECIPES.values() for command in commands_of(recipe)]
    tests = [command for command in commands if "pytest" in command]
    run = [command for command in commands if command not in tests] + [at_once(tests)]
    assert {command[0] for command in run} == {"python"}
    given = json.dumps([command[1:] for command in run])
    environment = os.environ | {"PYTHONPATH": "."}
    process = true_python("-c", IN_FORKS, given, cwd=tree, env=environment, timeout=900)
    assert process.returncode == 0, process.stderr
    results = map(json.loads, process.stdout.splitlines())
    return dict(zip(map(shlex.join, run), results, strict=True))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_works_as_it_stands(name, done):
    *commands, tests = commands_of(RECIPES[name])
    assert commands
    assert "pytest" in tests
    for command in commands:
        code, said = done[shlex.join(command)]
        assert code == 0, f"{shlex.join(command)}\n{said}"


def test_what_the_recipes_add_passes_its_tests_and_those_of_its_kind(done):
    [(code, said)] = [result for command, result in done.items() if "pytest" in command]
    assert code == 0, said


@pytest.mark.usefixtures("done")
@pytest.mark.parametrize(
    "check", ["ruff check .", "ruff format --check .", pytest.param("mypy", marks=pytest.mark.slow)]
)
def test_what_the_recipes_add_passes_the_checks(check, tree):
    command = [sys.executable, "-m", *check.split()]
    made = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
