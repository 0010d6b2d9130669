"""What trackers wrote, read back."""

import json
import os
import socket
from pathlib import Path
from types import SimpleNamespace

SMALL = (
    *("data=synthetic", "data.num_users=200", "data.num_items=100", "data.num_interactions=6000"),
    *("data.min_per_user=20", "trainer.enable_progress_bar=false"),
)
QUIET = {"WANDB_ERROR_REPORTING": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
BLOCK, HEADER = 32768, 7
PASSWORD = "s3cr3t-w0rd"


def environment(home: Path, **more: str) -> dict[str, str]:
    """The test's own home, without keys; nothing calls home."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    return kept | QUIET | {"HOME": str(home), "COLUMNS": "120"} | more


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def records(path: Path):
    """The records of a .wandb file, which is a LevelDB log behind a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = path.read_bytes(), HEADER, b""
    while at < len(data):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + HEADER : at + HEADER + size]
        at += HEADER + size
        if kind in (1, 4):  # all, or the last part
            record = Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def wandb_runs(folder: Path) -> list[SimpleNamespace]:
    """What the offline W&B runs below a folder would upload, in the order of their names."""
    found = []
    for path in folder.glob("wandb/offline-run-*/*.wandb"):
        told = SimpleNamespace(config={}, summary={}, history=[], exit_code=None)
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                told.group, told.job_type = record.run.run_group, record.run.job_type
                told.name, told.notes = record.run.display_name, record.run.notes
                told.config |= values(record.run.config.update)
            elif kind == "config":
                told.config |= values(record.config.update)
            elif kind == "summary":
                told.summary |= values(record.summary.update)
            elif kind == "history":
                told.history.append(values(record.history.item))
            elif kind == "exit":
                told.exit_code = record.exit.exit_code
        found.append(told)
    return sorted(found, key=lambda told: told.name)


def values(items) -> dict:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
