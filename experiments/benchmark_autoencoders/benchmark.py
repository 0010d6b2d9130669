"""Speed and memory of the autoencoders at the contest's size: `make bench-autoencoders`.

Prints the table of README.md. Every contestant runs in a process of its own, in turns, on the same
split; the median of the rounds is shown with its range. Run it on a quiet machine.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MODELS = ("autorec", "multi_dae", "multi_vae", "multi_cdae", "recvae", "multi_ease")
IN_RECBOLE = ("multi_vae", "recvae")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("overrides", nargs="*", help="such as data.num_users=2000")
    options = parser.parse_args()
    recbole = peer_python("recbole")
    print(
        "| model | plain PyTorch, s/epoch | ours | ratio | RecBole | ratio | validation, s | RSS |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        data = write_data(Path(scratch) / "data.npz", options.overrides)
        for model in MODELS:
            contestants = {"bare": sys.executable, "ours": sys.executable}
            if model in IN_RECBOLE:
                contestants["recbole"] = recbole
            told: dict[str, list[dict]] = {name: [] for name in contestants}
            for _ in range(options.rounds):
                for name, python in contestants.items():
                    line = output(python, HERE / "contestants.py", name, model, data)
                    told[name].append(json.loads(line))
            print(row(model, told), flush=True)


def row(model, told):
    def ratio(above, below):
        pairs = zip(told[above], told[below], strict=True)
        return f"{statistics.median(a['epoch'] / b['epoch'] for a, b in pairs):.2f}"

    with_peer = "recbole" in told
    cells = [
        f"`{model}`",
        seconds(told["bare"], "epoch"),
        seconds(told["ours"], "epoch"),
        ratio("ours", "bare"),
        seconds(told["recbole"], "epoch") if with_peer else "",
        ratio("recbole", "ours") if with_peer else "",
        seconds(told["ours"], "validation"),
        f"{max(each['peak_mb'] for each in told['ours']):.0f} MB",
    ]
    return f"| {' | '.join(cells)} |"


def seconds(told, key):
    values = [each[key] for each in told]
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def peer_python(name):
    """An environment of the peer's own, made once."""
    folder = ROOT / ".venv-peers" / name
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        venv.create(folder, with_pip=True, clear=True)
        output(python, "-m", "pip", "install", "--quiet", "-r", HERE / f"{name}.txt")
        (folder / "installed").touch()
    return python


def write_data(path, overrides):
    """The split of `data=synthetic holdout=random` as plain arrays."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("config", overrides=["data=synthetic", *overrides])
    split = instantiate(config.holdout)(instantiate(config.data))
    np.savez(
        path,
        indptr=split.train.indptr,
        indices=split.train.indices,
        all_indptr=split.interactions.indptr,
        all_indices=split.interactions.indices,
        part=split.part,
        shape=np.array([split.train.num_users, split.train.num_items]),
    )
    return path


def output(*command):
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)  # else the libraries' warnings would bury the table
    return done.stdout.splitlines()[-1] if done.stdout else ""


if __name__ == "__main__":
    main()
