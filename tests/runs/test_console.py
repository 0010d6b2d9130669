"""What a run shows of its data."""

import io
from dataclasses import replace

import numpy as np
import pytest

from recsys_lightning.data.core import Core, Size
from recsys_lightning.data.holdout import NoHoldout
from recsys_lightning.data.joins import join
from recsys_lightning.runs.console import describe, summarise
from recsys_lightning.runs.examples import Example
from recsys_lightning.runs.record import RunResult
from recsys_lightning.runs.terminal import Terminal
from tests.conftest import make_interactions
from tests.forked import forked_python


def test_every_join_of_two_files_is_shown():
    x = make_interactions([[0, 1], [2]], 3)
    found = join("items", "the interactions", ["1", "2", "[b]"], "data.items", ["1", "2"])
    low = join("users", "holdout.test", ["1"], "holdout.train", ["2"])
    console = Terminal(file=io.StringIO(), width=40)
    describe(console, "files", NoHoldout().split(replace(x, joins=(found, low))))
    lines = console.file.getvalue().splitlines()
    assert lines[2:] == [
        "2 of 3 items of the interactions are in data.items (66.6 %)",
        "only 0 of 1 users of holdout.test are in holdout.train (0 %): '1' is not, and '2' is only "
        "there. Check that both files write ids in the same way",
    ]


def test_data_without_times_is_shown_to_be_so():
    """A column of another name than `time` or `timestamp` was left unread without a word."""
    console = Terminal(file=io.StringIO(), width=40)
    x = make_interactions([[0, 1], [2]], 3)
    for data in x, replace(x, times=None):
        describe(console, "files", NoHoldout().split(data))
    with_times, _, without, _ = console.file.getvalue().splitlines()
    assert with_times == "files: 2 users x 3 items, 3 interactions"
    assert without == f"{with_times}, no times: they are in the order of the file"


def test_the_counts_of_a_k_core_are_shown():
    core = Core(5, 0, Size(1000, 20, 30), Size(900, 10, 30), 1)
    console = Terminal(file=io.StringIO(), width=40)
    x = replace(make_interactions([[0, 1], [2]], 3), core=core)
    describe(console, "files", NoHoldout().split(x))
    assert console.file.getvalue().splitlines()[1] == (
        "k-core (at least 5 interactions a user, 0 an item): 900 of 1,000 interactions, "
        "10 of 20 users, 30 of 30 items stay (rounds: 1)"
    )


def test_what_is_not_ours_is_shown_as_it_stands(tmp_path):
    names = ["[/b] Alien", "[rec] :star:", "[bold]x"]
    console = Terminal(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    summarise(
        console,
        metrics={},
        standard_errors={},
        headline="val/recall@10",
        examples=[Example("[/u]", 3, names, ["\x1b[2Jcleared\r\x9b1A", "", ""])],
        seconds={},
        files=[tmp_path / "[/red]"],
    )
    shown = console.file.getvalue()
    for text in (*names, "user [/u]", "[2Jcleared1A", f"{tmp_path}/[/red]"):
        assert text in shown
    assert "\x1b[2J" not in shown
    assert not set("\r\x9b") & set(shown)


def test_joins_stay_with_a_part_of_the_data():
    found = join("items", "a", ["1"], "b", ["1"])
    x = replace(make_interactions([[0, 1]], 2), joins=(found,))
    assert x.select(np.array([True, False])).joins == (found,)


@pytest.mark.parametrize("model", ["popularity", "multi_dae"])
def test_a_run_goes_on_where_nobody_reads_what_it_says(model, tmp_path):
    """As in `| head -1`; it ended without a word, and without a result."""
    small = "data.num_users=60 data.num_items=40 data.num_interactions=1200 data.min_per_user=10"
    code = """
import os, runpy, sys
unread, stdout = os.pipe()
os.dup2(stdout, 1), os.close(stdout), os.close(unread)
sys.argv = ["run.py", *sys.argv[1:]]
runpy.run_path("run.py", run_name="__main__")
"""
    options = [f"model={model}", "data=synthetic", *small.split(), "max_epochs=2", "logger=none"]
    places = [f"{key}={tmp_path}/{key}" for key in ("hydra.run.dir", "split_dir", "data.cache_dir")]
    done = forked_python("-c", code, *options, *places)
    assert (done.returncode, done.stderr) == (0, "")
    assert RunResult.read(tmp_path / "hydra.run.dir/result.json").status == "done"
