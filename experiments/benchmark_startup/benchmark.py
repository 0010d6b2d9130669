"""The default run as a newcomer types it: seconds of the command, fits, imports, and `--help`.

`python experiments/benchmark_startup/benchmark.py [checkout ...]`: this checkout, or several side
by side in turns, by the same Python; each runs its own code.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROUNDS = 5
FRAMEWORKS = "import torch, pytorch_lightning, torchmetrics, pandas"


def seconds(command, checkout):
    started = time.perf_counter()
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    passed = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{command}: exit {done.returncode}\n{done.stderr}")
    return passed, done.stderr


def dearest_imports(stderr):
    """Milliseconds of each top-level package's own modules, from `-X importtime`."""
    pattern = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")
    total = Counter()
    for microseconds, name in pattern.findall(stderr):
        total[name.partition(".")[0]] += int(microseconds) / 1000
    return total


def measure(checkout, scratch):
    python = [sys.executable]
    folder = Path(tempfile.mkdtemp(dir=scratch))
    run = ["run.py", f"hydra.run.dir={folder}", f"split_dir={scratch}/s"]
    run += [f"data.cache_dir={scratch}/{checkout.name}"]
    row = {
        "frameworks": seconds([*python, "-c", FRAMEWORKS], checkout)[0],
        "help": seconds([*python, "run.py", "--help"], checkout)[0],
        "command": seconds(python + run, checkout)[0],
    }
    stages = json.loads((folder / "result.json").read_text())["seconds"]
    return row | {stage: stages.get(stage, 0.0) for stage in ("fit", "validate", "refit")}


def main():
    checkouts = [Path(place).resolve() for place in sys.argv[1:] or [Path(__file__).parents[2]]]
    os.environ.pop("OMP_NUM_THREADS", None)
    with tempfile.TemporaryDirectory() as scratch:
        for checkout in checkouts:  # compiles kernels, encodes the data
            measure(checkout, scratch)
        rows = {checkout: [] for checkout in checkouts}
        for _ in range(ROUNDS):
            for checkout in checkouts:
                rows[checkout].append(measure(checkout, scratch))
        for checkout in checkouts:
            print(f"\n{checkout.name}, seconds, median of {ROUNDS} (range)")
            for name in rows[checkout][0]:
                values = sorted(row[name] for row in rows[checkout])
                middle = statistics.median(values)
                print(f"  {name:10} {middle:6.2f} ({values[0]:.2f} to {values[-1]:.2f})")
            ratio = statistics.median(r["command"] / r["frameworks"] for r in rows[checkout])
            print(f"  command / frameworks, median of the rounds' ratios: {ratio:.2f}")
            command = [sys.executable, "-X", "importtime", "run.py", "callbacks=none"]
            command += [f"hydra.run.dir={scratch}/imports", f"split_dir={scratch}/s"]
            command += [f"data.cache_dir={scratch}/{checkout.name}"]
            dearest = dearest_imports(seconds(command, checkout)[1])
            listed = ", ".join(f"{name} {ms:.0f}" for name, ms in dearest.most_common(10))
            print(f"  dearest imports, ms: {listed}; all {sum(dearest.values()):.0f}")


if __name__ == "__main__":
    main()
