"""A run's folder knows what it was made of: `ckpt_path=<folder>` composes it again.

Choices and values are taken from its result.json as overrides of the command line, which compose
like any other; a `_target_` that stands there is never used.
"""

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys_lightning.errors import InputError
from recsys_lightning.runs.folder import RunFolder
from recsys_lightning.runs.parameters import TARGET, dotted
from recsys_lightning.runs.record import RunResult

GROUPS = ("data", "holdout", "model", "view")
# what is asked; and what a refit needs
KEYS = ("test_history", "seed", "max_epochs", "average_weights")


def with_stored_run(arguments: Sequence[str]) -> list[str]:
    """The command line with what the run behind its `ckpt_path` was made of.

    What is given on the command line wins: a group that is chosen there is left alone, and values
    come first, so that later ones replace them.

    Args:
        arguments: of the command.

    Raises:
        InputError: the result.json of the folder cannot be used, or there are several folders.
    """
    path = next((a.partition("=")[2] for a in arguments if re.match(r"\+*ckpt_path=", a)), None)
    if not path:
        return list(arguments)
    folder = RunFolder(Path(_unquoted(path)))
    file = folder.result
    if not file.is_file():
        if any(RunFolder(Path(one)).result.is_file() for one in path.split(",")):
            raise InputError(
                f"ckpt_path={path}: expected one run's folder a command, as its data, holdout and "
                "model come with it"
            )
        if folder.checkpoints.is_dir() and not any(re.match(r"\+*model=", a) for a in arguments):
            raise InputError(
                f"ckpt_path={path}: {file} is not there, as of a run that did not end: name its "
                "model, data and holdout, too"
            )
        return list(arguments)
    try:
        result = RunResult.read(file)
        choices, config = result.choices, result.config
        stored = {group: str(choices[group]) for group in GROUPS}
        values = {group: dict(config[group]) for group in GROUPS}
        known = {"average_weights": False, **config}  # runs of before it lack the key
        keys = {key: known[key] for key in KEYS}
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file}: cannot be used ({type(error).__name__}: {error}); name a checkpoint file by "
            "ckpt_path, and its data, holdout and model"
        ) from error
    overrides = []
    given = {argument.partition("=")[0].lstrip("+~") for argument in arguments}
    if "model" in given and f"model={stored['model']}" not in arguments:
        given.add("view")  # another model's family has its own
    for group in GROUPS:
        if group in given:
            continue
        if not re.fullmatch(r"[\w-]+", stored[group]):
            raise InputError(f"{file}: choices.{group} is {stored[group]!r}: expected a name")
        overrides.append(f"{group}={stored[group]}")
        overrides += [
            f"{group}.{key}={_written(file, value)}"
            for key, value in dotted(values[group]).items()
            if key.rpartition(".")[2] != TARGET  # no class comes from there
        ]
    overrides += [f"{key}={_written(file, value)}" for key, value in keys.items()]
    overrides.append("refit=false")  # nothing is fitted that is not asked for here
    first = next(n for n, a in enumerate(arguments) if "=" in a and not a.startswith("-"))
    return [*arguments[:first], *overrides, *arguments[first:]]


def _unquoted(path: str) -> str:
    return path[1:-1] if len(path) > 1 and path[0] == path[-1] and path[0] in "'\"" else path


def _written(file: Path, value: Any) -> str:
    r"""A value in the grammar of Hydra's command line.

    >>> _written(Path(), ["it's", None, True, 0.5])
    "['it\\'s',null,true,0.5]"
    """
    from hydra.core.override_parser.types import Quote, QuotedString

    if isinstance(value, list):
        return f"[{','.join(_written(file, one) for one in value)}]"
    if isinstance(value, str):
        if "${" in value:
            raise InputError(f"{file}: {value!r} refers to something outside of it")
        return QuotedString(value, Quote.single).with_quotes()
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    raise InputError(f"{file}: {value!r}: expected a scalar or a list of scalars")


def typed(key: str, value: object) -> str:
    """An option as it is typed, in quotes for Hydra and the shell where it needs them.

    >>> print(typed("hydra.run.dir", "outputs/a"), typed("hydra.run.dir", "my runs, 1"))
    hydra.run.dir=outputs/a 'hydra.run.dir='"'"'my runs, 1'"'"''
    """
    from hydra.core.override_parser.types import Quote, QuotedString

    text = str(value)
    if re.fullmatch(r"[\w./:+@%-]+", text, re.ASCII):
        return f"{key}={text}"
    return shlex.quote(f"{key}={QuotedString(text, Quote.single).with_quotes()}")
