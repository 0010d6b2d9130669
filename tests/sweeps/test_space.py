"""The spaces that a search reads from overrides."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from recsys_lightning.errors import InputError
from recsys_lightning.sweeps.space import any_value, read_space


def read(*overrides):
    return read_space(OverridesParser.create().parse_overrides(list(overrides)))


@pytest.mark.parametrize(
    ("sweep", "expected", "value"),
    [
        ("choice(3,1,two)", CategoricalDistribution(["3", "1", "two"]), "3"),
        ("3,1", CategoricalDistribution(["3", "1"]), "3"),
        ("range(1,9,4)", IntDistribution(1, 5, step=4), 1),
        ("range(0.5,2.0,0.5)", FloatDistribution(0.5, 1.5, step=0.5), 0.5),
        ("interval(1,9)", FloatDistribution(1, 9), 1),
        ("int(interval(1,9))", IntDistribution(1, 9), 1),
        ("tag(log,interval(0.1,9))", FloatDistribution(0.1, 9, log=True), 0.1),
        ("tag(log,int(interval(1,9)))", IntDistribution(1, 9, log=True), 1),
    ],
)
def test_a_sweep_is_a_distribution_and_has_a_value(sweep, expected, value):
    space, fixed = read(f"model.a={sweep}", "model.b=5")
    assert space == {"model.a": expected}
    assert fixed == {"model.b": "5"}
    assert any_value(expected) == value


def test_of_a_key_the_later_override_counts():
    space, fixed = read("a=interval(1,9)", "b=1", "c=1,2", "a=4", "b=choice(5,6)")
    assert space == {
        "b": CategoricalDistribution(["5", "6"]),
        "c": CategoricalDistribution(["1", "2"]),
    }
    assert fixed == {"a": "4"}


def test_what_is_no_space_is_refused():
    with pytest.raises(InputError, match="there is nothing to search"):
        read("a=1")
    with pytest.raises(InputError, match=r"a=interval\(9,1\): Optuna refuses the space: "):
        read("a=interval(9,1)")
    with pytest.raises(HydraException, match="a: no search space; use choice"):
        read("a=glob(*)")
