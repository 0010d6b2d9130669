"""What makes another job, and what does not."""

import copy
import os

import pytest
from omegaconf import OmegaConf

from recsys_lightning.instantiate import make
from recsys_lightning.runs.parameters import identity, job_hash, of_the_job, split_of
from tests.test_configs import composed

CALLBACKS = "pytorch_lightning.callbacks"


def parts_of(*overrides, data=None):
    """What `job_hash` takes, of a composed configuration."""
    cfg = composed(*overrides)
    choices, given = dict(cfg.hydra.runtime.choices), list(cfg.hydra.overrides.task)
    task = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    return OmegaConf.to_container(task, resolve=True), choices, data or {}, given


def hash_of(*overrides, data=None, without=None):
    config, choices, data, given = parts_of(*overrides, data=data)
    return job_hash(config, choices, data, overrides=given, without=without)


@pytest.fixture(scope="module")
def plain():
    return hash_of()


@pytest.mark.parametrize(
    "overrides",
    [
        *(("eval_batch_size=7",), ("recommend.users=[7]",), ("split_dir=elsewhere",)),
        *(("logger=[csv,wandb]",), ("ensemble=rank",), ("sweep.keep=1",), ("sweep.trial=3",)),
        *(("data.cache_dir=elsewhere",), ("callbacks=none",), ("jobs=['model=ease']",)),
        ("trainer.enable_progress_bar=false", "trainer.enable_model_summary=true"),
        ("trainer.log_every_n_steps=1", "+trainer.profiler=simple", "+trainer.default_root_dir=x"),
        (f"+callbacks.a._target_={CALLBACKS}.LearningRateMonitor",),
        (f"+callbacks.a._target_={CALLBACKS}.DeviceStatsMonitor",),
        (f"+callbacks.a._target_={CALLBACKS}.RichModelSummary", "+callbacks.a.max_depth=2"),
        (f"callbacks.progress_bar._target_={CALLBACKS}.TQDMProgressBar",),
    ],
    ids=lambda overrides: overrides[0],
)
def test_display_places_and_evaluation_batches_change_no_job(overrides, plain):
    assert hash_of(*overrides) == plain


@pytest.mark.parametrize(
    "overrides",
    [
        *(("seed=1",), ("model.l2=7",), ("model=popularity",), ("refit=false",)),
        *(("monitor=val/ndcg@10",), ("metrics.k=[5]",), ("recommend.k=5",), ("ckpt_path=a",)),
        *(("recommend.candidates=50",), ("test_history=train",), ("view.batch_size=7",)),
        *(("trainer.precision=64-true",), ("+trainer.accumulate_grad_batches=2",)),
        *(("trainer.check_val_every_n_epoch=2",), ("trainer.gradient_clip_val=1.0",)),
        *(("trainer=ddp",), ("+trainer.strategy._target_=a.B",), ("model._target_=a.B",)),
        (f"+callbacks.a._target_={CALLBACKS}.StochasticWeightAveraging", "+callbacks.a.swa_lrs=1"),
        (f"+callbacks.a._target_={CALLBACKS}.EarlyStopping", "+callbacks.a.monitor=x"),
    ],
    ids=lambda overrides: overrides[0],
)
def test_what_changes_a_fit_or_its_lists_is_another_job(overrides, plain):
    if overrides[0].startswith("+trainer.strategy"):
        overrides = ("trainer=ddp", "trainer.strategy._target_=a.B")
        plain = hash_of("trainer=ddp")
    assert hash_of(*overrides) != plain


def accumulating(steps):
    target = f"+callbacks.a._target_={CALLBACKS}.GradientAccumulationScheduler"
    return hash_of(target, f"+callbacks.a.scheduling={{0: {steps}}}")


def test_the_options_of_a_callback_count_and_its_name_does_not(plain):
    assert len({plain, accumulating(2), accumulating(4)}) == 3
    target = f"{CALLBACKS}.StochasticWeightAveraging"
    named = [
        hash_of(f"+callbacks.{name}._target_={target}", f"+callbacks.{name}.swa_lrs=1")
        for name in ("a", "zzz")
    ]
    assert named[0] == named[1]


def test_a_move_of_code_changes_no_job():
    """Whatever module each class stands in, at any depth."""

    def moved(node):
        if isinstance(node, dict):
            return {
                key: "new.place." + value.rpartition(".")[2] if key == "_target_" else moved(value)
                for key, value in node.items()
            }
        return [moved(one) for one in node] if isinstance(node, list) else node

    swa = (f"+callbacks.a._target_={CALLBACKS}.StochasticWeightAveraging", "+callbacks.a.swa_lrs=1")
    config, choices, data, _ = parts_of("trainer=ddp", *swa)
    assert moved(config) != config
    assert job_hash(moved(config), choices, data) == job_hash(config, choices, data)
    renamed = copy.deepcopy(config)
    renamed["view"]["_target_"] = "other.Name"  # the choice stands for the class
    assert job_hash(renamed, choices, data) == job_hash(config, choices, data)
    assert job_hash(renamed, choices | {"view": "other"}, data) != job_hash(config, choices, data)


def test_another_class_under_the_name_of_a_choice_is_another_job():
    """A file of one's own, `mine.yaml`, whose class is another one from now on."""
    config, choices, data, _ = parts_of()
    own = choices | {"model": "mine"}
    hashes = {
        job_hash(config | {"model": config["model"] | {"_target_": target}}, own, data)
        for target in ("mine.FirstTry", "mine.SecondTry", "moved.SecondTry")
    }
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("overrides", "recorded"),
    [
        ((), "11c82b22c8adfd40"),
        (
            ("model=recvae", "model.gamma=0.0075", "view.batch_size=500", "trainer=ddp"),
            "0efddd0b31c16cbf",
        ),
        (("model=ease", "ckpt_path=a", "seed=3"), "75bca660dfe92966"),
        (("model=easer",), "6c80f1ebbbe2f6ea"),
        (("model=mf_bpr",), "2ef7786724c4af08"),
        (("model=admm_slim", "model.l1=5.0"), "55bd3e910ca0f5fc"),
    ],
)
def test_a_job_keeps_the_hash_that_it_had_before_later_keys_came(overrides, recorded):
    assert hash_of(*overrides) == recorded


def test_what_a_later_key_of_a_model_leaves_as_it_was_is_that_models_own_affair():
    """ADMM-SLIM always had the key that came later to EASER."""
    assert hash_of("model=easer", "model.center=true") != hash_of("model=easer")
    for model, kept in (("easer", False), ("admm_slim", True)):
        config, choices, data, _ = parts_of(f"model={model}")
        assert ("center" in identity(config, choices, data)["config"]["model"]) == kept


def test_without_the_seed_repeated_runs_are_one():
    assert hash_of("seed=1", without="seed") == hash_of("seed=2", without="seed")
    assert hash_of("seed=1", without="seed") != hash_of("seed=1", "model.l2=7", without="seed")


def write_ratings(path, shift=0, length=12):
    rows = [f"{user},{(user + n * n + shift) % 89}" for user in range(40) for n in range(length)]
    path.write_text("\n".join(["user,item", *rows]) + "\n")
    return path


def of_files(path, *more):
    """The hash of a job on the ratings of a file."""
    cfg = composed("data=files", f"data.path={path}", "holdout.valid_items=2", *more)
    data = make(cfg.holdout).identity(make(cfg.data))
    return hash_of("data=files", f"data.path={path}", "holdout.valid_items=2", *more, data=data)


def test_the_content_of_the_data_counts_and_its_place_does_not(tmp_path):
    ratings = write_ratings(tmp_path / "a.csv")
    before = of_files(ratings)
    os.utime(ratings, (0, 0))
    assert of_files(ratings) == before
    (tmp_path / "b.csv").write_bytes(ratings.read_bytes())
    assert of_files(tmp_path / "b.csv", f"data.cache_dir={tmp_path}") == before
    assert of_files(ratings, "holdout.seed=7") != before
    assert of_files(ratings, "holdout=last", "holdout.valid_items=2") != before
    write_ratings(ratings, shift=1)
    assert of_files(ratings) != before


def test_places_of_other_data_count_no_more():
    for places in (("data=movielens_1m", "data.root="), ("data=synthetic", "data.write_to=")):
        choice, key = places
        found = set()
        for place in ("here", "there"):
            cfg = composed(choice, f"{key}{place}")
            found.add(hash_of(choice, f"{key}{place}", data={"x": 1}))
            config = OmegaConf.to_container(cfg.data, resolve=True)
            assert key.removeprefix("data.")[:-1] not in of_the_job({"data": config})["data"]
        assert len(found) == 1


def test_without_an_identity_of_the_data_its_configuration_counts():
    config, choices, _, _ = parts_of()
    other, *_ = parts_of("holdout.valid_items=-2")
    assert job_hash(config, choices, None) != job_hash(other, choices, None)
    assert job_hash(config, choices, {}) == job_hash(other, choices, {})


def test_keys_that_came_later_change_no_earlier_job():
    """Their default is what there was before; of another value the job is another."""
    config, choices, *_ = parts_of()
    earlier = copy.deepcopy(config)
    for key in ("min_user_interactions", "min_item_interactions"):
        del earlier["data"][key]
    earlier["holdout"] = {key: earlier["holdout"][key] for key in ("_target_", "seed")}
    earlier["holdout"] |= {"valid_items": 10, "test_items": 10}
    assert job_hash(config, choices, None) == job_hash(earlier, choices, None)
    assert of_the_job(config) == of_the_job(earlier)
    for override in ("data.min_item_interactions=2", "holdout.valid_share=0.1"):
        other, *_ = parts_of(override)
        assert job_hash(other, choices, None) != job_hash(config, choices, None)


def test_a_split_is_made_once_for_equal_data():
    made = []

    def make_split():
        made.append(1)
        return f"split {len(made)}"

    data = {"holdout": "a test's own", "data": {"sha256": "a"}}
    assert [split_of(data, make_split), split_of(dict(data), make_split)] == ["split 1"] * 2
    assert split_of(data | {"holdout": "another"}, make_split) == "split 2"
