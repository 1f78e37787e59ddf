"""What memory and how many cores this machine has for the process, within the limits it runs under."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP_V2, CGROUP_V1 = Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")
NO_LIMIT = 1 << 60  # version 1 writes a number near 2**63 where there is no limit


def host_memory() -> int | None:
    """Bytes this process can have in all: what it holds, and what is free on the machine and in its control group.

    None where the system does not tell.
    """
    free = free_memory()
    return None if free is None else free + held_memory()


def free_memory() -> int | None:
    """Bytes that are free on the machine and in the process's control group; None where the system does not tell."""
    free = [amount for amount in (_free_of_machine(), _free_of_group()) if amount is not None]
    return min(free) if free else None


def held_memory() -> int:
    """Bytes this process holds now; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def size(number: float) -> str:
    """'1.25 GB': bytes in decimal units, three digits."""
    for unit in ("B", "kB", "MB"):
        if abs(number) < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.3g} GB" if number < 1000 else f"{number:,.0f} GB"


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_of_machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):  # the free pages, or at least all there are
        try:
            return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            continue
    return None


def _free_of_group() -> int | None:
    """The least that this process's control group, or one that holds it, has left; None without a limit."""
    left = []
    for folder, limit_file, used_file in _group_folders():
        limit, used = _number(folder / limit_file), _number(folder / used_file)
        if limit is not None and used is not None and limit < NO_LIMIT:
            left.append(limit - used + _cache(folder / "memory.stat"))  # files in the cache give way
    return max(min(left), 0) if left else None


def _group_folders() -> list[tuple[Path, str, str]]:
    """(folder, name of its limit, name of its use) of the groups from the process's own up to the root's."""
    try:
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return []
    found = []
    for _, controllers, path in (line for line in lines if len(line) == 3):
        if controllers and "memory" not in controllers.split(","):
            continue
        root = CGROUP_V1 if controllers else CGROUP_V2
        files = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        own = root / path.lstrip("/")
        found += [(folder, *files) for folder in (own, *own.parents) if folder.is_relative_to(root)]
    return found


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # absent, or "max"
        return None


def _cache(path: Path) -> int:
    try:
        stated = dict(line.split() for line in path.read_text().splitlines())
        return int(stated.get("total_inactive_file", stated.get("inactive_file", 0)))
    except (OSError, ValueError):
        return 0
