"""Trackers one by one: an interruption, a kill, a server or a package that is not there."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from recsys_lightning.runs.examples import Example
from recsys_lightning.runs.record import RunResult
from recsys_lightning.tracking.base import end
from recsys_lightning.tracking.csv import CSV
from recsys_lightning.tracking.tensorboard import TensorBoard
from recsys_lightning.tracking.wandb import WandB
from tests.command import ROOT, run, true_python
from tests.forked import start_forked
from tests.shell import composes
from tests.tracking.logs import PASSWORD, SMALL, environment, free_port, wandb_runs


def test_a_resumed_csv_keeps_the_whole_lines_of_earlier_epochs(tmp_path):
    """A killed run may leave a line of other columns than the header's, or half a line."""
    lines = ["epoch,step,train/loss", "0,3,1.5", "1,6,1.2", "0.3,1,9,1.1", "2,9,1.0", "2,9"]
    (tmp_path / "metrics.csv").write_text("\n".join(lines))
    tracker = CSV()
    tracker.begin(tmp_path, None, {})
    logger = tracker.logger(first_epoch=2)
    logger.log_metrics({"train/loss": 0.9, "epoch": 2}, step=9)
    logger.save()
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert [(row["epoch"], row["train/loss"]) for row in rows] == [
        ("0", "1.5"),
        ("1", "1.2"),
        ("2", "0.9"),
    ]


def test_a_title_with_a_bar_is_one_cell_in_tensorboard():
    tracker, added = TensorBoard(), []
    tracker._logger = SimpleNamespace(
        experiment=SimpleNamespace(add_text=lambda *a: added.append(a))
    )
    tracker.log_examples([Example("7", 2, ["Face|Off"], ["Heat\n(1995)"])])
    assert added == [
        (
            "examples",
            "| user | rank | last_watched | recommended |\n| --- | --- | --- | --- |\n"
            "| 7 | 1 | Face\\|Off | Heat (1995) |",
        )
    ]


def test_a_run_without_a_fit_has_its_final_metrics(tmp_path):
    """One by `ckpt_path`; in the folder of the fit the epochs stay."""
    (tmp_path / "metrics.csv").write_text("epoch,step,val/recall@10\n0,3,0.1\n,4,0.1\n")
    trackers = CSV(), TensorBoard()
    for tracker in trackers:
        tracker.begin(tmp_path, None, {"seed": 1})
        tracker.log_examples([])
    end(trackers, RunResult(metrics={"val/recall@10": 0.2}))
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert [(row["epoch"], row["val/recall@10"]) for row in rows] == [("0", "0.1"), ("", "0.2")]
    assert [event.value for event in events(tmp_path).Scalars("val/recall@10")] == [
        pytest.approx(0.2)
    ]


def test_a_failed_run_has_its_status_and_parameters_in_tensorboard(tmp_path):
    tracker = TensorBoard()
    tracker.begin(tmp_path, None, {"model.l2": -1})
    failed = RunResult(status="failed", error="model.l2=-1: expected more", seconds={"load": 0.5})
    end([tracker], failed)
    metadata = events(tmp_path).SummaryMetadata("_hparams_/session_start_info")
    said = metadata.plugin_data.content
    assert all(word in said for word in (b"model.l2", b"failed", b"model.l2=-1: expected more"))


def test_a_new_run_in_a_folder_stands_alone_in_tensorboard(tmp_path):
    """Its curves went on from those of the earlier run."""
    for model in "popularity", "ease":
        options = f"model={model}", "refit=false", "logger=tensorboard"
        done = run(*SMALL, *options, folder=tmp_path / "run")
    values = [event.value for event in events(done.folder).Scalars("test/recall@10")]
    assert values == [pytest.approx(done.result["metrics"]["test/recall@10"])]


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder / "tensorboard"))
    read.Reload()
    return read


def test_ctrl_c_ends_the_wandb_run_as_failed(tmp_path, home):
    (out := tmp_path / "out").touch()
    process = start_forked(
        *("run.py", *SMALL, "model=multi_dae", "max_epochs=900"),
        *("patience=900", "logger=wandb", f"hydra.run.dir={tmp_path}/run"),
        *(f"split_dir={tmp_path}/s", f"data.cache_dir={tmp_path}/c"),
        env=environment(home),
        out=out,
    )
    while not (tmp_path / "run/checkpoints/last.ckpt").exists():
        assert process.is_alive()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 130
    [told] = wandb_runs(tmp_path / "run")
    assert told.exit_code == 1
    assert told.summary["error"].startswith("interrupted by SIGINT during fit: in epoch")
    assert "wandb sync" in out.read_text()


def test_a_pruned_trial_is_no_failed_wandb_run(tmp_path):
    import wandb

    tracker = WandB("recsys_lightning", None, "train", "offline", [])
    tracker.begin(tmp_path / "0_ease", tmp_path, {"model.l2": 1.0})
    end([tracker], RunResult(status="pruned", split="a"))
    wandb.teardown()  # its file is complete when W&B's process has ended
    [told] = wandb_runs(tmp_path)
    assert (told.exit_code, told.summary["status"], told.config["split"]) == (0, "pruned", "a")


def test_a_server_that_does_not_answer_is_told_in_one_line(tmp_path, home):
    port = free_port()
    address, told = f"http://me:{PASSWORD}@127.0.0.1:{port}", f"http://me:***@127.0.0.1:{port}"
    started = time.monotonic()
    done = run(
        *("data=files", "data.path=/nowhere.csv", "logger=mlflow"),
        folder=tmp_path / "run",
        code=2,
        **environment(home, MLFLOW_TRACKING_URI=address),
    )
    assert time.monotonic() - started < 60
    [line] = done.err.splitlines()
    assert line.startswith(f"error: logger.mlflow.tracking_uri={told}: ")
    assert done.result["status"] == "failed"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []
    assert PASSWORD not in done.out + done.err


def test_wandb_goes_online_with_a_key(tmp_path, home):
    done = run(
        *(*SMALL, "logger=wandb"),
        folder=tmp_path / "run",
        code=2,
        **environment(home),
        WANDB_API_KEY="0" * 40,
        WANDB_BASE_URL=f"http://127.0.0.1:{free_port()}",
        WANDB_HTTP_TIMEOUT="1",
    )
    assert "Traceback" not in done.err
    assert "logger.wandb.mode=offline does without the server" in done.err


@pytest.mark.parametrize("package", ["mlflow", "tensorboard"])
def test_a_missing_package_is_told_before_the_data_is_read(package, tmp_path, home):
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules['{package}'] = None\n")
    done = run(
        *("data=files", "data.path=/nowhere.csv", f"logger={package}"),
        folder=tmp_path / "run",
        code=2,
        python=true_python,  # for sitecustomize
        **environment(home, PYTHONPATH=str(tmp_path)),
    )
    told = f"error: logger={package} needs {package}: pip install -e '.[{package}]'"
    assert done.err.splitlines() == [told]


SWEEPS = sorted((ROOT / "conf/wandb_sweep").glob("*.yaml"))


def command_of(path: Path) -> list[str]:
    """What an agent of W&B would run, with some value of each parameter, as it writes them."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    sweep = yaml.safe_load(path.read_text())
    chosen = {
        name: {"value": space["values"][0] if "values" in space else space["min"]}
        for name, space in sweep["parameters"].items()
    }
    written = {
        "${env}": ["/usr/bin/env"],
        "${interpreter}": ["python"],
        "${program}": [sweep["program"]],
        "${args_no_hyphens}": create_sweep_command_args({"args": chosen})["args_no_hyphens"],
    }
    return [word for part in sweep["command"] for word in written.get(part, [part])]


def test_every_model_with_a_search_space_has_a_wandb_sweep():
    models, spaces = (
        {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
        for group in ("model", "sweep")
    )
    assert [path.stem for path in SWEEPS] == sorted(models & spaces)
    for path in SWEEPS:
        sweep = yaml.safe_load(path.read_text())
        assert sweep["metric"] == {"name": "val/recall@10", "goal": "maximize"}
        assert f"model={path.stem}" in sweep["command"]


def test_the_commands_of_the_wandb_sweeps_would_start():
    """With values that the search of the model draws, too: tests/test_configs.py compares them."""
    for path in SWEEPS:
        command = command_of(path)
        assert command[:3] == ["/usr/bin/env", "python", "run.py"]
        composes(command[3:])


def test_the_command_of_a_wandb_sweep_runs(tmp_path, home):
    [multi_vae] = [path for path in SWEEPS if path.stem == "multi_vae"]
    small = (*SMALL, "max_epochs=1", "refit=false", f"hydra.run.dir={tmp_path}/run")
    own = (f"split_dir={tmp_path}/s", f"data.cache_dir={tmp_path}/c")
    python_first = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(
        [*command_of(multi_vae), *small, *own],
        cwd=ROOT,
        env=environment(home, WANDB_MODE="disabled", PATH=python_first),
        check=True,
        timeout=300,
    )
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert (result["status"], result["model"]) == ("done", "multi_vae")
    assert "val/recall@10" in result["metrics"]
    assert result["config"]["model"]["hidden_dims"] == []  # a list, which W&B hands on as text
