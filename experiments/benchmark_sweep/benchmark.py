"""A sweep of many finished jobs, started again: what its start, each job and its end cost.

    python experiments/benchmark_sweep/benchmark.py [FINISHED [STARTED_AGAIN]]

One job is run; the others are copies of its folder with other seeds, under the hashes that they
would have. Then the command is started again, in this process, over the first of the seeds.
"""

import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from hydra.utils import instantiate

from recsys_lightning import job
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.parameters import job_hash
from recsys_lightning.runs.record import RunResult
from recsys_lightning.sweeps import end
from recsys_lightning.sweeps.locks import JobLock

ROOT = Path(__file__).parents[2]
DATA = ("data=synthetic", "data.num_users=200", "data.num_items=100", "data.num_interactions=6000")
SHOWN = ("data.min_per_user=20", "logger=none", "callbacks=none", "model=popularity")


def arguments(folder, seeds):
    """Of run.py."""
    where = (f"hydra.sweep.dir={folder}/sweep", f"split_dir={folder}/splits")
    return ["-m", *DATA, *SHOWN, *where, f"data.cache_dir={folder}/cache", f"seed={seeds}"]


def finish(folder, number):
    """Run the job of seed 0, and write what those of other seeds would leave."""
    subprocess.run([sys.executable, "run.py", *arguments(folder, 0)], cwd=ROOT, check=True)
    sweep = folder / "sweep"
    first = RunResult.read(RunFolder(sweep / "0_popularity").result)
    # the addresses of data and holdout are masked in a result, and these have none
    source, holdout = (
        instantiate(first.config[name], _convert_="all") for name in ("data", "holdout")
    )
    identity = holdout.identity(source)
    for seed in range(1, number):
        config = {**first.config, "seed": seed}
        hashed = job_hash(config, first.choices, identity, overrides=first.overrides)
        place = sweep / f"{seed}_popularity"
        place.mkdir()
        replace(first, seed=seed, config=config, job=hashed).write(RunFolder(place).result)
        with JobLock(sweep, hashed) as lock:
            lock.name(place)


def timed(module, name, spent):
    """Let a function add its seconds, elapsed and of the processor, to a list."""
    original = getattr(module, name)

    def function(*args, **kwargs):
        before = time.perf_counter(), time.process_time()
        try:
            return original(*args, **kwargs)
        finally:
            spent.append((time.perf_counter() - before[0], time.process_time() - before[1]))

    setattr(module, name, function)


def main(finished=1000, again=100):
    with tempfile.TemporaryDirectory() as folder:
        finish(Path(folder), finished)
        of_job, looking_up, start, ending = [], [], [], []
        timed(job, "run_job", of_job)
        timed(job, "find_done", looking_up)
        timed(end, "begin", start)
        timed(end, "end_sweep", ending)
        sys.argv = ["run.py", *arguments(folder, f"range(0,{again})")]
        sys.path.insert(0, str(ROOT))  # as `python run.py` does
        before = time.process_time()
        try:
            runpy.run_path(str(ROOT / "run.py"), run_name="__main__")
        except SystemExit as ended:
            code = ended.code
        if (code, len(of_job), len(looking_up)) != (0, again, again):
            sys.exit(f"exit code {code}: {len(looking_up)} of {again} jobs were looked up")
        whole = time.process_time() - before
        rows = {
            "Hydra, a job": (whole - total(of_job, start, ending)) / again,
            "a job that is done": statistics.median(cpu for _, cpu in of_job),
            "of which looking it up": statistics.median(cpu for _, cpu in looking_up),
            "the start of the sweep": start[0][1],
            "its end": ending[0][1],
        }
        print(f"\n{finished} finished jobs, {again} started again\n")
        print("| | ms of the processor |\n|---|---|")
        for name, seconds in rows.items():
            print(f"| {name} | {1000 * seconds:.2f} |")


def total(*lists):
    return sum(cpu for each in lists for _, cpu in each)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
