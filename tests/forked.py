"""Python's commands in forks of a server that has imported what they import and computed nothing.

The import of torch and its like is most of a small run. The server must not compute: a process that
is forked after a parallel region of OpenMP hangs in its own (`test_forked.py`).
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import chdir
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from types import ModuleType
from unittest.mock import patch

ROOT = Path(__file__).parent.parent


def read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that only a new interpreter, or a library as it is imported, obeys."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith("PYTHON") or name.endswith("_NUM_THREADS")
    }


BEGUN_WITH = read_at_start(os.environ)


def forked_python(
    *arguments: str,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
) -> CompletedProcess[str]:
    """`python *arguments`, without its start: a script, `-m module` or `-c code`.

    Raises:
        ValueError: A variable is changed that is read at the start only.
        TimeoutExpired: After so many seconds; the process is killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        out.touch(), err.touch()
        process = start_forked(*arguments, cwd=cwd, env=env, out=out, err=err)
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
            raise TimeoutExpired(arguments, timeout, out.read_bytes(), err.read_bytes())
        return CompletedProcess(arguments, process.exitcode, out.read_text(), err.read_text())


def start_forked(
    *arguments: str,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    out: Path = Path(os.devnull),
    err: Path = Path(os.devnull),
) -> BaseProcess:
    """The same, not waited for: its `pid` is that of the command."""
    environment = dict(os.environ if env is None else env)
    if read_at_start(environment) != BEGUN_WITH:
        raise ValueError(f"needs a true process: {read_at_start(environment)} in {BEGUN_WITH}")
    _start_server()
    process = multiprocessing.get_context("forkserver").Process(
        target=_run, args=(arguments, cwd, environment, out, err)
    )
    with patch.object(sys.modules["__main__"], "__file__", None, create=True):
        process.start()  # which else runs pytest's script in the fork
    return process


def obey_signals() -> None:
    """Undo what is inherited from nohup, or from a shell that starts tests in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _start_server() -> None:
    """One for this process, at the first need."""
    multiprocessing.set_forkserver_preload(["tests.preloaded", __name__])
    with chdir(ROOT), patch.dict(os.environ, BEGUN_WITH):
        forkserver.ensure_running()


def _run(
    arguments: tuple[str, ...], cwd: Path, environment: dict[str, str], out: Path, err: Path
) -> None:
    """In the fork: what the interpreter does from its command line to its end."""
    from tests import preloaded

    os.setsid()  # so that its workers can be killed with it
    obey_signals()
    for stream, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY), stream)
    os.chdir(cwd)
    for name in preloaded.VARIABLES:
        del os.environ[name]
    os.environ.update(environment)
    sys.path[:] = preloaded.PATH
    try:
        _execute(*arguments)
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()  # a process of multiprocessing leaves them out
    sys.exit(code)


def _execute(what: str, *arguments: str) -> None:
    if what == "-m":
        module, *arguments = arguments
        sys.argv[:] = [what, *arguments]
        sys.path.insert(0, os.getcwd())
        sys.modules.pop(module, None)  # as if it were not imported before it is executed
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"] = ModuleType("__main__")
    if what == "-c":
        code, *arguments = arguments
        sys.path.insert(0, "")
    else:
        script = Path(what).resolve()
        main.__file__ = str(script)
        code = compile(script.read_text(), script, "exec")
        sys.path.insert(0, str(script.parent))
    sys.argv[:] = [what, *arguments]
    exec(code, vars(main))
