"""The check of a submission: `python -m recsys_lightning.submission FILE`, exit 2 if it fails."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from recsys_lightning.data.interactions import SUBMISSION_COLUMNS
from recsys_lightning.data.sources.tables import format_of, read_table, submission_columns
from recsys_lightning.errors import BAD_INPUT, InputError, check_range
from recsys_lightning.runs.folder import ENSEMBLE, RESULT, RunFolder
from recsys_lightning.runs.record import config_of, read_result
from recsys_lightning.runs.submission import as_text, violations


def main(arguments: Sequence[str] | None = None) -> int:
    """Check one file; returns the exit code."""
    from recsys_lightning.runs.lists import read_split

    parser = argparse.ArgumentParser(
        prog="python -m recsys_lightning.submission", description="Check a submission."
    )
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--split",
        type=Path,
        help="folder of the run's train, valid and test.parquet; by default that of the "
        f"{RESULT} or {ENSEMBLE} beside the file",
    )
    parser.add_argument(
        "--template",
        type=Path,
        help="a file with the users in their order; by default the run's data.submission_template",
    )
    parser.add_argument("-k", type=int, default=10, help="items a user (10)")
    chosen = parser.parse_args(arguments)
    try:
        check_range("-k", chosen.k, low=1, whole=True)
        folder, sha256 = (chosen.split, None) if chosen.split else _split_beside(chosen.file)
        split = read_split(folder, sha256).interactions
        users, header = _asked(chosen.template, chosen.file.parent)
        found = violations(chosen.file, split, users, chosen.k, header)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    if found:
        print(as_text(chosen.file, found), file=sys.stderr)
        return BAD_INPUT
    order = "in the template's order" if users else "in any order (--template checks it)"
    print(f"{chosen.file}: {chosen.k} distinct unseen items for every user, {order}")
    return 0


def _asked(template: Path | None, folder: Path) -> tuple[list[str] | None, Sequence[str]]:
    """The users that a template has, in its order, and the columns that it asks for.

    Without one it is that of the run in the folder, if it is still there; read as that run reads
    its data. Without any: None, for those of the data in any order.
    """
    config = config_of(folder)
    data = config.get("data", {})
    column = data.get("user_column", "user")
    own = data.get("submission_template")
    path = template or (Path(own) if own and Path(own).is_file() else None)
    if path is None:
        return None, SUBMISSION_COLUMNS
    format = format_of(path, data.get("separator"), encoding=data.get("encoding"))
    keys = {column: "data.user_column"} if config else {}
    users = read_table(path, [column], format=format, keys=keys).ids(column).values
    return users, submission_columns(path, format, column)


def _split_beside(file: Path) -> tuple[Path, str | None]:
    """The folder of a run's split, and its SHA-256; of a bag, that of any of its splits."""
    beside = RunFolder(file.parent)
    if not (beside.result.is_file() or beside.ensemble.is_file()):
        raise InputError(
            f"{file}: no {RESULT} or {ENSEMBLE} beside it that says what users have seen; name the "
            "split's folder (--split)"
        )
    result = read_result(file.parent)
    if result.split_files is None:
        raise InputError(f"{file.parent}: its result has no split; name its folder (--split)")
    return Path(result.split_files), result.split


if __name__ == "__main__":
    sys.exit(main())
