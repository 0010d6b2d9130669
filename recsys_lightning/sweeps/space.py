"""The space of a search: sweeps in Hydra's grammar as distributions of Optuna."""

from collections.abc import Iterable
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from recsys_lightning.errors import InputError


def read_space(overrides: Iterable[Override]) -> tuple[dict[str, Any], dict[str, str]]:
    """The distributions to search and the values that stay, by key; of two of a key the later one.

    Raises:
        InputError: there is nothing to search, or Optuna refuses the bounds.
        HydraException: a sweep of another kind.
    """
    space: dict[str, Any] = {}
    fixed: dict[str, str] = {}
    for given in overrides:
        key = given.get_key_element()
        space.pop(key, None)
        fixed.pop(key, None)
        if given.is_sweep_override():
            try:
                space[key] = _distribution(given)
            except ValueError as error:  # of Optuna
                said = f"{given.input_line}: Optuna refuses the space: {error}"
                raise InputError(said) from None
        else:
            fixed[key] = given.get_value_element_as_str()
    if not space:
        raise InputError(
            "hydra/sweeper=optuna: there is nothing to search; give a space, such as "
            "'model.l2=interval(1, 1000)', or hydra.sweeper.params"
        )
    return space, fixed


def _distribution(override: Override) -> Any:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    value, key = override.value(), override.get_key_element()
    if isinstance(value, ChoiceSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    if isinstance(value, RangeSweep):
        items = [float(item) for item in override.sweep_string_iterator()]
        if all(isinstance(part, int) for part in (value.start, value.stop, value.step)):
            return IntDistribution(int(items[0]), int(items[-1]), step=int(value.step))
        return FloatDistribution(items[0], items[-1], step=float(value.step))
    if isinstance(value, IntervalSweep):
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        kind: Any = IntDistribution if whole else FloatDistribution
        return kind(value.start, value.end, log="log" in value.tags)
    raise HydraException(
        f"{key}: no search space; use choice, range, interval or tag(log, interval)"
    )


def any_value(distribution: Any) -> Any:
    """One that a trial may have."""
    return distribution.choices[0] if hasattr(distribution, "choices") else distribution.low
