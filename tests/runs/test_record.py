"""What a run says of itself: one home for its names."""

import ast
import json

import pytest

from recsys_lightning.errors import InputError
from recsys_lightning.runs.record import EnsembleResult, RunResult, read_result
from tests.test_architecture import PACKAGE

RUN = RunResult(model="ease", metrics={"val/recall@10": 0.1}, overrides=["model=ease"], steps=3)


@pytest.mark.parametrize("result", [RUN, EnsembleResult(fusion="rank", members=[{"name": "a"}])])
def test_what_is_written_is_read(result, tmp_path):
    result.write(tmp_path / "file.json")
    assert type(result).read(tmp_path / "file.json") == result
    assert set(json.loads((tmp_path / "file.json").read_text())) == set(result.names())


def test_a_file_of_another_version_has_its_defaults():
    result = RunResult.from_json({"model": "ease", "of_tomorrow": 1})
    assert result == RunResult(model="ease")
    assert (result.status, result.metrics, result.job, result.steps) == ("done", {}, None, None)


def test_a_run_comes_before_an_ensemble_in_the_same_folder(tmp_path):
    with pytest.raises(InputError, match=r"no result\.json or ensemble\.json in it"):
        read_result(tmp_path)
    EnsembleResult(fusion="rank").write(tmp_path / "ensemble.json")
    assert read_result(tmp_path).fusion == "rank"
    RUN.write(tmp_path / "result.json")
    assert read_result(tmp_path) == RUN


@pytest.mark.parametrize("text", ["{", "[]", "null", "3"])
def test_a_damaged_file_is_named(text, tmp_path):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError, match=r"result\.json: cannot be read: .*; remove it"):
        read_result(tmp_path)


def test_nobody_else_reads_results_by_their_keys():
    """A renamed key is one edit."""
    files = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "hydra_plugins").glob("*.py")]
    names = {"result", "earlier", "ended", "ensemble", "first"}
    for path in [*files, PACKAGE.parent / "run.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                owner = node.value
                name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
                assert name not in names or not isinstance(node.slice.value, str), (
                    f"{path}, line {node.lineno}: {ast.unparse(node)}"
                )
