"""What interactions say of items and users."""

import numpy as np
import torch

from recsys_lightning.data.batches import Bag, Query
from recsys_lightning.models.popularity import Popularity
from tests.conftest import make_interactions


def test_the_most_popular_are_what_a_model_recommends_to_a_user_without_a_history():
    """Many are equally popular: their order is that of `tie_order`, wherever lists come from."""
    x = make_interactions([[0, 1, 2, 3, 4, 5, 6, 7], [4, 5, 6, 7], [7]], 12)
    model = Popularity(num_users=3, num_items=12)
    model.popularity = torch.from_numpy(x.popularity).float()
    model.score = lambda query: torch.rand(1, 12)
    lists = model.recommend(Query(torch.tensor([-1]), Bag.empty(1), Bag.empty(1)), 12)
    assert x.most_popular(12).tolist() == lists.items[0].tolist()
    assert x.most_popular(12).tolist() != np.argsort(-x.popularity, kind="stable").tolist()
    assert x.most_popular(14).tolist() == [*lists.items[0].tolist(), -1, -1]
    assert x.most_popular(2).tolist() == lists.items[0, :2].tolist()
