"""Which pattern two results make, and the words for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from wizard.host.dhcp.cabling import CablingPattern, CablingProbe, classify, explain
from wizard.host.dhcp.probe import Cause, DhcpServerSeen, ProbeCoverage, ProbeOutcome, ProbeResult

COMPANY = DhcpServerSeen("10.77.0.1", "10.77.0.1", "00:1b:21:3c:9d:10", "10.77.0.98", 0.12)
OTHER = DhcpServerSeen("192.168.1.1", "192.168.1.1", "00:1b:21:00:00:01", "192.168.1.50", 3.01)


def result(nic: str, what: DhcpServerSeen | Cause | None) -> ProbeResult:
    if isinstance(what, DhcpServerSeen):
        return ProbeResult(nic, ProbeOutcome.ANSWER, 0.1, (what,))
    if isinstance(what, Cause):
        return ProbeResult(nic, ProbeOutcome.UNKNOWN, 0.0, reason="a reason", cause=what)
    return ProbeResult(nic, ProbeOutcome.SILENCE, 12.0)


def wires(corporate: Any, cluster: Any, one_wire: bool | None = False, lease: bool = False) -> CablingProbe:
    heard = result("eth0", corporate), result("eth1", cluster)
    return CablingProbe(*heard, one_wire, classify(*heard, one_wire, lease), lease)


CASES = [
    (wires(COMPANY, None), CablingPattern.AS_IT_SHOULD_BE, True),
    (wires(COMPANY, None, lease=True), CablingPattern.AS_IT_SHOULD_BE, True),
    (wires(None, None), CablingPattern.CORPORATE_WITHOUT_DHCP, True),
    (wires(None, None, lease=True), CablingPattern.COULD_NOT_TELL, False),
    (wires(None, COMPANY), CablingPattern.SWAPPED, False),
    (wires(None, COMPANY, lease=True), CablingPattern.SWAPPED, False),
    (wires(COMPANY, OTHER), CablingPattern.CORPORATE_CABLE_IN_CLUSTER_SWITCH, False),
    (wires(Cause.NO_CARRIER, COMPANY, None), CablingPattern.CORPORATE_CABLE_IN_CLUSTER_SWITCH, False),
    (wires(COMPANY, COMPANY), CablingPattern.ONE_NETWORK, False),
    (wires(COMPANY, None, True), CablingPattern.ONE_NETWORK, False),
    (wires(None, None, True), CablingPattern.ONE_NETWORK, False),
    (wires(Cause.STOPPED, Cause.STOPPED, True), CablingPattern.ONE_NETWORK, False),
    (wires(COMPANY, Cause.NO_CARRIER, None), CablingPattern.NO_CARRIER, False),
    (wires(Cause.NO_CARRIER, None, None), CablingPattern.NO_CARRIER, False),
    (wires(COMPANY, Cause.LINK_LOST), CablingPattern.COULD_NOT_TELL, False),
    (wires(Cause.DOWN, None, None), CablingPattern.COULD_NOT_TELL, False),
    (wires(COMPANY, None, None), CablingPattern.COULD_NOT_TELL, False),
    (wires(None, None, None), CablingPattern.COULD_NOT_TELL, False),
]


@pytest.mark.parametrize(("seen", "pattern", "may_serve"), CASES)
def test_the_pattern_and_whether_serving_is_safe(seen: CablingProbe, pattern: CablingPattern, may_serve: bool) -> None:
    assert (seen.pattern, seen.may_serve) == (pattern, may_serve)


def test_one_server_behind_two_relays_is_not_one_network() -> None:
    other_side = DhcpServerSeen("10.77.0.1", "10.77.9.1", COMPANY.source_mac, "10.77.9.50", 0.2, relay="10.77.9.1")
    assert wires(COMPANY, other_side).pattern is CablingPattern.CORPORATE_CABLE_IN_CLUSTER_SWITCH


def test_serving_needs_silence_and_two_wires_whatever_the_pattern_says() -> None:
    for cluster, one in ((COMPANY, False), (Cause.STOPPED, False), (None, None), (None, True)):
        heard = result("eth0", COMPANY), result("eth1", cluster)
        assert not CablingProbe(*heard, one, CablingPattern.AS_IT_SHOULD_BE).may_serve


@pytest.mark.parametrize(("seen", "pattern", "may_serve"), CASES)
def test_every_pattern_is_explained(seen: CablingProbe, pattern: CablingPattern, may_serve: bool) -> None:
    title, text, remedy = explain(seen)
    assert title
    assert "eth0" in text
    assert "eth1" in text
    assert title.startswith("STOP") == (
        not may_serve and pattern not in (CablingPattern.NO_CARRIER, CablingPattern.COULD_NOT_TELL)
    )
    assert bool(remedy) == (pattern is not CablingPattern.AS_IT_SHOULD_BE)


def test_who_answered_on_the_cluster_wire_is_said() -> None:
    _, text, _ = explain(wires(None, COMPANY))
    assert "10.77.0.1 (00:1b:21:3c:9d:10) offered 10.77.0.98 after 0.1 s" in text
    _, text, _ = explain(wires(COMPANY, OTHER))
    assert "offered 10.77.0.98" in text
    assert "offered 192.168.1.50" in text


ASKED = ProbeCoverage(nodes=4, of=4, vms=1, gateway="192.168.0.200")
TWIN = DhcpServerSeen("192.168.0.200", "192.168.0.200", "00:1b:21:00:00:02", "192.168.0.101", 0.3, client="compute1")


def met(what: DhcpServerSeen | Cause) -> CablingProbe:
    heard = result("eth0", COMPANY), replace(result("eth1", what), asked=ASKED, holder=TWIN.source_mac)
    return CablingProbe(*heard, False, classify(*heard, False, False))


@pytest.mark.parametrize(
    ("what", "pattern", "words"),
    [
        (TWIN, CablingPattern.ANOTHER_GATEWAY, "a second laptop with the same plan"),
        (Cause.ANOTHER_GATEWAY, CablingPattern.ANOTHER_GATEWAY, "Two gateways"),
        (Cause.ADDRESS_TAKEN, CablingPattern.ADDRESS_TAKEN, "a reason"),
        (Cause.ROUTER, CablingPattern.ROUTER_ON_CLUSTER_WIRE, "with a router"),
    ],
)
def test_who_else_is_on_the_cluster_wire_has_words_of_its_own(what: Any, pattern: CablingPattern, words: str) -> None:
    seen = met(what)
    title, text, remedy = explain(seen)
    assert (seen.pattern, seen.may_serve) == (pattern, False)
    assert title.startswith("STOP")
    assert words in text
    assert remedy
    if pattern is CablingPattern.ANOTHER_GATEWAY:
        assert "00:1b:21:00:00:02, Intel Corporate" in remedy


def test_a_server_without_a_name_is_not_taken_for_a_gateway_that_was_not_asked_for() -> None:
    assert wires(COMPANY, replace(OTHER, server_id="")).pattern is CablingPattern.CORPORATE_CABLE_IN_CLUSTER_SWITCH


def test_silence_says_for_whom_was_asked() -> None:
    assert replace(result("eth1", None), asked=ASKED).in_words() == "silent for 12 s, asked for 4 of 4 nodes too"


def test_the_dead_nic_is_named() -> None:
    assert explain(wires(COMPANY, Cause.NO_CARRIER, None)).title == "No carrier on eth1 (cluster)"
    assert explain(wires(Cause.NO_CARRIER, None, None)).title == "No carrier on eth0 (company network)"


def test_a_hidden_server_is_told_from_a_dead_link() -> None:
    assert "got its address from a DHCP server" in explain(wires(None, None, lease=True)).text
    assert "a reason" in explain(wires(COMPANY, Cause.LINK_LOST)).text
    assert "could not be tested" in explain(wires(COMPANY, None, None)).text


def test_a_hostile_name_steers_no_terminal() -> None:
    bad = "e\x1b]0;x\x07\u202e"
    for cluster in (result(bad, None), result(bad, COMPANY), result(bad, Cause.NO_CARRIER), result(bad, Cause.DOWN)):
        corporate = result(bad, COMPANY)
        for one in (True, False, None):
            seen = CablingProbe(corporate, cluster, one, classify(corporate, cluster, one, False))
            assert all(part.replace("\n", "").isprintable() for part in explain(seen))


def test_what_a_server_did_is_said() -> None:
    assert TWIN.in_words() == "192.168.0.200 (00:1b:21:00:00:02) offered 192.168.0.101 to compute1 after 0.3 s"
    assert "answered without an address" in replace(TWIN, offered_ip="0.0.0.0").in_words()  # noqa: S104
    assert "answered another machine" in replace(TWIN, overheard=True).in_words()


def test_the_json_of_a_probe() -> None:
    relayed = DhcpServerSeen("", "10.77.9.1", "00:1b:21:3c:9d:10", "10.77.0.98", 0.123456, relay="10.77.9.1")
    assert ProbeResult("eth0", ProbeOutcome.ANSWER, 0.2, (relayed,)).as_json() == {
        "nic": "eth0",
        "verdict": "answer",
        "waited_s": 0.2,
        "servers": [
            {
                "server_id": None,
                "source_ip": "10.77.9.1",
                "source_mac": "00:1b:21:3c:9d:10",
                "offered_ip": "10.77.0.98",
                "delay_s": 0.123,
                "relay": "10.77.9.1",
                "vlan": None,
                "overheard": False,
                "client": None,
            }
        ],
        "reason": "",
        "cause": None,
        "holder": None,
        "asked": {"nodes": 0, "of": 0, "vms": 0, "gateway": ""},
    }
    assert result("eth0", Cause.NO_CARRIER).as_json()["cause"] == "no-carrier"


def test_half_a_line_says_what_the_wire_said() -> None:
    assert result("eth0", COMPANY).in_words() == "DHCP: 10.77.0.1"
    assert result("eth1", None).in_words() == "silent for 12 s"
    assert result("eth1", Cause.DOWN).in_words() == "could not tell: a reason"
