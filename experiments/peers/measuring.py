"""How the benchmarks beside peers are made: their options, the data, processes of their own."""

import argparse
import json
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from experiments.peers.processes import output, write_rows

ML1M, SYNTHETIC = "data=movielens_1m", "data=synthetic"


def parser(description):
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--ml1m",
        default=ML1M,
        help="what stands for MovieLens-1M; '': without it; default %(default)s",
    )
    made.add_argument(
        "--synthetic",
        default=SYNTHETIC,
        help="for the contest's size; '': without it; default %(default)s",
    )
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return made


@contextmanager
def contest(options, package):
    """A `Contest` of a benchmark's package, with scratch space."""
    with tempfile.TemporaryDirectory() as scratch:
        yield Contest(Path(scratch), options, package)


def milliseconds(parts):
    """Of the parts of a step."""
    return ", ".join(f"{1000 * seconds:.1f}" for seconds in parts.values())


class Contest:
    """Contestants on the same rows, with the same threads.

    Args:
        scratch: a folder.
        options: of `parser`.
        package: whose module `contestants` has them.

    Attributes:
        data: by name, the overrides of run.py that make the split.
    """

    def __init__(self, scratch, options, package):
        self.contestants = f"{package}.contestants"
        self.scratch, self.rounds, self.threads = scratch, options.rounds, options.threads
        cache = [f"data.cache_dir={scratch}/cache"]
        ml1m, synthetic = options.ml1m.split(), options.synthetic.split()
        self.data = {}
        if ml1m:  # 10 random items of every user for validation, and nothing else held out
            self.data["ML-1M"] = [*ml1m, "holdout.test_items=0", *cache]
        if synthetic:
            self.data["synthetic"] = [*synthetic, *cache]

    def rows(self, name):
        """A file with training and validation rows for a contestant, made once."""
        path = self.scratch / f"{name}.npz"
        return path if path.exists() else write_rows(path, *self.data[name])

    def contestant(self, name, data, python=sys.executable, **options):
        """What a function of contestants.py says, in a process of its own."""
        given = json.dumps(options)
        line = output(
            python, "-m", self.contestants, name, self.rows(data), given, **self._threads()
        )
        return json.loads(line)

    def run(self, data, *overrides):
        """result.json of run.py on this data; under "clock" what `clock.Clock` measured."""
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            clock = Path(folder, "clock.json")
            command = [
                *("run.py", *self.data[data], f"hydra.run.dir={folder}/run"),
                *(f"split_dir={self.scratch}/splits", "refit=false", "logger=none"),
                *("callbacks=none", "trainer.enable_progress_bar=false", "trainer.accelerator=cpu"),
                "+callbacks.clock._target_=experiments.peers.clock.Clock",
                f"+callbacks.clock.path={clock}",
                *overrides,
            ]
            output(sys.executable, *command, **self._threads())
            result = json.loads(Path(folder, "run", "result.json").read_text())
            return result | {"clock": json.loads(clock.read_text())}

    def _threads(self):
        names = ("OMP", "MKL", "OPENBLAS", "NUMBA")
        return {f"{name}_NUM_THREADS": str(self.threads) for name in names}
