"""A file or folder is there whole, or not at all."""

import ast
import os

import pytest

from recsys_lightning.writing import making_folder, replacing
from tests.forked import forked_python
from tests.test_architecture import PACKAGE


def test_a_failed_write_leaves_the_old_file_and_no_scratch(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def interrupted():
        with replacing(path) as scratch:
            scratch.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_put_in_place_in_a_folder_that_was_not_there(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with replacing(path) as scratch:
        assert scratch.parent == path.parent
        scratch.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_folder_leaves_nothing(tmp_path):
    def interrupted():
        with making_folder(tmp_path / "new" / "split") as scratch:
            (scratch / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list((tmp_path / "new").iterdir()) == []


def test_the_folder_of_a_faster_process_stays(tmp_path):
    path = tmp_path / "split"
    with making_folder(path) as scratch:
        (scratch / "slower").touch()
        with making_folder(path) as other:
            (other / "faster").touch()
    assert [file.name for file in path.iterdir()] == ["faster"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_has_the_mode_that_the_user_wants(tmp_path):
    before = os.umask(0o027)
    try:
        with making_folder(tmp_path / "split"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "split").stat().st_mode & 0o777 == 0o750


KILLED = """
import os, sys
from pathlib import Path
from recsys_lightning.writing import making_folder, replacing
path = Path(sys.argv[1])
with replacing(path / "file.txt") as scratch, making_folder(path / "folder") as folder:
    for half in (scratch, folder / "half"):
        half.write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path):
    assert forked_python("-c", KILLED, str(tmp_path)).returncode == -9
    left = sorted(path.name for path in tmp_path.iterdir())
    assert [name.split(".")[1] for name in left] == ["file", "folder"]
    foreign = [  # of a user; of another machine
        tmp_path / ".mine.tmp",
        tmp_path / ".file.txt.4@elsewhere.01234567.tmp",
    ]
    for path in foreign:
        path.touch()
    with replacing(tmp_path / "another.txt") as scratch:
        scratch.touch()
        with replacing(tmp_path / "third.txt") as other:  # while this process lives
            other.touch()
    assert sorted(tmp_path.iterdir()) == sorted(
        [*foreign, tmp_path / "another.txt", tmp_path / "third.txt"]
    )


def test_nothing_else_renames_what_it_wrote():
    """`make_room` moves what a job left, which is no write."""
    renaming = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"rename", "replace", "mkdtemp"}
        if node.attr != "replace" or (isinstance(node.value, ast.Name) and node.value.id == "os")
    }
    assert renaming == {"writing.py", "sweeps/jobs.py"}
