"""The optimiser's groups, and a schedule by the planned steps."""

import pytest
import torch

from recsys_lightning.data.holdout import RandomHoldout
from recsys_lightning.errors import InputError
from recsys_lightning.models.bert4rec import BERT4Rec
from recsys_lightning.models.lightgcn import LightGCN
from recsys_lightning.models.multi_dae import MultiDAE
from recsys_lightning.models.ncf import NCF
from recsys_lightning.models.sasrec import SASRec
from tests.conftest import run_experiment
from tests.models.toys import PairView, ToyPairs, ToyScheduled


def test_tables_of_embeddings_are_not_decayed():
    model = ToyPairs(num_users=3, num_items=4, weight_decay=0.5)
    model.head = torch.nn.Linear(2, 2)
    decayed, spared = model.adam(model.parameters()).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.5, 0.0)
    assert [p is model.head.weight for p in decayed["params"]] == [True]
    assert len(spared["params"]) == 3


def test_the_weight_matrices_of_an_autoencoder_are():
    model = MultiDAE(num_users=3, num_items=4, hidden_dims=[2])
    decayed, spared = model.adam(model.parameters()).param_groups
    assert [p.ndim for p in decayed["params"]] == [2, 2]
    assert [p.ndim for p in spared["params"]] == [1, 1]


@pytest.mark.parametrize("kind", [BERT4Rec, LightGCN, NCF, SASRec])
def test_sequential_and_pairwise_models_decay_nothing(kind):
    model = kind(num_users=3, num_items=4)
    assert [group["weight_decay"] for group in model.adam(model.parameters()).param_groups] == [
        0,
        0,
    ]


def test_a_schedule_goes_by_the_plan_in_fit_and_refit(tastes, tmp_path):
    split = RandomHoldout(valid_items=2, test_items=2).split(tastes)

    class Recorded(ToyScheduled):
        rates = []  # noqa: RUF012

        def on_before_optimizer_step(self, optimizer):
            self.rates.append(optimizer.param_groups[0]["lr"])

    options = {"view": PairView(300), "trainer": {"max_epochs": 4}}
    run = run_experiment(tmp_path / "a", split, Recorded, **options)
    planned = [0.05 * min(1.0, (step + 1) / 4) for step in range(8)]  # 2 batches an epoch
    refitted = 3 * run.outcome.best_epoch  # 840 interactions: 3 batches, 12 planned
    again = [0.05 * min(1.0, (step + 1) / 6) for step in range(refitted)]
    assert Recorded.rates == pytest.approx(planned + again)


def test_a_schedule_needs_a_plan(tastes, tmp_path):
    split = RandomHoldout(valid_items=2, test_items=2).split(tastes)
    with pytest.raises(InputError, match="max_epochs=-1"):
        run_experiment(
            tmp_path, split, ToyScheduled, view=PairView(300), trainer={"max_epochs": -1}
        )
