"""What the server of forks imports, and nobody else does: all that a command would."""

import gc
import logging
import os
import sys
from importlib import import_module
from pkgutil import walk_packages

PATH = sys.path[1:]  # as Python sets it; the folder of a script comes before
VARIABLES = frozenset(os.environ)  # others are set by what is imported

quiet = logging.NullHandler()  # in a run Hydra's are there: Lightning adds one where none is
logging.getLogger().addHandler(quiet)
for library in (  # no tracker: wandb and mlflow are slow, start threads and are seldom used
    *("numba", "optuna", "pandas", "plotly.graph_objects", "pyarrow.parquet", "pytorch_lightning"),
    *("rich.progress", "scipy.optimize", "torchmetrics", "hydra.main"),
):
    import_module(library)
for module in walk_packages(import_module("recsys_lightning").__path__, "recsys_lightning."):
    if not module.name.endswith("__main__"):
        import_module(module.name)
with import_module("hydra").initialize_config_dir(
    str(import_module("recsys_lightning.assembly").CONF), version_base="1.3"
):  # Hydra's plugins are found, and its grammar is learned
    import_module("hydra").compose(
        "config", ["model.l2=1.5", "recommend.users=[1,'a b']"], return_hydra_config=True
    )
logging.getLogger().removeHandler(quiet)
gc.freeze()  # no fork collects, or copies, what it has from here
