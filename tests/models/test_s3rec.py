"""S3-Rec's four objectives against direct computations, and its two stages."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.sparse import vstack
from torch.nn.functional import binary_cross_entropy_with_logits

from recsys_lightning.data.holdout import LastHoldout, NoHoldout
from recsys_lightning.data.interactions import Feature
from recsys_lightning.data.views.sequences import SequenceView
from recsys_lightning.errors import InputError
from recsys_lightning.models.s3rec import WEIGHTS, S3Rec
from tests.conftest import make_interactions, run_experiment, two_tastes, with_features

LENGTH = 6


def data():
    return with_features(two_tastes())


def built(**options):
    torch.manual_seed(0)
    x = data()
    values = [len(feature.values) for feature in x.features.values()]
    sizes = {"num_users": x.num_users, "num_items": x.num_items, "num_values": values}
    own = {"features": list(x.features), "embedding_dim": 6, "length": LENGTH, "dropout": 0.0}
    model = S3Rec(**sizes | own | options).double()
    model.prepare(x)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model, x


def batch(x, size=5):
    view = SequenceView(size, LENGTH, windows="random", negatives=1)
    return next(iter(view.loader(x, seed=0, epoch=0, rank=0, world_size=1)))


def features_of(x, items):
    matrices = [feature.matrix.toarray() for feature in x.features.values()]
    return torch.cat([torch.from_numpy(matrix)[items] for matrix in matrices], 1).double()


def test_the_objectives_of_features_and_masked_items(monkeypatch):
    model, x = built()
    parts = batch(x)
    items, offsets = parts.items.items.long(), parts.items.offsets
    chance = torch.full((len(items),), 0.21)
    chance[::3] = 0.19  # below mask_share
    monkeypatch.setattr(torch, "rand", lambda *size, device: chance)
    monkeypatch.setattr(model, "_of_segments", lambda parts: torch.tensor(0.0))
    losses = model.pretraining_losses(parts)
    masked = torch.zeros(len(items), dtype=torch.bool)
    masked[::3] = True
    masked[offsets[1:] - 1] = True  # the newest always
    hidden = model.encode(torch.where(masked, x.num_items, items), offsets, causal=False)
    expected = {
        name: [
            binary_cross_entropy_with_logits(
                model.values @ model.maps[name](hidden[place]),
                features_of(x, items[place : place + 1])[0],
                reduction="sum",
            )
            for place in chosen.nonzero().flatten()
        ]
        for name, chosen in (("aap", ~masked), ("map", masked))
    }
    expected["mip"] = [
        -torch.log(
            torch.sigmoid(
                (model.items[items[place]] - model.items[parts.negatives[place, 0]])
                @ model.maps["mip"](hidden[place])
            )
        )
        for place in masked.nonzero().flatten()
    ]
    for name, values in expected.items():
        torch.testing.assert_close(losses[name], torch.stack(values).mean(), msg=name)


def test_where_all_items_are_masked_there_are_no_features_to_tell(monkeypatch):
    model, x = built()
    monkeypatch.setattr(torch, "rand", torch.zeros)
    assert model.pretraining_losses(batch(x))["aap"] == 0


def test_its_vectors_and_matrices_begin_as_the_items():
    torch.manual_seed(0)
    model = S3Rec(num_users=1, num_items=3, num_values=[200, 100], embedding_dim=64)
    for vectors in (model.values, *(linear.weight for linear in model.maps.values())):
        assert vectors.std().item() == pytest.approx(0.02, rel=0.04)


def test_dropout_goes_by_the_number_of_interactions_where_nothing_is_given():
    model, _ = built(dropout=None)
    assert model.encoder.dropout.p == 0.5  # 180 / sqrt(840), but at most this
    many = make_interactions([range(400)] * 900, 400)
    model.prepare(replace(many, features=with_features(many).features))
    assert model.encoder.dropout.p == pytest.approx(0.3)


def test_a_segment_against_one_from_elsewhere(monkeypatch):
    model, x = built()
    parts = batch(x, size=40)
    seen = []
    encode = model.encode

    def recorded(items, offsets, causal, wanted=None):
        assert not causal
        seen.append(items.split(offsets.diff().tolist()))
        return encode(items, offsets, causal, wanted)

    monkeypatch.setattr(model, "encode", recorded)
    loss = model._of_segments(parts.items)
    lengths, sizes, ends, others = parts.items.lengths.tolist(), [], set(), 0
    together = parts.items.items.tolist()
    around = together + together
    for row, part in enumerate(parts.items.items.split(lengths)):
        rest, segment, wrong = (kind[row] for kind in seen)
        inside = rest == x.num_items
        [first, *_, last] = [*inside.nonzero().flatten().tolist()] * 2
        size = int(inside.sum())
        assert last - first + 1 == size  # in one piece
        assert 1 <= size <= len(part) // 2
        assert torch.equal(rest[~inside], part[~inside].long())
        assert torch.equal(segment[inside], part[inside].long())
        assert (segment[~inside] == x.num_items).all()
        assert (wrong[~inside] == x.num_items).all()
        piece = wrong[inside].tolist()
        assert any(around[i : i + size] == piece for i in range(len(together)))
        sizes.append(size)
        ends |= {"first"} if first == 0 else set()
        ends |= {"last"} if last == len(part) - 1 else set()
        others += piece != segment[inside].tolist()
    assert len(set(sizes)) > 1
    assert ends == {"first", "last"}  # every place can be cut out
    assert others > len(lengths) / 2  # by chance it is the same
    hidden = [
        torch.stack([encode(s, torch.tensor([0, len(s)]), causal=False)[-1] for s in kind])
        for kind in seen
    ]
    gap = (model.maps["sp"](hidden[0]) * (hidden[1] - hidden[2])).sum(1)
    torch.testing.assert_close(loss, -gap.sigmoid().log().mean())


def test_the_stages_weights_and_losses(monkeypatch):
    assert WEIGHTS == {"aap": 0.2, "mip": 1.0, "map": 1.0, "sp": 0.5}  # of the authors' code
    model, x = built(pretrain_epochs=2)
    monkeypatch.setattr(model, "log_epoch_mean", lambda **values: None)
    parts = batch(x)
    monkeypatch.setattr(S3Rec, "current_epoch", 1)
    torch.manual_seed(5)
    expected = sum(WEIGHTS[name] * loss for name, loss in model.pretraining_losses(parts).items())
    torch.manual_seed(5)
    torch.testing.assert_close(model.loss(parts), expected)
    monkeypatch.setattr(S3Rec, "current_epoch", 2)
    assert model.loss(parts) == super(S3Rec, model).loss(parts)


def fit(folder, epochs, **options):
    split = LastHoldout(valid_items=2, test_items=2).split(data())
    given = {"embedding_dim": 8, "length": LENGTH, "lr": 0.01} | options.pop("model", {})
    view = SequenceView(16, LENGTH, windows="random", negatives=1)
    trainer = {"max_epochs": epochs}
    return run_experiment(
        folder, split, partial(S3Rec, **given), view=view, trainer=trainer, **options
    )


def test_pretraining_is_not_judged_and_fine_tuning_has_an_adam_of_its_own(tmp_path, monkeypatch):
    steps = []

    def recorded(self, *_):
        state = self.trainer.optimizers[0].state
        steps.append((self.current_epoch, int(state[self.items]["step"])))

    monkeypatch.setattr(S3Rec, "on_train_epoch_end", recorded)
    experiment = fit(tmp_path, 4, model={"pretrain_epochs": 2}, refit=False)
    assert experiment.outcome.best_epoch in (3, 4)
    per_epoch = steps[0][1]
    assert steps == [
        (0, per_epoch),
        (1, 2 * per_epoch),
        (2, per_epoch),
        (3, 2 * per_epoch),
    ]


def test_it_starts_from_a_pretrained_run(tmp_path):
    fit(tmp_path / "before", 3, model={"pretrain_epochs": 2})
    started = []

    class Recorded(S3Rec):
        def on_train_start(self):
            started.append({name: of.detach().clone() for name, of in self.named_parameters()})

    split = LastHoldout(valid_items=2, test_items=2).split(data())
    model = partial(Recorded, embedding_dim=8, length=LENGTH, pretrain_epochs=0)
    run_experiment(
        tmp_path / "after",
        split,
        model,
        view=SequenceView(16, LENGTH, negatives=1),
        trainer={"max_epochs": 1},
        init_from=str(tmp_path / "before"),
    )
    before = torch.load(tmp_path / "before/checkpoints/best.ckpt", weights_only=True)
    assert all(torch.equal(of, before["state_dict"][name]) for name, of in started[0].items())


def test_a_run_with_other_values_of_the_items_is_no_start(tmp_path):
    fit(tmp_path / "before", 3, model={"pretrain_epochs": 2})
    other = data()
    taste = other.features["taste"]
    swapped = Feature(taste.values, taste.matrix[:, ::-1])  # of the same shape
    other = replace(other, features=dict(other.features) | {"taste": swapped})
    with pytest.raises(InputError, match=r"before.*other values of shelf, taste: pre-train"):
        run_experiment(
            tmp_path / "after",
            NoHoldout().split(other),
            partial(S3Rec, embedding_dim=8, length=LENGTH, pretrain_epochs=0),
            view=SequenceView(16, LENGTH, negatives=1),
            trainer={"max_epochs": 1},
            init_from=str(tmp_path / "before"),
        )


@pytest.mark.parametrize("number", [38, 41])  # of items; the other run has 40
def test_it_starts_from_a_run_with_fewer_or_more_items(number, tmp_path):
    fit(tmp_path / "before", 3, model={"pretrain_epochs": 2}, refit=False)
    before = torch.load(tmp_path / "before/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    rows = [
        [item for item in row if item < number]
        for row in np.split(data().indices, data().indptr[1:-1])
    ]
    other = make_interactions(rows, number)
    features = {}
    for name, feature in data().features.items():
        matrix = vstack([feature.matrix, feature.matrix[:1]]).tocsr()  # of the 41st item, too
        features[name] = replace(feature, matrix=matrix[:number])
    started = []

    class Recorded(S3Rec):
        def on_train_start(self):
            started.append(self.items.detach().clone())

    run_experiment(
        tmp_path / "after",
        NoHoldout().split(replace(other, features=features)),
        partial(Recorded, embedding_dim=8, length=LENGTH, pretrain_epochs=0),
        view=SequenceView(16, LENGTH, negatives=1),
        trainer={"max_epochs": 1},
        refit=False,
        init_from=str(tmp_path / "before"),
    )
    known = min(number, 40)
    assert torch.equal(started[0][:known], before["items"][:known])
    assert torch.equal(started[0][number], before["items"][40])  # the mask


def test_without_features_or_negatives_it_says_so():
    with pytest.raises(InputError, match="the data has none"):
        S3Rec(num_users=3, num_items=4, num_values=[])
    model, x = built()
    view = SequenceView(5, LENGTH)
    parts = next(iter(view.loader(x, seed=0, epoch=0, rank=0, world_size=1)))
    with pytest.raises(InputError, match=r"needs view.negatives of at least 1"):
        model.pretraining_losses(parts)


def test_the_mask_is_no_item_of_the_fine_tunings_softmax():
    model, x = built(pretrain_epochs=0, loss="cross_entropy")
    parts = batch(x)
    before = model.loss(parts)
    model.items.data[model.mask] += 100.0  # is not read, as nothing is masked
    assert model.loss(parts) == before
