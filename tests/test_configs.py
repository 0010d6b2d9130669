"""Every configuration composes, and names exactly what its class takes."""

import inspect
from functools import cache
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep
from hydra.errors import ConfigCompositionException
from hydra.utils import get_class
from omegaconf import OmegaConf

from recsys_lightning.instantiate import make

CONF = Path(__file__).parent.parent / "conf"
GIVEN_AT_RUN = {"num_users", "num_items", "num_values"}


def choices(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def composed(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides), return_hydra_config=True)


@cache
def chosen(group, choice):
    return composed(f"{group}={choice}")


@pytest.mark.parametrize(
    "group", ["data", "holdout", "model", "trainer", "logger", "callbacks", "ensemble"]
)
def test_every_choice_composes(group):
    for choice in choices(group):
        assert chosen(group, choice).hydra.runtime.choices[group] == choice


@pytest.mark.parametrize("group", ["data", "holdout", "view", "model"])
def test_keys_and_defaults_are_those_of_the_constructor(group):
    for choice in choices(group):
        if group == "view":  # a family's own keys stand beside a view's, once both are composed
            config = yaml.safe_load((CONF / f"view/{choice}.yaml").read_text())
        else:
            config = chosen(group, choice)[group]
        target = get_class(config["_target_"])
        parameters = inspect.signature(target).parameters
        names = set(parameters) - (GIVEN_AT_RUN if group == "model" else set())
        assert set(config) - {"_target_"} == names, f"{group}={choice}"
        if group == "model":
            for name in names:
                default = parameters[name].default
                default = list(default) if isinstance(default, tuple) else default
                assert config[name] == default, f"{choice}.{name}"


def test_a_family_chooses_view_and_epochs_and_the_command_line_wins():
    config = composed("model=ease")
    assert (config.max_epochs, config.refit, config.view.shuffle) == (1, True, False)
    config = composed("model=ease", "refit=false", "view.batch_size=7", "trainer=ddp")
    assert (config.refit, config.view.batch_size, config.trainer.max_epochs) == (False, 7, 1)


def test_holdout_files_reads_by_data_files():
    assert composed("holdout=files").hydra.runtime.choices.data == "files"


@pytest.mark.parametrize("override", ["model.l22=3", "sede=1", "holdout.items=3"])
def test_an_unknown_key_fails(override):
    with pytest.raises(ConfigCompositionException):
        composed(override)


@pytest.mark.parametrize(
    "path", sorted(CONF.rglob("*.yaml")), ids=lambda p: str(p.relative_to(CONF))
)
def test_the_first_line_says_how_to_use_the_file(path):
    lines = [line for line in path.read_text().splitlines() if not line.startswith("# @package")]
    assert lines[0].startswith("# "), path
    yaml.safe_load(path.read_text())


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_composes(experiment):
    assert composed(f"experiment={experiment}").hydra.runtime.choices.experiment == experiment


@pytest.mark.parametrize("model", sorted({*choices("sweep")} & {*choices("model")}))
def test_a_search_composes_with_its_model_so_that_its_keys_can_be_given(model):
    assert chosen("sweep", model).hydra.runtime.choices["model"] == model


SPACES = sorted(path.stem for path in (CONF / "wandb_sweep").glob("*.yaml"))


def spaces(model):
    """{key: its space, as Hydra reads it}"""
    params = OmegaConf.load(CONF / f"sweep/{model}.yaml").hydra.sweeper.params
    parser = OverridesParser.create()
    return {
        key: parser.parse_override(f"{key}={space}").value()
        for key, space in OmegaConf.to_container(params).items()
        if key != "model"
    }


def of_wandb(space):
    if isinstance(space, ChoiceSweep):  # W&B hands a list on as text
        return {
            "values": [str(v).replace(" ", "") if isinstance(v, list) else v for v in space.list]
        }
    name = "log_uniform_values" if "log" in space.tags else "uniform"
    return {"distribution": name, "min": space.start, "max": space.end}


@pytest.mark.parametrize("model", SPACES)
def test_the_server_of_wandb_searches_the_same_space(model):
    sweep = yaml.safe_load((CONF / f"wandb_sweep/{model}.yaml").read_text())
    assert sweep["parameters"] == {key: of_wandb(space) for key, space in spaces(model).items()}


def values(space):
    return space.list if isinstance(space, ChoiceSweep) else [space.start, space.end]


@pytest.mark.parametrize("model", SPACES)
def test_a_model_is_made_with_every_choice_and_end_of_its_space(model):
    """Whatever a trial draws: tests/sweeps/test_sweep.py runs some."""
    config = composed(f"model={model}")
    taken = inspect.signature(get_class(config.model._target_)).parameters
    data = {"num_users": 20, "num_items": 30, "num_values": [3, 4]}
    data = {name: value for name, value in data.items() if name in taken}
    for key, space in spaces(model).items():
        for value in values(space):
            chosen = config.copy()
            OmegaConf.update(chosen, key, value, merge=False)
            make(chosen.model, **data)
            make(chosen.view)


@pytest.mark.parametrize("model", SPACES)
def test_a_default_lies_in_its_space(model):
    """But for null, which a rule sets."""
    config = OmegaConf.to_container(composed(f"model={model}"))
    for key, space in spaces(model).items():
        group, _, name = key.partition(".")
        default = config[group][name]
        if isinstance(space, IntervalSweep) and default is not None:
            assert space.start <= default <= space.end, key
        elif default is not None:
            assert default in space.list, key


@pytest.mark.parametrize(
    ("model", "in_turns"), [("recvae", True), ("s3rec", True), ("ease", False)]
)
def test_processes_look_for_what_a_step_leaves_out_where_a_model_trains_in_turns(model, in_turns):
    strategy = composed("trainer=ddp", f"model={model}").trainer.strategy
    assert strategy.find_unused_parameters is in_turns
    assert strategy.broadcast_buffers is False
