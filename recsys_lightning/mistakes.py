"""What Hydra and OmegaConf refuse, in one line that says what to do."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recsys_lightning.errors import InputError
from recsys_lightning.runs.parameters import dotted


def check_flags(arguments: Sequence[str]) -> None:
    """Refuse `--key=value`, which Hydra would answer with all the flags that it has.

    Raises:
        InputError: a flag that Hydra does not have, or options on both sides of one that it has.
    """
    flags = get_args_parser().parse_known_args(list(arguments))[1]
    if flags and not flags[0].startswith("-"):
        raise InputError(
            f"{flags[0]}: another option stands before a flag: first all flags, such as -m and "
            "--config-dir, then all options"
        )
    if flags:
        key, _, value = flags[0].lstrip("-").partition("=")
        raise InputError(f"{flags[0]}: options have no dashes: {key}={value or '<value>'}")


def in_one_line(error: Exception, overrides: Sequence[str], conf: str) -> str:
    """The message of an error; of Hydra's and OmegaConf's a line of ours.

    Args:
        error: any.
        overrides: the arguments of the command.
        conf: the folder of the configuration.
    """
    text = str(error)
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return text
    first = text.splitlines()[0]
    if isinstance(error, OmegaConfBaseException):
        needed = error.full_key or next((one for one in overrides if "${" in one), None)
        advice = (
            "; of the environment it is ${oc.env:NAME}" if "${oc.env" not in str(needed) else ""
        )
        return f"{first}, which {needed} needs{advice}" if needed else first
    if found := re.match(r"Could not override '(.+)'", text):
        return _unknown_key(found[1], overrides, conf)
    if found := re.search(r"Could not find '(.+)'\s+Available options in '(.+)':\n([^:]+)\n", text):
        group, choice = found[2], found[1].removeprefix(f"{found[2]}/")
        names = ", ".join(line.strip() for line in found[3].splitlines() if "\t" in line)
        is_stored = any("ckpt_path=" in one for one in overrides)  # a choice of that run
        own = "; one of your own needs --config-dir" if is_stored else ""
        return f"{group}={choice}: expected one of {names}{own}"
    if found := re.search(r"Could not load '([^']+)/([^'/]+)'", text):  # one of a list
        group, choice = found[1], found[2]
        return f"{group}={choice}: expected one of {', '.join(_choices(group, conf))}"
    if found := re.match(r"Ambiguous value for argument '(([^=]+)=(.+))'", text):
        typed, key, value = found.groups()
        return (
            f"{typed}: several values are several runs, with -m; a list is {key}=[{value}], "
            "and a decimal number has a point"
        )
    if found := re.search(r"An item is already at '(.+)'", text):
        return f"+{found[1]}: there is such a key; leave out the +"
    if "hydra.cc" in text:  # its grammar
        if cut := next((one for one in overrides if one.count("[") > one.count("]")), None):
            return (
                f"{cut}: no ] in this argument: a list with blanks has quotes around it all: "
                "'metrics.k=[10, 20]'"
            )
        said = first.removesuffix(".").removeprefix("LexerNoViableAltException: ")
        return (
            f"{said}: expected key=value; a value with blanks, commas, semicolons, brackets, =, ~ "
            "or letters beyond ASCII has quotes of its own within the shell's: "
            "'data.path=\"my file.csv\"'"
        )
    lines = [*text.splitlines(), *str(error.__cause__ or "").splitlines()[:1]]
    return " ".join(line.strip() for line in lines if line.strip())


def _choices(group: str, conf: str) -> list[str]:
    """The files of a group of the configuration."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(conf, version_base="1.3"):
        return GlobalHydra.instance().config_loader().get_group_options(group)


def _unknown_key(key: str, overrides: Iterable[str], conf: str) -> str:
    """With the keys that there are beside it, in the configuration that was asked for."""
    parent, _, _ = key.rpartition(".")
    known = [override for override in overrides if not override.startswith((key, "-"))]
    message = f"{key}: no such key"
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(conf, version_base="1.3"):
            config = compose("config", known)
    except (HydraException, OmegaConfBaseException):  # a sweep's commas
        choice = f"{key.partition('.')[0]}="
        several = next((one for one in known if one.startswith(choice) and "," in one), None)
        if several is None:
            return message
        lacking = [name for name in several[len(choice) :].split(",") if _lacks(name, key, conf)]
        where = f"{choice}{','.join(lacking)}" if lacking else f"each of {several}"
        return f"{message} in {where}; options of some alone go in a list of jobs (`jobs`)"
    group = OmegaConf.select(config, parent) if parent else config
    above, _, name = parent.rpartition(".")
    beside = OmegaConf.select(config, above) if above else config
    if group is None and name not in (beside or ()):
        return _unknown_key(parent, overrides, conf)
    if not isinstance(group, DictConfig):
        return f"{message}: {parent} is {group}"
    if elsewhere := _keys_named(key.rpartition(".")[2], config):
        message = f"{message}; there is {', '.join(elsewhere)}"
    names = ", ".join(sorted(str(name) for name in group if not str(name).startswith("_")))
    return f"{message}; {parent or 'the configuration'} has {names or 'none'}"


def _lacks(name: str, key: str, conf: str) -> bool:
    """Whether a choice of the key's group has no such key; not, if there is no such choice."""
    group, _, own = key.partition(".")
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(conf, version_base="1.3"):
            return own not in compose("config", [f"{group}={name}"])[group]
    except (HydraException, OmegaConfBaseException):
        return False


def _keys_named(name: str, config: DictConfig) -> list[str]:
    """All keys with this last part, such as `model.lr` for `lr`."""
    keys = dotted(cast(dict[str, Any], OmegaConf.to_container(config)))
    return [key for key in keys if key.rpartition(".")[2] == name]
