"""What the command prints of an ensemble."""

from recsys_lightning.ensemble.build import Ensemble
from recsys_lightning.ensemble.show import _methods_table, show
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
