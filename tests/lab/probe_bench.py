"""Small network namespaces for the probe's tests, as root or inside a user namespace of its own.

Each namespace is held by a sleeping process, so that nothing is left behind whatever becomes of the test.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from tests.needs import unavailable

ROOT = Path(__file__).resolve().parents[2]
ACTORS = Path(__file__).with_name("probe_actors.py")
TOOLS = ("ip", "nsenter", "unshare", "setpriv", "dnsmasq", "nft", "udhcpc", "sysctl")
PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


def until(holds: Callable[[], Any], what: str, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.01)


def why_impossible() -> str:
    """What keeps namespaces from being made here, or ""."""
    missing = [tool for tool in TOOLS if shutil.which(tool, path=PATH) is None]
    if missing:
        return "not installed: " + ", ".join(missing)
    flags = "-nm" if os.geteuid() == 0 else "-Urnm"
    tried = subprocess.run(
        ["unshare", flags, "ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1"],
        capture_output=True, text=True, check=False, env=os.environ | {"PATH": PATH},
    )  # fmt: skip
    return tried.stderr.strip() if tried.returncode else ""


def require_namespaces() -> None:
    """Skips where the laboratory cannot be, but never in CI."""
    if why := why_impossible():
        unavailable(f"no network namespaces here: {why}")


class Actor:
    """A process inside a namespace, its stdout to be read."""

    def __init__(self, argv: Sequence[str], env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, stdin=subprocess.DEVNULL
        )
        self._answer: Any = None

    def ready(self) -> Self:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line == "ready\n", line + self.process.stdout.read()
        return self

    def answer(self) -> Any:
        """The JSON that it ended with."""
        if self._answer is None:
            assert self.process.stdout
            lines = self.process.stdout.read().splitlines()
            assert self.process.wait() == 0, "\n".join(lines)
            self._answer = json.loads(lines[-1])
        return self._answer

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


class Bench:
    """Makes namespaces and runs things in them; `close` ends every process, and with them the namespaces."""

    def __init__(self, tmp: Path) -> None:
        self.tmp = tmp
        self.env = os.environ | {"PATH": PATH, "PYTHONPATH": str(ROOT), "LC_ALL": "C"}
        self.actors: list[Actor] = []
        self._user: int | None = None
        if os.geteuid() != 0:
            self._user = self._hold(["unshare", "-Urn"])

    def space(self) -> int:
        """A new network namespace, as the pid of its holder; loopback is up."""
        inside = [] if self._user is None else ["nsenter", "-t", str(self._user), "-U", "--preserve-credentials"]
        pid = self._hold([*inside, "unshare", "-n"])
        self.ip(pid, "link set lo up")
        return pid

    def _hold(self, unshare: list[str]) -> int:
        actor = self._start([*unshare, "setpriv", "--pdeathsig", "KILL", "sleep", "infinity"])
        pid = actor.process.pid
        until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", "a namespace", 5)
        return pid

    def _start(self, argv: Sequence[str]) -> Actor:
        actor = Actor(argv, self.env)
        self.actors.append(actor)
        return actor

    def _in(self, space: int, argv: Sequence[str]) -> list[str]:
        user = [] if self._user is None else ["-U", "--preserve-credentials"]
        return ["nsenter", "-t", str(space), "-n", *user, *argv]

    def run(self, space: int, *argv: str) -> str:
        done = subprocess.run(self._in(space, argv), capture_output=True, text=True, check=False, env=self.env)
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    def ip(self, space: int, *commands: str) -> None:
        """`ip` commands, one after the other."""
        done = subprocess.run(
            self._in(space, ["ip", "-batch", "-"]),
            input="\n".join(commands) + "\n", capture_output=True, text=True, check=False, env=self.env,
        )  # fmt: skip
        assert done.returncode == 0, f"{commands}: {done.stderr}"

    def cable(self, space: int, nic: str, other: int, other_nic: str, address: str = "") -> None:
        """A cable between two namespaces, both ends up; `address` is for the other end."""
        self.ip(space, f"link add {nic} type veth peer name {other_nic} netns {other}", f"link set {nic} up")
        self.ip(other, f"link set {other_nic} up", *([f"addr add {address} dev {other_nic}"] if address else []))
        until(lambda: "LOWER_UP" in self.run(space, "ip", "link", "show", nic), "carrier", 5)

    def pair(self, address: str = "") -> tuple[int, int]:
        """A gateway whose eth1 leads to eth0 of another namespace."""
        gateway, wire = self.space(), self.space()
        self.cable(gateway, "eth1", wire, "eth0", address)
        return gateway, wire

    def switch(self, space: int, *ports: str, options: str = "") -> None:
        """A bridge br0 in `space`, up, with these of its NICs as ports."""
        self.ip(
            space,
            f"link add br0 type bridge {options}",
            "link set br0 up",
            *(f"link set {p} master br0" for p in ports),
        )

    def act(self, space: int, actor: str, wrap: Sequence[str] = (), **options: Any) -> Actor:
        """An actor of probe_actors.py; a server is awaited."""
        argv = [*wrap, sys.executable, str(ACTORS), actor, json.dumps(options)]
        started = self._start(self._in(space, argv))
        return started if actor in ("probe", "ear", "one_wire", "look") else started.ready()

    def command(self, space: int, *argv: str) -> Actor:
        return self._start(self._in(space, argv))

    def dnsmasq(self, space: int, *options: str, dhcp: bool = True) -> Path:
        """A DHCP server in `space`, serving; returns its directory, with `leases` and `log` in it."""
        home = self.tmp / f"dnsmasq-{space}"
        home.mkdir()
        # An empty group: inside a user namespace nobody may change groups.
        self.command(
            space, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--group=",
            f"--dhcp-leasefile={home}/leases", f"--pid-file={home}/pid", f"--log-facility={home}/log", "--log-dhcp",
            "--dhcp-authoritative", *options,
        )  # fmt: skip
        if dhcp:
            until(lambda: ":0043 " in Path(f"/proc/{space}/net/udp").read_text(), "dnsmasq")
        return home

    def close(self) -> None:
        for actor in reversed(self.actors):
            actor.end()
