"""Who may import whom, and what is never imported before it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "recsys_lightning"

# package or module -> what of recsys_lightning it may import
MAY_IMPORT = {
    "errors": set(),
    "processes": set(),
    "interruption": {"errors"},
    "memory": {"errors"},
    "functional": {"errors", "functional"},
    "data": {"errors", "data"},
    "metrics": {"errors", "functional", "metrics"},
    "checkpoints": {"errors", "data"},
    "starts": {"errors", "data", "checkpoints"},
    "recommender": {"errors", "data", "functional", "metrics", "checkpoints", "starts"},
    "nn": {"data", "functional", "nn"},
    "families": {"errors", "data", "functional", "memory", "recommender"},
    "models": {"errors", "data", "functional", "memory", "nn", "recommender", "families"},
    "runs": {"errors", "data", "functional", "runs"},
    "sweeps": {
        *("errors", "instantiate", "runs", "sweeps"),
        *("ensemble", "reports", "tracking"),  # the end of a sweep
    },
    "tracking": {"errors", "interruption", "runs", "sweeps", "tracking"},
    "ensemble": {
        *("errors", "data", "functional", "metrics", "runs", "sweeps", "interruption", "ensemble"),
    },
    "reports": {"errors", "data", "functional", "ensemble", "runs", "sweeps", "reports"},
    "callbacks": {"errors", "recommender", "runs"},
    "instantiate": {"errors"},
    "fitting": {"errors", "data", "recommender", "checkpoints", "callbacks"},
    "experiment": {
        *("errors", "data", "functional", "processes", "recommender", "checkpoints", "runs"),
        *("callbacks", "fitting", "starts"),
    },
    "report": {"errors", "interruption", "reports"},
    "submission": {"errors", "data", "runs"},
}

MAY_USE_HYDRA = {"instantiate.py", "runs/stored.py", "sweeps/end.py"}


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_point_downwards(path):
    place = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if place == "__init__":
        return
    for name in imports(path):
        root, _, rest = name.partition(".")
        if root == "recsys_lightning":
            assert rest.split(".")[0] in MAY_IMPORT[place], f"{path} imports {name}"
        if path.relative_to(PACKAGE).as_posix() not in MAY_USE_HYDRA:
            assert root not in {"hydra", "omegaconf"}, f"{path} imports {name}"
        if place != "tracking":
            assert root not in {"wandb", "wandb_workspaces", "mlflow"}, f"{path} imports {name}"


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "models").glob("*.py")), ids=lambda path: path.stem
)
def test_models_never_import_models(path):
    assert not [name for name in imports(path) if name.startswith("recsys_lightning.models")]


def test_reading_and_splitting_imports_nothing_heavy():
    code = (
        "import sys, run, recsys_lightning.data.sources.base, recsys_lightning.data.holdout\n"
        "heavy = 'torch', 'pandas', 'pytorch_lightning', 'numba', 'wandb', 'mlflow'\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
