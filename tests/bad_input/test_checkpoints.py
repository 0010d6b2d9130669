"""Checkpoints, and the folders of runs: of another model, data or split, and damaged ones."""

import json
import shutil

import pytest
import torch

from tests.bad_input.case import HISTORIES, RATINGS, Case, finished_run, refused

FILE = "done/checkpoints/best.ckpt"
FROM = f"{RATINGS} model=ease ckpt_path={FILE}"
OTHER_ITEMS = {"ratings.csv": HISTORIES.replace(",5,", ",99,")}
TEXT_ITEMS = {"ratings.csv": HISTORIES.replace(",5,", ",five,")}
CASES = {
    "no file": Case(
        f"{RATINGS} ckpt_path=nowhere.ckpt", "ckpt_path: no checkpoint at nowhere.ckpt"
    ),
    "no run, said before the data is read": Case(
        f"{RATINGS} ckpt_path=nowhere",
        "ckpt_path: no checkpoint at nowhere",
        {"ratings.csv": "neither,read\n1,2\n"},
    ),
    "a folder of runs": Case(
        f"{RATINGS} ckpt_path=.", "ckpt_path: no checkpoint at checkpoints/best.ckpt"
    ),
    "data in its place": Case(
        f"{RATINGS} ckpt_path=ratings.csv", "ratings.csv is not a checkpoint of this project"
    ),
    "another model": Case(
        f"{RATINGS} model=popularity ckpt_path={FILE}", f"{FILE} holds a EASE: choose it by model="
    ),
    "another model of the same options": Case(
        f"{RATINGS} model=tale ckpt_path={FILE}", f"{FILE} holds a EASE"
    ),
    "a hyper-parameter that the fit had not": Case(
        f"{FROM} model.l2=3",
        f"model.l2=3: {FILE} was fitted with 500.0; leave it out|(free to change: model.recency)",
    ),
    "other items": Case(
        FROM,
        f"{FILE} was fitted on 60 items, and the data has 60: 1 of them it does not know",
        OTHER_ITEMS,
    ),
    "items of text": Case(
        FROM, f"{FILE}: its item ids are numbers, those of the data text", TEXT_ITEMS
    ),
    "another split": Case(
        f"{FROM} holdout.seed=7",
        f"{FILE} was fitted on other training interactions|could be a leak|holdout=none",
    ),
    "no interrupted run": Case(
        f"{RATINGS} model=multi_dae ckpt_path=last",
        "ckpt_path=last: no checkpoint at |checkpoints/last.ckpt; name the interrupted run",
    ),
    "a start and a checkpoint": Case(
        f"{FROM} init_from=done",
        "init_from and ckpt_path: a checkpoint is not fitted; give one of them",
    ),
    "a file to be fitted again": Case(
        f"{FROM} refit=true", f"refit=true: {FILE} is one checkpoint|folder of its run"
    ),
    "a start that there is not": Case(
        f"{RATINGS} model=sasrec max_epochs=1 init_from=nowhere", "init_from"
    ),
    "a start that no model takes": Case(
        f"{RATINGS} init_from=done", "init_from: EASE starts from no other run"
    ),
    "a start of another model": Case(
        f"{RATINGS} model=ncf max_epochs=1 'init_from={{gmf: done, mlp: done}}'",
        "init_from|holds a EASE",
    ),
    "starts without names": Case(
        f"{RATINGS} model=ncf max_epochs=1 'init_from=[done]'", "init_from"
    ),
    "a start by another name": Case(
        f"{RATINGS} model=ncf max_epochs=1 'init_from={{mf: done}}'", "init_from.mf"
    ),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("done"))


@pytest.mark.parametrize("name", CASES)
def test_one_line(name, done, tmp_path):
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    refused(CASES[name], tmp_path)


def without(key):
    return lambda content: content.pop(key)


def parameter(value):
    return lambda content: content["hyper_parameters"].update(l2=value)


def tensor(change):
    def damage(content):
        state = content["state_dict"]
        state["weight"] = change(state["weight"])

    return damage


DAMAGED = {
    "without its model": (without("model"), "KeyError: 'model'"),
    "without its items": (lambda content: content["fitted_on"].pop("items"), "KeyError: 'items'"),
    "without its parameters": (without("hyper_parameters"), "KeyError: 'hyper_parameters'"),
    "without its tensors": (without("state_dict"), "KeyError: 'state_dict'"),
    "without its epoch": (without("epoch"), "KeyError: 'epoch'"),
    "a parameter out of range": (parameter(-1), "model.l2=-1"),
    "a parameter of text": (parameter("big"), "model.l2=big"),
    "a class as parameter": (
        parameter({"_target_": "os.system"}),
        "its hyper-parameter l2 is dict",
    ),
    "an unknown parameter": (lambda c: c["hyper_parameters"].update(l9=1), "holds a EASE"),
    "another shape": (
        tensor(lambda weight: weight[:5]),
        "is damaged: tensor weight is torch.float32 (5, 60)",
    ),
    "another type": (
        tensor(lambda weight: weight.int()),
        "is damaged: tensor weight is torch.int32",
    ),
    "text for a tensor": (tensor(str), "is damaged: tensor weight is str, expected"),
    "no tensor": (lambda content: content["state_dict"].pop("weight"), "no tensor weight"),
    "a tensor more": (
        lambda c: c["state_dict"].update(more=torch.zeros(1)),
        "an unknown tensor more",
    ),
    "another epoch": (lambda content: content.update(epoch="last"), "epoch"),
    "ids of another length": (
        lambda c: c["fitted_on"].update(rows=torch.zeros(3).long()),
        "fitted_on",
    ),
    "rows of text": (
        lambda content: content["fitted_on"].update(rows=["a"]),
        "is not a checkpoint",
    ),
}


@pytest.mark.slow  # `contracts/test_sizes.py` and `runs/test_stored.py` are fast
@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_checkpoint(name, done, tmp_path):
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    damage, words = DAMAGED[name]
    content = torch.load(tmp_path / FILE, weights_only=True)
    damage(content)
    torch.save(content, tmp_path / FILE)
    refused(Case(FROM, f"{FILE}|{words}" if "model.l2" not in words else words), tmp_path)


BYTES = {
    "half of it": lambda data: data[: len(data) // 2],
    "none of it": lambda data: b"",
    "a flipped byte": lambda data: data[:2000] + bytes([data[2000] ^ 1]) + data[2001:],
}


@pytest.mark.parametrize("name", BYTES)
def test_a_file_that_is_not_whole(name, done, tmp_path):
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    file = tmp_path / FILE
    file.write_bytes(BYTES[name](file.read_bytes()))
    refused(Case(FROM, FILE), tmp_path)


RESULTS = {
    "no JSON": ("{", "done/result.json"),
    "a list": ("[]", "done/result.json"),
    "nothing": ("", "done/result.json"),
    "no configuration": ({"config": None}, "done/result.json: cannot be used"),
    "no choices": ({"choices": {}}, "done/result.json: cannot be used (KeyError: 'data')"),
    "a path as choice": (
        {"choices": dict.fromkeys(("data", "holdout", "model", "view"), "../x")},
        "choices.data is '../x': expected a name",
    ),
}


@pytest.mark.slow  # `contracts/test_sizes.py` and `runs/test_stored.py` are fast
@pytest.mark.parametrize("name", RESULTS)
def test_the_result_beside_it(name, done, tmp_path):
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    content, words = RESULTS[name]
    file = tmp_path / "done" / "result.json"
    if isinstance(content, dict):
        content = json.dumps(json.loads(file.read_text()) | content)
    file.write_text(content)
    refused(Case("ckpt_path=done", words), tmp_path)


def test_a_run_of_a_model_from_another_folder_of_configurations(done, tmp_path):
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "done" / "result.json"
    content = json.loads(file.read_text())
    content["choices"]["model"] = "mine"
    file.write_text(json.dumps(content))
    words = "model=mine: expected one of |, xsimgcl; one of your own needs --config-dir"
    refused(Case("ckpt_path=done", words), tmp_path)
