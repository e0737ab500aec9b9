"""The kernel's forwarding switches."""

from __future__ import annotations

from wizard.host.net import forwarding


def test_a_nic_forwards_or_not_or_is_gone() -> None:
    assert forwarding.is_on("all") in (True, False)
    assert forwarding.is_on("no-such-nic") is None
