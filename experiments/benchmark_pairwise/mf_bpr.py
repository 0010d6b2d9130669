"""MF-BPR beside implicit's and Cornac's: `python -m experiments.benchmark_pairwise.mf_bpr`.

64 dimensions and a bias an item. An epoch is as many pairs as there are interactions, ours every
one once, theirs drawn with replacement; and where a drawn negative is an item that the user has,
ours draws another, theirs skip the pair. Recall of all three is by `recall.recall_at_10`.
"""

from functools import partial
from statistics import median

from experiments.peers.measuring import contest, milliseconds, parser
from experiments.peers.processes import median_and_range, peer_python
from experiments.peers.recall import cells

DIMS, PEERS = 64, ("implicit", "cornac")
WITHIN = 0.002
SETTINGS = {  # the first is the one whose epochs are timed
    "ours": [
        f"model.lr={rate} model.l2={l2} view.batch_size={batch}"
        for rate, l2, batch in (
            (0.01, 0.005, 131072),
            (0.01, 0.005, 65536),
            (0.01, 0.005, 32768),
            (0.005, 0.005, 32768),
            (0.005, 0.005, 16384),
            (0.003, 0.005, 8192),
        )
    ],
    "implicit": [
        {"learning_rate": rate, "regularization": l2}
        for rate in (0.01, 0.02, 0.005)
        for l2 in (0.003, 0.001)
    ],
    "cornac": [
        {"learning_rate": rate, "lambda_reg": l2}
        for rate in (0.05, 0.03, 0.08)
        for l2 in (0.01, 0.006)
    ],
}


def main():
    made = parser(__doc__)
    made.add_argument("--epochs", type=int, default=200, help="of a curve, at most; 0: no curves")
    made.add_argument("--patience", type=int, default=10, help="epochs")
    options = made.parse_args()
    pythons = {name: peer_python(name) for name in PEERS}
    with contest(options, __package__) as here:
        fits = {name: partial(peer, here, name, python) for name, python in pythons.items()}
        fits = {"ours": partial(ours, here), **fits}
        print_epochs(here, fits)
        if options.epochs and options.ml1m:
            print_curves(fits, options.epochs, options.patience)


def ours(here, data, setting, epochs, patience):
    return here.run(
        data,
        *("model=mf_bpr", f"model.embedding_dim={DIMS}", "model.item_bias=true", "model.loss=bpr"),
        *("view.negatives=1", f"max_epochs={epochs}", f"patience={patience}"),
        *(f"+callbacks.clock.rows={here.rows(data)}", *setting.split()),
    )["clock"]


def peer(here, name, python, data, setting, epochs, patience):
    return here.contestant(name, data, python, setting=setting, epochs=epochs, patience=patience)


def print_epochs(here, fits):
    print(
        "| data | "
        + " | ".join(f"{name}, s/epoch" for name in fits)
        + " | cornac / ours | batch, forward, backward, Adam of ours, ms a step |"
    )
    print("|---" * (len(fits) + 3) + "|")
    for data in here.data:
        seconds = {name: [] for name in fits}
        for _ in range(here.rounds):
            for name, fit in fits.items():
                found = fit(data, SETTINGS[name][0], epochs=4, patience=4)
                seconds[name].append(median(found["seconds"][1:]))
                if name == "ours":
                    parts = milliseconds(found["parts"])
        ratios = [a / b for a, b in zip(seconds["cornac"], seconds["ours"], strict=True)]
        shown = [median_and_range(each, digits=2) for each in [*seconds.values(), ratios]]
        print(f"| {data} | {' | '.join(shown)} | {parts} |", flush=True)


def print_curves(fits, epochs, patience):
    """On MovieLens-1M, from one run of each setting."""
    curves = {
        name: [fit("ML-1M", setting, epochs, patience) for setting in SETTINGS[name]]
        for name, fit in fits.items()
    }
    best = {name: max(max(c["recall"]) for c in found) for name, found in curves.items()}
    print(
        "\n| | setting | best recall@10 | in epoch | s/epoch "
        f"| s to within {WITHIN} of its library's best | s to {min(best.values()) - WITHIN:.4f} |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, found in curves.items():
        for setting, curve in zip(SETTINGS[name], found, strict=True):
            levels = best[name] - WITHIN, min(best.values()) - WITHIN
            print(f"| {name} | {as_text(setting)} | {' | '.join(cells(curve, *levels))} |")


def as_text(setting):
    if isinstance(setting, dict):
        setting = " ".join(f"{key}={value}" for key, value in setting.items())
    return f"`{setting}`"


if __name__ == "__main__":
    main()
