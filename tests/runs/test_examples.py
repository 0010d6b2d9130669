"""The examples of a run: what a user had, beside what is recommended."""

from dataclasses import replace

import numpy as np

from recsys_lightning.runs.examples import examples_of
from tests.conftest import make_interactions


def test_an_item_without_a_title_is_shown_by_its_id():
    x = make_interactions([[0, 1]], 3)
    titled = replace(x, titles=np.array(["Heat (1995)", "", ""]))
    lists = np.array([[2, 0]])
    (untitled,), (some,) = (examples_of(data, np.array([0]), lists) for data in (x, titled))
    ids = list(map(str, x.items))
    assert (untitled.watched, untitled.recommended) == ([ids[1], ids[0]], [ids[2], ids[0]])
    assert (some.watched, some.recommended) == ([ids[1], "Heat (1995)"], [ids[2], "Heat (1995)"])
