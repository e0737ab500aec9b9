"""The laboratory's own /etc, /run, /var/lib, /var/log and /sys.

Works for a user who is root in his own namespace only: such a one can mount neither overlays that take new
files nor give files to other users, so /etc is a copy of what he may read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from wizard.lab.tools import run
from wizard.lab.world import LAPTOP, STATE

HIDDEN = (Path("/run"), Path("/var/lib"), Path("/var/log"))
FRESH = (
    Path("/run/netns"),
    Path("/run/network"),
    Path("/run/lock"),
    Path("/run/ciao-wizard"),
    Path("/var/lib/misc"),
    Path("/var/lib/dhcp"),
    Path("/var/lib/ciao-wizard"),
)
"""Never the machine's own, even if the caller's directory is in one. Those of ciao-wizard are not created."""

INTERFACES = """\
# This file describes the network interfaces available on your system
# and how to activate them. For more information, see interfaces(5).

source /etc/network/interfaces.d/*

# The loopback network interface
auto lo
iface lo inet loopback

# The primary network interface, connected to corporate network
auto eth0
iface eth0 inet dhcp
"""

DHCLIENT = """\
send host-name = gethostname();
request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, domain-search, host-name;
"""

HOSTS = """\
127.0.0.1\tlocalhost
127.0.1.1\t{name}
::1\tlocalhost ip6-localhost ip6-loopback
"""

EMPTIED = (
    "netns",
    "network/interfaces.d",
    "netplan",
    "systemd/network",
    "NetworkManager/system-connections",
    # Hooks speak to services of the machine (resolvers, time servers, mail queues), and some do it over the network.
    "network/if-pre-up.d",
    "network/if-up.d",
    "network/if-down.d",
    "network/if-post-down.d",
    "dhcp/dhclient-enter-hooks.d",
    "dhcp/dhclient-exit-hooks.d",
)
REMOVED = ("ciao-wizard", "systemd/system/ciao-gateway.service")


def make(keep: Iterable[Path]) -> None:
    """Cover the machine's directories. Those of `keep` that lie below one stay as they are, and writable."""
    _cover(keep)
    _copy_etc()
    _write_etc()
    # /sys shows the network namespace of the process that mounted it.
    run("mount", "-t", "sysfs", "sysfs", "/sys")


def _cover(keep: Iterable[Path]) -> None:
    kept = {path: os.open(path, os.O_PATH | os.O_DIRECTORY) for path in sorted(set(keep)) if _is_kept(path)}
    for path in HIDDEN:
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(path))
    for path in FRESH:
        if path.name != "ciao-wizard":
            path.mkdir()
    Path("/run/lock").chmod(0o1777)
    STATE.mkdir()
    for path, fd in kept.items():
        path.mkdir(parents=True, exist_ok=True)
        # The old place is covered by now; the descriptor still leads there, if mount does not resolve it to a name.
        run("mount", "--no-canonicalize", "--rbind", f"/proc/self/fd/{fd}", str(path), fds=[fd])
        os.close(fd)


def _is_kept(path: Path) -> bool:
    below = any(base in path.parents for base in HIDDEN)
    return below and path.is_dir() and not any(path == fresh or fresh in path.parents for fresh in FRESH)


def _copy_etc() -> None:
    copy = STATE / "etc"
    copy.mkdir()
    # A namespace with a single uid cannot give files to others.
    alone = Path("/proc/self/uid_map").read_text().split()[2] == "1"
    preserve = "mode,links,timestamps" if alone else "all"
    # No check of the end: what this user may not read is left out, and cp calls that a failure.
    subprocess.run(
        ["cp", "-r", f"--preserve={preserve}", "/etc/.", str(copy)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    run("mount", "--bind", str(copy), "/etc")


def _write_etc() -> None:
    etc = Path("/etc")
    for name in EMPTIED:
        if (etc / name).exists():
            shutil.rmtree(etc / name)
            (etc / name).mkdir()
    for name in REMOVED:
        shutil.rmtree(etc / name, ignore_errors=True)
        (etc / name).unlink(missing_ok=True)
    for name, text in {
        "network/interfaces": INTERFACES,
        "dhcp/dhclient.conf": DHCLIENT,
        "hostname": LAPTOP + "\n",
        "hosts": HOSTS.format(name=LAPTOP),
        "resolv.conf": "",
    }.items():
        path = etc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Often a link into /run, which leads nowhere now.
        path.unlink(missing_ok=True)
        path.write_text(text)
    for name in ("network/interfaces.d", "netns"):
        (etc / name).mkdir(exist_ok=True)


def netns_etc(name: str) -> None:
    """Files that `ip netns exec name` lays over those of /etc; a DHCP client there has a resolv.conf of its own."""
    etc = Path("/etc/netns") / name
    etc.mkdir(parents=True, exist_ok=True)
    (etc / "resolv.conf").write_text("")
    (etc / "hosts").write_text(HOSTS.format(name=name))
