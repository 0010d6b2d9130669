"""Draws of negatives a second on one core: `python -m experiments.benchmark_pairwise.negatives`."""

from experiments.peers.measuring import contest, parser
from experiments.peers.processes import median_and_range


def main():
    options = parser(__doc__).parse_args()
    options.threads = 1
    with contest(options, __package__) as here:
        print("| data | in the users' order, M/s | in random order, M/s |")
        print("|---|---|---|")
        for data in here.data:
            found = [here.contestant("negatives", data) for _ in range(here.rounds)]
            cells = [
                median_and_range([each[order] / 1e6 for each in found])
                for order in ("user", "random")
            ]
            print(f"| {data} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
