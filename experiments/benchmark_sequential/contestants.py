"""One contestant in a process of its own: `python -m ... NAME rows.npz OPTIONS`; prints JSON.

Ours as it is in a fit is run by run.py, with `peers.clock.Clock`.
"""

import json
import resource
import sys
import time

import numpy as np

from experiments.benchmark_sequential.bare import DIMS, DROPOUT, LAYERS, LENGTH

SCORED = 256  # users at once


def bare(rows, batch, steps):
    """SASRec in plain torch."""
    from experiments.benchmark_sequential.bare import train

    return {"step": train(rows, batch, steps), "peak": peak()}


def scoring(rows):
    """Seconds of the products alone, of the scores of all users, and with their lists of 10."""
    import torch

    from experiments.benchmark_sequential.bare import products
    from recsys_lightning.data.batches import Bag, Query
    from recsys_lightning.functional.ranking import rank_items
    from recsys_lightning.models.sasrec import SASRec

    num_users, num_items = map(int, rows["shape"])
    model = SASRec(num_users=num_users, num_items=num_items, embedding_dim=64).eval()
    order = torch.arange(num_items)
    queries = []
    for users in np.array_split(np.arange(num_users), -(-num_users // SCORED)):
        first, last = rows["indptr"][users[0]], rows["indptr"][users[-1] + 1]
        offsets = torch.from_numpy(rows["indptr"][users[0] : users[-1] + 2] - first)
        history = Bag(torch.from_numpy(rows["indices"][first:last]), offsets)
        queries.append(Query(torch.from_numpy(users), history, history))

    @torch.no_grad()
    def score(listed):
        begun = time.perf_counter()
        for query in queries:
            scores = model.score(query)
            if listed:
                rank_items(scores, *query.history, 10, order, torch.zeros(num_items))
        return time.perf_counter() - begun

    score(True)  # compiles
    return {"products": products(rows, SCORED), "score": score(False), "lists": score(True)}


def rectools(rows, model, steps, batch):
    """RecTools' own trainer and its lists of 10 of all users, at our width, length and loss."""
    import pandas as pd
    import pytorch_lightning as pl
    from pytorch_lightning.callbacks import LambdaCallback
    from rectools.dataset import Dataset
    from rectools.models import BERT4RecModel, SASRecModel

    users = np.repeat(np.arange(rows["shape"][0]), np.diff(rows["indptr"]))
    table = pd.DataFrame(
        {
            "user_id": users,
            "item_id": rows["indices"],
            "weight": 1.0,
            "datetime": pd.Timestamp(0) + pd.to_timedelta(np.arange(len(users)), unit="s"),
        }
    )
    data, times = Dataset.construct(table), []
    clock = LambdaCallback(on_train_batch_end=lambda *_: times.append(time.perf_counter()))
    kind = {"sasrec": SASRecModel, "bert4rec": BERT4RecModel}[model]
    fitted = kind(
        n_blocks=LAYERS,
        n_heads={"sasrec": 1, "bert4rec": 2}[model],
        n_factors=DIMS,
        dropout_rate=DROPOUT,
        session_max_len=LENGTH,
        batch_size=batch,
        loss="softmax",
        recommend_batch_size=SCORED,
        get_trainer_func=lambda: pl.Trainer(
            max_epochs=1,
            limit_train_batches=steps + 3,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[clock],
        ),
    )
    fitted.fit(data)
    begun = time.perf_counter()
    fitted.recommend(np.arange(rows["shape"][0]), data, k=10, filter_viewed=True)
    lists = time.perf_counter() - begun
    step = (times[-1] - times[2]) / (len(times) - 3)
    return {"step": step, "lists": lists, "peak": peak()}


def recbole(rows, options, steps):
    """RecBole's own trainer, which makes a training row of every prefix."""
    from experiments.peers.in_recbole import train

    return train("SASRec", rows, options, steps, in_order=True) | {"peak": peak()}


def recbole_curve(rows, options, steps, parts):
    """Its seconds of training after each part of so many steps, and the recall@10 then."""
    import torch

    from experiments.peers.in_recbole import Clocked, started
    from experiments.peers.recall import recall_at_10

    num_users, num_items = map(int, rows["shape"])
    with started("SASRec", rows, options, in_order=True) as (trainer, batches):
        ids = batches.dataset.token2id("item_id", [str(item) for item in range(num_items)])
        histories = [ids[row][-LENGTH:] for row in np.split(rows["indices"], rows["indptr"][1:-1])]
        lengths = np.array([len(history) for history in histories])
        padded = np.zeros((num_users, LENGTH), np.int64)
        padded[np.arange(LENGTH) < lengths[:, None]] = np.concatenate(histories)
        seconds, recall = [], []
        for part in range(parts):
            begun = time.perf_counter()
            trainer._train_epoch(Clocked(batches, steps), part)
            seconds.append(time.perf_counter() - begun)
            model = trainer.model.eval()  # until the next epoch begins
            with torch.no_grad():
                users = [
                    model(torch.from_numpy(padded[some]), torch.from_numpy(lengths[some])).numpy()
                    for some in np.array_split(np.arange(num_users), -(-num_users // SCORED))
                ]
                items = model.item_embedding.weight[torch.from_numpy(ids)].numpy()
            recall.append(recall_at_10(np.concatenate(users), items, rows))
    return {"seconds": seconds, "recall": recall, "peak": peak()}


def peak():
    """MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    name, path, options = sys.argv[1:]
    print(json.dumps(globals()[name](dict(np.load(path)), **json.loads(options))))


if __name__ == "__main__":
    main()
