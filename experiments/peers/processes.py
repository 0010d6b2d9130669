"""What the benchmarks share: environments of peers, processes, the split, how figures look."""

import os
import statistics
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def peer_python(name):
    """An environment of the peer's own, made once."""
    folder = ROOT / ".venv-peers" / name
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        venv.create(folder, with_pip=True, clear=True)
        output(python, "-m", "pip", "install", "--quiet", "-r", HERE / f"{name}.txt")
        (folder / "installed").touch()
    return python


def output(*command, **environment):
    """The last line of a process's output; if it fails, its errors end this one."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr)  # else the libraries' warnings would bury the table
    return done.stdout.splitlines()[-1] if done.stdout else ""


def split_of(*overrides):
    """The split that run.py makes of these."""
    from hydra import compose, initialize_config_dir  # peers lack it
    from hydra.utils import instantiate

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("config", overrides=list(overrides))
    return instantiate(config.holdout)(instantiate(config.data))


def write_rows(path, *overrides):
    """Rows of training and validation as plain arrays; returns the path."""
    split = split_of(*overrides)
    np.savez(
        path,
        indptr=split.train.indptr,
        indices=split.train.indices,
        target_indptr=split.valid.indptr,
        target=split.valid.indices,
        shape=np.array([split.train.num_users, split.train.num_items]),
    )
    return path


def median_and_range(values, digits=1, unit=""):
    """Of the rounds."""
    middle, least, most = (f"{f(values):,.{digits}f}" for f in (statistics.median, min, max))
    return f"{middle}{unit} ({least} to {most})"
