"""Gateways that are guarded, for several tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.guarding import (
    STRANGERS,
    VMS,
    await_mode,
    had_a_lease,
    is_running,
    kill,
    sh,
    start_serve,
    told,
)
from tests.lab.support import apply, await_nodes
from wizard.lab.control import Laboratory

GATEWAY = "192.168.0.200"


@pytest.fixture(scope="module")
def world(lab_possible: None) -> Iterator[Laboratory]:
    """The example, applied; the nodes have their leases. A rogue sits on each switch, without an address."""
    with Laboratory() as lab:
        had_a_lease(lab, [*STRANGERS, *VMS])
        apply(lab)
        await_nodes(lab)
        lab.machine("add", "rogue", "--mac", "00:1b:21:00:00:66", "--no-dhcp")
        lab.machine("add", "guest", "--mac", "00:1b:21:00:00:67", "--no-dhcp", "--switch", "corporate")
        yield lab


@pytest.fixture
def served(world: Laboratory) -> Laboratory:
    """Armed, whatever the test before did to cables, addresses and the guard."""
    sh(world, "machine part; machine move eth1 cluster; machine plug eth1; machine plug eth0", check=False)
    sh(world, f"ip route del default dev eth1; ip address del {GATEWAY}/24 dev eth0", check=False)
    state = told(world)
    if state["mode"] == "tripped":
        # Quicker than an apply, which another test is about.
        kill(world, state["process"], "TERM")
        world.wait_for(lambda: not is_running(world, state["process"]))
        sh(world, "rm /var/lib/ciao-wizard/tripped.json")
    if not is_running(world, state["process"]):
        start_serve(world)
    await_mode(world, "armed")
    return world


@pytest.fixture
def hidden(lab: Laboratory) -> Iterator[Laboratory]:
    """An applied gateway that has seen the office's server, which from now on answers nobody."""
    apply(lab)
    await_nodes(lab)
    await_mode(lab, "armed")
    server = sh(lab, "pgrep -f '[d]nsmasq -C /run/ciao-lab/corporate-dnsmasq.conf'").split()
    sh(lab, f"kill -STOP {' '.join(server)}")
    yield lab
    sh(lab, f"kill -CONT {' '.join(server)}")
