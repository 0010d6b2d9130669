"""The commands that a README shows, and whether they would start: nothing is run."""

import importlib.util
import inspect
import os
import re
import shlex
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from string import Template
from unittest.mock import patch

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from tests.command import ROOT

CONF = ROOT / "conf"


def commands_of(script):
    """The commands of a shell script, with its variables put in and its loops unrolled.

    >>> commands_of("D='a b'\\nfor x in 1 2; do\\n  echo $D $x  # twice\\ndone > file")
    [['echo', 'a', 'b', '1'], ['echo', 'a', 'b', '2']]
    """
    found, variables, loop = [], {}, None
    script = re.sub(r"(^|\s)#.*", "", script.replace("\\\n", " "), flags=re.MULTILINE)
    for line in re.split(r"[\n;]", script):
        line = re.sub(r"^\s*do\b", "", line)
        words = shlex.split(line)
        if not words or words[0] == "exit":
            continue
        if words[0] == "for":
            loop = words[1], words[3:], []
        elif words[0] == "done":
            name, values, body = loop
            loop = None
            for value in values:
                found += [_words(line, variables | {name: value}) for line in body]
        elif loop:
            loop[2].append(line)
        elif len(words) == 1 and (assigned := re.fullmatch(r"(\w+)=(.*)", words[0], re.DOTALL)):
            variables[assigned[1]] = assigned[2]
        else:
            found.append(_words(line, variables))
    return found


def _words(line, variables):
    words = shlex.split(Template(line).safe_substitute(variables))
    ends = [words.index(end) for end in (">", ">>", "||", "|") if end in words]
    return words[: min(ends, default=None)]


def check(command):
    """That it would start: its target, module, options, keys and choices exist.

    Raises:
        AssertionError, ValueError, or what Hydra raises: they do not.
    """
    words = [word.replace("...", "x") for word in command]
    if words[0] == "make":
        for made in expanded(words):
            if made[0].endswith("/python"):
                check(["python", *made[1:]])
    elif words[:2] == ["python", "run.py"]:
        composes(words[2:])
    elif words[:2] == ["python", "-m"]:
        if words[2] != "pytest":
            takes(importlib.util.find_spec(words[2]), words[3:])
    elif words[0] == "python":
        takes(
            importlib.util.spec_from_file_location(Path(words[1]).stem, ROOT / words[1]), words[2:]
        )
    else:
        raise ValueError(f"unknown: {command}")


def expanded(words):
    """The commands of a target of the Makefile, as if .venv were up to date."""
    dry = ["make", "--no-print-directory", "-n", "-o", ".venv/installed", *words[1:]]
    # `make test` hands its own flags down, so that this one would say that it is the second
    mine = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(dry, cwd=ROOT, env=mine, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return commands_of(done.stdout)


class Taken(Exception):
    """The arguments were parsed, and nothing was done."""


def takes(spec, arguments):
    """That a module can be imported, and its parser takes the arguments, where it has one."""
    if spec is None:
        raise ImportError("no such module")
    module = importlib.util.module_from_spec(spec)
    with patch.object(sys, "path", [str(Path(spec.origin).parent), str(ROOT), *sys.path]):
        spec.loader.exec_module(module)
        if "parse_args" not in inspect.getsource(module):
            return
        parse = ArgumentParser.parse_args

        def parse_and_stop(self, args=None, namespace=None):
            parse(self, args, namespace)
            raise Taken

        with (
            patch.object(sys, "argv", [spec.origin, *arguments]),
            patch.object(ArgumentParser, "parse_args", parse_and_stop),
        ):
            try:
                module.main()
            except Taken:
                return
            except SystemExit:
                raise ValueError(f"{spec.name} does not take {arguments}") from None
    raise AssertionError(f"{spec.name} parses nothing")


def composes(overrides):
    """That there is a configuration: for each choice of a group, and for the jobs of a list."""
    given = [word for word in overrides if word not in ("-m", "--help")]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for variant in variants(given):
            config = compose("config", variant, return_hydra_config=True)
            for line in config.jobs or []:
                for job in variants(shlex.split(line)):
                    compose("config", [*variant, *job], return_hydra_config=True)


def variants(overrides):
    """Overrides without sweeps: the first of each, and one by one the other choices of groups.

    >>> variants(["model=ease,sasrec", "seed=1,2", "model.l2=interval(1, 3)"])
    [['model=ease', 'seed=1', 'model.l2=1.0'], ['model=sasrec', 'seed=1', 'model.l2=1.0']]
    """
    first, others = [], []
    for place, override in enumerate(OverridesParser.create().parse_overrides(overrides)):
        if not override.is_sweep_override():
            first.append(overrides[place])
            continue
        key = override.get_key_element()
        if override.is_choice_sweep() or override.is_range_sweep():
            values = list(override.sweep_string_iterator())
        else:
            values = [str(override.value().start)]
        first.append(f"{key}={values[0]}")
        if (CONF / key).is_dir():
            others += [(place, f"{key}={value}") for value in values[1:]]
    return [first, *([*first[:n], other, *first[n + 1 :]] for n, other in others)]
