"""The registry of network managers: who is recognized, and who configures the cluster NIC.

To add a manager: a line in `test_network_managers_at_work`. A backend is in the last two tests by being registered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wizard.host import commands
from wizard.host.facts.processes import RunningProcess
from wizard.host.net import managers
from wizard.host.net.managers.backend import NetworkBackend
from wizard.host.net.managers.ifupdown import ifstate
from wizard.plan.findings import WizardError


@pytest.fixture
def ifup(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The programs that are installed."""
    installed: set[str] = set()
    monkeypatch.setattr(commands, "find", lambda tool: f"/x/{tool}" if tool in installed else None)
    return installed


def test_network_managers_at_work(tmp_path: Path, ifup: set[str]) -> None:
    assert managers.active([], tmp_path) == ()

    (tmp_path / "etc/netplan").mkdir(parents=True)
    (tmp_path / "etc/netplan/README").touch()
    running = [RunningProcess(1, "NetworkManager", ("x",)), RunningProcess(2, "systemd-network", ("y",))]
    ifup.add("ifup")
    assert managers.active(running, tmp_path) == ("ifupdown", "NetworkManager", "networkd")

    (tmp_path / "etc/netplan/01-all.yaml").touch()
    ifup.clear()
    assert managers.active([], tmp_path) == ("netplan",)


def test_networkd_keeps_leases_by_index(tmp_path: Path) -> None:
    (tmp_path / "run/systemd/netif/leases").mkdir(parents=True)
    (tmp_path / "run/systemd/netif/leases/4").touch()

    assert managers.holds_lease(4, tmp_path)
    assert not managers.holds_lease(5, tmp_path)


def test_the_first_backend_that_is_installed_configures_the_cluster_nic(ifup: set[str]) -> None:
    with pytest.raises(WizardError, match="ifup is not installed"):
        managers.cluster_backend()
    # What an older apply did is undone also where its programs are gone.
    assert managers.applied_backend().name == "ifupdown"

    ifup.add("ifup")
    assert managers.cluster_backend().name == "ifupdown"


@pytest.mark.parametrize("backend", managers.BACKENDS, ids=lambda backend: backend.name)
def test_the_preview_shows_the_commands_that_are_run(
    backend: NetworkBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[tuple[str, ...]] = []

    def run(*argv: str, **_: Any) -> str:
        ran.append(argv)
        return ""

    monkeypatch.setattr(commands, "run", run)
    monkeypatch.setattr(ifstate, "DIRECTORY", str(tmp_path))

    backend.bring_up("eth1", "/x/cluster")
    backend.bring_down("eth1", "/x/cluster")

    assert ran == [backend.bring_up_command("eth1", "/x/cluster"), backend.bring_down_command("eth1", "/x/cluster")]


def test_every_backend_is_recognized_by_a_name_of_its_own() -> None:
    names = [manager.name for manager in managers.MANAGERS]
    assert len(set(names)) == len(names)
    assert {backend.name for backend in managers.BACKENDS} <= set(names)
