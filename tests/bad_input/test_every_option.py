"""Every option of every model with what it may not be, without the command."""

import math
import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from recsys_lightning.assembly import CONF, model_builder
from recsys_lightning.errors import InputError

REFUSED = {  # what no option of a kind may be
    bool: ("nonsense", 0.5, None, [1]),
    int: ("nonsense", -1, 0.5, None, [1], math.inf),
    float: ("nonsense", -1.0, None, [1], math.inf, -math.inf, math.nan),
    str: ("nonsense", 1, [1], None),
    list: ("nonsense", 1, None, [0], ["nonsense"]),
}
ALLOWED = {  # after all
    *(("admm_slim", "popularity_power", -1), ("tale", "popularity_power", -1)),
    *(("deepfm", "score_memory_mb", 0.5), ("ncf", "score_memory_mb", 0.5)),
}

RANGES = {  # what every number may be; where a model differs from the others, with its name
    "number in (0, inf)": "lr temperature rho positive_weight tau_train tau_inference pair_l2 "
    "score_memory_mb ease.l2 easer.l2 multi_ease.l2 tale.l2",
    "number in [0, inf)": "l2 l1 mlp_l2 tolerance weight_decay user_l2 recency gamma beta "
    "contrast noise",
    "number in [0, 1)": "dropout hidden_dropout message_dropout",
    "number in [0, 1]": "user_dropout floor anneal_share calibration last_share",
    "number in (0, 1)": "mask_share",
    "number in (-inf, inf)": "popularity_power",
    "whole number in [0, inf)": "num_pairs pretrain_epochs lightgcn.num_layers",
    "whole number in [1, inf)": "embedding_dim hidden_dim latent_dim length num_layers num_heads "
    "num_negatives max_iterations",
    "whole number in [1, 200]": "num_masks",  # as many as `length`
    "whole number in [1, 2]": "contrast_layer",  # as many as `num_layers`
}
BY_A_RULE = {  # what may be null, and a value that it may have
    ("admm_slim", "l1"): 5.0,
    ("recvae", "gamma"): 0.0075,
    ("lightgcn", "lr"): 0.02,
    ("sasrec", "dropout"): 0.1,
    ("s3rec", "dropout"): 0.1,
    ("bert4rec", "dropout"): 0.1,
    ("bert4rec", "mask_share"): 0.2,
}
MODELS = sorted(path.stem for path in Path("conf/model").glob("*.yaml"))


def options_of(model):
    """Its part of the configuration, what else it is built from, and the names of its options."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", [f"model={model}"]).model
    features = {"features": ["genre"], "num_values": [2]} if "features" in config else {}
    sizes = {"num_users": 5, "num_items": 6} | features
    return config, sizes, set(config) - {"_target_", "features"}


@pytest.mark.parametrize("model", MODELS)
def test_every_option_of_a_model_is_refused_by_its_name(model):
    """Each of its own keys with values of each kind that it may not have."""
    config, sizes, keys = options_of(model)
    for key in keys:
        right = BY_A_RULE.get((model, key), config[key])
        kind = list if OmegaConf.is_list(right) else type(right)
        for wrong in REFUSED[kind]:
            if wrong is None and (model, key) in BY_A_RULE:
                continue
            if not isinstance(wrong, list) and (model, key, wrong) in ALLOWED:
                continue
            changed = OmegaConf.create({"model": config}).model
            changed[key] = wrong
            with pytest.raises(InputError, match=rf"^model\.{key}(\[0\])?="):
                model_builder(changed)(**sizes)


@pytest.mark.parametrize("model", MODELS)
def test_every_number_of_a_model_has_its_range(model):
    """Down to whether the ends are in it, as the message says, which `check_range` itself obeys."""
    config, sizes, keys = options_of(model)
    of_key = {key: range_ for range_, keys in RANGES.items() for key in keys.split()}
    for key in keys:
        if type(BY_A_RULE.get((model, key), config[key])) in (int, float):
            changed = OmegaConf.create({"model": config}).model
            changed[key] = "x"
            range_ = of_key.get(f"{model}.{key}") or of_key.get(key)
            assert range_, f"say in RANGES what {key} of {model} may be"
            null = " or null" if (model, key) in BY_A_RULE else ""
            message = f"{key}=x: expected a {range_}{null}"
            with pytest.raises(InputError, match=re.escape(message) + "$"):
                model_builder(changed)(**sizes)
