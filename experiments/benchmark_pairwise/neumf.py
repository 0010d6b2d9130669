"""NeuMF beside RecBole's: `python -m experiments.benchmark_pairwise.neumf`.

Both with 64 dimensions in GMF and 64 + 64 before the layers 64 and 32 of the MLP, without dropout;
a batch is of as many interactions, each with four negatives. An epoch is the mean time from one
batch to the next, in the second one, times the batches of all interactions.
"""

import numpy as np

from experiments.peers.measuring import contest, parser
from experiments.peers.processes import median_and_range, peer_python

DIMS, HIDDEN, NEGATIVES = 64, [64, 32], 4


def main():
    made = parser(__doc__)
    made.add_argument("--batch", type=int, default=8192, help="interactions")
    made.add_argument("--steps", type=int, default=50, help="that are timed; 0: all")
    made.set_defaults(synthetic="")  # a run of ours would score all users three times
    options = made.parse_args()
    steps, recbole = options.steps or None, peer_python("recbole")
    with contest(options, __package__) as here:
        print("| data | batch | steps an epoch | ours, s/epoch | RecBole, s/epoch | ratio |")
        print("|---|---|---|---|---|---|")
        for data in here.data:
            rounds = [
                {
                    "ours": ours(here, data, options.batch, steps),
                    "recbole": theirs(here, data, options.batch, steps, recbole),
                }
                for _ in range(here.rounds)
            ]
            whole = -(-len(np.load(here.rows(data))["indices"]) // options.batch)
            print(row(data, options.batch, whole, rounds), flush=True)


def ours(here, data, batch, steps):
    found = here.run(
        data,
        *("model=ncf", "model.variant=neumf", f"model.embedding_dim={DIMS}", "model.dropout=0"),
        f"model.tower_dims={[2 * DIMS, *HIDDEN]}".replace(" ", ""),
        *("model.loss=bce", f"view.negatives={NEGATIVES}", f"view.batch_size={batch}"),
        *("max_epochs=2", "trainer.check_val_every_n_epoch=2"),
        *([f"+trainer.limit_train_batches={steps}"] if steps else []),
    )
    return found["clock"]["step"]


def theirs(here, data, batch, steps, python):
    """Its batch counts the negatives, too."""
    options = {
        "mf_embedding_size": DIMS,
        "mlp_embedding_size": DIMS,
        "mlp_hidden_size": HIDDEN,
        "dropout_prob": 0.0,
        "train_neg_sample_args": {"distribution": "uniform", "sample_num": NEGATIVES},
        "train_batch_size": batch * (1 + NEGATIVES),
    }
    found = here.contestant("recbole", data, python, model="NeuMF", options=options, steps=steps)
    return found["step"]


def row(data, batch, steps, rounds):
    def epoch(name):
        return median_and_range([each[name] * steps for each in rounds])

    ratios = [each["recbole"] / each["ours"] for each in rounds]
    cells = [data, f"{batch:,}", f"{steps:,}", epoch("ours"), epoch("recbole")]
    return f"| {' | '.join(cells)} | {median_and_range(ratios, digits=2)} |"


if __name__ == "__main__":
    main()
