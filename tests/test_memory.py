"""The memory guard: what it takes for free, and what it says."""

from collections import namedtuple

import psutil
import pytest
import torch

from recsys_lightning import memory
from recsys_lightning.errors import InputError
from recsys_lightning.memory import free_memory, require_memory

GB = 10**9
Memory = namedtuple("Memory", "available")


@pytest.fixture
def machine(monkeypatch):
    """8 GB of memory are free, and no control group limits it."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(8 * GB))
    monkeypatch.setattr(memory, "_free_in_cgroups", lambda: iter(()))


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_what_fits_passes(machine):
    require_memory(8 * GB, "the model", "none")


def test_what_does_not_fit_is_refused_with_the_numbers_and_the_remedies(machine):
    with pytest.raises(InputError) as error:
        require_memory(9 * GB, "model=ease needs 47,000² float32", "another model")
    for part in ("model=ease needs 47,000² float32", "9.0 GB", "8.0 GB", "another model"):
        assert part in str(error.value)


def test_a_control_group_can_leave_less_than_the_machine(machine, monkeypatch):
    monkeypatch.setattr(memory, "_free_in_cgroups", lambda: iter([3 * GB, 5 * GB]))
    assert free_memory() == 3 * GB


def test_cgroup_v2_limits_of_the_group_and_its_parents(tmp_path):
    write(tmp_path / "proc/self", cgroup="0::/jobs/mine")
    groups = tmp_path / "sys/fs/cgroup"
    write(
        groups / "jobs/mine", memory__max="max", memory__current=5, memory__stat="inactive_file 1"
    )
    write(
        groups / "jobs",
        memory__max=10 * GB,
        memory__current=7 * GB,
        memory__stat=f"anon 3\ninactive_file {GB}",
    )
    assert list(memory._free_in_cgroups(tmp_path)) == [4 * GB]  # the file cache can go


def test_cgroup_v2_inside_a_container_whose_path_is_not_visible(tmp_path):
    write(tmp_path / "proc/self", cgroup="0::/../outside")
    write(
        tmp_path / "sys/fs/cgroup",
        memory__max=2 * GB,
        memory__current=GB,
        memory__stat="inactive_file 0",
    )
    assert min(memory._free_in_cgroups(tmp_path)) == GB


def test_cgroup_v1(tmp_path):
    write(tmp_path / "proc/self", cgroup="5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/")
    write(
        tmp_path / "sys/fs/cgroup/memory",
        memory__limit_in_bytes=4 * GB,
        memory__usage_in_bytes=3 * GB,
        memory__stat=f"inactive_file 0\ntotal_inactive_file {GB}",
    )
    assert list(memory._free_in_cgroups(tmp_path)) == [2 * GB]


def test_without_control_groups_nothing_limits(tmp_path):
    assert list(memory._free_in_cgroups(tmp_path)) == []


def test_a_gpu_counts_what_torch_holds_unused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * GB, 80 * GB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 5 * GB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 1 * GB)
    assert free_memory("cuda") == 6 * GB
    with pytest.raises(InputError, match="on cuda:0 are free"):
        require_memory(7 * GB, "the model", "less", torch.device("cuda", 0))
