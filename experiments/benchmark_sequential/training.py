"""A step and its memory: `python -m experiments.benchmark_sequential.training`.

Width 64, two blocks, length 200, the softmax over all items, batches of 128 users: SASRec beside
the same in plain torch and RecTools' SASRec, BERT4Rec beside RecTools'. A step is the mean time
from one batch to the next, three left out. RecBole makes a row of every prefix: an epoch is its
step times its steps.
"""

from experiments.benchmark_sequential.last import holding_out_the_last
from experiments.peers.measuring import contest, parser
from experiments.peers.processes import median_and_range, peer_python

MODELS = {  # RecTools' BERT4Rec has pre-norm blocks and two heads here, and masks .15
    "sasrec": ["model=sasrec", "model.embedding_dim=64", "model.dropout=0.1"],
    "bert4rec": ["model=bert4rec", "model.block=pre_norm", "model.mask_share=0.15"],
}

RECBOLE = {
    "hidden_size": 64,
    "inner_size": 64,
    "n_layers": 2,
    "n_heads": 1,
    "loss_type": "CE",
    "train_neg_sample_args": None,  # which RecBole wants said
    "MAX_ITEM_LIST_LENGTH": 200,
    "train_batch_size": 128,
}


def main():
    made = parser(__doc__)
    made.add_argument("--batch", type=int, default=128, help="users")
    made.add_argument("--steps", type=int, default=20)
    made.add_argument("--without-recbole", action="store_true")
    options = holding_out_the_last(made.parse_args())
    rectools = peer_python("rectools")
    with contest(options, __package__) as here:
        print(
            "| data | model | ours, users/s | plain torch | of its step ours takes | RecTools | "
            "ours / RecTools | peak RSS of ours, plain torch, RecTools, MB |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for data in here.data:
            for model in MODELS:
                rounds = [
                    one_round(here, data, model, options, rectools) for _ in range(here.rounds)
                ]
                print(row(data, model, rounds, options.batch), flush=True)
        if not options.without_recbole and "ML-1M" in here.data:
            print_recbole(here, options.steps)


def one_round(here, data, model, options, rectools):
    """The contestants in turns."""
    of_steps = {"batch": options.batch, "steps": options.steps}
    result = here.run(
        data,
        *MODELS[model],
        *(f"view.batch_size={options.batch}", "max_epochs=2", "patience=null"),
        "trainer.check_val_every_n_epoch=2",
        f"+trainer.limit_train_batches={options.steps}",
    )
    found = {"ours": {"step": result["clock"]["step"], "peak": result["peak_rss_mb"]}}
    if model == "sasrec":
        found["bare"] = here.contestant("bare", data, **of_steps)
    found["rectools"] = here.contestant("rectools", data, rectools, model=model, **of_steps)
    return found


def row(data, model, rounds, batch):
    def rate(name):
        return median_and_range([batch / each[name]["step"] for each in rounds])

    def ratio(above, below):
        return median_and_range(
            [each[above]["step"] / each[below]["step"] for each in rounds], digits=2
        )

    bare = "bare" in rounds[0]
    peaks = [f"{max(each[name]['peak'] for each in rounds):,.0f}" for name in rounds[0]]
    cells = [
        data,
        f"`{model}`",
        rate("ours"),
        rate("bare") if bare else "",
        ratio("ours", "bare") if bare else "",
        rate("rectools"),
        ratio("rectools", "ours"),
        ", ".join(peaks),
    ]
    return f"| {' | '.join(cells)} |"


def print_recbole(here, steps):
    """One round: its data take minutes to make."""
    found = here.contestant(
        "recbole", "ML-1M", peer_python("recbole"), options=RECBOLE, steps=steps
    )
    seconds = found["step"] * found["steps"]
    print(
        f"\nRecBole: {1000 * found['step']:.0f} ms a step of 128 prefixes, {found['steps']:,} "
        f"steps an epoch: {seconds:,.0f} s; {found['peak']:,.0f} MB"
    )


if __name__ == "__main__":
    main()
