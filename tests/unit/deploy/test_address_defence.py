"""Who has the gateway's address: one defence within ten seconds, then it is given up until the other is gone."""

from __future__ import annotations

from wizard.deploy.guard.address_defence import DEFEND_INTERVAL_S, QUIET_S, AddressDefence

RIVAL = "00:1b:21:00:00:66"


def test_one_claim_is_answered_and_no_more() -> None:
    guard = AddressDefence()
    assert guard.note_claim(RIVAL, 100.0, may_defend=True)
    assert not guard.given_up
    assert guard.note_claim(RIVAL, 100.0 + DEFEND_INTERVAL_S + 1, may_defend=True)
    assert not guard.given_up


def test_a_second_claim_within_ten_seconds_is_a_conflict() -> None:
    guard = AddressDefence()
    assert guard.note_claim(RIVAL, 100.0, may_defend=True)
    assert not guard.note_claim(RIVAL, 102.0, may_defend=True)
    assert guard.given_up
    assert guard.rival == RIVAL


def test_what_was_under_way_when_it_was_defended_is_no_second_claim() -> None:
    guard = AddressDefence()
    guard.note_claim(RIVAL, 100.0, may_defend=True)
    guard.note_claim(RIVAL, 100.1, may_defend=True)
    assert not guard.given_up


def test_on_a_wire_that_is_not_proven_the_other_one_may_be_right() -> None:
    guard = AddressDefence()
    assert not guard.note_claim(RIVAL, 100.0, may_defend=False)
    assert guard.given_up


def test_it_is_ours_again_once_nobody_has_claimed_it_for_long_enough() -> None:
    guard = AddressDefence()
    guard.note_claim(RIVAL, 100.0, may_defend=False)
    assert guard.probe_is_due(103.1)
    assert not guard.probe_is_due(103.2)
    guard.note_claim(RIVAL, 103.2, may_defend=True)
    assert not guard.is_over(103.2 + QUIET_S)
    assert guard.is_over(103.3 + QUIET_S)
    assert not guard.given_up
    assert not guard.is_over(200.0)
    assert guard.note_claim(RIVAL, 201.0, may_defend=True)


def test_whoever_gave_way_is_asked_for_a_while_and_then_no_more() -> None:
    guard = AddressDefence()
    guard.note_claim(RIVAL, 100.0, may_defend=True)
    assert guard.probe_is_due(103.1)
    assert not guard.probe_is_due(111.0)
    assert not guard.rival
    assert not guard.probe_is_due(120.0)
