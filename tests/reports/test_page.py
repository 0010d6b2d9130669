"""The page: its scheme, its width, and that nothing of a name is cut or taken for HTML."""

import html
import json
import re
import shutil
import subprocess
import sys
import time

import pytest

import recsys_lightning.reports
from recsys_lightning.report import main
from recsys_lightning.reports.leaderboard import differences
from recsys_lightning.reports.writing import write_report
from tests.reports.test_leaderboard import write_run
from tests.reports.test_origins import write_start

LONG = "[" + ", ".join(["600"] * 30) + "]"


def write(folder, number, model, value, *, trial=None, **options):
    path = write_run(folder, number, model, value, **options) / "result.json"
    result = json.loads(path.read_text()) | {"overrides": []}
    result["choices"] = {"data": "toy", "holdout": "random", "model": model}
    result["config"] |= {"monitor": "val/recall@10", "sweep": {"trial": trial}}
    result["metrics"] |= {"val/coverage@10": 0.4242, "val/novelty@10": 3.2323}
    result["standard_errors"] = {"val/recall@10": 0.0123}
    result["sizes"] = {"users": 6040, "items": 3416, "interactions": 999611}
    path.write_text(json.dumps(result))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two sweeps of the same names, the second of them a search."""
    folder = tmp_path_factory.mktemp("page")
    write(folder / "x/grid", 0, "a", 0.1, dims=LONG)
    write(folder / "x/grid", 1, "a", 0.2, dims=LONG[:-1] + ", 1]")
    for number in range(3):
        write(
            folder / "y/grid",
            number,
            "b<i>",
            0.3,
            trial=number,
            l2=number,
            dropout=number / 4,
            k=number,
        )
    for name in ("x", "y"):
        write_start(folder / name / "grid/multirun.yaml", f"model={name}")
    return folder


@pytest.fixture(scope="module")
def pages(folder):
    """Of each of the sweeps, and of both."""
    sweeps = [folder / "x/grid", folder / "y/grid"]
    found = {}
    for name, sources in (("x", sweeps[:1]), ("y", sweeps[1:]), ("both", sweeps)):
        write_report(folder / "out" / name, sources)
        found[name] = (folder / "out" / name / "report.html").read_text()
    return found


def cells(page):
    return [html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", page)]


def test_it_names_data_sizes_split_time_and_command(pages, folder):
    shown = cells(pages["both"])
    for text in ("toy", "6,040", "3,416", "999,611", "random ssssssss", "2026-01-01 00:00 UTC"):
        assert text in shown
    for name in ("x", "y"):
        assert f"python run.py -m model={name} hydra.sweep.dir={folder}/{name}/grid" in shown


def test_coverage_novelty_and_errors_stand_beside_accuracy(pages):
    shown = cells(pages["both"])
    assert {"0.4242", "3.2323", "0.0123"} <= set(shown)
    assert "error_x" in pages["both"]
    assert "with 95 % intervals over users" in pages["both"]


def test_names_differ_and_are_whole(pages):
    shown = cells(pages["both"])
    assert {"x/grid/1_a", "y/grid/2_b<i>"} <= set(shown)
    assert "1_a" in cells(pages["x"])
    assert f"model.dims={LONG}" in shown
    assert "<h1>x/grid, y/grid</h1>" in pages["both"]
    assert "<h1>grid</h1>" in pages["x"]
    assert "<i>" not in re.sub("<script.*?</script>", "", pages["both"], flags=re.DOTALL)


def test_only_trials_have_an_order(pages):
    assert "Trials in order" in pages["y"]
    assert "Trials in order" in pages["both"]
    assert "Trials in order" not in pages["x"]


def test_without_plotly_one_line_says_so(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "report.html").write_text("of an earlier report")
    for name in ["plotly", *sys.modules]:
        if name.partition(".")[0] == "plotly":
            monkeypatch.setitem(sys.modules, name, None)
    for name in ("page", "figures"):
        monkeypatch.delitem(sys.modules, f"recsys_lightning.reports.{name}", raising=False)
        monkeypatch.delattr(recsys_lightning.reports, name, raising=False)
    assert main([str(folder / "y/grid"), "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    line = f"{tmp_path}/report.md; report.html needs plotly: pip install -e '.[html]'"
    assert out.splitlines()[-1] == line
    assert "What was run" in (tmp_path / "report.md").read_text()
    assert not (tmp_path / "report.html").exists()


def test_a_terminal_shows_what_is_waited_for(folder, tmp_path, monkeypatch, capsys):
    def slowly(*arguments):
        time.sleep(0.5)
        return differences(*arguments)

    monkeypatch.setattr("recsys_lightning.reports.writing.differences", slowly)
    monkeypatch.setenv("FORCE_COLOR", "1")
    write_report(tmp_path, [folder / "x/grid", folder / "y/grid"])
    assert "comparing the best of 2 models, user by user" in capsys.readouterr().err
    monkeypatch.delenv("FORCE_COLOR")
    write_report(tmp_path, [folder / "x/grid"])
    assert capsys.readouterr() == ("", "")


CHROMIUM = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
LOOK = """<script>setTimeout(() => {
    const of = (where) => getComputedStyle(document.querySelector(where));
    const text = document.querySelector(".js-plotly-plot text");
    const page = document.documentElement;
    parent.document.title = [innerWidth, page.scrollWidth - page.clientWidth,
        of("body").backgroundColor, of("body").color, getComputedStyle(text).fill].join(" | ")
}, 3000)</script>"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium (Debian: chromium)")
@pytest.mark.parametrize(
    ("scheme", "paper", "ink"),
    [(1, "rgb(255, 255, 255)", "rgb(26, 26, 26)"), (0, "rgb(22, 24, 28)", "rgb(221, 221, 221)")],
)
def test_a_browser_of_400_pixels_in_either_scheme(scheme, paper, ink, pages, tmp_path):
    """Tables and figures scroll by themselves; the page does not."""
    page = pages["both"].replace("</body>", LOOK + "</body>")
    frame = f'<iframe width=400 height=900 srcdoc="{html.escape(page)}"></iframe>'
    (tmp_path / "frame.html").write_text(f"<meta charset=utf-8><title>?</title>{frame}")
    command = [*CHROMIUM, f"--user-data-dir={tmp_path}/browser", "--virtual-time-budget=10000"]
    command += [f"--blink-settings=preferredColorScheme={scheme}", f"file://{tmp_path}/frame.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search("<title>(.*?)</title>", done.stdout)[1].split(" | ")
    assert found == ["400", "0", paper, ink, ink]
