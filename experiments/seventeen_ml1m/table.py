"""`python -m experiments.seventeen_ml1m.table`: the tables of README.md, from runs.csv."""

from pathlib import Path
from statistics import stdev

import pandas as pd

from experiments.seventeen_ml1m.rows import COLUMNS
from recsys_lightning.functional.bootstrap import holm

HOLDOUTS = {
    "random": "items of any time, for validation alone (`val`)",
    "hybrid": "items of any time and the latest (`test`)",
    "last": "the last item (`test`)",
}
MODELS = {
    "control": ("popularity", "mf_bpr"),
    "linear": ("ease", "multi_ease", "admm_slim", "easer"),
    "autoencoder": ("autorec", "multi_dae", "multi_vae", "multi_cdae", "recvae"),
    "pairwise": ("ncf", "deepfm", "ngcf", "lightgcn"),
    "sequential": ("sasrec", "bert4rec", "multi_bert4rec", "s3rec"),
    "beyond the seventeen": ("tale", "xsimgcl"),
}
# HIT@10 of the original: the contest's data, 10 random items of every user held out (the wrap-up
# report of boostcampaitech3's team 05)
ORIGINAL = {
    **{"multi_ease": 0.2056, "easer": 0.2045, "ease": 0.2040, "admm_slim": 0.2003},
    **{"recvae": 0.1970},
    **{"multi_vae": 0.1824, "multi_dae": 0.1822, "autorec": 0.1747, "multi_cdae": 0.1600},
    **{"ncf": 0.1304, "multi_bert4rec": 0.1238, "s3rec": 0.0878, "lightgcn": 0.0869},
    **{"deepfm": 0.0856, "bert4rec": 0.0852, "sasrec": 0.0752, "ngcf": 0.0748},
}
# options of rows that count as the defaults': these values became the defaults after the run, or it
# was run in two sittings, of which its seconds are the second
DEFAULTS_SINCE = {
    ("sasrec", "model.embedding_dim=128 model.dropout=0.2"),
    ("sasrec", "model.embedding_dim=128 model.dropout=0.2 ckpt_path=last"),
    ("bert4rec", "view.batch_size=32"),
    ("ngcf", "model.layer_dims=[64,64,64]"),
    ("multi_bert4rec", "ckpt_path=last"),
    (
        "s3rec",
        "view.batch_size=32 model.loss=cross_entropy model.length=200 model.dropout=0.1 "
        "model.num_heads=1 model.block=sasrec model.pretrain_epochs=10",
    ),
}
TITLES = (
    *("family", "model", "recall@10", "ndcg@10", "from EASE, 95 %", "coverage", "novelty"),
    *("fit, s", "recommend, s", "peak MB", "numbers"),
)


def main():
    runs = of_the_defaults()
    for holdout, asked in HOLDOUTS.items():
        print(f"### `{holdout}`: {asked}\n\n| {' | '.join(TITLES)} |\n{'|---' * len(TITLES)}|")
        of_holdout = runs[runs.holdout == holdout]
        surely = significant(of_holdout)
        for family, models in MODELS.items():
            for model in models:
                print(f"| {family} | `{model}` | {cells(of_holdout, model, surely)} |")
        print()
    print_original(runs[runs.holdout == "random"])


def of_the_defaults():
    """The rows of runs.csv that count."""
    runs = pd.read_csv(Path(__file__).with_name("runs.csv"), names=COLUMNS, header=0)
    named = pd.Series(zip(runs.model, runs.options, strict=True)).isin(DEFAULTS_SINCE)
    return runs[runs.options.isna() | named]


def print_original(runs):
    """The original's table beside ours: as shares of EASE, since the data are not the same."""
    ours = runs.groupby("model")["recall@10"].mean()
    print(
        "### The original's table\n\n"
        "Its HIT@10 on the contest's data, ten random items of every user held out (the wrap-up "
        "report of\nboostcampaitech3's team 05). The data are not the same, so "
        "shares of EASE are compared, ours under `random`.\n\n"
        "| model | its HIT@10 | of its EASE | ours of our EASE |"
    )
    print("|---|---|---|---|")
    for model, value in ORIGINAL.items():
        share = f"{ours[model] / ours['ease']:.2f}" if model in ours else "not yet run"
        print(f"| `{model}` | {figure(value)} | {value / ORIGINAL['ease']:.2f} | {share} |")


def cells(runs, model, surely):
    """The row of a model: means over its seeds, and the difference of the first."""
    found = runs[runs.model == model].sort_values("seed")
    if found.empty:
        return "not yet run" + " |" * 8
    first = found.iloc[0]
    gain = f"{sign(first.gain)} [{sign(first.low)}, {sign(first.high)}]"
    if model == "ease":
        gain = ""
    elif model in surely:
        gain = f"**{gain}**"
    recall = f"{figure(found['recall@10'].mean())} ± {figure(first.se)}"
    if len(found) > 1:
        recall += f" ({len(found)} seeds: ± {figure(stdev(found['recall@10']))})"
    return " | ".join(
        [
            recall,
            figure(found["ndcg@10"].mean()),
            gain,
            f"{found['coverage@10'].mean():.2f}",
            f"{found['novelty@10'].mean():.1f}",
            *(f"{found[name].mean():,.1f}" for name in ("fit s", "recommend s")),
            f"{found['peak MB'].max():,.0f}",
            f"{first.parameters:,.0f}",
        ]
    )


def significant(runs):
    """The models that differ from EASE with all tests of a holdout taken together (Holm)."""
    first = runs.sort_values("seed").drop_duplicates("model")
    others = first[first.model != "ease"]
    return set(others.model[holm(others.p.to_numpy()) < 0.05])


def figure(value):
    return f"{value:.4f}".removeprefix("0")


def sign(value):
    return f"{value:+.4f}".replace("0.", ".", 1)


if __name__ == "__main__":
    main()
