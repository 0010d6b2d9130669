"""A folder as `ckpt_path` composes its own data, holdout and model; none of its code is run."""

import json
import shutil

import pytest
import torch

from recsys_lightning.errors import InputError
from recsys_lightning.runs.stored import with_stored_run
from tests.command import run
from tests.test_run import SMALL


def stored(folder, **changes):
    config = {
        "data": {
            "_target_": "a.B",
            "path": "it's a file.csv",
            "min_rating": None,
            "cache_dir": "c",
        },
        "holdout": {"_target_": "a.C", "valid_items": 3},
        "model": {"_target_": "a.D", "l2": 2.5, "hidden_dims": [3, 4], "nested": {"x": True}},
        "view": {"_target_": "a.E", "batch_size": 7},
        "test_history": "train",
        "seed": 8,
        "max_epochs": 9,
    }
    choices = {"data": "files", "holdout": "random", "model": "ease", "view": "rows"}
    result = {"choices": choices, "config": config} | changes
    (folder / "result.json").write_text(json.dumps(result))
    return f"ckpt_path={folder}"


def test_choices_and_values_come_first_so_that_the_command_line_wins(tmp_path):
    path = stored(tmp_path)
    assert with_stored_run(["-m", path, "data.path=b"]) == [
        "-m",
        "data=files",
        "data.path='it\\'s a file.csv'",
        "data.min_rating=null",
        "data.cache_dir='c'",
        "holdout=random",
        "holdout.valid_items=3",
        "model=ease",
        "model.l2=2.5",
        "model.hidden_dims=[3,4]",
        "model.nested.x=true",
        "view=rows",
        "view.batch_size=7",
        "test_history='train'",
        "seed=8",
        "max_epochs=9",
        "average_weights=false",  # of a run before there was this key
        "refit=false",
        path,
        "data.path=b",
    ]


def test_a_group_that_is_chosen_on_the_command_line_is_left_alone(tmp_path):
    arguments = with_stored_run(["--config-dir", "x", "holdout=none", stored(tmp_path)])
    assert arguments[:3] == ["--config-dir", "x", "data=files"]
    assert not [a for a in arguments if a.startswith("holdout") and a != "holdout=none"]


@pytest.mark.parametrize(("model", "views"), [("ease", 2), ("mf_bpr", 0)])
def test_the_view_of_another_model_is_not_taken(model, views, tmp_path):
    """Its options may be none of that view's, which would be said instead of the wrong model."""
    arguments = with_stored_run([f"model={model}", stored(tmp_path)])
    assert sum(a.startswith("view") for a in arguments) == views


@pytest.mark.parametrize(
    "arguments", [[], ["model=ease"], ["ckpt_path=last"], ["ckpt_path=null"], ["ckpt_path=a,b"]]
)
def test_other_command_lines_stay_as_they_are(arguments):
    assert with_stored_run(arguments) == arguments


def test_a_folder_without_a_result_stands_for_nothing(tmp_path):
    """Else the default model on the default data is what is evaluated."""
    given = f"ckpt_path={tmp_path}"
    assert with_stored_run([given]) == [given]  # refused later: it is no run
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match=r"result\.json is not there"):
        with_stored_run([given])
    named = [given, "model=popularity"]
    assert with_stored_run(named) == named


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"choices": {"data": "a"}}, "cannot be used .KeyError: 'holdout'"),
        ({"config": None}, "cannot be used"),
        (
            {"choices": {"data": "../x", "holdout": "none", "model": "ease", "view": "rows"}},
            "choices.data is '../x'",
        ),
        (
            {
                "config": {
                    "data": {"path": "${oc.env:HOME}"},
                    "holdout": {},
                    "model": {},
                    "view": {},
                    "test_history": "",
                    "seed": 1,
                    "max_epochs": 1,
                }
            },
            "refers to something outside",
        ),
    ],
)
def test_a_result_that_cannot_be_used_is_named(changes, message, tmp_path):
    with pytest.raises(InputError, match=f"result.json: .*{message}"):
        with_stored_run([stored(tmp_path, **changes)])


def test_no_code_of_a_folder_is_run(tmp_path):
    """Neither by a `_target_` in result.json nor by one in a checkpoint's hyper-parameters."""
    made = run(*SMALL, folder=tmp_path / "made" / "run").folder
    written = tmp_path / "written"
    target = {"_target_": "pathlib.Path.touch", "self": {"_target_": "pathlib.Path", "_args_": []}}
    target["self"]["_args_"] = [str(written)]
    result = json.loads((made / "result.json").read_text())
    for group in ("data", "holdout", "model", "trainer", "view"):
        result["config"][group]["_target_"] = "pathlib.Path.touch"
    (made / "result.json").write_text(json.dumps(result))
    shutil.copytree(made, tmp_path / "bad")
    again = run(f"ckpt_path={made}", folder=tmp_path / "again" / "run").result
    assert again["metrics"] == result["metrics"]

    for name in ("best", "final"):
        file = tmp_path / "bad" / "checkpoints" / f"{name}.ckpt"
        content = torch.load(file, weights_only=True)
        content["hyper_parameters"]["l2"] = target
        torch.save(content, file)
    refused = run(f"ckpt_path={tmp_path}/bad", folder=tmp_path / "refused" / "run", code=2)
    assert "best.ckpt: its hyper-parameter l2 is dict" in refused.err
    assert not written.exists()


def test_several_folders_are_refused(tmp_path):
    """Else each would be asked about the default data by the default model."""
    path = stored(tmp_path).partition("=")[2]
    with pytest.raises(InputError, match="expected one run's folder a command"):
        with_stored_run(["-m", f"ckpt_path={path},{tmp_path / 'other'}"])
