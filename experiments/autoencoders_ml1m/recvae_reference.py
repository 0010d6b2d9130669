"""The authors' RecVAE on a split of ours: `python recvae_reference.py CLONE SPLIT GAMMA SEED`.

CLONE: a clone of github.com/ilya-shenbin/RecVAE, whose model.py is imported as it is; the loop
around it is its run.py's (three passes for the encoder, the prior's update, one for the decoder
without dropout, two optimisers), with its settings: 600/200, dropout .5, lr 5e-4, batch 500.
SPLIT: `split_files` in the result.json of a run. Stops after 15 epochs without a better one.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

from recsys_lightning.metrics.of_lists import user_values
from recsys_lightning.runs.lists import read_split

BATCH, PATIENCE, K = 500, 15, 10


def main():
    clone, folder, gamma, seed = sys.argv[1:]
    sys.path.insert(0, clone)
    from model import VAE

    torch.manual_seed(int(seed))
    rng = np.random.default_rng(int(seed))
    split = read_split(Path(folder))
    x = split.train.matrix.astype(np.float32)
    model = VAE(hidden_dim=600, latent_dim=200, input_dim=x.shape[1])
    sides = (model.encoder, 3, 0.5), (model.decoder, 1, 0.0)
    optimizers = [torch.optim.Adam(side.parameters(), lr=5e-4) for side, _, _ in sides]
    best, best_epoch, epoch = 0.0, 0, 0
    while epoch - best_epoch < PATIENCE:
        epoch += 1
        start = time.perf_counter()
        model.train()
        for number, ((_, passes, dropout), optimizer) in enumerate(
            zip(sides, optimizers, strict=True)
        ):
            if number == 1:
                model.update_prior()
            for _ in range(passes):
                order = rng.permutation(len(split.train.users))
                for at in range(0, len(order), BATCH):
                    rows = torch.from_numpy(x[order[at : at + BATCH]].toarray())
                    model.zero_grad()
                    _, loss = model(rows, gamma=float(gamma), dropout_rate=dropout)
                    loss.backward()
                    optimizer.step()
        seconds = time.perf_counter() - start
        value = np.nanmean(user_values(f"recall@{K}", ranked(model, x), split.valid))
        if value > best:
            best, best_epoch = value, epoch
        print(f"epoch {epoch} {seconds:.1f} s recall@{K} {value:.5f} best {best:.5f}", flush=True)


def ranked(model, x):
    """(U, K) unseen items of every user, best first."""
    model.eval()
    lists = []
    for at in range(0, x.shape[0], BATCH):
        rows = torch.from_numpy(x[at : at + BATCH].toarray())
        with torch.no_grad():
            scores = model(rows, calculate_loss=False)
        lists.append(scores.masked_fill(rows > 0, -torch.inf).topk(K).indices.int().numpy())
    return np.concatenate(lists)


if __name__ == "__main__":
    main()
