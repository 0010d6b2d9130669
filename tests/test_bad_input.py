"""Every mistake gets one clear message, exit code 2, and leaves nothing half-written."""

import math
import os
import subprocess
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from recsys_lightning.assembly import CONF, model_builder
from recsys_lightning.errors import InputError
from tests.command import run

GOOD = "user,item,time\n" + "".join(
    f"{user},{(7 * user + item) % 60},{item}\n" for user in range(30) for item in range(40)
)
MANY_ITEMS = "user,item\n" + "".join(f"{item // 100},{item}\n" for item in range(300_000))


@pytest.fixture
def refused(tmp_path):
    """Run, expect exit code 2 and one message; returns it."""

    def check(
        *overrides: str, files: dict[str, str] | None = None, folder: Path | None = None
    ) -> str:
        for name, content in (files or {}).items():
            (tmp_path / name).write_text(content)
        folder = folder or tmp_path / "run"
        overrides = tuple(override.format(tmp=tmp_path) for override in overrides)
        done = run(*overrides, folder=folder, code=2)
        assert "Traceback" not in done.err
        assert done.err.startswith("error: ")
        if folder.exists():
            assert not {"submission.csv", "metrics.csv"} & done.files()
            assert not [name for name in done.files() if "candidates" in name or ".tmp" in name]
        if "result.json" in done.files():
            assert done.result["status"] == "failed"
            assert done.result["error"] in done.err
        return done.err

    return check


RATINGS = ("data=files", "data.path={tmp}/ratings.csv")


def test_a_missing_file(refused):
    assert "/nowhere.csv" in refused("data=files", "data.path=/nowhere.csv")


def test_an_empty_file(refused):
    assert "ratings.csv" in refused(*RATINGS, files={"ratings.csv": ""})


def test_a_wrong_column_lists_those_there_are(refused):
    message = refused(*RATINGS, "data.item_column=movie", files={"ratings.csv": GOOD})
    assert "movie" in message
    assert "'user', 'item', 'time'" in message
    assert "data.item_column" in message


def test_text_in_a_numeric_column_names_the_line(refused):
    message = refused(*RATINGS, files={"ratings.csv": GOOD + "1,99,yesterday\n"})
    assert f"line {len(GOOD.splitlines()) + 1}" in message
    assert "yesterday" in message


def test_missing_ids_name_the_line(refused):
    message = refused(*RATINGS, files={"ratings.csv": "user,item,time\n1,2,3\n,2,3\n"})
    assert "line 3" in message


def test_all_users_too_short(refused):
    message = refused(*RATINGS, files={"ratings.csv": "user,item,time\n1,1,1\n2,1,1\n2,2,2\n"})
    assert "no user is long enough" in message
    assert "holdout.valid_items" in message


def test_a_user_with_one_interaction_is_no_mistake(tmp_path):
    (tmp_path / "ratings.csv").write_text(GOOD + "777,3,1\n")
    done = run(
        *(o.format(tmp=tmp_path) for o in RATINGS), "model=popularity", folder=tmp_path / "run"
    )
    assert done.result["users"]["too_short"] == 1
    assert "1 users too short" in done.out
    lines = (done.folder / "submission.csv").read_text().splitlines()
    assert sum(line.startswith("777,") for line in lines) == 10


def test_an_unknown_model_lists_the_choices(refused):
    message = refused("model=eas")
    assert "eas" in message
    assert "admm_slim" in message


def test_an_unknown_key(refused):
    assert "l22" in refused("model.l22=3")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("model.l2=-1", "model.l2=-1"),
        ("model.l2=big", "model.l2=big"),
        ("model.dropout=1", "model.dropout=1"),
        ("metrics.k=[0]", "metrics.k"),
        ("holdout.valid_items=-3", "holdout.valid_items"),
        (
            "holdout.test_items=0 holdout.valid_share=0.1",
            "holdout.test_items=0, holdout.valid_share=0.1: expected numbers of items, or shares",
        ),
        ("recommend.users=[99999]", "recommend.users"),
        ("monitor=val/recall@7", "val/recall@10"),
        ("model=multi_dae model.hidden_dims=[600,0]", "model.hidden_dims[1]=0"),
        ("model=multi_cdae model.hidden_dims=[-1]", "model.hidden_dims[0]=-1"),
        ("model=autorec model.hidden_dims=500", "model.hidden_dims=500"),
        ("model=multi_ease model.dropout=1.0", "model.dropout=1.0"),
        ("model=recvae model.gamma=-0.1", "model.gamma=-0.1"),
        ("model=multi_vae model.latent_dim=null", "model.latent_dim=None"),
        ("model=multi_vae model.latent_dim=???", "model.latent_dim"),
        ("model=multi_vae max_epochs=0", "max_epochs=0"),
        ("model=multi_vae patience=0", "patience=0"),
        ("model=multi_vae ckpt_path=last", "hydra.run.dir"),
    ],
)
def test_out_of_range_hyper_parameters_name_the_key(refused, override, told):
    assert told in refused(*RATINGS, *override.split(), files={"ratings.csv": GOOD})


REFUSED = {  # what no option of a kind may be
    bool: ("nonsense", 0.5, None, [1]),
    int: ("nonsense", -1, 0.5, None, [1], math.inf),
    float: ("nonsense", -1.0, None, [1], math.inf, -math.inf, math.nan),
    str: ("nonsense", 1, [1], None),
    list: ("nonsense", 1, None, [0], ["nonsense"]),
}
ALLOWED = {  # after all
    *(("admm_slim", "popularity_power", -1), ("tale", "popularity_power", -1)),
    *(("deepfm", "score_memory_mb", 0.5), ("ncf", "score_memory_mb", 0.5)),
}


@pytest.mark.parametrize("model", sorted(path.stem for path in Path("conf/model").glob("*.yaml")))
def test_every_option_of_a_model_is_refused_by_its_name(model):
    """Each of its own keys with values of each kind that it may not have."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", [f"model={model}"]).model
    sizes = {"num_users": 5, "num_items": 6}
    features = {"features": ["genre"], "num_values": [2]} if "features" in config else {}
    for key in set(config) - {"_target_", "features"}:
        right = config[key]
        kind = list if OmegaConf.is_list(right) else type(right)
        for wrong in REFUSED[kind]:
            if not isinstance(wrong, list) and (model, key, wrong) in ALLOWED:
                continue
            changed = OmegaConf.create({"model": config}).model
            changed[key] = wrong
            with pytest.raises(InputError, match=rf"^model\.{key}(\[0\])?="):
                model_builder(changed)(**sizes, **features)


def test_a_split_file_with_unknown_users(refused):
    message = refused(
        "holdout=files",
        "holdout.train={tmp}/train.csv",
        "holdout.valid={tmp}/valid.csv",
        files={"train.csv": GOOD, "valid.csv": "user,item,time\n1,44,1\n888,1,1\n"},
    )
    assert "888" in message
    assert "valid.csv" in message


def test_a_template_with_unknown_users_is_served_the_popular_items(tmp_path):
    (tmp_path / "ratings.csv").write_text(GOOD)
    (tmp_path / "template.csv").write_text("user,item\n5,0\n888,0\n")
    done = run(
        *(o.format(tmp=tmp_path) for o in RATINGS),
        f"data.submission_template={tmp_path}/template.csv",
        folder=tmp_path / "run",
    )
    assert done.result["submission"]["unknown"] == 1
    lines = (done.folder / "submission.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == ["5"] * 10 + ["888"] * 10


def test_users_who_left_the_k_core_are_served_the_popular_items_that_stayed(tmp_path):
    (tmp_path / "ratings.csv").write_text(GOOD + "777,3,1\n778,9999,1\n")
    (tmp_path / "template.csv").write_text("user,item\n778,0\n5,0\n888,0\n777,0\n")
    done = run(
        *(o.format(tmp=tmp_path) for o in RATINGS),
        *("model=popularity", "data.min_user_interactions=2", "data.min_item_interactions=2"),
        f"data.submission_template={tmp_path}/template.csv",
        folder=tmp_path / "run",
    )
    assert "1,200 of 1,202 interactions, 30 of 32 users, 60 of 61 items stay" in done.out
    assert done.result["submission"]["unknown"] == 3
    rows = [line.split(",") for line in (done.folder / "submission.csv").read_text().split()[1:]]
    assert [user for user, _ in rows] == [u for u in ("778", "5", "888", "777") for _ in range(10)]
    assert "9999" not in {item for _, item in rows}


def test_no_room_in_memory_is_told_with_remedies(refused):
    message = refused(*RATINGS, files={"ratings.csv": MANY_ITEMS})
    assert "300,000 items" in message
    assert "360.0 GB" in message
    assert "fewer items" in message


def test_a_folder_that_cannot_be_written(refused):
    assert "/sys/recsys" in refused(folder=Path("/sys/recsys/run"))


def test_a_full_disk(refused, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(disk)], capture_output=True
    )
    if os.geteuid() != 0 or mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        (tmp_path / "ratings.csv").write_text(GOOD)
        message = refused(*RATINGS, "recommend.candidates=20", folder=disk / "run")
        assert "No space left" in message
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("trainer.precision=17", "Precision 17 is invalid"),
        ("trainer.devices=0", "`Trainer(devices=0)`"),
        ("+trainer.max_hours=1", "unexpected keyword argument 'max_hours'"),
    ],
)
def test_what_lightnings_trainer_refuses(option, words, refused):
    message = refused(*RATINGS, option, files={"ratings.csv": GOOD})
    assert message.startswith("error: trainer: ")
    assert words in message
    assert message.count("\n") == 1
