"""firewalld next to the gateway: it accepts by policy and rejects at the end, and is asked in its own words."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.lab.asking_again import await_answer
from tests.lab.support import (
    TRAFFIC,
    Question,
    apply,
    await_nodes,
    differences,
    laptop_services,
    page,
    reset,
    route_to_the_nodes,
    whole,
    wrong,
)
from tests.needs import need
from wizard.lab.control import Laboratory
from wizard.lab.world import COLLEAGUE_ADDRESS, LAPTOP_ADDRESS

pytestmark = pytest.mark.lab


@contextmanager
def firewalld(lab: Laboratory) -> Iterator[None]:
    """It and the bus it is spoken to by. SSH is open to the office, by its default zone."""
    need("firewalld", "firewall-cmd", "dbus-daemon")
    with ExitStack() as stack:
        lab.run(["mkdir", "-p", "/run/dbus"])
        for argv in (["dbus-daemon", "--system", "--nofork", "--nopidfile"], ["firewalld", "--nofork", "--nopid"]):
            process = lab.popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
            if argv[0] == "dbus-daemon":
                lab.wait_for(
                    lambda: lab.run(["test", "-S", "/run/dbus/system_bus_socket"], check=False).returncode == 0
                )
        lab.wait_for(lambda: said(lab, "--state") == "running", 60, "firewalld")
        yield


def said(lab: Laboratory, *argv: str) -> str:
    return lab.run(["firewall-cmd", *argv], check=False).stdout.strip()


def zone(lab: Laboratory) -> str:
    return said(lab, "--get-zone-of-interface=eth1")


THEIRS = {
    "SSH is open to the office": Question(
        "colleague", "fetch", f"http://{LAPTOP_ADDRESS}:22/", page("laptop", 22, LAPTOP_ADDRESS, COLLEAGUE_ADDRESS)
    ),
    "nothing else is": Question("colleague", "fetch", f"http://{LAPTOP_ADDRESS}:3000/"),
}
CUT = "a node asks the gateway's DNS"


@pytest.mark.parametrize("first", ["", "internal"], ids=["no zone", "a zone of one's own"])
def test_firewalld_lets_the_cluster_through_and_gets_its_zones_back(lab: Laboratory, first: str) -> None:
    with laptop_services(lab), firewalld(lab):
        if first:
            said(lab, "--permanent", f"--zone={first}", "--change-interface=eth1")
        said(lab, "--reload")
        assert zone(lab) == first
        before = whole(lab)
        assert wrong(lab, THEIRS) == {}

        apply(lab)
        await_nodes(lab)
        route_to_the_nodes(lab)
        assert wrong(lab, TRAFFIC | THEIRS) == {}
        assert zone(lab) == "trusted"

        if first:
            # The note of what was there is wiped; the journal has it.
            lab.run(["sh", "-c", "rm /run/ciao-wizard/firewalld.*"])
        else:
            # It forgets ours, and the guard tells it again.
            said(lab, "--reload")
            lab.wait_for(lambda: zone(lab) == "trusted", 60, "the guard's word to firewalld")
            await_answer(lab, CUT)
        reset(lab)
        assert zone(lab) == first
        # The chains of a zone that was used once stay with it until then.
        said(lab, "--reload")
        assert differences(before, whole(lab)) == []
        assert wrong(lab, THEIRS) == {}
