"""A sweep to fuse."""

import pytest

from tests.ensemble.runs import make_split, write_run


@pytest.fixture
def sweep(tmp_path):
    """Three runs that know something and one that knows nothing."""
    split = make_split()
    for name, skill in (("0_ease", 1.0), ("1_recvae", 0.9), ("2_easer", 0.8), ("3_noise", 0.0)):
        write_run(tmp_path / "sweep" / name, split, skill)
    return tmp_path / "sweep"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"
