"""Runs the real command, as a user would."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(*overrides: str, folder: Path, code: int = 0, **environment: str) -> "Done":
    """`python run.py` with a run folder, data cache and splits of its own; checks the exit code."""
    command = [
        sys.executable,
        "run.py",
        *overrides,
        f"hydra.run.dir={folder}",
        f"split_dir={folder.parent / 'splits'}",
    ]
    if not any(override.startswith("data.cache_dir") for override in overrides):
        command.append(f"data.cache_dir={folder.parent / 'cache'}")
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "120"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
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
