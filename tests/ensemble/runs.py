"""Folders of finished runs, as run.py leaves them, without the training; and what is refused."""

import json

import numpy as np
import pytest
import torch

from recsys_lightning.data.holdout import RandomHoldout
from recsys_lightning.ensemble.build import Ensemble
from recsys_lightning.errors import InputError
from recsys_lightning.functional.ranking import rank_items
from recsys_lightning.metrics.of_lists import user_values
from recsys_lightning.runs.folder import write_json
from recsys_lightning.runs.lists import read_split, write_lists
from recsys_lightning.runs.submission import write_submission
from tests.conftest import make_interactions

NUM_USERS, NUM_ITEMS, K = 150, 40, 5


def make_split(seed=0, test_items=3, num_users=NUM_USERS, lengths=(15, 20), times=True):
    """Users of 15 to 20 items among 40, three of them held out for each stage."""
    rng = np.random.default_rng(7)
    low, high = lengths
    rows = [
        rng.permutation(NUM_ITEMS)[: rng.integers(low, high + 1)].tolist() for _ in range(num_users)
    ]
    x = make_interactions(rows, NUM_ITEMS, times=times)
    return RandomHoldout(valid_items=3, test_items=test_items, seed=seed).split(x)


def write_run(folder, split, skill, *, seed=0, model=None, order=None, splits=None, **told):
    """A run whose lists find held-out items by skill, one or each user's, and its result.json."""
    model = model or folder.name.partition("_")[2]
    rng = np.random.default_rng([seed, *model.encode()])
    x = split.interactions
    metrics = {}
    stages = {
        "valid": (split.train, split.valid),
        "test": (split.question("test").known, split.test),
        "final": (x, None),
    }
    tie_order, popularity = torch.arange(x.num_items), torch.from_numpy(x.popularity)
    for stage, (history, held_out) in stages.items():
        scores = rng.normal(size=(x.num_users, x.num_items))
        if held_out is not None:
            of_user = np.broadcast_to(skill, x.num_users)
            scores[held_out.rows, held_out.indices] += of_user[held_out.rows]
        items, values = rank_items(
            torch.from_numpy(scores).float(),
            torch.from_numpy(history.indices),
            torch.from_numpy(history.indptr),
            15,
            tie_order,
            popularity,
        )
        users = np.arange(x.num_users)
        if held_out is not None and not held_out.num_interactions:
            continue
        path = folder / "candidates" / f"{stage}.parquet"
        write_lists(path, x, users, items.int().numpy(), values.numpy())
        if held_out is not None:
            for metric in (f"recall@{K}", f"ndcg@{K}", "recall@10"):
                name = f"{stage.removesuffix('id')}/{metric}"
                metrics[name] = float(np.nanmean(user_values(name, items.numpy(), held_out)))
    write_submission(folder / "submission.csv", order or x, items.int().numpy(), K)
    files = split.write(splits or folder.parent / ".splits")
    assert read_split(files).sha256 == split.sha256
    result = {
        "status": "done",
        "error": None,
        "model": model,
        "data": "made up",
        "split": split.sha256,
        "split_files": str(files),
        "seed": seed,
        "job": f"{model}-{seed}",
        "metrics": metrics,
        "config": {
            "monitor": f"val/recall@{K}",
            "test_history": "train_valid",
            "metrics": {"k": [K, 10]},
            "recommend": {"k": K},
        },
    }
    write_json(folder / "result.json", result | told)
    return folder


def told(out):
    return json.loads((out / "ensemble.json").read_text())


def refused(folders, out, match, kind=Ensemble, **options):
    """The message; and neither a submission nor half a file is left."""
    out.mkdir(exist_ok=True)
    (out / "candidates").mkdir(exist_ok=True)
    for name in ("submission.csv", "candidates/valid.parquet"):
        (out / name).write_text("of an earlier ensemble")
    with pytest.raises(InputError, match=match) as caught:
        kind(**options)(folders, out)
    assert sorted(path.name for path in out.iterdir()) == ["ensemble.json"]
    assert told(out)["status"] == "failed"
    assert told(out)["error"] == str(caught.value)


def edit(run, **changes):
    path = run / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
