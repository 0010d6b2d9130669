"""What the tests of models with a tower share: sixty users of two tastes over forty items."""

import numpy as np
import torch

from recsys_lightning.data.batches import Pairs
from tests.conftest import two_tastes
from tests.models.test_contract import query

U, I = 60, 40  # noqa: E741
BATCH = Pairs(  # users 1 and 2; items 5, 6, and 7 twice
    users=torch.tensor([1, 2]),
    positives=torch.tensor([5, 6]),
    negatives=torch.tensor([[7], [7]]),
    log_probability=torch.zeros(2, 1),
)


def scores(model, users=range(U)):
    """(B, I) of the users' histories."""
    with torch.no_grad():
        return model.score(query(two_tastes(), users))


def check_every_score_depends_on_the_user(model):
    """Not a sum of a user's and an item's, with which all users have one ranking."""
    found, x = scores(model), two_tastes().matrix.toarray()
    even, odd = np.argwhere(x @ x.T == 0)[0]  # two users without an item in common
    both = found - found.mean(0) - found.mean(1, keepdim=True) + found.mean()
    assert both.abs().max() > 0.1
    seen = x[[even, odd]].any(0)
    assert found[even, ~seen].argsort().tolist() != found[odd, ~seen].argsort().tolist()


def check_an_unknown_user_gets_the_popular_items(model):
    """And a known one beside them what they always get."""
    model.popularity = torch.arange(float(I))
    asked = query(two_tastes(), [3, 4])
    found = model.score(asked._replace(users=torch.tensor([-1, 4]))).detach()
    assert found[0].tolist() == list(range(I))
    torch.testing.assert_close(found[1], scores(model, [4])[0])
