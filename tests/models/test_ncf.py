"""NCF: each branch against the paper's formula, and pre-training."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.optim import SGD, Adam

from recsys_lightning.data.holdout import NoHoldout, RandomHoldout
from recsys_lightning.data.views.pairs import PairView
from recsys_lightning.errors import InputError
from recsys_lightning.models.ncf import NCF
from tests.conftest import run_experiment, two_tastes
from tests.models.pairs import (
    BATCH,
    I,
    U,
    check_an_unknown_user_gets_the_popular_items,
    check_every_score_depends_on_the_user,
    scores,
)

SMALL = {"embedding_dim": 6, "tower_dims": [8, 5, 3]}


def model(**options):
    torch.manual_seed(0)
    built = NCF(num_users=U, num_items=I, **(SMALL | options)).eval()
    for parameter in built.parameters():  # at 0.01 nothing would show
        torch.nn.init.normal_(parameter, std=0.5)
    return built


def gmf(built):
    return (built.users["gmf"] * built.gmf_output) @ built.items["gmf"].T


def mlp(built):
    users, items = built.users["mlp"], built.items["mlp"]
    hidden = torch.cat([users.repeat_interleave(I, 0), items.repeat(U, 1)], 1)
    assert hidden.shape[1] == SMALL["tower_dims"][0]  # the first entry is the concatenated width
    hidden = built.tower.first(hidden).relu()
    hidden = built.tower.rest[2](hidden).relu()
    return (hidden @ built.tower.output.weight[0]).view(U, I)


FORMULAS = {"gmf": gmf, "mlp": mlp, "neumf": lambda built: gmf(built) + mlp(built)}


@pytest.mark.parametrize("variant", FORMULAS)
def test_scores_are_those_of_the_formula(variant):
    built = model(variant=variant)
    expected = (FORMULAS[variant](built) + built.bias).detach()
    torch.testing.assert_close(scores(built), expected, rtol=1e-5, atol=1e-5)
    users, items = torch.tensor([3, 0, 3]), torch.tensor([[1, 2], [5, 0], [39, 1]])
    torch.testing.assert_close(
        built.score_pairs(users, items).detach(), expected[users[:, None], items]
    )


@pytest.mark.parametrize("variant", FORMULAS)
def test_a_variant_has_its_own_branches_only(variant):
    names = {name.split(".")[0] for name, _ in model(variant=variant).named_parameters()}
    branches = {"gmf": {"gmf_output"}, "mlp": {"tower"}, "neumf": {"gmf_output", "tower"}}
    assert names == {"users", "items", "bias"} | branches[variant]


@pytest.mark.parametrize("variant", FORMULAS)
def test_every_score_depends_on_the_user(variant):
    check_every_score_depends_on_the_user(model(variant=variant))


def test_an_unknown_user_gets_the_popular_items():
    check_an_unknown_user_gets_the_popular_items(model())


def test_it_begins_as_the_authors_code():
    torch.manual_seed(0)
    built = NCF(num_users=2000, num_items=I, embedding_dim=64, tower_dims=[64, 32])
    for branch in ("gmf", "mlp"):
        assert built.users[branch].std().item() == pytest.approx(0.01, rel=0.05)
    bound = (3 / (64 + 32)) ** 0.5  # LeCun-uniform over both branches' outputs
    both = torch.cat([built.gmf_output, built.tower.output.weight[0]])
    assert 0.9 * bound < both.abs().max() <= bound
    assert built.tower.first.weight.abs().max() <= (6 / (64 + 32)) ** 0.5
    assert built.bias == 0


def test_l2_is_of_all_rows_that_a_batch_reads():
    built = model(l2=0.3)
    squares = sum(
        built.users[branch][BATCH.users].square().sum()
        + built.items[branch][[5, 6, 7, 7]].square().sum()
        for branch in ("gmf", "mlp")
    )
    torch.testing.assert_close(built.penalty(BATCH), 0.3 * squares / 2 / 2)
    assert model().penalty(BATCH) == 0


@pytest.fixture(scope="module")
def split():
    return RandomHoldout(valid_items=2, test_items=2).split(two_tastes())


def fit(folder, split, variant, *, lr=0.05, **options):
    built = partial(NCF, variant=variant, lr=lr, **SMALL)
    options = {"view": PairView(200, negatives=4), "trainer": {"max_epochs": 4}} | options
    return run_experiment(folder, split, built, **options)


@pytest.fixture(scope="module")
def starts(split, tmp_path_factory):
    folder = tmp_path_factory.mktemp("starts")
    for variant in ("gmf", "mlp"):
        fit(folder / variant, split, variant)
    return {variant: str(folder / variant) for variant in ("gmf", "mlp")}


def best(folder):
    return NCF.load_from_checkpoint(f"{folder}/checkpoints/best.ckpt", weights_only=True).eval()


def test_a_pretrained_neumf_begins_with_the_means_of_both(starts, split, tmp_path):
    still = {"lr": 1e-30, "trainer": {"max_epochs": 1}}
    fit(tmp_path, split, "neumf", init_from=starts, **still)
    expected = (scores(best(starts["gmf"])) + scores(best(starts["mlp"]))) / 2
    torch.testing.assert_close(scores(best(tmp_path)), expected, rtol=1e-5, atol=1e-6)


def test_rows_are_copied_by_original_ids(starts, tmp_path):
    from dataclasses import replace

    x = two_tastes()
    moved = NoHoldout().split(replace(x, users=x.users + 10, items=x.items + 1))
    still = {"lr": 1e-30, "trainer": {"max_epochs": 1}, "refit": False}
    fit(tmp_path, moved, "neumf", init_from=starts, **still)
    ours = best(tmp_path)
    for branch in ("gmf", "mlp"):
        theirs = best(starts[branch])
        assert torch.equal(ours.users[branch][:-10], theirs.users[branch][10:])
        assert torch.equal(ours.items[branch][:-1], theirs.items[branch][1:])


def test_sgd_follows_pretraining_and_adam_nothing(starts, split, tmp_path, monkeypatch):
    used, configure = [], NCF.configure_optimizers

    def record(self):
        used.append(configure(self))
        return used[-1]

    monkeypatch.setattr(NCF, "configure_optimizers", record)
    fit(tmp_path / "a", split, "neumf", init_from=starts, lr=0.5)  # and its refit
    fit(tmp_path / "b", split, "neumf", refit=False)
    assert [type(one) for one in used] == [SGD, SGD, Adam]
    assert used[0].defaults["momentum"] == 0
    assert used[0].param_groups[0]["lr"] == 0.5
    moved = (
        scores(best(tmp_path / "a"))
        - (scores(best(starts["gmf"])) + scores(best(starts["mlp"]))) / 2
    )
    assert moved.abs().max() > 0.01  # it learns


@pytest.mark.parametrize(
    ("variant", "given", "message"),
    [
        ("neumf", ["gmf"], "starts from a gmf and an mlp.*got gmf for neumf"),
        ("gmf", ["gmf", "mlp"], "got gmf, mlp for gmf"),
        ("neumf", ["mlp", "gmf"], "mlp.*has no tensor users.gmf"),
    ],
)
def test_other_starts_are_refused(variant, given, message, starts, split, tmp_path):
    init_from = dict(zip(["gmf", "mlp"], (starts[name] for name in given)))  # noqa: B905
    with pytest.raises(InputError, match=message):
        fit(tmp_path, split, variant, init_from=init_from)


def test_a_start_of_another_size_is_refused(starts, split, tmp_path):
    with pytest.raises(InputError, match=r"users\.gmf have size 6, expected 4"):
        run_experiment(
            tmp_path, split, partial(NCF, embedding_dim=4), view=PairView(200), init_from=starts
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "both"}, "model.variant=both: expected one of gmf, mlp, neumf"),
        ({"tower_dims": [8]}, r"model.tower_dims=\[8\]: .* one layer or more"),
        ({"tower_dims": [7, 4]}, r"model.tower_dims=\[7, 4\]: expected an even width"),
        ({"tower_dims": [8, 0]}, r"model.tower_dims\[1\]=0"),
        ({"score_memory_mb": 0}, "model.score_memory_mb=0"),
        ({"dropout": 1.0}, "model.dropout=1.0"),
        ({"loss": "softmax"}, "model.loss=softmax"),
        ({"l2": -1}, "model.l2=-1"),
    ],
)
def test_bad_values_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        NCF(num_users=U, num_items=I, **options)


def test_the_lists_are_the_same_whatever_the_memory(starts):
    few, many = model(score_memory_mb=1e-6), model()
    assert few.tower.block == 1 < many.tower.block
    np.testing.assert_allclose(scores(few).numpy(), scores(many).numpy(), atol=1e-6)
