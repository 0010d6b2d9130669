"""A step of LightGCN: `python -m experiments.benchmark_pairwise.lightgcn_step`.

64 dimensions, 3 layers: so it holds 12 sparse products, of three layers forward and backward, each
with X and with its transpose. A step is the mean time from one batch to the next in the second
epoch, its negatives and its optimiser included.
"""

from experiments.peers.measuring import contest, milliseconds, parser
from experiments.peers.processes import median_and_range, peer_python

DIMS, LAYERS = 64, 3


def main():
    made = parser(__doc__)
    made.add_argument("--steps", type=int, default=20, help="an epoch")
    made.add_argument("--batches", type=int, nargs="+", default=[2048, 8192])
    made.add_argument("--without-recbole", action="store_true")
    options = made.parse_args()
    recbole = None if options.without_recbole else peer_python("recbole")
    with contest(options, __package__) as here:
        print(
            "| data | batch | X E, ms | XᵀE, ms | 12 products, ms | step, ms | of them | "
            "batch, forward, backward, Adam, ms | RecBole's step, ms | of ours |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|")
        for data in here.data:
            for batch in options.batches:
                rounds = [
                    one_round(here, data, batch, options.steps, recbole) for _ in range(here.rounds)
                ]
                print(row(data, batch, rounds), flush=True)


def one_round(here, data, batch, steps, recbole):
    """The contestants in turns."""
    products = here.contestant("products", data)
    ours = here.run(
        data,
        *("model=lightgcn", f"model.embedding_dim={DIMS}", f"model.num_layers={LAYERS}"),
        *("model.loss=bpr", "view.negatives=1"),
        *(
            f"view.batch_size={batch}",
            "view.pairs=interactions",
            "max_epochs=2",
            "trainer.check_val_every_n_epoch=2",
        ),
        f"+trainer.limit_train_batches={steps}",
    )["clock"]
    found = {
        "users": products["users"],
        "items": products["items"],
        "products": 2 * LAYERS * products["layer"],
        "ours": ours["step"],
        "parts": ours["parts"],
    }
    if recbole:
        options = {"embedding_size": DIMS, "n_layers": LAYERS, "train_batch_size": batch}
        theirs = here.contestant(
            "recbole", data, recbole, model="LightGCN", options=options, steps=steps
        )
        found["recbole"] = theirs["step"]
    return found


def row(data, batch, rounds):
    def ms(name):
        return median_and_range([1000 * each[name] for each in rounds])

    def ratio(above, below):
        return median_and_range([each[above] / each[below] for each in rounds], digits=2)

    with_peer = "recbole" in rounds[0]
    cells = [
        data,
        f"{batch:,}",
        *map(ms, ("users", "items", "products", "ours")),
        ratio("ours", "products"),
        milliseconds(rounds[-1]["parts"]),
        ms("recbole") if with_peer else "",
        ratio("recbole", "ours") if with_peer else "",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
