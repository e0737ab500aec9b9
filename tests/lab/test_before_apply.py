"""What is on the wires before an apply: refused with its name, and nothing of the machine is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from tests.lab.guarding import RUN, sh
from tests.lab.support import EXAMPLE, NODES, apply, await_nodes, ciao, differences, reset, whole
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("before")]

Undone = AbstractContextManager[None]


@pytest.fixture(scope="module")
def fresh(lab_possible: None) -> Iterator[Laboratory]:
    """Nothing is ever applied here. A rogue sits on the cluster's switch, with an address of its own."""
    with Laboratory() as lab:
        lab.machine("add", "rogue", "--mac", "00:1b:21:00:00:66", "--address", "10.9.0.1/24")
        yield lab


@contextmanager
def between(lab: Laboratory, wrong: str, right: str) -> Iterator[None]:
    sh(lab, wrong)
    try:
        yield
    finally:
        sh(lab, right)


def joined_switches(lab: Laboratory) -> Undone:
    return between(lab, "machine join", "machine part")


def one_bridge(lab: Laboratory) -> Undone:
    both = "ip link set eth0 master br0; ip link set eth1 master br0"
    return between(lab, f"ip link add br0 type bridge; {both}", "ip link delete br0")


def swapped_cables(lab: Laboratory) -> Undone:
    return between(
        lab,
        "machine move eth1 corporate; machine move eth0 cluster",
        "machine move eth0 corporate; machine move eth1 cluster",
    )


LEASES, LOG = "/run/ciao-lab/rogue.leases", "/run/ciao-lab/log/rogue-dnsmasq.log"


@contextmanager
def server_on_the_cluster(lab: Laboratory) -> Iterator[None]:
    """A dnsmasq that knows nothing of us, three seconds slow as they are."""
    argv = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--group="]
    argv += [f"--dhcp-leasefile={LEASES}", "--pid-file=", f"--log-facility={LOG}", "--interface=eth0", "--no-ping"]
    process = lab.popen([*argv, "--dhcp-range=10.9.0.20,10.9.0.220,255.255.255.0,2m"], netns="rogue")
    try:
        listening = ["ss", "-H", "-lun", "sport = :67"]
        lab.wait_for(lambda: lab.run(listening, netns="rogue").stdout, 10, "the rogue's server")
        yield
        assert sh(lab, f"cat {LEASES}") == "", "the probe took a lease"
    finally:
        process.kill()
        process.wait()
        sh(lab, f"rm -f {LEASES} {LOG}")


CASES: list[tuple[Callable[[Laboratory], Undone], list[str]]] = [
    (joined_switches, ["both NICs are on one network", "eth0", "eth1"]),
    (one_bridge, ["br0", "eth1"]),
    (swapped_cables, ["swapped", "10.77.0.1", "eth1"]),
    (server_on_the_cluster, ["answers on the cluster network, eth1", "10.9.0.1 (00:1b:21:00:00:66)", "10.9.0."]),
]


@pytest.mark.parametrize(("wrong", "words"), CASES, ids=[case[0].__name__ for case in CASES])
def test_it_is_refused_in_words_and_nothing_is_changed(
    fresh: Laboratory, wrong: Callable[[Laboratory], Undone], words: list[str]
) -> None:
    with wrong(fresh):
        before = lasting(whole(fresh))
        done = ciao(fresh, "apply", "-c", str(EXAMPLE), "--yes")
        after = lasting(whole(fresh))
    assert done.returncode == 1, done.stdout + done.stderr
    said = " ".join(done.stderr.split())
    assert not [word for word in words if word not in said], said
    assert "Traceback" not in said
    assert "loaded in one transaction" not in said, "it went further than to the wires"
    assert not differences(before, after)


def lasting(machine: dict[str, Any]) -> dict[str, Any]:
    """Without the machines' clients, who ask again and again, and what a run says of itself."""
    return {
        **machine,
        "files": {path: what for path, what in machine["files"].items() if not path.startswith(RUN)},
        "processes": [line for line in machine["processes"] if "udhcpc" not in line],
    }


def test_after_that_the_same_plan_is_applied_and_given_back(fresh: Laboratory) -> None:
    """The proof that the refusals above were about the wires, and about nothing else."""
    before = lasting(whole(fresh))
    apply(fresh)
    for name in NODES:
        # They have taken what the rogue gave them.
        fresh.machine("reboot", name)
    await_nodes(fresh)
    reset(fresh)
    assert not differences(before, lasting(whole(fresh)))
