"""The file system that the tests boot: a small Debian or Ubuntu of this machine's own release, made once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from wizard.lab.tools import find

VARIABLE = "CIAO_BOOT_ROOT"
"""Names a root that is there already. It is only read."""
PACKAGES = ",".join(
    (
        *("systemd", "systemd-sysv", "udev", "kmod", "dbus", "procps", "python3"),
        *("ifupdown", "isc-dhcp-client", "iproute2", "dnsmasq-base", "iptables", "nftables"),
    )
)
MORE_PACKAGES = ("network-manager", "netplan.io", "firewalld", "ufw")
"""Installed by apt afterwards: debootstrap cannot configure polkitd, which comes with them."""
UNITS = ("NetworkManager", "NetworkManager-wait-online", "systemd-networkd", "firewalld", "ufw")
"""Installed, and started by no boot unless a test enables them."""
TOOLS = ("debootstrap", "systemd-nspawn", "unshare", "nsenter", "setpriv", "ip", "dnsmasq", "udhcpc")
_MIRRORS = {"debian": "http://deb.debian.org/debian", "ubuntu": "http://archive.ubuntu.com/ubuntu"}
_MAKING_S = 1800


def missing() -> list[str]:
    """Why nothing can be booted here; [] where it can."""
    if os.geteuid() != 0:
        return ["root is needed"]
    there = os.environ.get(VARIABLE)
    found = [f"{tool} is not installed" for tool in TOOLS if not (there and tool == "debootstrap") and not find(tool)]
    if there and not Path(there, "usr/bin/systemctl").exists() and not Path(there, "bin/systemctl").exists():
        found.append(f"{VARIABLE} is {there}, and no systemd is in there")
    release = platform.freedesktop_os_release()
    if not there and release.get("ID") not in _MIRRORS:
        found.append(f"{release.get('PRETTY_NAME', 'this system')} has no debootstrap script that this knows")
    return found


def root_tree() -> Path:
    """The root to boot from, made into the cache directory where there is none. Raises RuntimeError."""
    if there := os.environ.get(VARIABLE):
        return Path(there)
    release = platform.freedesktop_os_release()
    suite, mirror = release["VERSION_CODENAME"], _MIRRORS[release["ID"]]
    what = hashlib.sha256(f"{mirror} {PACKAGES} {MORE_PACKAGES} {UNITS}".encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ciao-wizard"
    cache.mkdir(parents=True, exist_ok=True)
    made = cache / f"boot-{suite}-{what}"
    with (cache / "boot.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make(made, suite, mirror)
    return made


def _make(made: Path, suite: str, mirror: str) -> None:
    draft = made.with_name(made.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    # What debootstrap mounts in there goes with the namespace.
    own_mounts = ["unshare", "--mount", "--propagation", "private", "--"]
    install = "apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends"
    for argv in (
        ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(draft), mirror],
        ["chroot", str(draft), *install.split(), *MORE_PACKAGES],
    ):
        done = subprocess.run(
            [*own_mounts, *argv],
            capture_output=True,
            text=True,
            timeout=_MAKING_S,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            check=False,
        )
        if done.returncode:
            said = " / ".join((done.stdout + done.stderr).strip().splitlines()[-4:])
            shutil.rmtree(draft, ignore_errors=True)
            raise RuntimeError(f"{' '.join(argv)}: {said}")
    for unit in UNITS:
        subprocess.run(["systemctl", f"--root={draft}", "--quiet", "disable", unit], timeout=60, check=True)
    draft.rename(made)


def seen_inside(copy: Path) -> list[str]:
    """What the booted machine sees of this one, read-only, at the same paths, as arguments of systemd-nspawn: the
    environment of the tests, its Python unless that is the distribution's, and the checkout.

    Of that it sees a copy that is made here: somebody may be at work on it.
    """
    tree, environment, python = Path(__file__).resolve().parents[2], Path(sys.prefix), Path(sys.base_prefix)
    for part in ("wizard", "templates", "examples"):
        shutil.copytree(tree / part, copy / part)
    # What tells a checkout from an installation.
    shutil.copy(tree / "pyproject.toml", copy)
    if environment.is_relative_to(tree):
        (copy / environment.relative_to(tree)).mkdir(parents=True)
    shown = [f"{copy}:{tree}", str(environment)]
    if python != Path("/usr") and not python.is_relative_to(environment):
        shown.append(str(python))
    return [f"--bind-ro={what}" for what in shown]
