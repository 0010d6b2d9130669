"""Many runs as two tables: a row a run, and a row a configuration, its seeds taken together.

Both are read from the runs' folders, so that they can be made again, of any set of folders.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from recsys_lightning.ensemble.show import members_in_words
from recsys_lightning.functional.bootstrap import paired_bootstrap
from recsys_lightning.metrics.names import FILES, MetricName
from recsys_lightning.metrics.of_lists import user_values
from recsys_lightning.runs.folder import RunFolder, relative
from recsys_lightning.runs.lists import read_lists, read_split
from recsys_lightning.runs.parameters import differing, flat, of_the_job
from recsys_lightning.runs.record import Result
from recsys_lightning.sweeps.jobs import Runs, ensembles

ENSEMBLE = "ensemble"  # as a model's name

# of a configuration: not what a user would call a hyper-parameter
_NO_PARAMETER = {"trainer.max_epochs", "seed", "ckpt_path"}
_OF_A_RESULT = ("model", "status", "error", "seed", "data")
_COSTS = ("peak_rss_mb", "parameters", "best_epoch")
_OF_ANY_RUN = {"run", *_OF_A_RESULT, "split", "options", "job", "repeated", "seconds", *_COSTS}


def runs_table(folders: Sequence[Path], base: Path, known: Runs | None = None) -> pd.DataFrame:
    """A row a run below the folders, in the order in which they finished; then the ensembles.

    Args:
        folders: where to look; a run found twice counts once.
        base: what the column `run` is relative to.
        known: runs that were read already.

    Returns:
        Columns `run`, `model`, `status`, `error`, `seed`, `data`, `split`, `options` (what
        differs from the model's other runs), `job` (equal for the same job run twice), `repeated`
        (equal but for the seed), the metrics, `seconds`, `peak_rss_mb`, `parameters`,
        `best_epoch`, and a column for each option.
    """
    known = known or Runs()
    found = {run.resolve(): of for folder in folders for run, of in known.below(folder)}
    ordered = sorted(found.items(), key=lambda item: item[1].finished or "")
    configs = [flat(of_the_job(result.config or {})) for _, result in ordered]
    models = [result.model for _, result in ordered]
    options = _options(configs, models)
    rows = []
    for (run, result), told in zip(ordered, options, strict=True):
        text = " ".join(f"{key}={_short(value)}" for key, value in told.items())
        job = result.job or str(run), result.repeated or str(run)
        rows.append(_row(relative(run, base), result, text, *job) | told)
    fused = {place.resolve(): result for folder in folders for place, result in ensembles(folder)}
    for place, ensemble in fused.items():
        members = members_in_words(ensemble.members)
        text = f"{ensemble.fusion} {ensemble.weights}: {members}" if members else ""
        rows.append(_row(relative(place, base), ensemble, text, str(place), str(place)))
    return pd.DataFrame(rows)


def _row(run: str, result: Result, options: str, job: str, repeated: str) -> dict[str, Any]:
    """What a run, or an ensemble, says of itself as a row of `runs_table`."""
    return {
        "run": run,
        **{name: getattr(result, name) for name in _OF_A_RESULT},
        "split": (result.split or "")[:8],
        "options": options,
        "job": job,
        "repeated": repeated,
        **result.metrics,
        "seconds": round(sum(result.seconds.values()), 1),
        **{name: getattr(result, name, None) for name in _COSTS},
    }


def leaderboard(runs: pd.DataFrame, monitor: str) -> pd.DataFrame:
    """A row for all runs that differ in their seed only, the best first, by split.

    A job that was run twice on a split counts once: as it finished last.

    Args:
        runs: as `runs_table` returns it; those that are not done are left out, and a bag, which has
            no metrics.
        monitor: the metric that decides.

    Returns:
        Columns `model`, `data`, `split`, `options`, `runs` (different seeds), the mean of every
        metric, `std` (of the monitored one over the seeds, NaN for one), the means of `seconds`
        and `peak_rss_mb`, `parameters`, and `best_run`, the folder of the best seed.

    >>> runs = pd.DataFrame({
    ...     "run": ["0", "1", "2"], "model": ["a", "a", "b"], "status": "done", "data": "d",
    ...     "split": "s", "options": "", "seed": [1, 2, 1], "job": ["p", "q", "r"],
    ...     "repeated": ["x", "x", "y"], "val/recall@10": [1, 3, 2.5],
    ...     "seconds": 1.0, "peak_rss_mb": 1.0, "parameters": 1})
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
        columns = ["model", "data", "split", "options", "runs", monitor, "std", "seconds"]
        return pd.DataFrame(columns=[*columns, "peak_rss_mb", "parameters", "best_run"])
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


def best_per_model(board: pd.DataFrame) -> pd.DataFrame:
    """The first row of every model on every split."""
    return board.drop_duplicates(["split", "model"]).reset_index(drop=True)


def differences(
    best: pd.DataFrame, folder: Path, monitor: str, known: Runs | None = None
) -> pd.DataFrame:
    """The best model of each split against the others, user by user.

    Args:
        best: as `best_per_model` returns it.
        folder: what its `best_run` is relative to.
        monitor: the metric, of validation; the test set's is compared, too, where there is one.
        known: runs that were read already.

    Returns:
        A row a metric and other model: `metric`, `better`, `other`, the mean `difference` over
        users, its 95 % interval `low` to `high` and `p` by the paired bootstrap. Runs that kept no
        lists are left out.

    Raises:
        InputError: a file of a split or of lists is damaged.
    """
    rows: list[list[Any]] = []
    for _, group in best.groupby("split", sort=False):
        runs = {
            str(model): folder / run for model, run in zip(group.model, group.best_run, strict=True)
        }
        first = (known or Runs()).of(next(iter(runs.values())))
        files = Path(first.split_files or "")
        if len(runs) < 2 or first.split_files is None or not files.is_dir():
            continue
        split = read_split(files, first.split)
        ids = split.interactions.users, split.interactions.items
        for stage in FILES:
            metric = MetricName.parse(monitor).at(stage)
            held_out = split.valid if stage == "val" else split.test
            lists = {model: RunFolder(run).candidates(metric.file) for model, run in runs.items()}
            values = [
                (model, user_values(metric, read_lists(path, *ids).items, held_out))
                for model, path in lists.items()
                if path.is_file()
            ]
            rows += [
                [str(metric), values[0][0], model, *paired_bootstrap(values[0][1], other)]
                for model, other in values[1:]
            ]
    columns = ["metric", "better", "other", "difference", "low", "high", "p"]
    return pd.DataFrame(rows, columns=columns)


def varied(runs: pd.DataFrame, model: str) -> list[str]:
    """The options that differ among the runs of a model."""
    names = [name for name in map(str, runs) if name not in _OF_ANY_RUN and "@" not in name]
    of_model = runs.loc[runs.model == model, names].astype(object)
    rows = of_model.where(of_model.notna(), None).to_dict("records")
    return differing([{str(name): value for name, value in row.items()} for row in rows])


def _options(configs: Sequence[Mapping[str, Any]], models: Sequence[str]) -> list[dict[str, Any]]:
    """Of each configuration what differs among those of the same model."""
    options: list[dict[str, Any]] = [{} for _ in configs]
    for model in dict.fromkeys(models):
        of_model = [number for number, other in enumerate(models) if other == model]
        for key in differing([configs[number] for number in of_model]):
            if key not in _NO_PARAMETER and not key.startswith("data."):
                for number in of_model:
                    options[number][key] = configs[number].get(key)
    return options


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value
