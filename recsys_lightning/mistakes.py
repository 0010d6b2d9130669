"""What Hydra and OmegaConf refuse, in one line that says what to do."""

import re
from collections.abc import Iterable, Sequence

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recsys_lightning.errors import InputError


def check_flags(arguments: Sequence[str]) -> None:
    """Refuse `--key=value`, which Hydra would answer with all the flags that it has.

    Raises:
        InputError: a flag that Hydra does not have.
    """
    flags = get_args_parser().parse_known_args(list(arguments))[1]
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
        return f"{group}={choice}: expected one of {names}"
    if found := re.search(r"An item is already at '(.+)'", text):
        return f"+{found[1]}: there is such a key; leave out the +"
    if "hydra.cc" in text:  # its grammar
        said = first.removesuffix(".").removeprefix("LexerNoViableAltException: ")
        return (
            f"{said}: expected key=value; a value with blanks, commas, brackets, =, ~ or letters "
            "beyond ASCII has quotes of its own within the shell's: 'data.path=\"my file.csv\"'"
        )
    lines = [*text.splitlines(), *str(error.__cause__ or "").splitlines()[:1]]
    return " ".join(line.strip() for line in lines if line.strip())


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
        return message
    group = OmegaConf.select(config, parent) if parent else config
    above, _, name = parent.rpartition(".")
    beside = OmegaConf.select(config, above) if above else config
    if group is None and name not in (beside or ()):
        return _unknown_key(parent, overrides, conf)
    if not isinstance(group, DictConfig):
        return f"{message}: {parent} is {group}"
    names = ", ".join(sorted(str(name) for name in group if not str(name).startswith("_")))
    return f"{message}; {parent or 'the configuration'} has {names or 'none'}"
