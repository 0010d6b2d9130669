"""Who may import whom, and what is never imported before it is needed."""

import ast
import re
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
    "writing": set(),
    "functional": {"errors", "interruption", "functional"},
    "data": {"errors", "interruption", "writing", "data", "functional"},
    "metrics": {"errors", "data", "functional", "metrics"},
    "checkpoints": {"errors", "data", "runs"},
    "starts": {"errors", "data", "checkpoints", "runs"},
    "recommender": {"errors", "data", "functional", "metrics", "checkpoints", "starts"},
    "nn": {"errors", "data", "functional", "nn"},
    "families": {"errors", "data", "functional", "memory", "nn", "recommender"},
    "models": {"errors", "data", "functional", "memory", "nn", "recommender", "families"},
    "runs": {"errors", "interruption", "writing", "data", "metrics", "runs"},
    "sweeps": {
        *("errors", "instantiate", "session", "runs", "sweeps", "writing"),
        *("ensemble", "reports", "tracking"),  # the end of a sweep
    },
    "tracking": {"errors", "interruption", "metrics", "runs", "sweeps", "tracking"},
    "ensemble": {
        *("errors", "writing", "interruption", "data", "functional", "metrics", "runs", "sweeps"),
        "ensemble",
    },
    "reports": {
        *("errors", "writing", "data", "functional", "metrics", "runs", "sweeps", "ensemble"),
        "reports",
    },
    "callbacks": {"errors", "interruption", "writing", "recommender", "runs"},
    "instantiate": {"errors"},
    "mistakes": {"errors", "runs"},
    "options": {"errors", "data", "metrics", "starts"},
    "fitting": {"errors", "data", "options", "recommender", "callbacks", "runs", "starts"},
    "experiment": {
        *("errors", "data", "functional", "processes", "recommender", "checkpoints", "runs"),
        *("callbacks", "fitting", "memory", "options", "starts"),
    },
    "devices": {"errors"},
    "session": {"errors"},
    "assembly": {
        *("errors", "instantiate", "data", "runs", "tracking", "callbacks", "experiment", "starts"),
        *("metrics", "options", "recommender", "devices", "processes"),
    },
    "job": {
        *("errors", "instantiate", "interruption", "processes", "session", "runs", "sweeps"),
        *("tracking", "assembly", "checkpoints", "starts", "metrics", "mistakes"),
    },
    "report": {"errors", "interruption", "reports", "runs"},
    "submission": {"errors", "data", "runs"},
    "evaluate": {"errors", "interruption", "metrics", "reports", "runs"},
}

MAY_USE_HYDRA = {
    *("instantiate.py", "assembly.py", "devices.py", "job.py", "mistakes.py"),
    *("runs/stored.py", "sweeps/command.py", "sweeps/end.py", "sweeps/space.py"),
}

# heavy or of an extra -> the modules that import it, and nobody else
MAY_IMPORT_PACKAGE = {
    "wandb": {"tracking/wandb.py", "tracking/wandb_report.py"},
    "wandb_workspaces": {"tracking/wandb_report.py"},
    "mlflow": {"tracking/mlflow.py"},
    "plotly": {"reports/figures.py", "reports/page.py"},
}


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
        module = path.relative_to(PACKAGE).as_posix()
        if module not in MAY_USE_HYDRA:
            assert root not in {"hydra", "omegaconf"}, f"{path} imports {name}"
        assert module in MAY_IMPORT_PACKAGE.get(root, {module}), f"{path} imports {name}"


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "models").glob("*.py")), ids=lambda path: path.stem
)
def test_models_never_import_models(path):
    assert not [name for name in imports(path) if name.startswith("recsys_lightning.models")]


# names of files and folders of a run: `runs/folder.py` alone says where each stands
OF_A_RUN = re.compile(
    r"(?<![\w-])((result|ensemble|unfinished)\.json|(submission|metrics)\.csv|fault\.log|\w+\.ckpt)"
)


def spelled(path: Path) -> set[str]:
    """The names of a run's files in a module's strings, docstrings aside."""
    tree = ast.parse(path.read_text())
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said
    ]
    joined = [
        node.right.value
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
        if isinstance(node.right, ast.Constant)
    ]
    folders = {"candidates", "checkpoints", "tensorboard"}.intersection(joined)
    return folders.union(found[0] for text in strings for found in OF_A_RUN.finditer(text))


@pytest.mark.parametrize(
    "path",
    [*sorted(PACKAGE.rglob("*.py")), PACKAGE.parent / "run.py"],
    ids=lambda path: str(path.relative_to(PACKAGE.parent)),
)
def test_one_module_says_where_the_files_of_a_run_stand(path):
    if path != PACKAGE / "runs" / "folder.py":
        assert spelled(path) == set()
    else:
        assert len(spelled(path)) > 5  # the test sees them


def test_the_entry_point_is_an_entry_and_nothing_else():
    assert len((PACKAGE.parent / "run.py").read_text().splitlines()) < 80


def test_the_public_functions_import_nothing_until_they_are_called():
    [docstring, *body] = ast.parse((PACKAGE / "__init__.py").read_text()).body
    assert isinstance(docstring, ast.Expr)
    roots = {node.module.partition(".")[0] for node in body if isinstance(node, ast.ImportFrom)}
    assert roots == {"collections", "pathlib", "typing"}
    functions = [node for node in body if isinstance(node, ast.FunctionDef)]
    for node in functions:
        assert ast.get_docstring(node), node.name
    # four imports, those of types, and what is said to numba
    assert len(functions) + 6 == len(body)


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
