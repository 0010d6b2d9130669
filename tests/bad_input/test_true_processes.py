"""Ten mistakes as they are typed, by an interpreter of their own."""

import pytest

from tests.bad_input import (
    test_layouts,
    test_models,
    test_options,
    test_paths,
    test_ratings,
    test_splits,
    test_sweeps,
)
from tests.bad_input.case import refused
from tests.command import true_python

TEN = [
    test_layouts.CASES["an unknown data set"],
    test_models.CASES["no such model"],
    test_models.CASES["another model's option"],
    test_options.CASES["a plus too much"],
    test_options.CASES["a dash"],
    test_options.CASES["a seed of text"],
    test_paths.CASES["brackets"],
    test_ratings.CASES["no file"],
    test_splits.CASES["a share in percent"],
    test_sweeps.CASES["an unknown launcher"],
]


@pytest.mark.parametrize("case", TEN, ids=lambda case: case.command)
def test_one_line(case, tmp_path):
    refused(case, tmp_path, true_python)
