"""What a report says of its data and of what was run."""

import json

import pytest
import yaml

from recsys_lightning.reports.origins import command_of, data_table, starts_table
from recsys_lightning.sweeps.jobs import Runs
from tests.reports.test_leaderboard import write_run


def write_start(file, *task, mode="MULTIRUN", config_dir=None):
    """What Hydra writes at a start, as far as it is read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    sources = [{"provider": "main", "path": "/x/conf"}]
    if config_dir:
        sources.append({"provider": "command-line", "path": config_dir})
    given = [f"hydra.sweep.dir={file.parent}"] * (mode == "MULTIRUN") + [f"hydra.mode={mode}"]
    hydra = {
        "overrides": {"hydra": given, "task": list(task)},
        "runtime": {"config_sources": sources},
    }
    file.write_text(yaml.safe_dump({"hydra": hydra}))


def starts(*sources):
    return starts_table(sources, Runs()).set_index("folder")


def test_every_sweep_has_its_command_its_runs_and_its_time(tmp_path):
    for number in (1, 5):
        write_run(tmp_path / "a", number, "ease", 0.1)
    write_run(tmp_path / "b" / "deep", 70, "tale", 0.1)
    write_start(tmp_path / "a/multirun.yaml", "model=ease", "model.l2=1,2", "data.path=my file.csv")
    write_start(tmp_path / "b/multirun.yaml", "sweep=tale", config_dir="/own")
    for sources in ([tmp_path], [tmp_path / "a", tmp_path / "b", tmp_path / "b/deep"]):
        table = starts(*sources)
        assert table.index.tolist() == [str(tmp_path / "a"), str(tmp_path / "b")]
        assert table.runs.tolist() == [2, 1]
        assert table.finished.tolist() == ["2026-01-01 00:00 UTC"] * 2
        assert table.command.tolist() == [
            f"python run.py -m model=ease model.l2=1,2 'data.path=my file.csv' "
            f"hydra.sweep.dir={tmp_path}/a",
            f"python run.py -m --config-dir /own sweep=tale hydra.sweep.dir={tmp_path}/b",
        ]


def test_single_runs(tmp_path):
    run = write_run(tmp_path, 1, "ease", 0.1)
    write_start(run / ".hydra/hydra.yaml", "model=ease", mode="RUN")
    assert starts(run).command.tolist() == ["python run.py model=ease"]
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/run").symlink_to(run)
    assert starts(tmp_path / "linked/run").index.tolist() == [str(run)]
    write_run(tmp_path, 2, "tale", 0.1)
    [row] = starts(tmp_path).reset_index().to_dict("records")
    assert (row["folder"], row["runs"], row["command"]) == (str(tmp_path), 2, "")


@pytest.mark.parametrize("text", [None, "", "[1]", "a: [", "hydra: {}", "hydra: {overrides: 3}"])
def test_what_hydra_did_not_write_is_no_command(text, tmp_path):
    if text is not None:
        (tmp_path / "multirun.yaml").write_text(text)
    assert command_of(tmp_path / "multirun.yaml") == ""


def test_the_data_of_each_split_whatever_an_earlier_version_has_said(tmp_path):
    for number, (split, more) in enumerate(
        [
            ("s" * 64, {}),
            ("s" * 64, {"sizes": {"users": 5, "items": 7, "interactions": 20}}),
            ("t" * 64, {"users": {"valid": 1234, "too_short": 3}, "choices": {"holdout": "last"}}),
        ]
    ):
        path = write_run(tmp_path, number, "a", 0.1, split=split) / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | more))
    write_run(tmp_path, 9, "a", None, split=None, status="failed")
    first, second = data_table([tmp_path], Runs()).to_dict("records")
    assert (first["users"], first["items"], first["interactions"], first["runs"]) == (5, 7, 20, 2)
    assert (first["data"], first["split"]) == ("toy", "s" * 8)
    assert second["users"] != second["users"]  # unknown
    assert (second["holdout"], second["evaluated"]) == ("last", "valid 1,234")
