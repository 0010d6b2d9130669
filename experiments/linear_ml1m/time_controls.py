"""Recent popularity, and lists without the items that did not exist yet, on MovieLens-1M.

`python -m experiments.linear_ml1m.time_controls RATINGS.csv > controls.csv`
"""

import numpy as np
import torch

from experiments.linear_ml1m.choice import Choice, last_times, lists, studies
from recsys_lightning.models.ease import EASE
from recsys_lightning.models.tale import TALE

DAY = 86_400
ALL, WINDOWS = (10_000,), (1, 7, 30, 365)  # days


def popular(holdout, data):
    """Popularity: of all training, of days before the user's last known time, and of the end."""
    train, base = data.train, None
    order = train.times.argsort(kind="stable")
    times, items = train.times[order], train.indices[order]

    def counts(days, until):
        until, position = np.unique(until, return_inverse=True)
        starts = np.searchsorted(times, until - days * DAY)
        ends = np.searchsorted(times, until, side="right")
        bounds = zip(starts, ends, strict=True)
        each = [np.bincount(items[a:b], minlength=train.num_items) for a, b in bounds]
        return torch.from_numpy(np.stack(each)[position]).float()

    def end(last):
        return np.full_like(last, times[-1])

    for kind, until, windows in (
        ("", end, ALL),
        (" before the user's last", lambda last: last, WINDOWS),
        (" before the end", end, WINDOWS),
    ):
        choice = Choice(data, holdout, f"popularity{kind}")
        for days in windows:
            choice.add(f"days={days}", lambda _, last, d=days, u=until: counts(d, u(last)))
        tested = choice.test(base)
        base = base or tested


def existing(holdout, data, model):
    """Without the items whose first training interaction is after the user's last known time."""
    train, base = data.train, None
    name = f"{type(model).__name__.lower()} recency={model.recency:g}"
    model.prepare(train)
    model.begin()
    for rows in data.train_dataloader():
        model.accumulate(rows)
    model.solve()
    first = np.full(train.num_items, np.iinfo(np.int64).max)
    np.minimum.at(first, train.indices, train.times)

    def score(query, _):
        return model.score(query)

    def masked(query, last):
        return model.score(query).masked_fill(torch.from_numpy(first > last[:, None]), -torch.inf)

    for kind, scores in (("", score), (" of items that existed", masked)):
        choice = Choice(data, holdout, name + kind)
        choice.add("", scores)
        base = choice.test(base)
    last, asked = last_times(data.split.question("test").known), data.split.test
    later = first[lists(data, "test", score)[asked.lengths > 0]] > last[asked.lengths > 0, None]
    never = first[asked.indices] > last[asked.rows]
    print(f"# {later.mean():.4f} of the places, {never.mean():.4f} of what is asked for")


def main():
    for holdout, data, of_ease, of_tale in studies():
        sizes = {"num_users": data.train.num_users, "num_items": data.train.num_items}
        popular(holdout, data)
        for model in (EASE(**sizes), EASE(**sizes, **of_ease), TALE(**sizes, **of_tale)):
            existing(holdout, data, model)


if __name__ == "__main__":
    main()
