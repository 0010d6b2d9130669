"""To equal recall@10 beside RecBole: `python -m experiments.benchmark_sequential.recall`.

SASRec on MovieLens-1M: width 64, two blocks, length 200, the softmax over all items, batches of 128
rows, of RecBole's prefixes, of ours whole histories; and ours as it stands. Seconds are of
training, without what comes before it and without measuring. An epoch of RecBole's takes an hour:
it is measured after every `--steps` of it.
"""

import numpy as np

from experiments.benchmark_sequential.last import holding_out_the_last
from experiments.benchmark_sequential.training import MODELS, RECBOLE
from experiments.peers.measuring import contest, parser
from experiments.peers.processes import peer_python

OURS = {"batches of 128": ["view.batch_size=128"], "as it stands (batches of 32)": []}


def main():
    made = parser(__doc__)
    made.add_argument("--steps", type=int, default=500, help="from one measurement to the next")
    made.add_argument("--parts", type=int, default=6, help="measurements")
    made.add_argument("--epochs", type=int, default=15, help="of ours")
    options = made.parse_args()
    options.synthetic = ""
    with contest(holding_out_the_last(options), __package__) as here:
        ours = {
            name: here.run(
                "ML-1M",
                *(*MODELS["sasrec"], "average_weights=false", "patience=null", *own),
                f"max_epochs={options.epochs}",
            )["clock"]
            for name, own in OURS.items()
        }
        theirs = here.contestant(
            *("recbole_curve", "ML-1M", peer_python("recbole")),
            options=RECBOLE | {"hidden_dropout_prob": 0.1, "attn_dropout_prob": 0.1},
            steps=options.steps,
            parts=options.parts,
        )
    heads = [f"ours, {name}, s | RecBole's by ours" for name in ours]
    print(f"| steps of RecBole | recall@10 | s | {' | '.join(heads)} |")
    print("|---" * (3 + 2 * len(ours)) + "|")
    for part, (at, seconds) in enumerate(
        zip(theirs["recall"], np.cumsum(theirs["seconds"]), strict=True), start=1
    ):
        cells = [f"{part * options.steps:,}", f"{at:.4f}", f"{seconds:,.0f}"]
        for curve in ours.values():
            reached = np.cumsum(curve["seconds"])[np.array(curve["recall"]) >= at]
            cells += (
                [f"{reached[0]:.0f}", f"{seconds / reached[0]:.0f}"] if len(reached) else ["", ""]
            )
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
