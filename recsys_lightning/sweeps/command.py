"""What of a multirun's command line is for its jobs alone."""

from collections.abc import Sequence

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

MULTIRUNS = ("sweep=", "experiment=")  # their files say so


def for_the_jobs(arguments: Sequence[str]) -> list[str]:
    """The command line of a multirun, with options of what it sweeps as choices of one value each.

    Hydra composes a multirun once without all that is swept, so with the default model, and refuses
    what that lacks: `-m model=sasrec,bert4rec model.lr=0.01` would have no such key. A choice, also
    of one value, is swept. A model chooses its view, whose options are treated alike.

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
    several = {one.key_or_group for one in overrides if one.is_sweep_override()}
    if any(one.key_or_group == "jobs" for one in overrides):
        several.add("model")
    if "model" in several:
        several.add("view")
    values = [one for one in overrides if one.input_line and not one.is_sweep_override()]
    swept = {one.input_line: _swept(one) for one in values if _group(one) in several}
    return [swept.get(argument, argument) for argument in arguments]


def _group(one: Override) -> str | None:
    """Of an option that is changed, such as `model` of `model.lr=0.01`; None: of no group."""
    group, dot, _ = str(one.input_line).partition("=")[0].partition(".")
    return group if dot and not one.is_delete() and not one.is_add() else None


def _swept(one: Override) -> str:
    key, _, value = str(one.input_line).partition("=")
    return f"{key}=choice({value})" if value else f"{key}={value}"
