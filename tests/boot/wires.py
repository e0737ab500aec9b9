"""Two wires to stand a laptop on: the office, with the company's DHCP and DNS, and the switch of the cluster.

All of it lives in namespaces whose first process ends when this one does, whatever ends it: no process, mount, NIC
or file is left.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil

from wizard.lab.tools import search_path

T = TypeVar("T")

CORPORATE_MAC, CLUSTER_MAC = "00:1b:21:00:00:01", "00:1b:21:00:00:02"
WIRE_OF = {CORPORATE_MAC: "office", CLUSTER_MAC: "switch"}
CONTROLLER_MAC = "b8:ae:ed:7b:51:50"

_WORLD = """
set -e
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/netns
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/disk" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=$2,upperdir=$1/disk,workdir=$1/work" overlay "$1/root"
for wire in office switch desk; do
    ip netns add $wire
    ip -n $wire link set lo up
done
ip -n office link add wire type bridge
ip -n switch link add wire address "$3" type bridge
ip link add wire netns desk type veth peer name to-desk netns office
ip -n office link set to-desk master wire up
ip -n office address add 10.77.0.1/24 dev wire
for wire in office switch; do
    ip netns exec $wire nft -f - <<RULES
table bridge test {
    chain heard {
        type filter hook prerouting priority 0
        iifname "to-eth*" udp sport 67 counter
    }
}
RULES
done
for wire in office switch desk; do ip -n $wire link set wire up; done
echo ready
exec cat >/dev/null
"""
_OFFICE_SERVER = """
dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= --log-facility=- --interface=wire
--bind-interfaces --dhcp-range=10.77.0.90,10.77.0.99,1h --dhcp-authoritative --no-ping --no-resolv --no-hosts
--address=/www.corp.example/10.77.0.1
"""
_POLL_S = 0.1


def wait_for(condition: Callable[[], T | None], deadline: float, what: str) -> T:
    """Wait until `condition` gives something true, and return that; an AssertionError names `what` did not come."""
    end = time.monotonic() + deadline
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"not within {deadline:g} s: {what}"
        time.sleep(_POLL_S)


class Wires:
    """The namespaces `office` and `switch`, each with a bridge called `wire`, and `desk`, a client in the office.

    A disk in memory is mounted at `disk`, seen in there only: `base` below, and all that is written above it.
    """

    def __init__(self, base: Path, disk: Path) -> None:
        self.disk = disk
        self._processes: list[subprocess.Popen[str]] = []
        self._base = base
        self._init = 0

    def start(self) -> None:
        _remove_orphans()
        self.disk.mkdir(parents=True)
        unshare = "unshare --mount --net --pid --fork --kill-child=KILL --mount-proc --propagation private --"
        world = subprocess.Popen(
            [*unshare.split(), "sh", "-c", _WORLD, "sh", str(self.disk), str(self._base), CONTROLLER_MAC],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ(),
            text=True,
            start_new_session=True,
        )
        self._processes.append(world)
        sign = world.stdout
        assert sign is not None
        assert select.select([sign], [], [], 30)[0], "the wires are not laid after 30 s"
        assert sign.readline() == "ready\n", "the wires could not be laid; see stderr"
        (first,) = psutil.Process(world.pid).children()
        self._init = first.pid
        leases = f"--dhcp-leasefile={self.disk}/office.leases"
        self.popen("ip", "netns", "exec", "office", *_OFFICE_SERVER.split(), leases)

    def stop(self) -> None:
        if self._init:
            # With a first process goes its whole namespace, a machine that is booted in there too.
            with suppress(ProcessLookupError):
                os.kill(self._init, signal.SIGKILL)
        for process in self._processes:
            process.kill()
            process.wait(20)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        self._init = 0
        self.remove_cgroups()

    @property
    def root(self) -> Path:
        """The root directory of the disk, as it is seen from here."""
        return Path(f"/proc/{self._init}/root{self.disk}/root")

    def _command(self, argv: Sequence[str]) -> list[str]:
        enter = ["nsenter", "--target", str(self._init), "--mount", "--net", "--pid", "--"]
        return [*enter, "setpriv", "--pdeathsig", "KILL", "--", *argv]

    def run(self, *argv: str, check: bool = True, timeout: float = 30) -> str:
        """Run a command beside the laptop; what it says. Fails unless it succeeds, or `check` is off."""
        done = subprocess.run(
            self._command(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            env=environ(),
            check=False,
        )
        assert not check or done.returncode == 0, f"{argv}: {done.stdout}"
        return done.stdout

    def popen(self, *argv: str, log: Path = Path(os.devnull), **env: str) -> subprocess.Popen[str]:
        """Start a command that stays; it ends with this object at the latest."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                self._command(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
                env={**environ(), **env},
            )
        self._processes.append(process)
        return process

    def plug_in(self, nic: str, mac: str) -> None:
        """Give the laptop a NIC, with the cable that belongs to it."""
        wire = WIRE_OF[mac]
        pair = f"link add {nic} netns laptop address {mac} type veth peer name to-{nic} netns {wire}"
        self.run("ip", *pair.split())
        self.run("ip", "-n", wire, "link", "set", f"to-{nic}", "master", "wire", "up")

    def unplug_all(self) -> None:
        """The laptop's NICs cease to be, and with them all that the kernel knew of its network."""
        self.run("ip", "netns", "delete", "laptop")
        for wire in WIRE_OF.values():
            wait_for(partial(self._is_bare, wire), 10, f"the end of the NICs at the {wire}")

    def _is_bare(self, wire: str) -> bool:
        return "to-eth" not in self.run("ip", "-n", wire, "link")

    def leased(self, wire: str, tries: int = 3) -> str:
        """What a client on a wire gets, a node or a desk in the office: "ADDRESS from SERVER"; "" for no answer."""
        ask = ["udhcpc", "-i", "wire", "-f", "-q", "-n", "-t", str(tries), "-T", "1", "-s", "/bin/true"]
        said = self.run("ip", "netns", "exec", "desk" if wire == "office" else wire, *ask, check=False)
        found = re.search(r"lease of (\S+) obtained from ([^\s,]+)", said)
        return f"{found[1]} from {found[2]}" if found else ""

    def answers_sent(self, wire: str) -> int:
        """How many DHCP answers the laptop has sent into a wire, in all its lives."""
        rules = self.run("ip", "netns", "exec", wire, "nft", "list", "table", "bridge", "test")
        return int(rules.partition("packets ")[2].split()[0])

    # Control groups: the only thing that is in no namespace

    @property
    def cgroup(self) -> str:
        return f"ciao-boot-{os.getpid()}"

    def remove_cgroups(self) -> None:
        """Those of a machine that is off; they are empty as soon as its last process is gone."""
        for top in _CGROUP_TOPS:
            directory = Path(top, self.cgroup)
            if directory.is_dir():
                wait_for(partial(_is_removed, directory), 10, f"the end of {directory}")


_CGROUP_TOPS = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")

IN_CGROUP = """
for top in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
    [ ! -e $top/cgroup.procs ] || { mkdir -p "$top/$1" && echo 0 >"$top/$1/cgroup.procs"; } || exit 1
done
shift
exec "$@"
"""
"""A shell script: runs a command in the control group that its first argument names."""


def _is_removed(top: Path) -> bool:
    for directory, _, _ in os.walk(top, topdown=False):
        with suppress(OSError):
            Path(directory).rmdir()
    return not top.exists()


def _remove_orphans() -> None:
    """What others have left who were killed."""
    for top in _CGROUP_TOPS:
        for directory in Path(top).glob("ciao-boot-*"):
            if not psutil.pid_exists(int(directory.name.rpartition("-")[2])):
                _is_removed(directory)


def environ() -> dict[str, str]:
    return {**os.environ, "PATH": search_path(os.environ)}
