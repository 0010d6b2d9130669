"""Each file that a start depends on, cut at every tenth of its length: it works, or names the file.

`python -m pytest tests/test_truncation.py -s` prints the counts.
"""

import os
import shutil
import signal
import time
from collections import Counter

import pytest

from recsys_lightning.runs.folder import RunFolder
from tests.forked import forked_python, start_forked
from tests.test_kills import COMMANDS, copy, found, ready  # noqa: F401, a fixture

pytestmark = pytest.mark.slow


def interrupted_run(folder):
    """A run that was killed when it could be resumed."""
    job = start_forked(*COMMANDS["run"].start(folder))
    end = time.monotonic() + 120
    while not RunFolder(folder / "out").last.exists():
        assert job.is_alive(), "it ended before"
        assert time.monotonic() < end, "too late"
        time.sleep(0.001)
    os.killpg(job.pid, signal.SIGKILL)
    job.join()


def finished(name):
    def make(folder):
        done = forked_python(*COMMANDS[name].start(folder))
        assert done.returncode == 0, done.stderr

    return make


STARTS = {
    "run": interrupted_run,
    "sweep and ensemble": finished("sweep and ensemble"),
    "search": finished("search"),
    "ensemble": finished("ensemble"),
    "report": finished("report"),
}
# what nobody reads: logs and pages; what Python itself makes
IGNORED = (".log", ".png", ".html", ".md", ".tex", ".pyc")


@pytest.mark.parametrize("name", STARTS)
def test_a_file_that_was_cut_is_made_again_or_named(name, ready, tmp_path, capsys):  # noqa: F811
    command = COMMANDS[name]
    made = copy(ready, tmp_path / "made")
    expected = found(command, made) if name == "report" else None
    STARTS[name](made)
    if name != "run":
        expected = found(command, made)
    else:
        whole = copy(made, tmp_path / "whole")
        finished(name)(whole)
        expected = found(command, whole)
    files = [
        path.relative_to(made)
        for path in sorted(made.rglob("*"))
        if path.is_file() and path.stat().st_size and path.suffix not in IGNORED
    ]
    ends = Counter()
    wrong = []
    for file in files:
        for tenth in range(10):
            folder = copy(made, tmp_path / "cut")
            os.truncate(folder / file, os.path.getsize(folder / file) * tenth // 10)
            done = forked_python(*command.start(folder))
            try:
                if done.returncode:
                    assert done.returncode in (1, 2), done.returncode
                    assert "Traceback" not in done.stderr
                    assert file.name in done.stderr
                    ends["named"] += 1
                else:
                    assert found(command, folder) == expected
                    ends["as if it were whole"] += 1
            except (AssertionError, ValueError, OSError) as error:
                wrong.append(f"{file} at {tenth}/10: {error!r}"[:300] + done.stderr[-500:])
            shutil.rmtree(folder)
    with capsys.disabled():
        print(f"\n{name}: {len(files)} files, each cut at ten places: {dict(ends)}")
    assert not wrong, "\n".join(wrong)
