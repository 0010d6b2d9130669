"""Peak memory of a fit beside what the guard asks for: `python memory.py` prints the table.

`python memory.py MODEL USERS ITEMS` measures one fit in this process and prints JSON: the peak of
the resident memory over a fit, less what was resident before it, after tiny fits that load all
libraries, kernels and BLAS's own buffers. tests/models/test_memory.py holds the two together.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

MODELS = {
    "ease": {},
    "ease-double": {"l2": 1e-3},  # a ridge that float32 cannot carry
    "admm_slim": {"max_iterations": 2, "tolerance": 0.0},
    "easer": {"num_pairs": 1000},
    "multi_ease": {},
    "tale": {},
}
MANY, FEW = 1.0, 0.1  # users an item
SIZES = {  # items
    "ease": [6000, 8000, 10_000],
    "ease-double": [5000, 6000, 7000],
    "admm_slim": [6000, 7000, 8000],
    "easer": [5000, 6000, 7000],
    "multi_ease": [4000, 5000, 6000],
    "tale": [4000, 5000, 6000],
}


def main():
    print("| model | users x items | asked for | measured | ratio |")
    print("|---|---|---|---|---|")
    for model, sizes in SIZES.items():
        for num_users, num_items in [(int(f * n), n) for f in (MANY, FEW, 0.5) for n in sizes]:
            result = measured(model, num_users, num_items)
            asked, peak = result["asked"] / 1e6, result["peak"] / 1e6
            size = f"{num_users:,} x {num_items:,}"
            print(f"| `{model}` | {size} | {asked:.0f} MB | {peak:.0f} MB | {asked / peak:.2f} |")


def measured(model, num_users, num_items):
    """The JSON of a process of its own, whose freed memory leaves it at once."""
    command = [sys.executable, __file__, model, str(num_users), str(num_items)]
    root = Path(__file__).parents[2]
    env = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000", "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(name, num_users, num_items):
    """Tiny fits that load everything, then the one that counts."""
    fit(name, *rows(60, 100))  # many users
    fit(name, *rows(60, 1000))  # few
    for dtype in (np.float32, np.float64):
        warm_up(dtype)
    indptr, indices = rows(num_users, num_items)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    asked = fit(name, indptr, indices)
    return {"asked": asked, "peak": resident("VmHWM") - before}


def warm_up(dtype):
    """Let BLAS and LAPACK allocate their buffers, which stay."""
    import torch

    from recsys_lightning.functional.dense import invert_spd_, matmul

    matrix = torch.from_numpy(np.eye(1500, dtype=dtype))
    matmul(matrix, matrix, out=torch.empty_like(matrix))
    invert_spd_(matrix)


def rows(num_users, num_items):
    """About twenty items a user, the popular ones more often; the last item at least once."""
    rng = np.random.default_rng(0)
    items = [np.unique((rng.random(20) ** 2 * num_items).astype(int)) for _ in range(num_users)]
    items[-1] = np.union1d(items[-1], [num_items - 1])
    lengths = [len(row) for row in items]
    return np.concatenate([[0], np.cumsum(lengths)]), np.concatenate(items).astype(np.int32)


def fit(name, indptr, indices):
    """A fit without the Trainer; returns what the guard asked for."""
    import torch

    from recsys_lightning.data.batches import Bag, Rows
    from recsys_lightning.families import closed_form
    from recsys_lightning.functional.sparse import Ragged
    from recsys_lightning.models import multi_ease
    from recsys_lightning.models.admm_slim import AdmmSlim
    from recsys_lightning.models.ease import EASE
    from recsys_lightning.models.easer import EASER
    from recsys_lightning.models.tale import TALE

    asked = [0]
    for module in (closed_form, multi_ease):
        module.require_memory = lambda needed, *_: asked.append(needed)
    classes = {"ease": EASE, "admm_slim": AdmmSlim, "easer": EASER, "tale": TALE}
    num_users, num_items = len(indptr) - 1, int(indices.max()) + 1
    x = Ragged(torch.from_numpy(indices), torch.from_numpy(indptr), num_items)
    build = classes.get(name.split("-")[0], multi_ease.MultiEASE)
    model = build(num_users=num_users, num_items=num_items, **MODELS[name])
    times = np.arange(len(indices))
    model.prepare(SimpleNamespace(indptr=indptr, indices=indices, times=times))
    if name == "multi_ease":
        train(model, x.rows(slice(0, min(100, num_users))))
        return max(asked)
    with torch.no_grad():
        model.begin()
        model.accumulate(Rows(torch.arange(num_users), Bag(x.columns, x.offsets)))
        model.solve()
        model.gram = None
    save(model.state_dict())
    return max(asked)


def train(model, x):
    """Two steps on a few users, and one evaluation."""
    import torch

    from recsys_lightning.data.batches import Bag, Query, Rows

    users, history = torch.arange(x.num_rows), Bag(x.columns, x.offsets)
    optimizer = model.train().configure_optimizers()
    for _ in range(2):
        optimizer.zero_grad()
        model.loss(Rows(users, history)).backward()
        optimizer.step()
    save([model.state_dict(), optimizer.state_dict()])
    with torch.no_grad():
        model.eval().score(Query(users, history, history))


def save(state):
    """As a run does."""
    from recsys_lightning.callbacks.fitting import WholeCheckpoints

    with tempfile.TemporaryDirectory() as folder:
        WholeCheckpoints().save_checkpoint({"state": state}, Path(folder) / "last.ckpt")


def resident(key):
    """Bytes, of this process."""
    return int(re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
