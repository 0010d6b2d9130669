"""The scores of all users: `python -m experiments.benchmark_sequential.scoring`.

`model=sasrec` of 64 dimensions and length 200, 256 users at once; beside the matrix
products alone that it cannot avoid, and RecTools' SASRec with its lists of 10.
"""

from experiments.benchmark_sequential.last import holding_out_the_last
from experiments.peers.measuring import contest, parser
from experiments.peers.processes import median_and_range, peer_python


def main():
    options = holding_out_the_last(parser(__doc__).parse_args())
    rectools = peer_python("rectools")
    with contest(options, __package__) as here:
        print(
            "| data | products, s | scores, s | of the products | with lists of 10, s | "
            "RecTools with lists, s | of ours |"
        )
        print("|---|---|---|---|---|---|---|")
        for data in here.data:
            rounds = []
            for _ in range(here.rounds):
                found = here.contestant("scoring", data)
                theirs = here.contestant(
                    "rectools", data, rectools, model="sasrec", batch=128, steps=1
                )
                rounds.append(found | {"theirs": theirs["lists"]})
            print(row(data, rounds), flush=True)


def row(data, rounds):
    def of(name):
        return median_and_range([each[name] for each in rounds])

    def ratio(above, below):
        return median_and_range([each[above] / each[below] for each in rounds], digits=2)

    cells = [data, of("products"), of("score"), ratio("score", "products"), of("lists")]
    cells += [of("theirs"), ratio("theirs", "lists")]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
