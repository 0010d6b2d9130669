"""What comes from elsewhere is read and never run: checkpoints, results, journals, caches."""

import json
import os
import pickle
import shutil
import zipfile

import numpy as np
import pytest
import torch

from recsys_lightning.data.sources import download
from recsys_lightning.errors import InputError
from tests.command import run
from tests.forked import forked_python
from tests.sweeps.test_sweep import SMALL, SPACE, arguments

MARK = "code_was_run"


class Payload:
    """An object whose unpickling makes a file."""

    def __init__(self, folder):
        self.command = f"touch {folder / MARK}"

    def __reduce__(self):
        return os.system, (self.command,)


def target(folder):
    """What Hydra's `instantiate` would make a file of."""
    return {"_target_": "os.system", "command": f"touch {folder / MARK}"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    run("model=ease", *SMALL, folder=folder / "run")
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy of a finished run, its splits and cache."""
    shutil.copytree(made, tmp_path / "x")
    return tmp_path / "x"


def refused(*overrides, folder, code=2):
    done = run(*overrides, folder=folder / "again", code=code)
    assert "Traceback" not in done.err
    return done


def change(folder, **groups):
    """Let result.json say something else of its configuration."""
    path = folder / "run/result.json"
    content = json.loads(path.read_text())
    for group, values in groups.items():
        content["config"][group] |= values
    path.write_text(json.dumps(content))


def a_pickle_for_a_checkpoint(folder):
    file = folder / "run/checkpoints/best.ckpt"
    file.write_bytes(pickle.dumps(Payload(folder)))
    refused(f"ckpt_path={folder / 'run'}", folder=folder)


def an_object_in_a_checkpoint(folder):
    file = folder / "run/checkpoints/best.ckpt"
    content = torch.load(file, weights_only=True)
    torch.save(content | {"settings": Payload(folder)}, file)
    refused(f"ckpt_path={folder / 'run'}", folder=folder)


def a_target_for_a_hyper_parameter(folder):
    for name in ("best", "final"):
        file = folder / f"run/checkpoints/{name}.ckpt"
        content = torch.load(file, weights_only=True)
        content["hyper_parameters"]["l2"] = target(folder)
        torch.save(content, file)
    refused(f"ckpt_path={folder / 'run'}", folder=folder)


def an_object_in_the_checkpoint_of_a_start(folder):
    file = folder / "run/checkpoints/best.ckpt"
    torch.save({"state_dict": Payload(folder)}, file)
    refused("model=multi_cdae", *SMALL, f"init_from={file}", folder=folder)


def a_target_for_a_class_in_a_result(folder):
    change(folder, **{group: target(folder) for group in ("model", "data", "holdout")})
    refused(f"ckpt_path={folder / 'run'}", folder=folder)


def a_target_inside_an_option_in_a_result(folder):
    change(folder, model={"l2": target(folder)})
    refused(f"ckpt_path={folder / 'run'}", folder=folder)


def an_option_in_a_result_that_is_two(folder):
    change(folder, data={"data.cache_dir": f"x' model._target_=os.system '+model.command={MARK}"})
    refused(f"ckpt_path={folder / 'run'}", folder=folder)


def an_interpolation_in_a_result(folder):
    change(folder, data={"cache_dir": "${oc.env:HOME}"})
    assert "refers to" in refused(f"ckpt_path={folder / 'run'}", folder=folder).err


def a_choice_in_a_result_that_is_a_path(folder):
    path = folder / "run/result.json"
    content = json.loads(path.read_text())
    content["choices"]["model"] = "../../x"
    path.write_text(json.dumps(content))
    refused(f"ckpt_path={folder / 'run'}", folder=folder)


def a_name_in_a_result_that_leads_out_of_a_report(folder):
    path = folder / "run/result.json"
    content = json.loads(path.read_text())
    content["model"] = content["choices"]["model"] = "../../../outside"
    content["config"]["model"] |= target(folder)
    content["overrides"] += ["model._target_=os.system", f"model.command=touch {folder / MARK}"]
    content["error"] = "<script>alert(1)</script>"
    path.write_text(json.dumps(content))
    before = {file for file in folder.parent.rglob("*") if folder / "report" not in file.parents}
    command = ("-m", "recsys_lightning.report", str(folder / "run"), "--out", f"{folder}/report")
    forked_python(*command)
    after = {file for file in folder.parent.rglob("*") if folder / "report" not in file.parents}
    assert after - before <= {folder / "report"}
    assert not list((folder / "report").rglob("*.yaml"))
    for page in ("report.md", "report.html"):
        assert "<script>alert" not in (folder / "report" / page).read_text()


def an_object_in_the_cache(folder):
    [file] = (folder / "cache").glob("*.npz")
    np.savez(file.open("wb"), users=np.array([Payload(folder)], dtype=object))
    refused("model=ease", *SMALL, folder=folder, code=0)


def a_pickle_for_a_journal(folder):
    journal = folder / "sweep/study.journal"
    journal.parent.mkdir()
    journal.write_bytes(pickle.dumps(Payload(folder)) + b"\n")
    done = forked_python(*arguments(folder, *SPACE, "hydra.sweeper.n_trials=1"))
    assert done.returncode in (0, 2)
    assert "Traceback" not in done.stderr


ATTEMPTS = (
    *(a_pickle_for_a_checkpoint, an_object_in_a_checkpoint, a_target_for_a_hyper_parameter),
    *(an_object_in_the_checkpoint_of_a_start, a_target_for_a_class_in_a_result),
    *(a_target_inside_an_option_in_a_result, an_option_in_a_result_that_is_two),
    *(an_interpolation_in_a_result, a_choice_in_a_result_that_is_a_path),
    *(a_name_in_a_result_that_leads_out_of_a_report, an_object_in_the_cache),
    a_pickle_for_a_journal,
)


@pytest.mark.slow
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.__name__)
def test_no_code_is_run(attempt, folder):
    attempt(folder)
    assert not list(folder.parent.rglob(MARK))


def test_the_payloads_would_work(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path)))
    assert (tmp_path / MARK).exists()


def test_an_archive_cannot_fill_the_disk_or_write_elsewhere(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("../../ratings.csv", "0" * 50_000_000)
    with pytest.raises(InputError, match=r"a.zip: not unpacked: 50.0 MB"):
        download._unpack(archive, tmp_path / "to", {"ratings.csv"})
    assert archive.exists()
    assert os.listdir(tmp_path) == ["a.zip"]
    content = os.urandom(1000)
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("../../ratings.csv", content)
    download._unpack(archive, tmp_path / "to", {"ratings.csv"})
    assert (tmp_path / "to/ratings.csv").read_bytes() == content
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "to"]
