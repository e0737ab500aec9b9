"""What unit tests share."""

from __future__ import annotations

import socket

import pytest

from wizard.deploy import runtime_state
from wizard.host.net import rtnetlink


@pytest.fixture
def behind_the_cluster_nic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address leads to eth1, the sample's cluster NIC, and the guard vouches for its wire."""
    monkeypatch.setattr(runtime_state, "running_guard", lambda: {"mode": "armed"})
    monkeypatch.setattr(rtnetlink, "route_to", lambda _to: 7)
    monkeypatch.setattr(socket, "if_indextoname", lambda _index: "eth1")
