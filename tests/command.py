"""Runs the real commands, as a user would: in forks, or where that would not show it, by Python."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess

from tests.forked import ROOT, forked_python


def true_python(
    *arguments: str,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
) -> CompletedProcess[str]:
    """`python *arguments` by an interpreter of its own, which takes seconds to import.

    For what a fork cannot show: what is imported and said by the way, variables that are read at
    the start, processes that are started by the command, and what the README's reader types.
    """
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout
    )


def run(
    *overrides: str,
    folder: Path,
    code: int = 0,
    python: Callable[..., CompletedProcess[str]] = forked_python,
    **environment: str,
) -> "Done":
    """`python run.py` with a run folder, data cache and splits of its own; checks the exit code."""
    arguments = ["run.py", *overrides, f"hydra.run.dir={folder}"]
    arguments.append(f"split_dir={folder.parent / 'splits'}")
    if not any(override.startswith("data.cache_dir") for override in overrides):
        arguments.append(f"data.cache_dir={folder.parent / 'cache'}")
    done = python(*arguments, env=os.environ | {"COLUMNS": "120"} | environment)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return Done(folder, done.stdout, done.stderr)


class Done:
    """What a finished command left."""

    def __init__(self, folder: Path, out: str, err: str) -> None:
        self.folder, self.out, self.err = folder, out, err

    @property
    def result(self) -> dict:
        return json.loads((self.folder / "result.json").read_text())

    def files(self) -> set[str]:
        return {str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file()}
