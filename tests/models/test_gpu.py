"""Every model on a GPU: its fit, evaluation, resumed fit and reloaded lists beside a CPU's."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from pytorch_lightning.utilities import move_data_to_device

from recsys_lightning.data.batches import Bag, Query
from recsys_lightning.data.holdout import RandomHoldout
from recsys_lightning.data.views.sampler import bag
from tests.conftest import run_experiment, two_tastes, with_features

pytestmark = pytest.mark.gpu
DEVICE = "cuda"  # the tests pass with "cpu", too: where there is no GPU they can be tried so
CONF = Path(__file__).parents[2] / "conf"
NAMES = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
SMALLER = {  # hyper-parameters, where a model has them; the defaults are for real data
    "num_pairs": 30,
    "hidden_dims": [16],
    "hidden_dim": 16,
    "latent_dim": 8,
    "lr": 0.01,
    "pretrain_epochs": 2,
}
EPOCHS, K = 10, 15
CHANCE = (
    0.15  # of val/recall@5 by other draws of dropout and noise: a GPU has a generator of its own
)


def composed(name):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=[f"model={name}"])


def fit(name, folder, device, *, epochs=EPOCHS, precision="32-true", **options):
    config = composed(name)
    model = OmegaConf.to_container(config.model)
    model |= {key: value for key, value in SMALLER.items() if key in model}
    return run_experiment(
        folder,
        RandomHoldout(valid_items=2, test_items=2).split(with_features(two_tastes())),
        partial(get_class(model.pop("_target_")), **model),
        view=instantiate(config.view, batch_size=16),
        trainer={
            "max_epochs": epochs if model_class(name).resumable else 1,
            "accelerator": device,
            "precision": precision,
        },
        **options,
    ).outcome


def model_class(name):
    return get_class(composed(name).model["_target_"])


def reloaded(name, folder, file, device="cpu"):
    path = folder / "checkpoints" / file
    model = model_class(name).load_from_checkpoint(path, weights_only=True, map_location=device)
    return model.eval()


def everybody(device="cpu"):
    """All users with all their interactions, as they are asked for the final lists."""
    x = two_tastes()
    users = np.arange(x.num_users)
    query = Query(torch.from_numpy(users), bag(x, users), Bag.empty(len(users)))
    return move_data_to_device(query, torch.device(device))


def same_but_for_ties(model, ours, theirs, tolerance):
    """Two arrays of lists (U, K) have items of the same scores at every rank.

    Args:
        model: On the CPU; its scores decide.
        tolerance: As a fraction of the scores' standard deviation.
    """
    with torch.no_grad():
        scores = model.score(everybody())
    gaps = scores.gather(1, torch.as_tensor(ours).long()) - scores.gather(
        1, torch.as_tensor(theirs).long()
    )
    assert gaps.abs().max() <= tolerance * scores.std()


@pytest.fixture(scope="module", params=NAMES)
def fitted(request, tmp_path_factory):
    """The name, a folder with what a fit on the CPU and one on the device left, both outcomes."""
    if DEVICE == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    return name, folder, fit(name, folder / "cpu", "cpu"), fit(name, folder / "device", DEVICE)


def assert_close(ours, theirs):
    assert ours["val/recall@5"] == pytest.approx(theirs["val/recall@5"], abs=CHANCE)
    assert all(np.isfinite(value) for value in ours.values())


def test_a_fit_and_its_evaluation_are_those_of_a_cpu(fitted):
    name, folder, on_cpu, on_device = fitted
    assert on_device.steps == on_cpu.steps
    if model_class(name).resumable:
        assert_close(on_device.metrics, on_cpu.metrics)
    else:
        model = reloaded(name, folder / "cpu", "final.ckpt")
        same_but_for_ties(model, on_device.final, on_cpu.final, 1e-4)


@pytest.mark.parametrize("here", [True, False], ids=["on the device", "on a CPU"])
def test_a_reloaded_fit_gives_its_lists(fitted, here):
    name, folder, _, on_device = fitted
    place = DEVICE if here else "cpu"
    model = reloaded(name, folder / "device", "final.ckpt", place)
    lists = model.recommend(everybody(place), K).items.cpu()
    same_but_for_ties(model.cpu(), lists, on_device.final, 1e-4)


def test_a_resumed_fit_ends_as_one_that_was_not_interrupted(fitted, tmp_path):
    """But for the order of a GPU's sums."""
    name, _, _, on_device = fitted
    if not model_class(name).resumable:
        pytest.skip("one pass")
    fit(name, tmp_path, DEVICE, epochs=4, refit=False)
    resumed = fit(name, tmp_path, DEVICE, ckpt_path="last", refit=False)
    assert resumed.steps == on_device.steps
    assert_close(resumed.metrics, on_device.metrics)


def test_a_fit_in_half_precision_is_close_to_one_in_full(fitted, tmp_path):
    name, _, _, on_device = fitted
    if not model_class(name).resumable:
        pytest.skip("linear models refuse it")
    half = fit(name, tmp_path, DEVICE, precision="bf16-mixed")
    assert half.steps == on_device.steps
    assert_close(half.metrics, on_device.metrics)
    model = reloaded(name, tmp_path, "final.ckpt")
    lists = model.recommend(everybody(), K).items
    same_but_for_ties(model, lists, half.final, 0.1)
