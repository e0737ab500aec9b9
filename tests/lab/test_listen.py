"""Hearing machines that boot on the cluster wire; and whether an apply runs what the review says it will."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.support import BRIEF, EXAMPLE, NODES
from wizard.deploy import runtime_state
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab]

HERE = Path(__file__).parent
MACS = {
    "b8:ae:ed:7b:51:50": "controller",
    "c0:3f:d5:67:a7:6f": "network",
    "b8:ae:ed:7b:72:58": "compute1",
    "c0:3f:d5:67:a1:fb": "compute2",
}
# Commands that only look; all others change something, and are to be foretold.
LOOKS = re.compile(r"ip .*\bshow\b|ip -j|ifquery|nft (-[stj] )*list|unshare|ss |sysctl -n|sh \S+ status")


class Ear:
    """A running `python -m wizard.host.dhcp.discovery NIC`; all that it has said."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(json.loads(line))

    def found(self, mac: str) -> dict[str, str]:
        """All that was last said of a machine."""
        said = [each for line in self.said for each in line.get("heard", ()) if each["mac"] == mac]
        return said[-1] if said else {}

    @property
    def heard(self) -> dict[str, str]:
        return {each["mac"]: each["host_name"] for line in self.said for each in line.get("heard", ())}


@contextmanager
def ear(lab: Laboratory, nic: str) -> Iterator[Ear]:
    argv = [sys.executable, "-P", "-m", "wizard.host.dhcp.discovery", nic]
    process = lab.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    try:
        yield Ear(process)
    finally:
        process.stdin.close()
        assert process.wait(10) in (0, 1)


def sent(lab: Laboratory, nic: str) -> int:
    return int(lab.run(["cat", f"/sys/class/net/{nic}/statistics/tx_packets"]).stdout)


def test_machines_that_boot_are_heard_and_nothing_is_sent(lab: Laboratory) -> None:
    # No neighbour discovery of the kernel's own: what leaves now would be ours.
    lab.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/eth1/disable_ipv6; ip link set eth1 up"])
    with ear(lab, "eth1") as listening:
        lab.wait_for(lambda: listening.said, 10, "the word that it hears")
        before = sent(lab, "eth1")
        lab.wait_for(lambda: MACS.keys() <= listening.heard.keys(), 60, "all four nodes")
        assert sent(lab, "eth1") == before
    assert {name for name in listening.heard.values() if name} <= set(NODES)


def test_a_machine_that_has_its_address_is_heard_once_it_speaks(lab: Laboratory) -> None:
    lab.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/eth1/disable_ipv6; ip link set eth1 up"])
    with ear(lab, "eth1") as listening:
        lab.wait_for(lambda: listening.said, 10, "the word that it hears")
        before = sent(lab, "eth1")
        lab.machine("add", "settled", "--mac", "c0:3f:d5:67:a2:07", "--address", "192.168.0.7/24")
        # It looks for a gateway that is not there yet.
        lab.run(["ping", "-n", "-c", "1", "-W", "1", "192.168.0.200"], netns="settled", check=False)
        lab.wait_for(lambda: listening.found("c0:3f:d5:67:a2:07").get("ip") == "192.168.0.7", 20, "the settled one")
        lab.wait_for(lambda: MACS.keys() & listening.heard.keys(), 60, "one that boots")
        assert sent(lab, "eth1") == before


def test_an_ear_on_a_nic_that_is_down_or_gone_says_so(lab: Laboratory) -> None:
    lab.run(["ip", "link", "set", "eth1", "up"])
    with ear(lab, "eth1") as listening:
        lab.wait_for(lambda: listening.said, 10, "the word that it hears")
        lab.run(["ip", "link", "set", "eth1", "down"])
        lab.wait_for(lambda: "error" in listening.said[-1], 10, "the reason")
        assert listening.said[-1]["error"] == "eth1 is down, and hears nothing"
    with ear(lab, "eth9") as nobody:
        lab.wait_for(lambda: nobody.said, 10, "the reason")
        assert nobody.said[-1]["error"] == "there is no NIC eth9 any more"


def test_an_apply_runs_what_was_foretold(lab: Laboratory) -> None:
    # By that word in its command line the engine's process is known.
    script = [sys.executable, str(HERE / "preview_actor.py"), str(EXAMPLE), runtime_state.ENGINE_COMMAND]
    told = json.loads(lab.run(script, env=BRIEF, timeout=90).stdout.splitlines()[-1])
    assert told["ended"] == 0, told["said"]
    assert [step["name"] for step in told["foretold"]] == list(told["ran"])
    for step in told["foretold"]:
        foretold = [line.removeprefix("$ ") for line in step["lines"] if line.startswith("$ ")]
        changing = [line for line in told["ran"][step["name"]] if not LOOKS.match(line)]
        if step["needed"] is False:
            assert changing == [], step["name"]
        else:
            # Detached programs are started through a shell that only opens their log.
            assert len(changing) == len(foretold), (step["name"], changing, foretold)
            assert all(words_in(line, ran) for line, ran in zip(foretold, changing, strict=True)), (foretold, changing)
        written = [line.removeprefix("writes ") for line in step["lines"] if line.startswith("writes ")]
        assert all(lab.run(["test", "-s", path], check=False).returncode == 0 for path in written), written


def words_in(foretold: str, ran: str) -> bool:
    """Whether the words of one command come in another, in their order."""
    words = iter(ran.split())
    return all(word in words for word in foretold.split())
