"""Runs and sweeps of the real command, read back from where they were logged."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

from recsys_lightning.runs.record import EnsembleResult
from recsys_lightning.sweeps.jobs import Runs, results
from recsys_lightning.tracking.wandb_report import build_report, log_report
from tests.command import run
from tests.forked import forked_python
from tests.tracking.logs import PASSWORD, SMALL, environment, free_port, wandb_runs


@pytest.fixture(scope="module", autouse=True)
def starting_server(tmp_path_factory, home):
    """Started first and needed later: it takes its time."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    address = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"),
                *("--port", str(port), "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{folder}/server.db"),
                *("--artifacts-destination", str(folder / "artifacts")),
            ],
            cwd=folder,
            env=environment(home, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    yield SimpleNamespace(process=server, address=address, log=folder / "log")
    os.killpg(server.pid, signal.SIGTERM)  # its worker, too
    try:
        server.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def swept(tmp_path_factory, home):
    """Three jobs, one of which fails, and the ensemble of the others; all trackers."""
    folder = tmp_path_factory.mktemp("swept")
    done = forked_python(
        *("run.py", "-m", *SMALL, "model=ease", "model.l2=2,-1,5"),
        "logger=[csv,wandb,tensorboard,mlflow]",
        f"logger.mlflow.tracking_uri=sqlite:///{folder}/mlflow.db",
        *("ensemble=rank", "ensemble.per_model=2"),
        f"hydra.sweep.dir={folder}/my sweep",
        *(f"split_dir={folder}/splits", f"data.cache_dir={folder}/cache"),
        env=environment(home),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return SimpleNamespace(
        folder=folder / "my sweep", out=done.stdout, err=done.stderr, db=folder / "mlflow.db"
    )


@pytest.fixture(scope="module")
def logged(tmp_path_factory, home, starting_server):
    """One run of three epochs in all trackers, MLflow's server among them."""
    for _ in range(600):
        assert starting_server.process.poll() is None, starting_server.log.read_text()
        try:
            urllib.request.urlopen(f"{starting_server.address}/health", timeout=5).close()
            break
        except OSError:
            time.sleep(0.2)
    return run(
        *(*SMALL, "model=multi_dae", "max_epochs=3", "view.batch_size=50"),
        "logger=[csv,wandb,tensorboard,mlflow]",
        f"logger.mlflow.tracking_uri={starting_server.address.replace('//', f'//me:{PASSWORD}@')}",
        folder=tmp_path_factory.mktemp("logged") / "a run",
        **environment(home),
    )


def test_every_job_is_a_wandb_run_of_the_sweeps_group(swept):
    jobs = [told for told in wandb_runs(swept.folder) if told.job_type == "train"]
    assert [told.name for told in jobs] == [f"my sweep/{number}_ease" for number in range(3)]
    assert [told.group for told in jobs] == ["my sweep"] * 3
    assert [told.exit_code for told in jobs] == [0, 1, 0]
    assert [told.config["model.l2"] for told in jobs] == [2, -1, 5]
    for told, (_, result) in zip(jobs, results(swept.folder), strict=True):
        assert told.config["model"] == "ease"
        assert told.config["data"] == "synthetic"
        assert told.config["split"] == result.split
        assert told.config["git_commit"] == result.git_commit
        assert not [key for key in told.config if key.startswith("logger")]
        assert not any(isinstance(v, dict | list) for k, v in told.config.items() if k != "_wandb")
        assert told.summary["status"] == result.status
        assert told.summary["error"] == result.error
        assert result.metrics.items() <= told.summary.items()
    assert "model.l2=-1" in jobs[1].summary["error"]


def test_the_report_is_a_wandb_run_of_the_same_group(swept):
    [told] = [told for told in wandb_runs(swept.folder) if told.job_type == "report"]
    assert (told.group, told.exit_code) == ("my sweep", 0)
    best = max(
        result.metrics["val/recall@10"]
        for _, result in results(swept.folder)
        if result.status == "done"
    )
    assert told.summary["best/val/recall@10"] == pytest.approx(best)
    for table in ("runs", "leaderboard", "differences"):
        assert told.summary[f"{table}/_type"] == "table-file"
    assert told.summary["runs/nrows"] == 3 + 1
    assert told.summary["report/_type"] == "html-file"
    assert told.notes == (swept.folder / "report.md").read_text()


def test_the_ensemble_is_a_wandb_run_of_the_same_group(swept):
    [told] = [told for told in wandb_runs(swept.folder) if told.job_type == "ensemble"]
    assert (told.group, told.exit_code) == ("my sweep", 0)
    ensemble = json.loads((swept.folder / "ensemble.json").read_text())
    assert ensemble["metrics"].items() <= told.summary.items()
    gain = ensemble["gain"]["test/recall@10"]["low"]
    assert told.summary["gain.test/recall@10.low"] == pytest.approx(gain)
    weights = {f"members.{m['name']}": m["weight"] for m in ensemble["members"]}
    assert weights.items() <= told.config.items()
    assert told.config["split"] == ensemble["split"]
    assert told.summary["methods/nrows"] == len(ensemble["methods"])


def test_a_bag_has_values_of_its_draws_alone(swept, home, tmp_path):
    [(_, job), *_] = results(swept.folder)
    (tmp_path / "0_ease").mkdir()
    job.write(tmp_path / "0_ease/result.json")
    name = "val/recall@10"
    draws = [{"name": f"{n}_ease", "weight": 1.0, "metrics": {name: n / 10}} for n in range(2)]
    spread = {name: {"mean": 0.05, "std": 0.07}}
    bag = EnsembleResult(model="ensemble", weights="bag", members=draws, draws=spread)
    bag.write(tmp_path / "ensemble.json")
    code = (
        "from pathlib import Path\n"
        "from recsys_lightning.runs.record import read_result\n"
        "from recsys_lightning.sweeps.jobs import Runs\n"
        "from recsys_lightning.tracking.wandb_report import log_ensemble\n"
        f"log_ensemble(Path({str(tmp_path)!r}), read_result(Path({str(tmp_path)!r})), Runs())"
    )
    done = forked_python("-c", code, env=environment(home))
    assert (done.returncode, "Error" in done.stderr) == (0, False), done.stderr
    [told] = wandb_runs(tmp_path)
    assert (told.job_type, told.exit_code, told.config["weights"]) == ("ensemble", 0, "bag")
    assert not [key for key in told.summary if key.startswith(("val/", "test/"))]
    assert told.summary[f"draws.{name}.mean"] == 0.05
    assert told.summary["draws/nrows"] == 2


def test_the_sync_command_is_told_once_and_finds_every_run(swept, home):
    [line] = [line for line in swept.out.splitlines() if "wandb sync" in line]
    command = line.partition("to upload: ")[2]
    assert shlex.split(command)[:2] == ["wandb", "sync"]
    done = subprocess.run(
        ["bash", "-c", f"{command} --dry-run"],
        env=environment(home, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout + done.stderr).count("offline-run-") == 5


def test_the_failure_alone_is_told(swept):
    told = [line for line in swept.err.splitlines() if line]
    assert [line.partition(":")[0] for line in told] == ["error", "failed"]


def test_mlflow_in_a_database_has_every_job(swept):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{swept.db}")
    experiment = client.get_experiment_by_name("recsys_lightning")
    runs = client.search_runs([experiment.experiment_id], order_by=["start_time"])
    assert [told.info.status for told in runs] == ["FINISHED", "FAILED", "FINISHED"]
    assert [told.data.params["model.l2"] for told in runs] == ["2", "-1", "5"]
    assert {told.data.tags["sweep"] for told in runs} == {"my sweep"}
    assert "model.l2=-1" in runs[1].data.tags["error"]


@pytest.mark.filterwarnings("ignore:Pydantic V1 style")  # of wandb_workspaces itself
def test_a_report_is_built_for_wandb_without_a_login(swept):
    report = build_report(swept.folder, "recsys_lightning", "", Runs())._to_model()
    spec = json.loads(report.spec.model_dump_json(by_alias=True))
    [text] = [block["content"] for block in spec["blocks"] if block["type"] == "markdown-block"]
    assert text == (swept.folder / "report.md").read_text()
    [grid] = [block["metadata"] for block in spec["blocks"] if block["type"] == "panel-grid"]
    filters = grid["runSets"][0]["filters"]["filters"]
    assert [(told["key"]["name"], told["op"], told["value"]) for told in filters] == [
        ("group", "=", "my sweep"),
        ("jobType", "!=", "report"),
    ]
    panels = {
        panel["viewType"]: panel["config"] for panel in grid["panelBankSectionConfig"]["panels"]
    }
    assert panels["Bar Chart"]["metrics"] == ["val/recall@10"]
    assert panels["Parameter Importance"]["targetKey"] == "val/recall@10"
    assert [column["accessor"] for column in panels["Parallel Coordinates Plot"]["columns"]] == [
        "config:model.l2.value",
        "summary:val/recall@10",
    ]
    assert {"Scatter Plot", "Run Comparer"} <= set(panels)


def test_no_report_where_no_job_was_logged_to_wandb(swept, tmp_path, monkeypatch):
    for name in ("leaderboard.csv", "report.md"):
        (tmp_path / name).write_text((swept.folder / name).read_text())
    [(_, result), *_] = results(swept.folder)
    result.config["logger"].pop("wandb")
    result.write(tmp_path / "result.json")
    log_report(tmp_path, Runs())
    assert not (tmp_path / "wandb").exists()


def test_the_password_of_a_server_is_written_and_sent_nowhere(logged, starting_server):
    """W&B's files, TensorBoard's, MLflow's database and artifacts, Hydra's, ours, the screen."""
    assert "//me:***@127.0.0.1" in (logged.folder / "result.json").read_text()
    folders = (logged.folder, starting_server.log.parent)
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert {".yaml", ".wandb", ".log", ".db", ".json"} <= {path.suffix for path in files}
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []
    assert PASSWORD not in logged.out + logged.err


def recall(result):
    return result["metrics"]["val/recall@10"]


def test_wandb_has_every_epoch_and_the_final_metrics(logged):
    [told] = wandb_runs(logged.folder)
    assert told.group == ""
    epochs = [row for row in told.history if "val/recall@10" in row]
    assert [row["epoch"] for row in epochs] == [0, 1, 2]
    assert sum("train/loss" in row for row in told.history) == 3
    assert told.summary["val/recall@10"] == recall(logged.result)
    assert told.summary["seconds/fit"] == logged.result["seconds"]["fit"]
    assert told.config["model.hidden_dims"] == "[200]"
    tables = {
        path.name.partition("_")[0]: json.loads(path.read_text())
        for path in logged.folder.glob("wandb/offline-run-*/files/media/table/*.json")
    }
    assert ["val/recall@10", recall(logged.result)] in [
        row[:2] for row in tables["metrics"]["data"]
    ]
    assert_shown(logged, tables["examples"]["data"])
    assert f"wandb sync '{logged.folder}'/wandb/offline-run-*" in logged.out


def assert_shown(logged, rows):
    """Three users with ten titles each, those that the run printed."""
    assert len(rows) == 30
    for user, rank, _, title in rows:
        assert 1 <= int(rank) <= 10
        assert f"user {user} " in logged.out
        assert title.startswith("Film ")
        assert title in logged.out


def test_mlflows_server_has_parameters_metrics_artifacts_and_tags(logged, starting_server):
    from mlflow import MlflowClient

    client, result = MlflowClient(starting_server.address), logged.result
    experiment = client.get_experiment_by_name("recsys_lightning")
    [told] = client.search_runs([experiment.experiment_id])
    assert told.info.status == "FINISHED"
    assert told.data.params["model.dropout"] == str(result["config"]["model"]["dropout"])
    assert told.data.params["model"] == "multi_dae"
    assert told.data.metrics["test/recall_at_10"] == result["metrics"]["test/recall@10"]
    assert told.data.metrics["val/recall_at_10"] == recall(result)
    history = client.get_metric_history(told.info.run_id, "val/recall_at_10")
    assert len(history) == 3 + 1  # an epoch each, and the final one
    assert len(client.get_metric_history(told.info.run_id, "train/loss")) == 3
    expected = {key: result[key] for key in ("split", "git_commit", "status", "job")}
    assert expected.items() <= told.data.tags.items()
    stored = {file.path for file in client.list_artifacts(told.info.run_id)}
    assert stored == {"result.json", "submission.csv", "examples.csv"}
    local = client.download_artifacts(told.info.run_id, "result.json", str(logged.folder.parent))
    assert json.loads(Path(local).read_text()) == result


def test_tensorboard_has_every_epoch_the_final_metrics_and_the_examples(logged):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(logged.folder / "tensorboard"))
    events.Reload()
    values = [event.value for event in events.Scalars("val/recall@10")]
    assert len(values) == 3 + 1
    assert values[-1] == pytest.approx(recall(logged.result))
    assert events.Scalars("test/recall@10")[-1].step == logged.result["steps"]
    tags = events.Tags()["tensors"]
    assert "examples/text_summary" in tags
    told = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert logged.result["split"].encode() in told
    assert b"model.dropout" in told


def test_the_csv_file_has_every_epoch_and_a_last_row_of_final_metrics(logged):
    import pandas

    rows = pandas.read_csv(logged.folder / "metrics.csv")
    assert rows["train/loss"].count() == 3
    assert rows["val/recall@10"].count() == 3 + 1
    last = rows.iloc[-1]
    assert last["step"] == logged.result["steps"] > 0
    assert last["val/recall@10"] == pytest.approx(recall(logged.result))
    assert last["test/recall@10"] == pytest.approx(logged.result["metrics"]["test/recall@10"])
