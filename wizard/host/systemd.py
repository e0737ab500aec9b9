"""systemctl, on machines where systemd runs."""

from __future__ import annotations

import glob
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from wizard.host.commands import CommandFailed, run, works

NETWORK_FILES = Path("/run/systemd/network")
_BY_NETPLAN, _KEPT = "10-netplan-*", ".ciao-wizard"


def running() -> bool:
    """Whether systemd is this machine's service manager (see sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def reload() -> None:
    if running():
        _daemon_reload()


def enable(unit: str) -> None:
    _daemon_reload()
    # It has systemd reload too.
    with _same_network_files():
        run("systemctl", "enable", "--quiet", unit, timeout=60)


def start(unit: str) -> None:
    _daemon_reload()
    run("systemctl", "reset-failed", unit, ok=(0, 1, 5))
    run("systemctl", "start", unit, timeout=60)


def stop(unit: str) -> None:
    run("systemctl", "stop", unit, timeout=60, ok=(0, 5))


def show(units: Sequence[str], properties: Sequence[str]) -> dict[str, dict[str, str]]:
    """These properties of each unit, by its name; "" for one that it has not. {} where systemd cannot be asked."""
    if not units or not running():
        return {}
    try:
        told = run("systemctl", "show", f"--property={','.join(('Id', *properties))}", "--", *units, timeout=10)
    except CommandFailed:
        return {}
    found = {}
    for block in told.split("\n\n"):
        values = dict.fromkeys(properties, "") | dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if name := values.pop("Id", ""):
            found[name] = values
    return found


def notify(*states: str) -> None:
    """Tell systemd states such as "READY=1", see sd_notify(3). Nothing where it did not start us, or is gone."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as peer:
        peer.setblocking(False)
        peer.sendto("\n".join(states).encode(), address.replace("@", "\0", 1))


def log_tail(unit: str, lines: int = 3) -> str:
    """The last lines that a unit's processes wrote since boot, joined by "; "; "" if there are none."""
    try:
        # Not -u: what systemd says of the unit would be among them.
        wrote = run("journalctl", f"_SYSTEMD_UNIT={unit}", "-b", "-n", str(lines), "-o", "cat", "--no-pager", timeout=5)
    except CommandFailed:
        return ""
    return "; ".join(line for line in wrote.splitlines() if line and not line.startswith("-- "))


def known(unit: str) -> bool:
    """Whether there is such a unit."""
    return show([unit], ("LoadState",)).get(unit, {}).get("LoadState") not in (None, "", "not-found")


def triggers_of(unit: str) -> tuple[str, ...]:
    """The units that start this one when it is needed: its socket, a timer."""
    return tuple(show([unit], ("TriggeredBy",)).get(unit, {}).get("TriggeredBy", "").split())


def enabling_links(unit: str, root: Path = Path("/")) -> tuple[str, ...]:
    """The links under /etc that have systemd start a unit at boot, and those that give it another name."""
    below = root / "etc/systemd/system"
    found = [
        path for kind in ("wants", "requires", "upholds") for path in below.glob(f"*.{kind}/*") if path.name == unit
    ]
    found += [path for path in below.glob("*") if path.name != unit and path.is_symlink() and _names(path, unit)]
    # The same of an init script, which may stand beside a unit of the same name.
    found += (root / "etc").glob(f"rc[S2345].d/S[0-9][0-9]{_bare(unit)}")
    return tuple(sorted(str(path) for path in found if path.is_symlink()))


def _names(link: Path, unit: str) -> bool:
    return Path(os.readlink(link)).name == unit


def _bare(unit: str) -> str:
    return glob.escape(unit.removesuffix(".service"))


def active(unit: str) -> bool:
    return running() and works("systemctl", "is-active", "--quiet", unit)


def _daemon_reload() -> None:
    with _same_network_files():
        run("systemctl", "daemon-reload", timeout=60)


@contextmanager
def _same_network_files() -> Iterator[None]:
    """Keep netplan's files for networkd the files that they are, where their text stays.

    netplan's generator writes all of them again at every reload of systemd's. networkd takes another inode for another
    configuration, and would reconfigure every NIC at the next `networkctl reload`, the company's too.
    """
    restore_network_files()
    files = sorted(NETWORK_FILES.glob(_BY_NETPLAN))
    # networkd reads no file with such a name, and no directory.
    kept = NETWORK_FILES / _KEPT
    for file in files:
        with suppress(OSError):
            kept.mkdir(mode=0o700, exist_ok=True)
            os.link(file, kept / file.name)
    yield
    restore_network_files()


def restore_network_files() -> None:
    """Finish what a `daemon-reload` of ours that was killed has left half done, or nothing."""
    kept = NETWORK_FILES / _KEPT
    if not kept.is_dir() or kept.is_symlink():
        return
    for old in kept.iterdir():
        now = NETWORK_FILES / old.name
        with suppress(OSError):
            if now.read_bytes() == old.read_bytes():
                old.replace(now)
    shutil.rmtree(kept, ignore_errors=True)
