"""What of a multirun's command line is for its jobs alone."""

from collections.abc import Sequence

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

MULTIRUNS = ("sweep=", "experiment=")  # their files say so


def for_the_jobs(arguments: Sequence[str]) -> list[str]:
    """The command line, with options of the model and its view as choices of one value each.

    So it is where a multirun has several models. Hydra composes it once without all that is swept,
    so with the default model, and refuses what that lacks: `-m model=sasrec,bert4rec model.lr=0.01`
    would have no such key. A choice, also of one value, is swept.

    >>> for_the_jobs(["-m", "model=sasrec,bert4rec", "model.lr=0.01", "max_epochs=3"])
    ['-m', 'model=sasrec,bert4rec', 'model.lr=choice(0.01)', 'max_epochs=3']
    """
    asked = get_args_parser().parse_known_args(list(arguments))[0]
    if not (asked.multirun or any(one.startswith(MULTIRUNS) for one in asked.overrides)):
        return list(arguments)
    try:
        overrides = OverridesParser.create().parse_overrides(asked.overrides)
    except HydraException:  # it is refused when the run begins
        return list(arguments)
    if not any(_names_several_models(one) for one in overrides):
        return list(arguments)
    swept = {one.input_line: _swept(one) for one in overrides if _is_of_the_jobs(one)}
    return [swept.get(argument, argument) for argument in arguments]


def _names_several_models(one: Override) -> bool:
    return one.key_or_group == "jobs" or (one.key_or_group == "model" and one.is_sweep_override())


def _is_of_the_jobs(one: Override) -> bool:
    is_value = one.input_line is not None and one.input_line.startswith(("model.", "view."))
    return is_value and not one.is_delete() and not one.is_sweep_override()


def _swept(one: Override) -> str:
    key, _, value = str(one.input_line).partition("=")
    return f"{key}=choice({value})" if value else f"{key}={value}"
