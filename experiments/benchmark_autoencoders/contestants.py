"""One contestant in a process of its own: `python -m ... NAME MODEL data.npz`; prints JSON.

NAME is ours, bare or recbole. The second training epoch is timed, without validation; the memory is
the process's peak as the operating system counts it.
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

CONF = Path(__file__).parent.parent.parent / "conf"
SIZES = {  # stated, so that the benchmark does not move with the defaults
    "autorec": ["model.hidden_dims=[500]"],
    "multi_dae": ["model.hidden_dims=[600,200,600]"],
    "multi_vae": ["model.hidden_dims=[600]", "model.latent_dim=200"],
    "multi_cdae": ["model.hidden_dims=[600,200,600]"],
    "recvae": ["model.hidden_dim=600", "model.latent_dim=200"],
    "multi_ease": [],
}


def ours(name, data):
    """The model of its configuration under a real Trainer; validation by all metrics, too."""
    import pytorch_lightning as pl
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate

    from recsys_lightning.data.datamodule import RecommendationData
    from recsys_lightning.data.holdout import Split
    from recsys_lightning.data.interactions import Interactions

    with initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = [f"model={name}", "max_epochs=2", "trainer.accelerator=cpu", *SIZES[name]]
        config = compose("config", overrides=[*overrides, "view.batch_size=500"])
    num_users, num_items = data["shape"].tolist()
    users = np.arange(num_users)
    x = Interactions(
        users=users,
        items=np.arange(num_items),
        indptr=data["all_indptr"],
        indices=data["all_indices"],
        times=None,
        titles=None,
        features={},
        submission_users=users,
    )

    class Clock(pl.Callback):
        """An epoch ends with its last batch, before the validation."""

        def on_train_epoch_start(self, trainer, module):
            self.start = time.perf_counter()

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            if trainer.is_last_batch:
                self.epoch = time.perf_counter() - self.start

        def on_validation_start(self, trainer, module):
            self.start = time.perf_counter()

        def on_validation_end(self, trainer, module):
            self.validation = time.perf_counter() - self.start

    clock = Clock()
    model = instantiate(config.model, num_users=num_users, num_items=num_items, _convert_="all")
    model.evaluate_at([10, 20], 100)
    flags = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = instantiate(config.trainer, callbacks=[clock], **flags)
    data_module = RecommendationData(Split(x, data["part"]), instantiate(config.view))
    trainer.fit(model, datamodule=data_module)
    return {"epoch": clock.epoch, "validation": clock.validation}


def bare(name, data):
    """Plain PyTorch."""
    from experiments.benchmark_autoencoders.bare import run

    return run(name, data)


def recbole(name, data):
    """RecBole's model and trainer; of RecVAE an epoch is three passes and one, as ours."""
    from experiments.peers.in_recbole import train

    theirs = {"multi_vae": "MultiVAE", "recvae": "RecVAE"}[name]
    sizes = {
        "multi_vae": {"mlp_hidden_size": [600], "latent_dimension": 400},  # mean and variance
        "recvae": {"hidden_dimension": 600, "latent_dimension": 200},
    }[name]
    return train(theirs, data, {"train_batch_size": 500, **sizes})  # users, for these models


def main():
    contestant, name, path = sys.argv[1:]
    told = globals()[contestant](name, dict(np.load(path)))
    told["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(told))


if __name__ == "__main__":
    main()
