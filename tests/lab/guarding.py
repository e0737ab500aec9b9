"""What the tests of the guard share: its state, the packet filter's, and what is heard on the wires."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.lab.support import HERE, LEASES
from wizard.lab.control import Laboratory
from wizard.lab.world import LAPTOP_MACS

ACTORS = HERE / "wire_actors.py"
RUN = "/run/ciao-wizard"
OURS = frozenset(LAPTOP_MACS.values())


class Actor:
    """A running wire_actors.py; `end` says what it saw."""

    def __init__(self, lab: Laboratory, netns: str | None, *argv: str) -> None:
        self.process = lab.popen(
            [sys.executable, str(ACTORS), *argv],
            netns=netns,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "ready\n", line + (self.process.stderr.read() if self.process.stderr else "")

    def end(self) -> Any:
        """Tell it to end. Fails where it broke off."""
        out, err = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, err
        return json.loads(out.splitlines()[-1])

    def wait(self) -> Any:
        """Let it come to its own end, which it must have been told of."""
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        assert self.process.wait() == 0, self.process.stderr.read() if self.process.stderr else ""
        return json.loads(out.splitlines()[-1])


@contextmanager
def actor(lab: Laboratory, netns: str | None, *argv: str) -> Iterator[Actor]:
    made = Actor(lab, netns, *argv)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
        made.process.communicate()


def asking(lab: Laboratory, netns: str, **told: Any) -> Any:
    """Machines that ask on eth0 of a namespace, see wire_actors.ask."""
    return actor(lab, netns, "ask", "eth0", json.dumps(told))


def hearing(lab: Laboratory, netns: str) -> Any:
    return actor(lab, netns, "hear")


def from_us(heard: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What servers on this laptop said: whatever left a NIC of the laptop's."""
    return [frame for frame in heard if frame["source"] in OURS]


def macs(count: int, prefix: str = "02:00:00:00") -> list[str]:
    return [f"{prefix}:{number >> 8:02x}:{number & 255:02x}" for number in range(1, count + 1)]


# The guard's state


def told(lab: Laboratory) -> dict[str, Any]:
    """serve.json, or {} while there is none."""
    text = lab.run(["cat", f"{RUN}/serve.json"], check=False).stdout
    return json.loads(text) if text else {}


def is_running(lab: Laboratory, process: dict[str, Any] | None) -> bool:
    if not process:
        return False
    stat = lab.run(["cat", f"/proc/{process['pid']}/stat"], check=False).stdout.rpartition(")")[2].split()
    return bool(stat) and stat[0] not in "ZX" and int(stat[19]) == process["started"]


def rests(lab: Laboratory, process: dict[str, Any] | None) -> bool:
    """Whether somebody has stopped this process in its tracks."""
    if not process or not is_running(lab, process):
        return False
    return lab.run(["cat", f"/proc/{process['pid']}/stat"]).stdout.rpartition(")")[2].split()[0] == "T"


def muter(lab: Laboratory) -> int | None:
    """The process number of the guard's muter."""
    pid = told(lab)["process"]["pid"]
    children = lab.run(["cat", f"/proc/{pid}/task/{pid}/children"], check=False).stdout.split()
    for child in children:
        if "wizard.host.muter_process" in lab.run(["cat", f"/proc/{child}/cmdline"], check=False).stdout:
            return int(child)
    return None


def await_mode(lab: Laboratory, mode: str, deadline: float = 15, **more: str) -> dict[str, Any]:
    """Wait until the guard says a mode (and code), and return all that it says."""

    def reached() -> Any:
        now = told(lab)
        said = now.get("mode") == mode and all(now.get(k) == v for k, v in more.items())
        # What one that was killed has left there does not count.
        return now if said and is_running(lab, now["process"]) else None

    try:
        found: dict[str, Any] = lab.wait_for(reached, deadline, f"mode {mode} {more}")
    except AssertionError as error:
        error.add_note(f"it says {told(lab)}\n{lab.run(['cat', f'{RUN}/serve.log'], check=False).stdout[-3000:]}")
        raise
    return found


def armed(lab: Laboratory) -> bool:
    """Whether the kernel lets our answers out by any NIC."""
    return "elements" in lab.run(["nft", "list", "set", "inet", "ciao_gateway", "armed"], check=False).stdout


def muted(lab: Laboratory) -> int:
    """How many answers the packet filter has held back."""
    listed = lab.run(["nft", "list", "counter", "inet", "ciao_gateway", "muted"]).stdout
    return int(listed.split("packets")[1].split()[0])


def seconds_until(condition: Callable[[], Any], since: float, deadline: float = 15, what: str = "it") -> float:
    """Seconds from `since` (monotonic) until a condition holds."""
    while not condition():
        assert time.monotonic() - since < deadline, f"{what} did not come true in {deadline:g} s"
        time.sleep(0.01)
    return time.monotonic() - since


def steadily(condition: Callable[[], Any], seconds: float) -> bool:
    """Whether a condition holds all the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not condition():
            return False
        time.sleep(0.05)
    return True


def start_serve(lab: Laboratory) -> None:
    """What the service does at boot: the guard, by itself."""
    serve = f"exec {sys.executable} -P -m wizard serve >>{RUN}/serve.log 2>&1"
    lab.run(["setsid", "-f", "sh", "-c", serve], env={"CIAO_LAB_PROBE_WAIT": "0.5"})


def kill(lab: Laboratory, process: dict[str, Any], signal: str) -> None:
    lab.run(["sh", "-c", f"kill -{signal} {process['pid']}"])


def sh(lab: Laboratory, script: str, check: bool = True) -> str:
    """Commands in the laptop's place, and what they say. With `check`, fails at the first that fails."""
    return lab.run(["sh", "-ec" if check else "-c", script], check=check).stdout


def report(text: str) -> None:
    """A figure, for whoever runs pytest with -s or reads the log of a soak."""
    sys.stdout.write(f"\n  {text}\n")


def exchange_names(lab: Laboratory) -> None:
    """eth0 is called eth1 from now on and eth1 eth0, each up again as it was."""
    names = "ip link set eth0 name other; ip link set eth1 name eth0; ip link set other name eth1"
    sh(lab, f"ip link set eth0 down; ip link set eth1 down; {names}; ip link set eth0 up; ip link set eth1 up")


# Who is answered

STRANGERS = macs(20, "00:aa:00:00")
VMS = macs(5, "02:00:00:00")


def had_a_lease(lab: Laboratory, clients: list[str]) -> None:
    """Whoever has a lease is answered at once, and not after the three seconds that dnsmasq looks whether an address
    is free: what is not answered then is not answered at all."""
    lines = "".join(f"2000000000 {mac} 192.168.0.{66 + number} * *\n" for number, mac in enumerate(clients))
    lab.run(["sh", "-c", f"cat >{LEASES}"], input=lines)
