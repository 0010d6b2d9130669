"""A mistake that a user makes, and what the command must answer."""

import json
import os
import shlex
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

from tests.forked import ROOT, forked_python

HISTORIES = "user,item,time\n" + "".join(
    f"{user},{(7 * user + item) % 60},{item}\n" for user in range(30) for item in range(40)
)
RATINGS = "data=files data.path=ratings.csv"  # which stands in the folder of every case

LEFT = ("run.log", "result.json", "multirun.yaml", "ensemble.json")


class Case(NamedTuple):
    """What is typed, in a folder with some files, and what the one line must hold.

    Attributes:
        command: as typed after `python run.py`; or after `python`, where it begins with `-m module`
            whose module is of this package (`-m .report`).
        words: that the line holds, `|` between several.
        files: by name, beside `ratings.csv`.
        environment: variables.
    """

    command: str
    words: str
    files: Mapping[str, str | bytes] = {}
    environment: Mapping[str, str] = {}

    def arguments(self) -> list[str]:
        """Of Python."""
        typed = shlex.split(self.command)
        if typed[0] == "-m" and typed[1].startswith("."):
            return ["-m", f"recsys_lightning{typed[1]}", *typed[2:]]
        where = [] if "hydra.run.dir" in self.command else ["hydra.run.dir=run"]
        return [str(ROOT / "run.py"), *typed, *where, "hydra.sweep.dir=sweep"]


def refused(
    case: Case,
    folder: Path,
    python: Callable[..., CompletedProcess[str]] = forked_python,
    whole: Collection[str] = (),
) -> None:
    """One line, exit code 2, and nothing but what says so is left.

    Args:
        case: what is typed.
        folder: an empty one.
        python: runs it.
        whole: other files of the run that may be left: they were complete.
    """
    for name, content in {"ratings.csv": HISTORIES, **case.files}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    before = _files(folder)
    environment = os.environ | {"COLUMNS": "200"} | case.environment
    done = python(*case.arguments(), cwd=folder, env=environment)
    assert done.returncode == 2, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    said = [line for line in done.stderr.splitlines() if not line.startswith("WARNING: ")]
    assert len(said) == 1, done.stderr
    assert said[0].startswith("error: "), done.stderr
    for word in case.words.split("|"):
        assert word in said[0], done.stderr
    for name in _files(folder) - before:
        place, _, rest = name.partition("/")
        assert place == "data" or (
            place in ("run", "sweep", "out")
            and (rest.startswith((".hydra/", ".locks/")) or rest in (*LEFT, *whole))
        ), f"{name} is left"
        assert ".tmp" not in name
    result = folder / "run" / "result.json"
    if result.exists():
        found = json.loads(result.read_text())
        assert found["status"] == "failed"
        assert found["error"] in said[0]


def finished_run(folder: Path) -> Path:
    """A folder with `ratings.csv`, its split, and a run of EASE on it in `done/`."""
    (folder / "ratings.csv").write_text(HISTORIES)
    typed = [str(ROOT / "run.py"), *RATINGS.split(), "model=ease", "hydra.run.dir=done"]
    done = forked_python(*typed, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
