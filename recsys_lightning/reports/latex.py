"""The best of each model as the table of a paper."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from recsys_lightning.metrics.names import MetricName
from recsys_lightning.reports.leaderboard import ENSEMBLE
from recsys_lightning.reports.report import SIGNIFICANT

ESCAPED = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    sign: f"\\{sign}" for sign in "&%$#_{}"
}


def paper_metrics(board: pd.DataFrame, monitor: str) -> list[str]:
    """The monitored metric and NDCG at every cut-off: on the test set, where there is one.

    >>> board = pd.DataFrame(columns=["val/recall@5", "test/recall@5", "test/recall@20", "std"])
    >>> paper_metrics(board, "val/recall@5")
    ['test/recall@5', 'test/recall@20']
    """
    main = MetricName.parse(monitor)
    stage = "test" if str(main.at("test")) in board else "val"
    names = [MetricName.parse(str(name)) for name in board if "@" in str(name)]
    chosen = [each for each in names if each.stage == stage and each.name in (main.name, "ndcg")]
    return [str(each) for each in sorted(chosen, key=lambda each: (each.k, each.name != main.name))]


def metrics_by_split(best: pd.DataFrame, monitor: str) -> dict[str, list[str]]:
    """The `paper_metrics` of each split that has some: one may have no test set."""
    found = {
        str(split): paper_metrics(rows.dropna(axis="columns", how="all"), monitor)
        for split, rows in best.groupby("split", sort=False)
    }
    return {split: metrics for split, metrics in found.items() if metrics}


def as_latex(best: pd.DataFrame, monitor: str, compared: pd.DataFrame, data: pd.DataFrame) -> str:
    """A table a split: the best value of a column bold, the second underlined.

    A dagger marks a best value that differs from every other of its column: below 0.05 by the
    paired bootstrap over users and Holm's method, of the best seed of each.

    Args:
        best: as `leaderboard.best_per_model` returns it.
        monitor: the metric that decides.
        compared: as `leaderboard.differences` returns it, of all metrics of `metrics_by_split`.
        data: as `origins.data_table` returns it.
    """
    tables = ["% \\usepackage{booktabs}"]
    found = metrics_by_split(best, monitor)
    for split, metrics in found.items():
        pairs = compared[compared.split == split]
        rows = _without_copy(best[best.split == split], metrics, pairs)
        columns = [_column(rows, metric, pairs[pairs.metric == metric]) for metric in metrics]
        lines = [
            " & ".join(
                map(_escaped, ["model", *(MetricName.parse(name).plain for name in metrics)])
            )
        ]
        lines += [
            " & ".join([_escaped(model), *cells])
            for model, *cells in zip(rows.model, *columns, strict=True)
        ]
        [about] = data[data.split == split].to_dict("records")[:1] or [{}]
        caption = _caption(about, metrics, rows, split if len(found) > 1 else "")
        tables.append(_table(lines, len(metrics), caption))
    return "\n\n".join(tables) + "\n"


def _without_copy(rows: pd.DataFrame, metrics: Sequence[str], pairs: pd.DataFrame) -> pd.DataFrame:
    """Without the row of an ensemble that submitted a member's lists: it is no model more."""
    values = rows.set_index("model")[metrics]
    if ENSEMBLE not in values.index or ENSEMBLE in {*pairs.better, *pairs.other}:
        return rows
    own, others = values.loc[ENSEMBLE], values.drop(ENSEMBLE)
    return rows[rows.model != ENSEMBLE] if others.eq(own).all(axis=1).any() else rows


def _column(rows: pd.DataFrame, metric: str, pairs: pd.DataFrame) -> list[str]:
    """The cells of a metric."""
    values = rows[metric]
    ranks = values.round(4).rank(method="min", ascending=False)  # what looks equal is equal
    cells = []
    for model, value, rank in zip(rows.model, values, ranks, strict=True):
        text = "--" if pd.isna(value) else f"{value:.4f}"
        if rank == 1:
            text = f"\\textbf{{{text}}}" + "$^\\dagger$" * _beats_all(model, pairs, len(rows))
        elif rank == 2:
            text = f"\\underline{{{text}}}"
        cells.append(text)
    return cells


def _beats_all(model: str, pairs: pd.DataFrame, num_models: int) -> bool:
    """Whether a model is better than each other, and has been compared with each."""
    ahead = pairs[
        ((pairs.better == model) & (pairs.difference > 0))
        | ((pairs.other == model) & (pairs.difference < 0))
    ]
    return num_models > 1 and int((ahead.p_holm < SIGNIFICANT).sum()) == num_models - 1


def _caption(
    about: Mapping[Hashable, Any], metrics: Sequence[str], rows: pd.DataFrame, split: str
) -> str:
    """Data, sizes where they are known, holdout and stage; seeds; and what the marks mean.

    Args:
        about: the row of the data.
        metrics: of the columns.
        rows: of the table.
        split: which one, where there are several: two draws of a holdout have all else in common.
    """
    sizes = ""
    if about and pd.notna(about["users"]):
        sizes = f" ({about['users']:,.0f} users, {about['items']:,.0f} items)"
    stage = "test" if metrics[0].startswith("test") else "validation"
    holdout = str(about.get("holdout", ""))
    which = f" ({split.split(' ', 1)[-1]})" if split else ""
    data = f"{about.get('data', '')}{sizes}, holdout {holdout}{which}, {stage} set."
    return (
        f"{_escaped(data)}{_seeds(rows)} Best bold, second underlined; $^\\dagger$: better than "
        "every other model, $p < 0.05$, paired bootstrap over users of each model's best seed, "
        "Holm over all pairs of a metric."
    )


def _seeds(rows: pd.DataFrame) -> str:
    """Of how many seeds the values are means, where they are."""
    least, most = (rows.runs.min(), rows.runs.max()) if "runs" in rows else (1, 1)
    number = f"{most}" if least == most else f"{least} to {most}"
    return f" Means over {number} seeds." if most > 1 else ""


def _table(lines: Sequence[str], num_columns: int, caption: str) -> str:
    head, *rows = lines
    body = "\n".join(f"{row} \\\\" for row in rows)
    return (
        f"\\begin{{table}}\n\\caption{{{caption}}}\n\\begin{{tabular}}{{l{'r' * num_columns}}}\n"
        f"\\toprule\n{head} \\\\\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n\\end{{table}}"
    )


def _escaped(text: str) -> str:
    r"""Text as LaTeX shows it.

    >>> _escaped("multi_dae & 5 %")
    'multi\\_dae \\& 5 \\%'
    """
    return "".join(ESCAPED.get(sign, sign) for sign in text)
