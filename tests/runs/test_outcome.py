"""What an experiment hands to the record of its run."""

from recsys_lightning.runs.outcome import Outcome
from recsys_lightning.runs.record import RunResult


def test_it_says_what_a_result_has_a_place_for():
    assert set(Outcome().for_result()) <= set(RunResult.names())
