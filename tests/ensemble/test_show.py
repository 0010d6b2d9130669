"""What the command prints of an ensemble."""

from dataclasses import replace

import pytest

from recsys_lightning.ensemble.build import Ensemble
from recsys_lightning.ensemble.show import _methods_table, _p, show
from recsys_lightning.runs.terminal import Terminal


def test_the_chosen_row_and_how_sure_its_gain_is(sweep, out):
    result = Ensemble(weights="coordinate")([sweep], out)
    rows = [(m["fusion"], m["name"]) for m in result.methods] + [("oracle", "")]
    bold = [row for row, of in zip(rows, _methods_table(result).rows, strict=True) if of.style]
    assert bold == [("rank", "coordinate")] == [(result.fusion, result.weights)]

    console = Terminal(record=True, width=200)
    show(console, result, out)
    lines = console.export_text().splitlines()
    for stage, how in (("val", "cross-fitted"), ("test", "confirmed")):
        key = next(key for key in result.gain if key.startswith(f"{stage}/"))
        start = f"{key} {result.metrics[key]:.4f} ({how}), {result.gain[key]['mean']:+.4f} ["
        assert [line for line in lines if line.startswith(start)]


@pytest.mark.parametrize(
    ("low", "high", "how", "verdict"),
    [
        (0.01, 0.03, "confirmed", ""),
        (-0.01, 0.03, "not confirmed", ": no more than chance"),
        (-0.03, -0.01, "not confirmed", ": worse than it alone"),
    ],
)
def test_what_is_no_gain_is_said(low, high, how, verdict, sweep, out):
    result = Ensemble(weights="coordinate")([sweep], out)
    key = next(key for key in result.gain if key.startswith("test/"))
    gain = {**result.gain, key: {"mean": (low + high) / 2, "low": low, "high": high, "p": 0.001}}
    console = Terminal(record=True, width=200)
    show(console, replace(result, gain=gain), out)
    [line] = [line for line in console.export_text().splitlines() if line.startswith(key)]
    assert f" ({how}), " in line
    assert line.endswith(f"p = 0.001{verdict}")


def test_no_p_is_shown_as_nothing():
    assert [_p(value) for value in (0.0, 0.0123, 1e-9)] == ["< 1e-15", "= 0.012", "= 1e-09"]


def test_a_cross_fitted_value_of_the_best_single_is_beside_its_own(sweep, out):
    """In some folds another member may have been the best."""
    result = Ensemble(weights="single")([sweep], out)
    key = next(iter(result.gain))
    own = result.best_single["metrics"][key]
    for value, said in ((own, f"{key} {own:.4f}"), (0.25, f"{key} 0.2500 (cross-fitted; ease has")):
        console = Terminal(record=True, width=200)
        show(console, replace(result, metrics={**result.metrics, key: value}), out)
        [line] = [each for each in console.export_text().splitlines() if each.startswith(key)]
        assert line.startswith(said)
        assert ("cross-fitted" in line) == (value != own)
