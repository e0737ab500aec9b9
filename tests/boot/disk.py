"""Comparing what is on a disk at two times."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

Image = Mapping[str, tuple[object, ...]]

TREES = ("etc", "root", "usr/local", "var")
OTHERS = (
    # Written by the system itself whenever it runs: leases of the corporate NIC, clocks, logs.
    "etc/resolv.conf",
    "var/cache",
    # NetworkManager notes in there when each profile was last active.
    "var/lib/NetworkManager",
    "var/lib/dhcp",
    "var/lib/systemd",
    "var/log",
    "var/tmp",
)


def image(disk: Path) -> Image:
    """Path -> mode, owner, group, time of change (of files), content or target: of all that others do not write."""
    found: dict[str, tuple[object, ...]] = {}
    for tree in TREES:
        for directory, names, leaves in os.walk(disk / tree):
            below = Path(directory).relative_to(disk)
            names[:] = [name for name in names if str(below / name) not in OTHERS]
            for path in (below / name for name in [*names, *leaves] if str(below / name) not in OTHERS):
                info = (disk / path).lstat()
                content, changed = b"", 0
                if stat.S_ISLNK(info.st_mode):
                    content = os.readlink(disk / path).encode()
                elif stat.S_ISREG(info.st_mode):
                    content, changed = (disk / path).read_bytes(), info.st_mtime_ns
                found[str(path)] = (oct(info.st_mode), info.st_uid, info.st_gid, changed, content)
    return found


def changed(before: Image, after: Image) -> list[str]:
    """Paths that came, went or are not what they were."""
    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
