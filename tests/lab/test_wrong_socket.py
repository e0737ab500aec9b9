"""The cluster's cable in a corporate socket where nobody answers a probe: silence there proves nothing.

Many offices hand out addresses to registered machines alone; here their server is stopped, which sounds the same.
"""

from __future__ import annotations

import pytest

from tests.lab.guarded import hidden as hidden
from tests.lab.guarding import armed, asking, await_mode, rests, sh, told
from tests.lab.support import apply, await_nodes
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("wrong-socket")]

VM = "02:42:0a:4d:00:07"


def offers(lab: Laboratory, seconds_of: str) -> dict[str, list[list[str]]]:
    """What a virtual machine in the office is offered while that lasts."""
    with asking(lab, "colleague", macs=[VM], every=0.1) as asked:
        lab.run(["sh", "-c", seconds_of])
        found = asked.end()
    return {mac: seen["offers"] for mac, seen in found.items()}


@pytest.mark.parametrize("corporate", ["unplug eth0", "move eth0 cluster"], ids=["pulled", "swapped"])
def test_it_stays_mute_until_a_node_is_heard(hidden: Laboratory, corporate: str) -> None:
    lab = hidden
    # Never both in one switch: that would be heard at once.
    lab.machine("unplug", "eth1")
    lab.machine(*corporate.split())
    lab.machine("move", "eth1", "corporate")
    # The lease is over, as it must be some time: no server gave this address, so far as anybody can tell.
    sh(
        lab,
        "pkill dhclient; pkill udhcpc; ip address flush dev eth0; ip address add 10.77.0.98/24 dev eth0",
        check=False,
    )
    reasons: list[str] = []

    def hears_nodes() -> bool:
        reasons.append(told(lab)["reason"])
        return "nodes is heard" in reasons[-1]

    try:
        lab.wait_for(hears_nodes, 60)
    except AssertionError:
        pytest.fail("\n".join(dict.fromkeys(reasons)))
    # Another round of asking brings nothing new.
    assert offers(lab, "sleep 4") == {VM: []}
    assert not armed(lab)
    lab.machine("unplug", "eth0")
    lab.machine("move", "eth1", "cluster")
    await_mode(lab, "armed", deadline=60)
    lab.machine("reboot", "compute1")
    await_nodes(lab)


def test_while_mute_not_even_a_flushed_packet_filter_lets_anything_out(hidden: Laboratory) -> None:
    """What hooks at a link's coming load often begins with `flush ruleset`."""
    lab = hidden
    lab.machine("unplug", "eth0")
    lab.machine("move", "eth1", "corporate")
    await_mode(lab, "muted")
    lab.wait_for(lambda: rests(lab, told(lab)["dnsmasq"]), 5, "dnsmasq at rest")
    heard = offers(lab, "for i in 1 2 3 4 5 6; do nft flush ruleset; sleep 0.5; done")
    assert heard == {VM: []}, sh(lab, "cat /run/ciao-wizard/serve.log")


def test_on_the_road_idle_nodes_are_asked_for_a_sign_of_life(lab: Laboratory) -> None:
    """The corporate NIC is off, and the nodes have their leases and say nothing by themselves."""
    apply(lab)
    await_nodes(lab)
    await_mode(lab, "armed")
    sh(lab, "ip link set eth0 down")
    lab.machine("unplug", "eth1")
    await_mode(lab, "muted")
    lab.machine("plug", "eth1")
    await_mode(lab, "armed", deadline=60)
