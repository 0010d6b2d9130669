"""Which options mattered: importances by PED-ANOVA."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

LOG_RATIO = 20  # a parameter that spans more than this is taken by its logarithm
MIN_RUNS_FOR_IMPORTANCE = 8  # below, the importances are mostly noise


def importances(runs: pd.DataFrame, options: Sequence[str], monitor: str) -> pd.Series | None:
    """How much each option mattered, by PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023).

    Args:
        runs: of one model, all done.
        options: columns that vary.
        monitor: the metric.

    Returns:
        Shares that sum to 1 by option, the largest first; None where they would say nothing (a
        single option, too few runs, equal values of all) or Optuna is not installed.
    """
    if len(options) < 2 or len(runs) < MIN_RUNS_FOR_IMPORTANCE or runs[monitor].nunique() < 2:
        return None
    try:
        import optuna
        from optuna import distributions
    except ModuleNotFoundError:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    space: dict[str, Any] = {}
    for name in options:
        values = runs[name]
        if is_numeric(values):
            low, high = float(values.min()), float(values.max())
            space[name] = distributions.FloatDistribution(low, high, log=is_wide(values))
        else:
            space[name] = distributions.CategoricalDistribution(sorted(set(map(str, values))))
    for _, run in runs.iterrows():
        params = {
            name: str(run[name]) if hasattr(space[name], "choices") else float(run[name])
            for name in options
        }
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=space, value=run[monitor])
        )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return pd.Series(found).sort_values(ascending=False)


def is_numeric(values: pd.Series) -> bool:
    """Whether all values are numbers."""
    return all(
        isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        for value in values
    ) and bool(values.notna().all())


def is_wide(values: pd.Series) -> bool:
    """Whether positive values span so much that a logarithmic axis shows them better."""
    return bool(values.min() > 0 and values.max() / values.min() > LOG_RATIO)
