"""When a port is known to forward: by frames of each kind, and by their absence."""

from __future__ import annotations

import pytest

from wizard.host.net.spanning_tree import HEAD, NO_BPDU_S, PortEvidence, parse_bpdu

OURS = bytes.fromhex("02bb00000001")
SWITCH = bytes.fromhex("02000000cc01")
NODE = bytes.fromhex("02aa00000101")
GROUP, CISCO = bytes.fromhex("0180c2000000"), bytes.fromhex("01000ccccccd")
SETTLED, PATIENCE = 12.0, 35.0
HELD, FORWARDS = 0x0E, 0x3C


def llc(to: bytes, header: str, body: bytes) -> bytes:
    payload = bytes.fromhex(header) + body
    return to + SWITCH + len(payload).to_bytes(2, "big") + payload + bytes(10)


def classic(header: str = "424203", to: bytes = GROUP) -> bytes:
    return llc(to, header, bytes(35))


def rapid(flags: int, header: str = "424203", to: bytes = GROUP) -> bytes:
    return llc(to, header, bytes((0, 0, 2, 2, flags)) + bytes(31))


def other(to: bytes = b"\xff" * 6, source: bytes = NODE, kind: int = 0x0800) -> bytes:
    return to + source + kind.to_bytes(2, "big") + bytes(46)


def after(*heard: tuple[bytes, float]) -> float:
    evidence = PortEvidence(OURS, SETTLED, PATIENCE)
    for frame, at in heard:
        evidence.add(frame[:HEAD], at)
    return evidence.listen_until()


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (classic(), False),
        (llc(GROUP, "424203", bytes((0, 0, 0, 0x80))), False),
        (rapid(HELD), False),
        (rapid(FORWARDS), True),
        (rapid(FORWARDS, "aaaa0300000c010b", CISCO), True),
        (classic("aaaa0300000c010b", CISCO), False),
        (other(), None),
        (other(to=GROUP), None),
        (classic(to=b"\xff" * 6), None),
        (llc(GROUP, "424203", b"\1\0\0\0"), None),
        (b"", None),
        (GROUP, None),
        (rapid(FORWARDS)[:20], None),
    ],
)
def test_what_a_frame_says(frame: bytes, said: bool | None) -> None:
    assert parse_bpdu(frame) is said


@pytest.mark.parametrize("length", range(22))
def test_no_piece_of_a_frame_is_taken_for_evidence_of_forwarding(length: int) -> None:
    assert after((rapid(FORWARDS)[:length], 1.0)) in (NO_BPDU_S + SETTLED, PATIENCE)


def test_without_a_bpdu_there_is_no_spanning_tree() -> None:
    assert after() == NO_BPDU_S + SETTLED


def test_a_late_bpdu_takes_that_back() -> None:
    assert after((classic(), 16.0)) == PATIENCE


def test_the_first_foreign_frame_counts() -> None:
    assert after((classic(), 0.5), (other(), 3.0), (other(), 9.0)) == 3.0 + SETTLED


def test_a_port_that_forwards_late_is_listened_to_as_long() -> None:
    assert after((classic(), 0.5), (other(), 31.0)) == 31.0 + SETTLED


@pytest.mark.parametrize(
    "frame",
    [
        other(source=OURS),
        other(to=bytes.fromhex("0180c200000e"), kind=0x88CC),
        other(to=bytes.fromhex("0180c2000003"), kind=0x888E),
        other(to=bytes.fromhex("01000ccccccc"), kind=0x0100),
        other(kind=0x9000),
        other(source=SWITCH[:5] + b"\x77"),
        other()[:13],
    ],
    ids=["ours", "LLDP", "802.1X", "CDP", "loopback test", "another port of the switch", "cut off"],
)
def test_what_the_switch_itself_sends_shows_nothing(frame: bytes) -> None:
    assert after((classic(), 0.5), (frame, 3.0)) == PATIENCE


def test_a_tagged_frame_shows_nothing_of_the_untagged_port() -> None:
    evidence = PortEvidence(OURS, SETTLED, PATIENCE)
    evidence.add(classic(), 0.5)
    evidence.add(other(), 1.0, 42)
    evidence.add(rapid(FORWARDS), 2.0, 42)
    assert evidence.listen_until() == PATIENCE


def test_a_rapid_spanning_tree_says_itself_when_it_forwards() -> None:
    assert after((rapid(HELD), 0.5), (rapid(FORWARDS), 6.5), (rapid(FORWARDS), 8.5)) == 6.5 + SETTLED


def test_its_word_outweighs_machines_on_a_switch_in_between() -> None:
    assert after((rapid(HELD), 0.5), (other(), 1.0)) == PATIENCE
    assert after((other(), 0.1), (rapid(HELD), 2.0)) == PATIENCE
    assert after((rapid(FORWARDS), 0.5), (rapid(HELD), 2.0)) == PATIENCE
