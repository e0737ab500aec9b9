"""The files of a plan on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from wizard.deploy import file_changes
from wizard.host.dhcp import dnsmasq
from wizard.plan.backends import Backend
from wizard.plan.file.read import load_plan
from wizard.plan.machine import Nic

EXAMPLE = Path(__file__).parents[3] / "examples" / "ciao.toml"
MAC, BUILT_WITH = "00:1b:21:00:00:02", "00:1b:21:00:00:03"


@pytest.mark.parametrize(
    ("permanent", "has_permanent", "expected"),
    [(MAC, False, ""), (MAC, True, MAC), (BUILT_WITH, False, BUILT_WITH)],
)
def test_netplan_is_given_a_mac_that_it_can_match(
    permanent: str, has_permanent: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has networkd look at the permanent MAC, and a virtual NIC has none: it would get no address at boot."""
    nic = Nic("eth1", 3, "ethernet", mac=MAC, permanent_mac=permanent)
    monkeypatch.setattr(file_changes, "read_nics", lambda: (nic,))
    monkeypatch.setattr(file_changes, "has_permanent_mac", lambda _: has_permanent)
    monkeypatch.setattr(dnsmasq, "user_id", lambda: 60867)
    text = EXAMPLE.read_text()

    def rendered(backend: Backend) -> str:
        return file_changes.render_for_this_machine(load_plan(text, "plan"), text, backend)[-1].text

    assert ("macaddress:" in rendered(Backend.NETPLAN)) == bool(expected)
    assert expected in rendered(Backend.NETPLAN)
    assert f"MACAddress={permanent}" in rendered(Backend.NETWORKD)
