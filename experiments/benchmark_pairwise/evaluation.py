"""Evaluation of all users with all metrics: `python -m experiments.benchmark_pairwise.evaluation`.

The test of a run of run.py that was fitted for one step: full ranking, every metric at 10 and at
20, after a validation, which has loaded the kernels. The memory is the whole run's.
"""

from experiments.peers.measuring import contest, parser
from experiments.peers.processes import median_and_range

MODELS = {  # of a tower's dims the first are the vectors' of user and item together
    "ncf": ["model=ncf", "model.variant=neumf", "model.tower_dims=[128,64,32]"],
    "ncf, one layer more": ["model=ncf", "model.variant=neumf", "model.tower_dims=[256,128,64,32]"],
    "deepfm": ["model=deepfm", "model.hidden_dims=[128,64,32]"],
    "mf_bpr": ["model=mf_bpr"],
    "lightgcn": ["model=lightgcn", "model.num_layers=3"],
    "ngcf": ["model=ngcf", "model.layer_dims=[64,64,64]"],
    "xsimgcl": ["model=xsimgcl", "model.num_layers=3"],
}


def main():
    made = parser(__doc__)
    made.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    made.set_defaults(rounds=1)  # a run scores all users three times
    options = made.parse_args()
    options.ml1m = ""
    with contest(options, __package__) as here:
        print("| model | test of all users, s | peak RSS |")
        print("|---|---|---|")
        for model in options.models:
            rounds = [one_run(here, MODELS[model]) for _ in range(here.rounds)]
            seconds = median_and_range([each["seconds"]["test"] for each in rounds])
            peak = max(each["peak_rss_mb"] for each in rounds)
            print(f"| `{model}` | {seconds} | {peak:,.0f} MB |", flush=True)


def one_run(here, overrides):
    return here.run(
        "synthetic",
        *("model.embedding_dim=64", "max_epochs=1", *overrides),
        "+trainer.limit_train_batches=1",
    )


if __name__ == "__main__":
    main()
