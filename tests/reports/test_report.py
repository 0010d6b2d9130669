"""The report at the end of a real sweep, in a real browser where there is one."""

import json
import re
import shutil
import subprocess

import pandas as pd
import pytest
import yaml

from recsys_lightning.report import main
from recsys_lightning.reports.leaderboard import leaderboard, runs_table
from recsys_lightning.reports.rendering import as_markdown
from recsys_lightning.reports.report import Report
from tests.command import true_python
from tests.forked import forked_python
from tests.reports.test_leaderboard import write_run
from tests.sweeps.test_sweep import sweep


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Nine jobs of EASE, one that fails, and two seeds of another model."""
    folder = tmp_path_factory.mktemp("report")
    done = sweep(folder, "model=ease", "model.l2=5,50,500", "model.dropout=0,0.2,0.5")
    assert "report.html" in done.stdout
    overrides = ("model=multi_dae", "max_epochs=2", "seed=1,2", "sweep.keep=1")
    done = sweep(folder, *overrides, "model.dropout=0.5,2", code=1)
    assert "0.5" not in done.stderr
    return folder / "sweep"


def test_tables(folder):
    board = pd.read_csv(folder / "leaderboard.csv")
    assert len(board) == 10
    assert board.sort_values("val/recall@10", ascending=False).model.tolist() == (
        board.model.tolist()
    )
    runs = pd.read_csv(folder / "runs.csv")
    assert runs.status.value_counts().to_dict() == {"done": 11, "failed": 2}
    for _, row in board.iterrows():
        told = [
            json.loads((folder / run / "result.json").read_text())["metrics"]["val/recall@10"]
            for run in runs.run[(runs.options == row.options) & (runs.model == row.model)]
        ]
        assert row["val/recall@10"] == pytest.approx(sum(told) / len(told))


def test_the_failures_come_first(folder):
    text = (folder / "report.md").read_text()
    headings = re.findall("^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "Failed"
    assert {"Best of each model", "What mattered for ease", "Leaderboard"} <= set(headings)
    assert text.count("model.dropout=2: expected") == 2
    assert "(2 seeds)" in text


def test_the_best_are_compared_user_by_user(folder):
    lines = (folder / "report.md").read_text().splitlines()
    told = [line.split(" | ") for line in lines if " | multi_dae | +" in line]
    assert [cells[0] for cells in told] == ["| val/recall@10", "| test/recall@10"]
    board = pd.read_csv(folder / "leaderboard.csv")
    runs = pd.read_csv(folder / "runs.csv").set_index("run")
    best = [board[board.model == name].best_run.iloc[0] for name in ("ease", "multi_dae")]
    for cells in told:
        values = runs.loc[best, cells[0].removeprefix("| ")]
        assert float(cells[3]) == pytest.approx(values.iloc[0] - values.iloc[1], abs=1e-4)


def test_the_best_configuration_runs_as_it_is(folder, tmp_path):
    board = pd.read_csv(folder / "leaderboard.csv", float_precision="round_trip")
    best = board.query("model == 'ease'").iloc[0]
    text = (folder / "best" / "ease.yaml").read_text()
    command = text.splitlines()[1].removeprefix("# ").split()
    done = forked_python(*command[1:], f"hydra.run.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / "result.json").read_text())
    assert again["metrics"]["val/recall@10"] == best["val/recall@10"]
    assert yaml.safe_load(text)["model"]["l2"] == again["config"]["model"]["l2"]


def test_only_the_best_configurations_keep_their_lists(folder):
    """The second start keeps one of multi_dae's, with both seeds, and leaves what ease has kept."""
    kept = sorted(path.parent.name for path in folder.glob("*/candidates"))
    runs = pd.read_csv(folder / "runs.csv").query("status == 'done'")
    best = runs.sort_values("val/recall@10", ascending=False, kind="stable").groupby("model")
    counts = runs[runs.run.isin(kept)].model.value_counts()
    assert counts.to_dict() == {"ease": 5, "multi_dae": 2}
    for model, keep in (("ease", 5), ("multi_dae", 2)):
        values = best.get_group(model)["val/recall@10"]
        kept_values = runs[runs.run.isin(kept) & (runs.model == model)]["val/recall@10"]
        assert sorted(kept_values) == sorted(values.head(keep))
    assert {path.parent.name for path in folder.glob("*/checkpoints")} == set(kept)
    assert {path.parent.name for path in folder.glob("*/submission.csv")} == set(kept)


def test_another_grid_in_the_folder_does_not_overwrite_what_is_done(folder):
    """The second sweep of the fixture had numbers 0 to 3, too, of another model."""
    assert len(list(folder.glob("*_ease/result.json"))) == 9


def test_the_command_makes_the_same_report_again(folder, tmp_path):
    done = forked_python("-m", "recsys_lightning.report", str(folder), "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    again, before = (pd.read_csv(path / "leaderboard.csv") for path in (tmp_path, folder))
    columns = [name for name in before if name != "best_run"]  # relative to each
    pd.testing.assert_frame_equal(again[columns], before[columns])


@pytest.mark.parametrize("monitor", ["val/recall_capped@5", "val/recall@5", "val/map@5"])
def test_the_ndcg_stands_beside_whatever_metric_decides(monitor, tmp_path):
    run = write_run(tmp_path, 0, "a", 0.3)
    result = json.loads((run / "result.json").read_text())
    result["metrics"] = {monitor: 0.3, "val/ndcg@5": 0.25, monitor.replace("val", "test"): 0.2}
    result["config"]["monitor"] = monitor
    (run / "result.json").write_text(json.dumps(result | {"choices": {}, "overrides": []}))
    runs = runs_table([tmp_path], tmp_path)
    board = leaderboard(runs, monitor)
    report = Report("x", monitor, runs, board, board, pd.DataFrame())
    text = as_markdown(report, tmp_path)
    shown = "| a | 0.3000 | 0.2500 | 0.2000 |"
    assert f"| model | {monitor} | val/ndcg@5 | {monitor.replace('val', 'test')} |" in text
    assert shown in text


def changed(run, monitor, value, model, *overrides, **changes):
    path = run / "result.json"
    result = json.loads(path.read_text()) | {"model": model, "overrides": overrides}
    result["metrics"] = {} if value is None else {monitor: value}
    result["config"]["monitor"] = monitor
    result["choices"] = {"data": "toy", "holdout": "random", "model": model}
    path.write_text(json.dumps(result | changes))


def test_runs_without_the_metric_that_decides_have_empty_cells(tmp_path):
    """Of another monitor, or of `holdout=none`; on another split one is the best of its model."""
    for number in range(10):
        monitor, split = ("val/recall@5", "t") if number > 7 else ("val/recall@10", "s")
        value = None if number == 7 else number / 10
        run = write_run(tmp_path, number, "a", 0, l2=number, dropout=number % 2, split=split * 64)
        changed(run, monitor, value, "a", f"model.l2={number}", peak_rss_mb=None)
    assert main([str(tmp_path)]) == 0
    text = (tmp_path / "report.md").read_text()
    assert "nan" not in text
    assert "| a | model.l2=6 model.dropout=0 " in text
    assert "What mattered" not in text  # of seven
    assert yaml.safe_load((tmp_path / "best/a.yaml").read_text())["model"] == {"l2": 6}


def test_the_command_that_repeats_the_best_names_a_file_that_is_there(tmp_path):
    """By a model's name as a file's, and not a model whose class was given on the command line."""
    for number, override in enumerate(["model.l2=1", "model._target_=x", "seed=1"]):
        run = write_run(tmp_path, number, "a", 0, l2=number)
        changed(run, "val/recall@10", number / 10, f"mine/{number}", override)
    for runs, best in (("012", "mine_2"), ("01", "mine_0"), ("1", None)):
        out = tmp_path / "out" / runs
        assert main([*(f"{tmp_path}/{number}_a" for number in runs), "--out", str(out)]) == 0
        named = re.findall(r"\+best=(.*)`", (out / "report.md").read_text())
        assert named == ([best] if best else [])
        assert best is None or (out / "best" / f"{best}.yaml").is_file()
    assert "1 run: 1 done." in (out / "report.md").read_text()


def test_no_runs_is_one_line(tmp_path):
    done = true_python("-m", "recsys_lightning.report", str(tmp_path))  # it starts as typed, too
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no run there" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium (Debian: chromium)")
def test_a_browser_draws_every_figure_without_a_network(folder, tmp_path):
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path}", "--virtual-time-budget=10000"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", f"file://{folder}/report.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    html = (folder / "report.html").read_text()
    figures = html.count("Plotly.newPlot(")
    assert figures >= 5
    assert done.stdout.count('class="main-svg"') >= figures  # drawn by the script
    assert "parcoords" in done.stdout
    assert "<script src" not in html
    assert "<link" not in html
