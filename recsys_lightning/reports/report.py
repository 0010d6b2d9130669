"""The tables of a set of runs: what a report shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from recsys_lightning.reports.leaderboard import ENSEMBLE

SHOWN_IN_LEADERBOARD = 50
SIGNIFICANT = 0.05  # p, after Holm
COMPARED = (
    "The best runs of each two models against each other, user by user: mean difference, its 95 % "
    "interval by the paired bootstrap, and p raised by Holm's method for all pairs of a metric: "
    "real is what is below 0.05. All were chosen on validation, so the test set's figures are the "
    "fairer ones. Spread over seeds is in neither."
)
BEST = (
    "The standard error is over users; after ± stands the standard deviation over seeds. Coverage "
    "is the share of all items that somebody is recommended, novelty how rare the recommended "
    "items are, in bits."
)
AGREEING = (
    "Kendall's rank correlation of a metric with the scores, over the runs of a holdout that have "
    "one, and its 95 % interval by a bootstrap over these runs: validation follows the leaderboard "
    "where the interval is above 0. Holdouts whose intervals overlap may differ by chance."
)
DRAWN = (
    "Configurations that were run on several draws of what is held out: the mean over the draws, "
    "the standard deviation between their means, and that between the seeds of one draw. With one "
    "seed a draw, the first holds both. What differs by less may be the draw's luck."
)


@dataclass(frozen=True)
class Report:
    """The tables of a set of runs.

    Attributes:
        title: of the whole.
        monitor: the metric that decides.
        runs: one row per run.
        board: one row per configuration, best first.
        best: its first row of every model.
        compared: the best models against each other, by the paired bootstrap over users.
        draws: configurations that were run on several draws of their holdout.
        agreement: of each holdout's metrics with a leaderboard's scores; empty without scores.
        data: one row per split.
        starts: one row per sweep, with its command.
        configs: the files of `best/`, by what `+best=` calls them.
    """

    title: str
    monitor: str
    runs: pd.DataFrame
    board: pd.DataFrame
    best: pd.DataFrame
    compared: pd.DataFrame
    draws: pd.DataFrame = field(default_factory=pd.DataFrame)
    agreement: pd.DataFrame = field(default_factory=pd.DataFrame)
    data: pd.DataFrame = field(default_factory=pd.DataFrame)
    starts: pd.DataFrame = field(default_factory=pd.DataFrame)
    configs: Mapping[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> pd.DataFrame:
        """`runs` without failures whose job another run has done, as where a search was killed."""
        failed = self.runs.status == "failed"
        return self.runs[~failed | ~self.runs.job.isin(self.runs.job[~failed])]

    @property
    def failed(self) -> pd.DataFrame:
        """The runs, and ensembles, that failed."""
        return self.ended[self.ended.status == "failed"]

    @property
    def models(self) -> pd.DataFrame:
        """`ended` without ensembles."""
        return self.ended[self.ended.model != ENSEMBLE]

    @property
    def done(self) -> pd.DataFrame:
        """The runs of models that are done and have the metric that decides."""
        done = self.models[self.models.status == "done"]
        return done[done[self.monitor].notna()]

    @property
    def best_models(self) -> pd.DataFrame:
        """`best` without ensembles: what can be run again."""
        return self.best[self.best.model != ENSEMBLE]
