"""Many runs as two tables: one row per run, and one per configuration, its seeds taken together.

Both are read from the runs' folders, so that they can be made again, of any set of folders.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lightning.ensemble.show import members_in_words
from recsys_lightning.functional.bootstrap import Difference, bootstrap_of_pairs, holm
from recsys_lightning.metrics.names import FILES, HIT_METRICS, MetricName
from recsys_lightning.metrics.of_lists import user_values
from recsys_lightning.runs.folder import RunFolder, relative
from recsys_lightning.runs.lists import read_lists, read_split
from recsys_lightning.runs.parameters import NEUTRAL, differing, flat, of_the_job
from recsys_lightning.runs.record import EnsembleResult, Result, RunResult
from recsys_lightning.sweeps.jobs import Runs, ensembles

log = logging.getLogger(__name__)

ENSEMBLE = "ensemble"  # as a model's name
TEST_HISTORY = "train_valid"  # what a run takes for known at test, unless it says otherwise

# of a configuration: not what a user would call a hyper-parameter
_NO_PARAMETER = {"trainer.max_epochs", "seed", "ckpt_path"}
_OF_A_RESULT = ("model", "status", "error", "seed", "data")
_COSTS = ("peak_rss_mb", "parameters", "best_epoch")
_OF_ANY_RUN = {
    *("run", *_OF_A_RESULT, "split", "options", "job", "repeated", "trial", "seconds", *_COSTS),
    "standard_error",
}


def runs_table(folders: Sequence[Path], base: Path, known: Runs | None = None) -> pd.DataFrame:
    """One row per run below the folders, in the order in which they finished; then the ensembles.

    Args:
        folders: where to look; a run found twice counts once.
        base: what the column `run` is relative to.
        known: runs that were read already.

    Returns:
        Columns `run`, `model`, `status`, `error`, `seed`, `data`, `split`, `options` (what
        differs from the model's other runs, and the monitor where any runs differ in it), `job`
        (equal for the same job run twice), `repeated` (equal but for the seed), `trial` (its number
        in a search), the metrics, `standard_error` (of `monitored`, over users), `seconds`
        (without those of the refit, which a search gives its best trials alone), `peak_rss_mb`,
        `parameters`, `best_epoch`, and a column for each option.
    """
    known = known or Runs()
    found = {run.resolve(): of for folder in folders for run, of in known.below(folder)}
    ordered = sorted(found.items(), key=lambda item: item[1].finished or "")
    results = [result for _, result in ordered]
    configs = [flat(of_the_job(result.config or {})) for result in results]
    models, splits = [result.model for result in results], split_labels(results)
    options = _options(configs, models, splits)
    monitor = monitored(results)
    rows = []
    for (run, result), split, own, text in zip(
        ordered, splits, options, _texts(options, models), strict=True
    ):
        job = result.job or str(run), result.repeated or str(run)
        row = _row(relative(run, base), result, split, text, *job, monitor)
        rows.append(row | {"trial": (result.config.get("sweep") or {}).get("trial")} | own)
    fused = {place.resolve(): result for folder in folders for place, result in ensembles(folder)}
    of_run = dict(zip((run for run, _ in ordered), splits, strict=True))
    for place, ensemble in fused.items():
        members = members_in_words(ensemble.members)
        text = f"{ensemble.fusion} {ensemble.weights}: {members}" if members else ""
        [split] = split_labels([ensemble])
        row = _row(relative(place, base), ensemble, split, text, str(place), str(place), monitor)
        for run in _runs_of(place, ensemble):  # which all have the same
            row["split"] = of_run.get(run, row["split"])
        rows.append(row)
    return pd.DataFrame(rows)


def _runs_of(place: Path, ensemble: EnsembleResult) -> list[Path]:
    """The runs of an ensemble's members; not of a bag's, which have a split each."""
    folders = [] if ensemble.draws else [member["folder"] for member in ensemble.members]
    each = [[named] if isinstance(named, str) else named for named in folders]
    return [(place / folder).resolve() for of_member in each for folder in of_member]


def monitored(results: Sequence[RunResult]) -> str | None:
    """The metric that runs watched; the most frequent one, if they differ."""
    monitors = [result.config["monitor"] for result in results if "monitor" in result.config]
    return max(monitors, key=monitors.count) if monitors else None


def _row(
    run: str,
    result: Result,
    split: str,
    options: str,
    job: str,
    repeated: str,
    monitor: str | None,
) -> dict[str, Any]:
    """What a run, or an ensemble, says of itself as a row of `runs_table`."""
    return {
        "run": run,
        **{name: getattr(result, name) for name in _OF_A_RESULT},
        "split": split,
        "options": options,
        "job": job,
        "repeated": repeated,
        **result.metrics,
        "standard_error": result.standard_errors.get(str(monitor), np.nan),
        "seconds": round(sum(result.seconds.values()) - result.seconds.get("refit", 0), 1),
        **{name: getattr(result, name, None) for name in _COSTS},
    }


def split_labels(results: Sequence[Result]) -> list[str]:
    """Equal for results that can be compared: holdout, split, and what test lists could know.

    One split that has come from several holdouts, as files that were read again, has the name of
    the first.
    """
    found = [_comparable(result) for result in results]
    names: dict[str, str] = {}
    for result, label in zip(results, found, strict=True):
        if isinstance(result, RunResult):
            names.setdefault(label, str(result.choices.get("holdout", "")))
    return [f"{names.get(label, '')} {label}".strip() for label in found]


def _comparable(result: Result) -> str:
    config = result.config if isinstance(result, RunResult) else {}
    history = config.get("test_history", TEST_HISTORY)
    tested = any(MetricName.parse(name).stage == "test" for name in result.metrics)
    other = f" test_history={history}" if tested and history != TEST_HISTORY else ""
    return (result.split or "")[:8] + other


def leaderboard(runs: pd.DataFrame, monitor: str) -> pd.DataFrame:
    """A row for all runs that differ in their seed only, the best first, by split.

    A job that was run twice on a split counts once: as it finished last.

    Args:
        runs: as `runs_table` returns it; those that are not done are left out, and a bag, which has
            no metrics.
        monitor: the metric that decides.

    Returns:
        Columns `model`, `data`, `split`, `options`, `runs` (different seeds), the mean of every
        metric, `std` (of the monitored one over the seeds, NaN for one), the means of
        `standard_error`, `seconds` and `peak_rss_mb`, `parameters`, and `best_run`, the folder of
        the best seed.

    >>> runs = pd.DataFrame({
    ...     "run": ["0", "1", "2"], "model": ["a", "a", "b"], "status": "done", "data": "d",
    ...     "split": "s", "options": "", "seed": [1, 2, 1], "job": ["p", "q", "r"],
    ...     "repeated": ["x", "x", "y"], "val/recall@10": [1, 3, 2.5],
    ...     "standard_error": 0.1, "seconds": 1.0, "peak_rss_mb": 1.0, "parameters": 1})
    >>> leaderboard(runs, "val/recall@10")[["model", "runs", "val/recall@10", "best_run"]]
      model  runs  val/recall@10 best_run
    0     b     1            2.5        2
    1     a     2            2.0        1
    """
    done = runs[runs.status == "done"].drop_duplicates(["job", "split"], keep="last")
    metrics = sorted(
        (name for name in map(str, runs) if "@" in name), key=lambda name: name != monitor
    )
    if monitor in done:
        done = done[(done.model != ENSEMBLE) | done[monitor].notna()]
    if done.empty or monitor not in runs:
        columns = ["model", "data", "split", "options", "runs", monitor, "std", "standard_error"]
        return pd.DataFrame(columns=[*columns, "seconds", "peak_rss_mb", "parameters", "best_run"])
    rows = []
    for (_, split), group in done.groupby(["repeated", "split"], sort=False):
        first = group.iloc[0]
        rows.append(
            {
                "model": first.model,
                "data": first.data,
                "split": split,
                "options": first.options,
                "runs": group.seed.nunique(),
                monitor: group[monitor].mean(),
                "std": group[monitor].std(),
                **group[metrics].mean(),
                "standard_error": group.standard_error.mean(),
                "seconds": group.seconds.mean(),
                "peak_rss_mb": group.peak_rss_mb.mean(),
                "parameters": first.parameters,
                "best_run": group.sort_values(monitor).run.iloc[-1],
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values(
        ["data", "split", monitor], ascending=[True, True, False], kind="stable"
    ).reset_index(drop=True)


def labels(table: pd.DataFrame) -> pd.Series:
    """The model of each row, with the split where there are several: these are not compared."""
    return table.model + ", " + table.split if table.split.nunique() > 1 else table.model


def by_model(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The runs of each of `labels`, as they come."""
    of_row = labels(runs)
    return {str(label): runs[of_row == label] for label in dict.fromkeys(of_row)}


def best_per_model(board: pd.DataFrame) -> pd.DataFrame:
    """The first row of every model on every split."""
    return board.drop_duplicates(["split", "model"]).reset_index(drop=True)


def differences(
    best: pd.DataFrame, folder: Path, monitor: str, known: Runs | None = None
) -> pd.DataFrame:
    """The best runs of each two models of a split against each other, user by user.

    Args:
        best: as `best_per_model` returns it.
        folder: what its `best_run` is relative to.
        monitor: the metric, of validation; the test set's is compared, too, where there is one.
        known: runs that were read already.

    Returns:
        One row per split, metric and pair of models: `split`, `metric`, `better` (the one that is
        higher in `best`), `other`, the mean `difference` over users, its 95 % interval `low` to
        `high`, `p` by the paired bootstrap, and `p_holm`, raised by Holm's method for all pairs of
        the split by this metric. Runs that kept no lists, or shorter ones than the metric looks at,
        are left out; a metric that no single user has, such as coverage, leaves nothing.

    Raises:
        InputError: a file of a split or of lists is damaged.
    """
    tables = []
    for name, group in best.groupby("split", sort=False):
        runs = {
            str(model): folder / run for model, run in zip(group.model, group.best_run, strict=True)
        }
        first = (known or Runs()).of(next(iter(runs.values())))
        files = Path(first.split_files or "")
        if len(runs) < 2 or first.split_files is None:
            continue
        if not files.is_dir():
            log.warning(
                "%s: the split is not there, so its models are not compared user by user; start "
                "the report where the runs were started",
                files,
            )
            continue
        split = read_split(files, first.split)
        ids = split.interactions.users, split.interactions.items
        for stage in FILES:
            metric = MetricName.parse(monitor).at(stage)
            held_out = split.valid if stage == "val" else split.test
            lists = {model: RunFolder(run).candidates(metric.file) for model, run in runs.items()}
            read = {m: read_lists(path, *ids).items for m, path in lists.items() if path.is_file()}
            if _is_one_of(read, ENSEMBLE, metric.k):
                del read[ENSEMBLE]  # its best member was submitted: no model more
            values = {
                model: user_values(metric, items, held_out)
                for model, items in read.items()
                if metric.name in HIT_METRICS and metric.k <= items.shape[1]
            }
            if len(values) > 1:
                tables.append(_pairs(values).assign(split=name, metric=str(metric)))
    columns = ["split", "metric", *("better", "other", *Difference._fields, "p_holm")]
    table = pd.concat(tables) if tables else pd.DataFrame(columns=columns)
    shown = ["difference" if name == "mean" else name for name in columns]
    return table[columns].set_axis(shown, axis=1).reset_index(drop=True)


def _is_one_of(lists: Mapping[str, NDArray[Any]], name: str, k: int) -> bool:
    """Whether a model recommends the k items of another to everybody."""
    others = [items for model, items in lists.items() if model != name]
    return name in lists and any(np.array_equal(lists[name][:, :k], o[:, :k]) for o in others)


def _pairs(values: Mapping[str, NDArray[np.floating]]) -> pd.DataFrame:
    """One row per pair of models, from each one's (U,) values."""
    models = list(values)
    found = bootstrap_of_pairs(np.stack(list(values.values())))
    table = pd.DataFrame(list(found.values()))
    table["better"] = [models[a] for a, _ in found]
    table["other"] = [models[b] for _, b in found]
    return table.assign(p_holm=holm(table.p.to_numpy()))


def varied(runs: pd.DataFrame, model: str) -> list[str]:
    """The options that differ among the runs of a model in a sweep, or else among all of them.

    In what two sweeps differ tells nothing of an option: they had others, and maybe other data.
    """
    names = [name for name in map(str, runs) if name not in _OF_ANY_RUN and "@" not in name]
    of_model = runs[runs.model == model]
    options = of_model[names].astype(object)
    rows = options.where(options.notna(), None).to_numpy().tolist()  # empty ones without options
    configs = [dict(zip(names, row, strict=True)) for row in rows]
    within = _differing_within(configs, sweeps_of(of_model))
    return [name for name in names if name in within] or differing(configs)


def sweeps_of(runs: pd.DataFrame) -> list[str]:
    """The folder that each run is in."""
    return [str(Path(run).parent) for run in runs.run]


def _options(
    configs: Sequence[Mapping[str, Any]], models: Sequence[str], splits: Sequence[str]
) -> list[dict[str, Any]]:
    """Of each configuration what differs among those of the same model.

    An option of the data is one where the split does not tell it: runs of one split differ in it;
    one of the holdout, where runs of one class of them do.
    The metric by which the best epoch is chosen is one of all models where they differ in it.
    """
    options: list[dict[str, Any]] = [{} for _ in configs]
    of_all = {"monitor"} & set(differing(configs))
    for model in dict.fromkeys(models):
        of_model = [number for number, other in enumerate(models) if other == model]
        own = [configs[number] for number in of_model]
        varied_on = {
            "data.": _differing_within(own, [splits[n] for n in of_model]) - {"data.path"},
            "holdout.": _differing_within(own, [one.get("holdout._target_") for one in own]),
        }
        found = differing(own)
        for key in [*found, *sorted(of_all - set(found))]:
            if key in _NO_PARAMETER or any(
                key.startswith(group) and key not in keys for group, keys in varied_on.items()
            ):
                continue
            for number in of_model:
                if key in configs[number] or not key.startswith("holdout."):
                    options[number][key] = configs[number].get(key, NEUTRAL.get(key))
    return options


def _differing_within(configs: Sequence[Mapping[str, Any]], groups: Sequence[Any]) -> set[str]:
    """The keys whose values differ among the configurations of a group."""
    return {
        key
        for group in dict.fromkeys(groups)
        for key in differing([c for c, of in zip(configs, groups, strict=True) if of == group])
    }


def _texts(options: Sequence[Mapping[str, Any]], models: Sequence[str]) -> list[str]:
    """Options as text, with as many digits as tell a model's values apart."""
    values: dict[tuple[str, str], set[float]] = {}
    for model, of_run in zip(models, options, strict=True):
        for key, value in of_run.items():
            values.setdefault((model, key), set()).update({value} if _is_float(value) else ())
    digits = {key: _digits(of_key) for key, of_key in values.items()}
    return [
        " ".join(
            f"{key}={value:.{digits[model, key]}g}" if _is_float(value) else f"{key}={value}"
            for key, value in of_run.items()
        )
        for model, of_run in zip(models, options, strict=True)
    ]


def _is_float(value: Any) -> bool:
    return isinstance(value, float)


def _digits(values: set[float]) -> int:
    """How many significant digits tell numbers apart, at least 4.

    >>> _digits({1 / 3, 0.5}), _digits({1234.56, 1234.61})
    (4, 6)
    """
    enough = (n for n in range(4, 17) if len({f"{v:.{n}g}" for v in values}) == len(values))
    return next(enough, 17)
