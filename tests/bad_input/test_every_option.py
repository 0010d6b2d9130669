"""Every option of every model with what it may not be, without the command."""

import math
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


@pytest.mark.parametrize("model", sorted(path.stem for path in Path("conf/model").glob("*.yaml")))
def test_every_option_of_a_model_is_refused_by_its_name(model):
    """Each of its own keys with values of each kind that it may not have."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", [f"model={model}"]).model
    sizes = {"num_users": 5, "num_items": 6}
    features = {"features": ["genre"], "num_values": [2]} if "features" in config else {}
    for key in set(config) - {"_target_", "features"}:
        right = config[key]
        kind = list if OmegaConf.is_list(right) else type(right)
        for wrong in REFUSED[kind]:
            if not isinstance(wrong, list) and (model, key, wrong) in ALLOWED:
                continue
            changed = OmegaConf.create({"model": config}).model
            changed[key] = wrong
            with pytest.raises(InputError, match=rf"^model\.{key}(\[0\])?="):
                model_builder(changed)(**sizes, **features)
