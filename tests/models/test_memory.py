"""The memory that the guards ask for against the measured peak of a fit."""

import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "experiments" / "benchmark_linear"


@pytest.fixture(scope="module")
def memory():
    sys.path.insert(0, str(BENCHMARK))
    try:
        import memory
    finally:
        sys.path.remove(str(BENCHMARK))
    return memory


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak cannot be set back"
)
@pytest.mark.parametrize("users_an_item", [1.0, 0.5, 0.1])
@pytest.mark.parametrize(
    "model", ["ease", "ease-double", "admm_slim", "easer", "multi_ease", "tale"]
)
def test_the_guard_asks_for_what_a_fit_needs(memory, model, users_an_item):
    for num_items in memory.SIZES[model]:
        result = memory.measured(model, int(users_an_item * num_items), num_items)
        assert result["asked"] == pytest.approx(result["peak"], rel=0.25), num_items
