"""What unit tests share."""

from __future__ import annotations

import socket

import pytest

from wizard.host.net import rtnetlink


@pytest.fixture
def behind_the_cluster_nic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address leads to eth1, the sample's cluster NIC."""
    monkeypatch.setattr(rtnetlink, "route_to", lambda _to: 7)
    monkeypatch.setattr(socket, "if_indextoname", lambda _index: "eth1")
