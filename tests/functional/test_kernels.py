"""Where the kernels are kept, and how many threads they have."""

import os
import subprocess
import sys

RUN = """
import numpy as np
from recsys_lightning.functional.kernels.topk import _ordered
assert _ordered(np.int32(-1)) < _ordered(np.int32(0)) < _ordered(np.int32(1))
assert not _ordered.stats.cache_path
"""


def test_kernels_have_the_threads_that_openmp_is_given():
    """Outside of `run.py`, too."""
    code = "import recsys_lightning.functional.sparse, numba; print(numba.get_num_threads())"
    others = {key: value for key, value in os.environ.items() if key != "NUMBA_NUM_THREADS"}
    environment = others | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, check=True, capture_output=True)
    assert done.stdout.strip() == b"1"


def test_kernels_run_where_nothing_can_be_kept():
    """As in a read-only installation of a user without a cache folder."""
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "NUMBA_CACHE_DIR": ""}
    subprocess.run([sys.executable, "-c", RUN], env=os.environ | nowhere, check=True)
