"""EASE of a catalogue that LAPACK cannot index, from file to submission: `make bench-large`.

Writes a file of Gowalla's shape (29,858 users x 40,981 items, some 810,000 pairs, long tails) in
LightGCN's layout to a temporary folder, runs the command on it, and prints minutes and peak memory
above that of `model=popularity` in squares (one is items² float32). `--scale 0.25` makes a smaller
one.

Gowalla's users are fewer than its items, so users x users are inverted, by blocks. `--form items`
inverts items x items, as for a catalogue with more users.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
USERS, ITEMS, PAIRS = 29_858, 40_981, 810_128


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of users and items; pairs as its square"
    )
    parser.add_argument("--form", choices=["users", "items"], default="users")
    parser.add_argument("overrides", nargs="*", help="of the command, such as model.l2=100")
    options = parser.parse_args()
    sizes = [int(options.scale * n) for n in (USERS, ITEMS, PAIRS)]
    with tempfile.TemporaryDirectory() as scratch:
        pairs = write(Path(scratch) / "train.txt", *sizes)
        plain = run(scratch, "popularity", [], [])
        start = time.perf_counter()
        result = run(scratch, "ease", with_form(options.form), options.overrides)
        minutes = (time.perf_counter() - start) / 60
    peak, libraries = (each["peak_rss_mb"] * 2**20 for each in (result, plain))
    print("\n| users x items, pairs | form | minutes | of which fit | peak | above popularity |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {sizes[0]:,} x {sizes[1]:,}, {pairs:,} | {options.form} x {options.form} "
        f"| {minutes:.1f} | {result['seconds']['fit'] / 60:.1f} | {peak / 1e9:.1f} GB "
        f"| {(peak - libraries) / (4 * sizes[1] ** 2):.2f} squares |"
    )


def run(scratch, model, start, overrides):
    """The content of result.json."""
    command = ["run.py", "data=files", f"data.path={scratch}/train.txt", f"model={model}"]
    command += ["refit=false", "holdout.test_items=0", "logger=none", *overrides]
    command += [f"hydra.run.dir={scratch}/{model}", f"data.cache_dir={scratch}/cache"]
    command += [f"split_dir={scratch}/splits"]
    subprocess.run([sys.executable, *start, *command], cwd=ROOT, check=True)
    return json.loads((Path(scratch) / model / "result.json").read_text())


def with_form(form):
    """How Python is to start run.py, so that the form is `form`."""
    if form == "users":
        return []
    code = (
        "import sys, runpy; sys.argv = sys.argv[1:]; sys.path.insert(0, '.');"
        "from recsys_lightning.functional import ridge; ridge.few_users = lambda *_: False;"
        "runpy.run_path('run.py', run_name='__main__')"
    )
    return ["-c", code]


def write(path, num_users, num_items, num_pairs):
    """`user item item ...` a line; returns the number of pairs.

    Lengths are lognormal, at least 10, and items a power law.
    """
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(0, 1, num_users)
    lengths = np.maximum(10, lengths / lengths.sum() * num_pairs * 0.93).astype(int)
    share = (np.arange(num_items) + 10.0) ** -0.8
    bounds = np.cumsum(share / share.sum())
    names, pairs = rng.permutation(num_items), 0
    with path.open("w") as file:
        for user, length in enumerate(lengths.clip(max=num_items // 4)):
            drawn = np.searchsorted(bounds, rng.random(2 * length))
            _, first = np.unique(drawn, return_index=True)
            items = names[drawn[np.sort(first)[:length]].clip(max=num_items - 1)]
            if user < num_items / 10:  # every item has someone
                own = np.arange(user, num_items, num_items // 10 + 1)
                items = np.unique(np.concatenate([items, own]))
            file.write(f"{user} {' '.join(map(str, items))}\n")
            pairs += len(items)
    return pairs


if __name__ == "__main__":
    main()
