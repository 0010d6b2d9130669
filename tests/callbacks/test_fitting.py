"""Checkpoints are whole, and on the disk, when they have their name."""

import errno
import os
import re
import resource
import signal

import pytest
import torch

from recsys_lightning.callbacks.fitting import SyncedFile, WholeCheckpoints
from recsys_lightning.errors import Interrupted
from recsys_lightning.interruption import signals_raise


def test_a_synced_file_holds_what_was_written_in_any_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(SyncedFile, "step", 7)
    pieces = [b"", b"abc", bytes(range(20)), memoryview(torch.arange(5).numpy()), b"z"]
    with SyncedFile(tmp_path / "a") as file:
        sizes = [file.write(piece) for piece in pieces]
    assert sizes == [0, 3, 20, 40, 1]
    assert (tmp_path / "a").read_bytes() == b"".join(bytes(piece) for piece in pieces)


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, synced = tmp_path / "sub/best.ckpt", []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(path.exists()), fsync(fd)))
    content = {"weight": torch.randn(50, 50), "epoch": 3}
    WholeCheckpoints().save_checkpoint(content, path)
    assert synced
    assert not any(synced)
    read = torch.load(path, weights_only=True, mmap=True)
    assert torch.equal(read["weight"], content["weight"])
    assert os.listdir(path.parent) == ["best.ckpt"]


def test_a_checkpoint_that_fails_leaves_the_earlier_one(tmp_path):
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"epoch": 1}, path)
    with pytest.raises(Exception, match="lambda"):
        WholeCheckpoints().save_checkpoint({"epoch": lambda: 0}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_a_signal_waits_for_the_checkpoint_and_is_no_error_of_pytorchs_archive(
    tmp_path, monkeypatch
):
    path, write, written = tmp_path / "last.ckpt", SyncedFile.write, []

    def write_and_signal(file, data):
        written.append(len(data))
        os.kill(os.getpid(), signal.SIGTERM)
        return write(file, data)

    monkeypatch.setattr(SyncedFile, "write", write_and_signal)
    with pytest.raises(Interrupted, match="SIGTERM"), signals_raise():
        WholeCheckpoints().save_checkpoint({"epoch": 1}, path)
    assert written
    assert torch.load(path, weights_only=True) == {"epoch": 1}


def test_a_disk_that_refuses_bytes_is_named_not_pytorchs_archive(tmp_path):
    path = tmp_path / "best.ckpt"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(OSError, match=re.escape(f"{os.strerror(errno.EFBIG)}: '{path}'")):
            WholeCheckpoints().save_checkpoint({"weight": torch.randn(50, 50)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []
