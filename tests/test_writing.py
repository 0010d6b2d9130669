"""A file or folder is there whole, or not at all."""

import ast

import pytest

from recsys_lightning.writing import making_folder, replacing
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
    assert path.stat().st_mode & 0o777 == 0o755


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
