"""What a run was made by: versions of packages, the commit, the code of its model."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from recsys_lightning.data.sources.fingerprint import sha256_of


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in ("recsys-lightning", "torch", "pytorch-lightning", "numpy", "scipy", "numba"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_commit(folder: Path) -> str | None:
    """The commit checked out in `folder`, `-dirty` after it if changed; None elsewhere."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def code_of(target: str) -> str | None:
    """SHA-256 of the file in which a class stands, which is not imported; None: it is not found.

    >>> code_of("collections.Counter") == code_of("collections.OrderedDict") != None
    True
    >>> code_of("no_such_module.Name"), code_of("Name")
    (None, None)
    """
    try:
        spec = find_spec(target.rpartition(".")[0])
    except Exception:  # of a package above it: the run will say so
        return None
    return sha256_of(Path(spec.origin)) if spec and spec.origin else None
