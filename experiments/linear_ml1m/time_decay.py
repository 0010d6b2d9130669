"""Do older interactions count less in training? On MovieLens-1M, for EASE.

`python -m experiments.linear_ml1m.time_decay RATINGS.csv > decay.csv`
"""

import torch

from experiments.linear_ml1m.choice import Choice, last_times, studies
from recsys_lightning.data.batches import Bag
from recsys_lightning.functional.dense import matmul
from recsys_lightning.functional.ease import ease
from recsys_lightning.functional.recency import recency_factors
from recsys_lightning.functional.ridge import DenseInverse
from recsys_lightning.models.ease import EASE

DAY = 86_400
L2 = (125.0, 250.0, 500.0, 1000.0, 2000.0)
HALF_LIVES = {
    "days before the user's last": (1, 7, 30, 365),
    "days before the end": (90, 365, 1000),
}
RANKS = (1.0, 2.0, 4.0, 8.0, 16.0)  # r of 1 + r / k


def decays(train, history):
    """By what, how much, and the factor (N,) of every training interaction; all ones first."""
    yield "nothing", "", torch.ones(train.num_interactions)
    ends = (last_times(train)[train.rows], train.times.max())
    for (what, half_lives), end in zip(HALF_LIVES.items(), ends, strict=True):
        for days in half_lives:
            age = torch.from_numpy((end - train.times) / DAY)
            yield what, f"half_life={days}", (-age / days).exp2().float()
    for r in RANKS:
        yield "rank in the history", f"r={r:g}", recency_factors(history.ages, r)


def main():
    for holdout, data, of_ease, _ in studies():
        train, recencies = data.train, (0.0, of_ease["recency"])
        sizes = {"num_users": train.num_users, "num_items": train.num_items}
        history = Bag(torch.from_numpy(train.indices), torch.from_numpy(train.indptr))
        choices, undecayed = {}, {}
        for what, options, factors in decays(train, history):
            # of a mean square of 1, so that one range of ridges serves all
            x = history.dense(train.num_items, factors / factors.square().mean().sqrt())
            gram = matmul(x.T, x, out=torch.empty(train.num_items, train.num_items))
            for l2 in L2:
                weight = ease(DenseInverse(gram.clone(), l2).dense())
                for recency in recencies:
                    model = EASE(**sizes, l2=l2, recency=recency)
                    model.weight, name = weight, f"ease recency={recency:g} decayed by {what}"

                    def score(query, _, model=model):
                        return model.score(query)

                    choice = choices.setdefault((recency, what), Choice(data, holdout, name))
                    choice.add(f"{options} l2={l2:g}".strip(), score)
                    undecayed.setdefault((recency, f"l2={l2:g}"), score)
        for recency in recencies:
            plain = choices.pop((recency, "nothing"))
            base = plain.test()
            for (of, _), choice in choices.items():
                if of == recency:
                    choice.test(base)
                    l2 = choice.options.split()[-1]
                    choice.test(plain.values("test", l2, undecayed[recency, l2]))


if __name__ == "__main__":
    main()
