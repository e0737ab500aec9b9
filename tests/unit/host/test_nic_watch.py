"""NICs that come, go and feel their cables. The kernel's own news are in tests/lab/test_identify.py."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from wizard.host.facts.nic_watch import NicChange, NicEvent, NicWatch, compare
from wizard.host.net.link import LinkState
from wizard.plan.findings import WizardError

ETH = LinkState(3, "eth1", b"\0" * 6, True, True, True, False, 4, 0, 0)


@pytest.mark.parametrize(
    ("before", "now", "what"),
    [
        (None, ETH, NicChange.CAME),
        (ETH, None, NicChange.WENT),
        (ETH, replace(ETH, carrier=False, carrier_changes=5), NicChange.PULLED),
        (replace(ETH, carrier=False), replace(ETH, carrier_changes=5), NicChange.PLUGGED),
        # Out and in, or in and out, between two looks.
        (ETH, replace(ETH, carrier_changes=6), NicChange.MOVED),
        (replace(ETH, carrier=False), replace(ETH, carrier=False, carrier_changes=6), NicChange.PULLED),
        # Set up or down by somebody: no cable has moved.
        (ETH, replace(ETH, up=False, carrier=False, carrier_changes=5), NicChange.SWITCHED),
        (replace(ETH, up=False, carrier=False), replace(ETH, carrier_changes=5), NicChange.SWITCHED),
    ],
)
def test_what_has_happened(before: LinkState | None, now: LinkState | None, what: NicChange) -> None:
    (news,) = compare(before, now)
    assert news == NicEvent(what, "eth1")
    assert news.of_cable == (what in (NicChange.PULLED, NicChange.PLUGGED, NicChange.MOVED))


def test_nothing_new_is_no_news() -> None:
    assert list(compare(ETH, replace(ETH, mac=b"\1" * 6, dormant=True))) == []
    assert list(compare(None, None)) == []


def test_a_renamed_nic_is_still_the_one() -> None:
    assert list(compare(ETH, replace(ETH, name="lan0", carrier=False, carrier_changes=5))) == [
        NicEvent(NicChange.RENAMED, "lan0", "eth1"),
        NicEvent(NicChange.PULLED, "lan0"),
    ]


def test_a_name_that_is_code_comes_escaped() -> None:
    (news,) = compare(None, replace(ETH, name="a;reboot\x1b"))
    assert "\x1b" not in news.name


def test_a_kernel_that_tells_nothing_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(WizardError, match="reports no link events"):
        NicWatch()


def test_a_quiet_machine_is_waited_for_no_longer_than_asked() -> None:
    watch = NicWatch()
    try:
        assert watch.poll(0) == ()
    finally:
        watch.close()
