"""The guard before a dense matrix: refuse with numbers and remedies instead of being killed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import torch
from torch import nn

from recsys_lightning.errors import InputError

GB = 10**9


def require_memory(
    needed: int, what: str, remedies: str, device: torch.device | str = "cpu"
) -> None:
    """Refuse what does not fit into the memory that is free now.

    Args:
        needed: bytes about to be allocated.
        what: who needs them and for what, such as `"model=ease needs 2 x 30,000² float32"`.
        remedies: what the user can do.
        device: where they will be allocated.

    Raises:
        InputError: less than `needed` is free.

    >>> require_memory(10**18, "model=ease needs 500,000,000² float32", "use model=recvae")
    Traceback (most recent call last):
        ...
    recsys_lightning.errors.InputError: model=ease needs 500,000,000² float32: 1000000000.0 GB, ...
    """
    free = free_memory(device)
    if needed > free:
        place = f"on {device}" if torch.device(device).type == "cuda" else "of memory"
        raise InputError(
            f"{what}: {needed / GB:.1f} GB, but {free / GB:.1f} GB {place} are free. "
            f"Remedies: {remedies}"
        )


def require_room_for(build: Callable[[], nn.Module], copies: int) -> None:
    """Refuse a model whose tensors do not fit into memory, before any of them is allocated.

    Args:
        build: makes it.
        copies: of each parameter; a fit with Adam has four: its gradient and two moments, too; and
            the average, where there is one.

    Raises:
        InputError: names the sizes that matter.
    """
    with torch.device("meta"):
        model = build()
    parameters = sum(p.numel() * p.element_size() for p in model.parameters())
    buffers = sum(b.numel() * b.element_size() for b in model.buffers() if b.is_meta)
    number = sum(p.numel() for p in model.parameters())
    require_memory(
        copies * parameters + buffers,
        f"the {number:,} parameters of {type(model).__name__} need",
        "smaller sizes (model.embedding_dim, model.hidden_dims, ...), or fewer users and items",
    )


def free_memory(device: torch.device | str = "cpu") -> int:
    """Bytes that can be allocated: of the GPU; else of the machine and of the container.

    Memory that torch holds on a GPU without using it counts as free.
    """
    device = torch.device(device)
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + held
    return min([psutil.virtual_memory().available, *_free_in_cgroups()])


def _free_in_cgroups(root: Path = Path("/")) -> Iterator[int]:
    """What the limits of this process's control group and of its parents leave, v2 and v1.

    A container may see its own group as the root of the mount, whatever its path outside.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # v2
            mount, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            mount = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(mount):
                free = _free_in_cgroup(folder, *names)
                if free is not None:
                    yield free


def _free_in_cgroup(folder: Path, limit: str, usage: str, reclaimable: str) -> int | None:
    """Limit - usage + file cache; None where there is no limit."""
    try:
        allowed = (folder / limit).read_text().strip()
        if allowed == "max":
            return None
        used = int((folder / usage).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:
        return None
    return int(allowed) - used + int(stat.get(reclaimable, 0))
