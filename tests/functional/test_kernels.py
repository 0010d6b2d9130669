"""Where the kernels are kept."""

import os
import subprocess
import sys

RUN = """
import numpy as np
from recsys_lightning.functional.kernels.topk import _ordered
assert _ordered(np.int32(-1)) < _ordered(np.int32(0)) < _ordered(np.int32(1))
assert not _ordered.stats.cache_path
"""


def test_kernels_run_where_nothing_can_be_kept():
    """As in a read-only installation of a user without a cache folder."""
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "NUMBA_CACHE_DIR": ""}
    subprocess.run([sys.executable, "-c", RUN], env=os.environ | nowhere, check=True)
