"""Data that the tests of the linear models share."""

import pytest

from tests.functional.references import two_groups


@pytest.fixture
def x():
    return two_groups()
