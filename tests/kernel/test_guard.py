"""What leaves the gateway under a release's own kernel: DHCP answers by the armed NIC, refusals for our nodes."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.kernel import wires
from tests.kernel.wires import (
    CONTROLLER,
    CONTROLLER_MAC,
    NODE,
    OFFICE,
    dhcp_answer,
    frames_of,
    plan_with,
    router_advertisements,
    run,
    say,
    say_ipv6,
    script_of,
    udp_from,
)
from wizard.host.net import gateway_rules, nft_armed_set

STRANGER_MAC = "02:42:0a:4d:00:07"
OFFER, ACK, NAK = 2, 5, 6
IN_USE = "address in use"
REASONS = (
    *("wrong network", "wrong address", "wrong server-ID"),
    *("address not available", "unknown lease", "lease not found"),
)
"""Why dnsmasq refuses, in its own words; and IN_USE."""


@pytest.fixture(scope="module", autouse=True)
def rules(kernel: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    script = script_of(plan_with(), tmp_path_factory.mktemp("plan"))
    with wires.laid(), wires.loaded(script):
        yield script


@pytest.fixture(autouse=True)
def muted(rules: str) -> None:
    nft_armed_set.disarm()


def arm_nic(nic: str = "eth1", seconds: float = 3600) -> None:
    nft_armed_set.arm(socket.if_nametoindex(nic), seconds)


def arm_by_nft(nic: str) -> None:
    run("nft", f"add element inet ciao_gateway armed {{ {nic} timeout 1h }}")


def answers(what: Callable[[], object]) -> dict[str, int]:
    """How many DHCP answers come to each end."""

    def do() -> None:
        what()

    return {end: len(udp_from(frames, 67, 547)) for end, frames in frames_of(do).items()}


def everything(nic: str) -> None:
    for kind in (OFFER, ACK, NAK):
        say(nic, dhcp_answer(kind, CONTROLLER_MAC, yours="192.168.0.101"))
    say_ipv6(nic)


def test_without_the_rules_all_of_it_is_heard(rules: str) -> None:
    """What the other tests see is the rules' doing."""
    run("sh", rules, "down")
    try:
        for nic, end in (("eth0", OFFICE), ("eth1", NODE)):
            heard = frames_of(partial(everything, nic))
            assert len(udp_from(heard[end], 67)) == 3
            assert len(udp_from(heard[end], 547)) == 1
            assert len(router_advertisements(heard[end])) == 1
    finally:
        run("sh", rules, "up")


@pytest.mark.parametrize("nic", ["eth0", "eth1"])
def test_nothing_is_heard_on_either_wire_while_nothing_is_armed(nic: str) -> None:
    before = gateway_rules.counters()["muted"]
    heard = frames_of(partial(everything, nic))
    for frames in heard.values():
        assert not udp_from(frames, 67, 547)
        assert not router_advertisements(frames)
    assert gateway_rules.counters()["muted"] == before + 5


def test_nothing_is_heard_on_the_corporate_wire_whatever_is_armed() -> None:
    for arm in (arm_nic, partial(arm_by_nft, "eth0"), partial(arm_nic, "eth0")):
        arm()
        astray = gateway_rules.counters()["astray"]
        assert answers(partial(everything, "eth0")) == {OFFICE: 0, NODE: 0}
        assert gateway_rules.counters()["astray"] > astray


def test_an_offer_leaves_by_the_nic_that_nft_armed() -> None:
    offer = dhcp_answer(OFFER, STRANGER_MAC, yours="192.168.0.70")
    arm_by_nft("eth1")
    assert answers(partial(say, "eth1", offer)) == {OFFICE: 0, NODE: 1}
    run("nft", "flush set inet ciao_gateway armed")
    assert answers(partial(say, "eth1", offer)) == {OFFICE: 0, NODE: 0}


def test_an_offer_leaves_by_the_nic_that_we_armed_until_we_mute_it() -> None:
    offer = dhcp_answer(OFFER, STRANGER_MAC, yours="192.168.0.70")
    for _ in range(2):
        arm_nic()
        # Anew, while it is armed.
        arm_nic()
        assert answers(partial(say, "eth1", offer)) == {OFFICE: 0, NODE: 1}
        assert answers(partial(say, "eth1", offer, CONTROLLER)) == {OFFICE: 0, NODE: 1}
        nft_armed_set.disarm()
        assert answers(partial(say, "eth1", offer)) == {OFFICE: 0, NODE: 0}


def test_what_is_armed_runs_out_by_itself() -> None:
    offer = dhcp_answer(OFFER, STRANGER_MAC, yours="192.168.0.70")
    arm_nic("eth1", 0.3)
    deadline = time.monotonic() + wires.ANSWER_S
    while say("eth1", offer):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not nft_armed_set.list_elements()
    assert answers(partial(say, "eth1", offer)) == {OFFICE: 0, NODE: 0}


@pytest.mark.parametrize("reason", [*REASONS, IN_USE, ""])
def test_a_node_of_the_plan_is_refused(reason: str) -> None:
    arm_nic()
    before = gateway_rules.counters()["refused_nak"]
    assert answers(partial(say, "eth1", dhcp_answer(NAK, CONTROLLER_MAC, reason))) == {OFFICE: 0, NODE: 1}
    assert gateway_rules.counters()["refused_nak"] == before


@pytest.mark.parametrize("reason", [*REASONS, "", "address in us", "addressing use"])
def test_a_stranger_is_not_refused(reason: str) -> None:
    arm_nic()
    before = gateway_rules.counters()["refused_nak"]
    assert answers(partial(say, "eth1", dhcp_answer(NAK, STRANGER_MAC, reason))) == {OFFICE: 0, NODE: 0}
    assert gateway_rules.counters()["refused_nak"] == before + 1


def test_a_stranger_hears_that_an_address_is_in_use() -> None:
    arm_nic()
    assert answers(partial(say, "eth1", dhcp_answer(NAK, STRANGER_MAC, IN_USE))) == {OFFICE: 0, NODE: 1}


def test_refusals_are_held_back_with_the_rest() -> None:
    for mac, reason in ((CONTROLLER_MAC, "wrong network"), (STRANGER_MAC, IN_USE)):
        for nic in ("eth0", "eth1"):
            assert answers(partial(say, nic, dhcp_answer(NAK, mac, reason))) == {OFFICE: 0, NODE: 0}
