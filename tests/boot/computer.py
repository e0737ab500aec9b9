"""A laptop that is really booted: systemd in a container, two NICs on two wires, and a plug that can be pulled.

Its disk is in memory, over a root that is only read, and outlives a pulled plug as disks do. What is in the kernel
does not: every boot gets new NICs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.boot.root_tree import seen_inside
from tests.boot.wires import CLUSTER_MAC, CORPORATE_MAC, IN_CGROUP, Wires, wait_for

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "ciao.toml"
CONTROLLER = "192.168.0.101 from 192.168.0.200"
"""What Wires.leased("switch") says of the plan's controller once the gateway serves."""
AS_NAMED = {"eth0": CORPORATE_MAC, "eth1": CLUSTER_MAC}

INTERFACES = """\
auto lo
iface lo inet loopback

auto eth0
iface eth0 inet dhcp

source /etc/network/interfaces.d/*
"""
FILES = {
    "etc/network/interfaces": INTERFACES,
    "etc/hostname": "gw01\n",
    "etc/resolv.conf": "nameserver 10.77.0.1\n",
    # Where no server is, five minutes are waited for one: that is Debian's patience, not the wizard's.
    "etc/dhcp/dhclient.conf": "timeout 8;\nretry 5;\nrequest subnet-mask, routers, domain-name-servers;\n",
    "etc/systemd/journald.conf.d/test.conf": "[Journal]\nStorage=volatile\nRateLimitBurst=0\n",
}
HASTE = {
    # The laboratory's marker, in every life of the machine: it makes short probes and pauses possible.
    "etc/tmpfiles.d/ciao-lab.conf": "d /run/ciao-lab 0755\nf /run/ciao-lab/marker 0644\n",
    "etc/systemd/system.conf.d/ciao-lab.conf": "[Manager]\nDefaultEnvironment=CIAO_LAB_PROBE_WAIT=0.5\n",
}
"""More files, of a machine whose probes are short, for tests of something else."""

_NSPAWN = """
systemd-nspawn --quiet --boot --register=no --keep-unit --resolv-conf=off --timezone=off --machine=gw01
--capability=CAP_NET_ADMIN,CAP_NET_RAW,CAP_SYS_ADMIN --network-namespace-path=/run/netns/laptop
"""
_BOOT_S = 120.0


class Computer:
    """The laptop on its wires, as a context manager. It is off at first. `powered_at` is of time.monotonic()."""

    def __init__(self, root: Path, place: Path) -> None:
        self.console = place.with_name(f"{place.name}.console")
        self.wires = Wires(root, place)
        self.leader = 0
        self.powered_at = 0.0
        self._nspawn: subprocess.Popen[str] | None = None
        self._binds = seen_inside(place.with_name(f"{place.name}.tree"))

    def __enter__(self) -> Computer:
        try:
            self.wires.start()
            self.write(FILES)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.wires.stop()
        self.leader = 0

    @property
    def disk(self) -> Path:
        """Its root directory, as it is seen from here; also while it is off, and never with /run."""
        return self.wires.root

    def write(self, files: Mapping[str, str]) -> None:
        """Write files on its disk, while it is off."""
        assert not self.leader
        for path, text in files.items():
            there = self.disk / path
            there.parent.mkdir(parents=True, exist_ok=True)
            there.unlink(missing_ok=True)
            there.write_text(text)

    # Power

    def power_on(self, nics: Mapping[str, str] = AS_NAMED) -> None:
        """Boot it, with these NICs (name -> MAC), until systemd says that it has started everything."""
        assert not self.leader
        self.wires.run("ip", "netns", "add", "laptop")
        for name, mac in nics.items():
            self.wires.plug_in(name, mac)
        nspawn = [*_NSPAWN.split(), *self._binds, f"--directory={self.wires.disk}/root"]
        self.powered_at = time.monotonic()
        self._nspawn = self.wires.popen(
            *("sh", "-c", IN_CGROUP, "sh", self.wires.cgroup, *nspawn),
            log=self.console,
            SYSTEMD_NSPAWN_API_VFS_WRITABLE="network",
        )
        self.leader = wait_for(self._find_leader, 30, f"the machine's first process; see {self.console}")
        wait_for(self._has_started, _BOOT_S, f"the end of booting; see {self.console}")

    def _find_leader(self) -> int:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, f"systemd-nspawn ended: {self.console.read_text()[-2000:]}"
        for process in psutil.Process(self._nspawn.pid).children(recursive=True):
            with suppress(OSError, psutil.Error):
                status = Path(f"/proc/{process.pid}/status").read_text()
                numbers = status.partition("NSpid:")[2].splitlines()[0].split()
                if process.name() == "systemd" and numbers[-1] == "1":
                    return process.pid
        return 0

    def _has_started(self) -> bool:
        said = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return said in ("running", "degraded")

    def pull_the_plug(self) -> None:
        """Power gone, this instant: nothing is told, nothing is written, and the kernel forgets everything."""
        os.kill(self.leader, signal.SIGKILL)
        self._is_off(20)

    def shut_down(self) -> None:
        """Have it power off in good order."""
        self.run("systemctl", "poweroff", check=False)
        self._is_off(_BOOT_S)

    def _is_off(self, within: float) -> None:
        assert self._nspawn is not None
        self._nspawn.wait(within)
        self.leader = 0
        self.wires.remove_cgroups()
        self.wires.unplug_all()

    # In the laptop's place

    def _command(self, argv: Sequence[str]) -> list[str]:
        enter = ["nsenter", "--target", str(self.leader), "--mount", "--net", "--pid", "--ipc", "--uts", "--wd=/", "--"]
        path = f"PATH={sys.prefix}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        place = ["env", "--ignore-environment", path, "HOME=/root", "LANG=C.UTF-8"]
        return [*enter, "setpriv", "--pdeathsig", "KILL", "--", *place, *argv]

    def run(self, *argv: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command on the laptop, as root, with no terminal. Fails unless it succeeds, or `check` is off."""
        done = subprocess.run(
            self._command(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        """The same, left to run; whoever starts it waits for it, at the latest once the plug is pulled."""
        quiet = subprocess.DEVNULL
        return subprocess.Popen(self._command(argv), stdin=quiet, stdout=quiet, stderr=quiet)

    def ciao(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = self.run("ciao-wizard", *argv, check=check)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def status(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.ciao("status", "--json", check=False).stdout)
        return said

    def run_file(self, path: str) -> str | None:
        """What is in a file under its /run; None where there is none."""
        try:
            return Path(f"/proc/{self.leader}/root/run/{path}").read_text()
        except OSError:
            return None

    def guard(self) -> dict[str, Any]:
        """What the guard says of itself; {} where none runs that has said anything."""
        told: dict[str, Any] = json.loads(self.run_file("ciao-wizard/serve.json") or "{}")
        return told

    def await_armed(self, deadline: float = 90) -> dict[str, Any]:
        """Wait until DHCP may be answered; what the guard says of itself then."""

        def armed() -> dict[str, Any] | None:
            told = self.guard()
            return told if told.get("mode") == "armed" else None

        return wait_for(armed, deadline, "an armed guard")

    def addresses(self, nic: str) -> list[str]:
        """Its IPv4 addresses with prefix length; [] also where there is no such NIC."""
        seen = self.run("ip", "-4", "-j", "address", "show", "dev", nic, check=False).stdout or "[]"
        return [f"{a['local']}/{a['prefixlen']}" for link in json.loads(seen) for a in link.get("addr_info", [])]

    def processes(self, *words: str) -> list[str]:
        """Command lines with one of these words in them."""
        lines = self.run("ps", "-e", "-w", "-w", "-o", "stat=,args=").stdout.splitlines()
        return [line.split(None, 1)[1] for line in lines if line[0] != "Z" and any(word in line for word in words)]

    def failed_units(self) -> list[str]:
        lines = self.run("systemctl", "--failed", "--no-legend", "--plain").stdout.splitlines()
        return [line.split()[0] for line in lines if line.strip()]
