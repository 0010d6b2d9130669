"""The notebooks define nothing, hold no outputs, and run on real data and real runs."""

import ast
import json
import os
import re
import shutil
from itertools import pairwise

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

from tests.forked import ROOT, forked_python

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EDA_FIGURES = ["activity", "popularity", "tail", "time", "sessions"]
EDA_FIGURES += ["genres", "years", "ages", "bias"]
RESULTS_FIGURES = ["costs", "overlap", "complements", "activity", "popularity", "novelty"]
FORBIDDEN = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def read(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def assigned(settings):
    return "\n".join(f"{key} = {value!r}" for key, value in settings.items())


def execute(name, folder, /, **settings):
    """Run all cells, with other settings after the first code cell, as papermill would.

    Returns:
        By the id of each cell, its outputs: text, and `figures`, the number of them.
    """
    notebook = read(ROOT / "notebooks" / f"{name}.ipynb")
    first = next(n for n, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    assert notebook.cells[first].metadata.tags == ["parameters"]
    notebook.cells.insert(first + 1, nbformat.v4.new_code_cell(assigned(settings)))
    resources = {"metadata": {"path": str(ROOT)}}
    environment = os.environ | {"IPYTHONDIR": str(folder / "ipython")}
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources=resources,
        config=Config(KernelManager={"transport": "ipc"}),  # workers could take the same port
    )
    client.execute(env=environment)
    told = {}
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        text = [out.get("text") or out.get("data", {}).get("text/html", "") for out in outputs]
        told[cell.id] = {
            "text": "\n".join(text),
            "printed": "".join(out.text for out in outputs if out.output_type == "stream"),
            "figures": [
                out.data["application/vnd.plotly.v1+json"]
                for out in outputs
                if "application/vnd.plotly.v1+json" in out.get("data", {})
            ],
        }
    return told


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stripped(path):
    notebook = read(path)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs, "make format strips notebooks"
            assert cell.execution_count is None, "make format strips notebooks"
    assert set(notebook.metadata) == {"kernelspec"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_defines_nothing(path):
    for cell in read(path).cells:
        if cell.cell_type != "code":
            continue
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, FORBIDDEN), f"{cell.id}, line {node.lineno}"
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr):
                assert not isinstance(node.value, ast.Lambda), f"{cell.id}, line {node.lineno}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_output_has_a_text_before_it(path):
    cells = read(path).cells
    for before, cell in pairwise(cells):
        if cell.cell_type == "code" and cell.id not in ("settings", "load"):
            assert before.cell_type == "markdown", cell.id


def test_eda_of_movielens(tmp_path):
    told = execute("eda", tmp_path, overrides=["data=movielens_small"])
    assert "671" in told["load"]["text"]
    assert not [key for key, cell in told.items() if "skipped" in cell["printed"]]
    drawn = [key for key, cell in told.items() if cell["figures"]]
    assert drawn == EDA_FIGURES
    assert "4 of 9,066 items share" in told["duplicates"]["printed"]
    [activity] = told["activity"]["figures"]
    assert activity["layout"]["xaxis"]["title"]["text"] == "interactions of a user"


def test_eda_of_bare_pairs_skips_what_is_not_there(tmp_path):
    path = tmp_path / "pairs.csv"
    pairs = [(f"u{user}", item) for user in range(12) for item in range(user % 5 + 3)]
    rows = [*pairs, pairs[0]]  # one twice
    path.write_text("user,item\n" + "".join(f"{user},{item}\n" for user, item in rows))
    told = execute("eda", tmp_path, overrides=["data=files", f"data.path={path}"])
    assert "1 duplicate" in told["load"]["printed"]
    skipped = [key for key, cell in told.items() if "skipped" in cell["printed"]]
    assert skipped == ["duplicates", "time", "sessions", "session-sizes", "genres", "years", "ages"]
    assert all(told[key]["printed"].count("\n") == 1 for key in skipped)
    drawn = [key for key, cell in told.items() if cell["figures"]]
    assert drawn == ["activity", "popularity", "tail", "bias"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three models, one with two seeds, on movielens_small; their ensemble, by the real command."""
    folder = tmp_path_factory.mktemp("runs")
    jobs = "jobs=['model=popularity','model=ease','model=multi_dae seed=1,2']"
    command = ["run.py", "-m", jobs, "max_epochs=3", "ensemble.seeds=average"]
    command += ["data=movielens_small", "data.min_rating=4", "refit=false", "callbacks=none"]
    command += ["trainer.enable_progress_bar=false", "logger=none"]
    command += ["ensemble=rank", r"ensemble.weights={ease: 1, multi_dae \(2 seeds\): 0.4}"]
    command += [f"hydra.sweep.dir={folder / 'sweep'}", f"split_dir={folder / 'splits'}"]
    command += [f"data.cache_dir={folder / 'cache'}"]
    assert forked_python(*command).returncode == 0
    return folder / "sweep"


def test_results_of_real_runs(runs, tmp_path):
    path = runs / "ensemble.json"
    of_kinds = json.loads(path.read_text())
    of_kinds["members"][0]["weight"] = [1.0, 0.25]  # as for two kinds of users
    path.write_text(json.dumps(of_kinds))
    told = execute("results", tmp_path, folder=str(runs))
    assert not [key for key, cell in told.items() if "skipped" in cell["printed"]]
    assert "4 done" in told["load"]["printed"]
    assert [key for key, cell in told.items() if cell["figures"]] == [*RESULTS_FIGURES, "gained"]
    lines = told["activity"]["figures"][0]["data"]
    assert {line["name"] for line in lines} == {"popularity", "ease", "multi_dae"}
    ease = json.loads(next(runs.glob("*_ease/result.json")).read_text())
    assert f"{ease['metrics']['test/recall@10']:.4f}" in told["lists"]["text"]
    ensemble = json.loads((runs / "ensemble.json").read_text())
    gain = ensemble["gain"]["test/recall@10"]["mean"]
    assert f"{gain:.4f}" in told["ensemble"]["text"]
    assert re.search(r"\b0\.4\b", told["members"]["text"])
    assert "1/0.25" in told["members"]["text"]
    [figure] = told["gained"]["figures"]
    title = figure["layout"]["title"]["text"].replace(",", "")
    gained, lost, items = map(int, re.findall(r"\d+", title))
    assert gain == pytest.approx((gained - lost) / items)  # ten were held out of every user


def test_results_without_an_ensemble(runs, tmp_path):
    for run in runs.glob("*/result.json"):
        shutil.copytree(run.parent, tmp_path / "sweep" / run.parent.name)
    told = execute("results", tmp_path, folder=str(tmp_path / "sweep"))
    assert [key for key, cell in told.items() if cell["figures"]] == RESULTS_FIGURES
    skipped = [key for key, cell in told.items() if "skipped" in cell["printed"]]
    assert skipped == ["ensemble", "members", "gained"]
    assert all(told[key]["printed"].count("\n") == 1 for key in skipped)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"folder": "none"}, "no run there"), ({"monitor": "val/hits@10"}, "has val/hits@10")],
)
def test_a_wrong_setting_is_told_where_the_runs_are_loaded(runs, settings, message):
    cells = {cell.id: cell.source for cell in read(ROOT / "notebooks/results.ipynb").cells}
    settings = {"folder": str(runs)} | settings
    done = forked_python("-c", "\n".join([cells["settings"], assigned(settings), cells["load"]]))
    assert done.returncode == 1
    assert message in done.stderr.splitlines()[-1]
