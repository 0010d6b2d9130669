"""A fork shows what a process of its own would, and why its server must not compute."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.command import true_python
from tests.forked import forked_python, read_at_start

PYTHONS = [forked_python, true_python]
STATE = """
import json, os, sys, threading
import torch
main = sys.modules["__main__"]
print(json.dumps({
    "name": __name__, "main": vars(main) is globals(), "file": getattr(main, "__file__", None),
    "argv": sys.argv, "path": sys.path, "cwd": os.getcwd(),
    # others are set by what is imported
    "variables": {k: v for k, v in os.environ.items() if not k.startswith(("TORCH", "PYTORCH"))},
    "threads": torch.get_num_threads(),
    "python threads": len(threading.enumerate()),
}))
print("by a child", flush=True)
os.system("echo by a child >&2")
"""


def variables():
    more = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "LC_ALL": "C.UTF-8"}
    return read_at_start(os.environ) | more


@pytest.mark.parametrize("how", ["-c", "-m", "script"])
def test_a_fork_starts_as_a_process_does(how, tmp_path):
    (tmp_path / "state.py").write_text(STATE)
    what = {"-c": ["-c", STATE], "-m": ["-m", "state"], "script": ["state.py"]}[how]
    found = []
    for python in PYTHONS:
        done = python(*what, "a=1", "b", cwd=tmp_path, env=variables())
        assert (done.returncode, done.stderr) == (0, "by a child\n")
        state, said = done.stdout.splitlines()
        assert said == "by a child"
        found.append(json.loads(state))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("code", "ends_with"),
    [
        ("import sys; sys.exit(3)", 3),
        ("raise SystemExit", 0),
        ("import sys; sys.exit('a word')", 1),
        ("1 / 0", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("import atexit; atexit.register(print, 'the end')", 0),
        (
            "import threading, time\ndef late(): time.sleep(.1); print('late')\n"
            "threading.Thread(target=late).start()",
            0,
        ),
    ],
)
def test_a_fork_ends_as_a_process_does(code, ends_with):
    ends = [python("-c", code) for python in PYTHONS]
    assert [done.returncode for done in ends] == [ends_with] * 2
    assert ends[0].stdout == ends[1].stdout
    assert ends[0].stderr.splitlines()[-1:] == ends[1].stderr.splitlines()[-1:]


def test_a_fork_that_takes_too_long_is_killed(tmp_path):
    code = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid()))\n"
    with pytest.raises(subprocess.TimeoutExpired):
        forked_python("-c", code + "time.sleep(60)", cwd=tmp_path, timeout=2)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_variable_that_is_read_at_the_start_is_refused():
    with pytest.raises(ValueError, match="needs a true process"):
        forked_python("-c", "", env=os.environ | {"OMP_NUM_THREADS": "7"})


SERVER = """
import json, os, sys
from pathlib import Path
print(len([name for name in sys.modules if name.startswith("recsys_lightning.")]))
print([name for name in ("torch", "pytorch_lightning", "optuna") if name not in sys.modules])
tasks = Path(f"/proc/{os.getppid()}/task").glob("*/comm")
print(json.dumps(sorted(task.read_text().strip() for task in tasks)))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are listed by Linux only")
def test_the_server_has_imported_all_and_has_one_thread():
    modules, missing, threads = forked_python("-c", SERVER).stdout.splitlines()
    assert int(modules) > 50
    assert missing == "[]"
    assert (
        len(set(json.loads(threads)) - {"jemalloc_bg_thd"}) == 1
    )  # pyarrow's allocator survives a fork


REGIONS = {
    "torch": """
import os, signal, time, torch
torch.set_num_threads(2)
def region():
    torch.ones(2_000_000).exp()
""",
    "numba": """
import os, signal, time, numba
@numba.njit(parallel=True)
def region():
    total = 0
    for number in numba.prange(10_000):
        total += number
    return total
""",
}
FORK = """
region()
child = os.fork()
if not child:
    region()
    os._exit(0)
time.sleep(3)
ended, status = os.waitpid(child, os.WNOHANG)
if not ended:
    os.kill(child, signal.SIGKILL)
print("done" if ended and status == 0 else "hangs or is killed")
"""


@pytest.mark.slow  # a fact of the libraries; that the server's forks do not hang, every test shows
@pytest.mark.parametrize("library", REGIONS)
def test_a_fork_of_what_has_computed_hangs_and_one_of_the_server_does_not(library):
    """Which is why the server imports, and never computes."""
    two = os.environ | {"NUMBA_NUM_THREADS": "2"}
    done = true_python("-c", REGIONS[library] + FORK, env=two, timeout=60)
    assert done.stdout == "hangs or is killed\n"
    for _ in range(2):
        done = forked_python("-c", REGIONS[library] + "region()\nprint('done')", timeout=60)
        assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
