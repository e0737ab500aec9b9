"""Who has the cluster NIC instead of us, and that each remedy is for that owner."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from wizard.deploy.guard import address_owner
from wizard.deploy.guard.address_owner import find_taker
from wizard.host.facts.processes import RunningProcess
from wizard.host.net import managers
from wizard.plan import paths
from wizard.plan.backends import MANAGER_KEYS, NAMES, Backend
from wizard.plan.file.read import load_plan
from wizard.plan.findings import WizardError
from wizard.plan.machine import Nic, NicOwner
from wizard.plan.render import PROFILE_UUID

PLAN = load_plan((Path(__file__).parents[3] / "examples" / "ciao.toml").read_text(), "ciao.toml")
ETH1 = Nic("eth1", 3, "ethernet", up=True, carrier=True)
THEIR_UUID = "5a3d6f0e-1111-4222-8333-444455556666"
DHCLIENT = RunningProcess(77, "dhclient", ("dhclient", "-4", "eth1"))


class World:
    """`applied`: the backend of the last apply; `owns`: the managers that own the NIC; `configured`: how they do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.applied = Backend.IFUPDOWN
        self.owns: list[Backend] = []
        self.configured: dict[Backend, str] = {}
        self.processes: tuple[RunningProcess, ...] = ()
        self.unit = ""
        self.plan = PLAN
        for backend in managers.BACKENDS.values():
            monkeypatch.setattr(
                type(backend), "configured_as", lambda me, _nic: self.configured.get(me.backend, ""), raising=True
            )
        monkeypatch.setattr(managers, "applied_backend", lambda: managers.BACKENDS[self.applied])
        monkeypatch.setattr(managers, "active", lambda *_: ())
        monkeypatch.setattr(managers, "owners", lambda *_: tuple(NicOwner("eth1", b, f"{b} has it") for b in self.owns))
        monkeypatch.setattr(address_owner, "read_processes", lambda _root: self.processes)
        monkeypatch.setattr(address_owner, "unit_of", lambda *_: self.unit)

    def has(self, backend: Backend, configured_as: str) -> None:
        self.owns.append(backend)
        self.configured[backend] = configured_as

    def taker(self) -> address_owner.Taker:
        return find_taker(self.plan, ETH1)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


EVERY_CONFIGURATION_OF_OURS = [(kind, ours) for kind, one in managers.BACKENDS.items() for ours in one.ours("eth1")]


def test_the_configurations_of_ours() -> None:
    """Every manager has one: else the guard would call the manager that it went through the taker."""
    assert {kind for kind, _ in EVERY_CONFIGURATION_OF_OURS} == set(MANAGER_KEYS)
    assert set(EVERY_CONFIGURATION_OF_OURS) >= {
        (Backend.IFUPDOWN, "eth1"),
        (Backend.NETWORKMANAGER, PROFILE_UUID),
        (Backend.NETWORKD, paths.NETWORKD_FILE),
        (Backend.NETWORKD, paths.LIVE_NETWORKD_FILE),
        (Backend.NETPLAN, paths.NETPLAN_MAKES),
    }


@pytest.mark.parametrize(("applied", "configured_as"), sorted(EVERY_CONFIGURATION_OF_OURS))
def test_our_own_configuration_is_nobody(world: World, applied: Backend, configured_as: str) -> None:
    """A person's `ip addr del`: the manager still believes that it has set the address."""
    world.applied = applied
    world.has(applied, configured_as)
    if applied is Backend.NETPLAN:
        # Its files are networkd's too.
        world.has(Backend.NETWORKD, configured_as)
    taker = world.taker()
    assert (taker.name, str(taker), taker.key) == ("", "somebody", "")
    assert "'ip monitor address link dev eth1'" in taker.remedy
    assert "'sudo ciao-wizard apply'" in taker.remedy


def test_on_a_nic_that_nobody_manages_it_is_somebody(world: World) -> None:
    world.applied = Backend.NONE
    assert str(world.taker()) == "somebody"


def test_another_manager_than_the_last_applys_is_remedied_by_an_apply(world: World) -> None:
    world.has(Backend.NETWORKMANAGER, THEIR_UUID)
    world.configured[Backend.IFUPDOWN] = "eth1"
    taker = world.taker()
    assert str(taker) == "NetworkManager (networkmanager has it)"
    assert taker.remedy == ("Run 'sudo ciao-wizard apply': it has NetworkManager give eth1 the address from then on.")


def test_a_plan_that_names_another_backend_is_to_be_changed_first(world: World) -> None:
    world.plan = replace(PLAN, network=replace(PLAN.network, backend=Backend.NONE))
    world.applied = Backend.NONE
    world.has(Backend.NETWORKD, "/etc/systemd/network/20-wired.network")
    remedy = world.taker().remedy
    assert 'backend = "auto" under [network] in /etc/ciao-wizard/gateway.toml' in remedy
    assert "Keep systemd-networkd from it" in remedy


def test_ifupdown_with_a_stanza_of_its_own_is_another_owner(world: World) -> None:
    world.applied = Backend.NETWORKMANAGER
    world.has(Backend.IFUPDOWN, "eth1")
    assert world.taker().name == "ifupdown"


@pytest.mark.parametrize(
    ("backend", "configured_as", "commands"),
    [
        (
            Backend.NETWORKMANAGER,
            THEIR_UUID,
            [
                f"sudo nmcli connection modify uuid {THEIR_UUID} connection.autoconnect no",
                f"sudo nmcli connection up uuid {PROFILE_UUID}",
            ],
        ),
        (Backend.NETWORKMANAGER, "disconnected", [f"sudo nmcli connection up uuid {PROFILE_UUID}"]),
        (
            Backend.NETWORKD,
            "/etc/systemd/network/00-wired.network",
            ["sudo networkctl reload", "sudo networkctl reconfigure eth1"],
        ),
        (Backend.IFUPDOWN, "lan", ["sudo ciao-wizard apply"]),
    ],
)
def test_the_same_manager_with_another_configuration(
    world: World, backend: Backend, configured_as: str, commands: list[str]
) -> None:
    world.applied = backend
    world.has(backend, configured_as)
    assert world.taker().remedy.split("'")[1::2] == commands


@pytest.mark.parametrize("applied", MANAGER_KEYS)
def test_the_same_manager_with_another_configuration_has_a_remedy(world: World, applied: Backend) -> None:
    world.applied = applied
    world.has(applied, "another")
    taker = world.taker()
    assert taker.name == NAMES[applied]
    assert taker.remedy.split("'")[1::2]


@pytest.mark.parametrize(
    ("unit", "command"),
    [("", "sudo kill 77"), ("dhcpcd.service", "sudo systemctl disable --now dhcpcd.service")],
)
def test_a_dhcp_client_is_named_with_what_stops_it(world: World, unit: str, command: str) -> None:
    world.processes, world.unit = (RunningProcess(1, "init", ("init",)), DHCLIENT), unit
    taker = world.taker()
    assert str(taker) == "dhclient (a DHCP client on eth1, process 77)"
    assert taker.remedy.split("'")[1] == command
    assert "77" not in taker.key, "another one of the same is the same owner"


def test_the_manager_of_a_dhcp_client_comes_before_it(world: World) -> None:
    world.processes = (DHCLIENT,)
    world.has(Backend.NETWORKMANAGER, THEIR_UUID)
    assert world.taker().name == "NetworkManager"


def test_a_client_on_another_nic_is_nobodys_business(world: World) -> None:
    world.applied = Backend.NONE
    world.processes = (RunningProcess(78, "dhclient", ("dhclient", "eth0")),)
    assert world.taker().name == ""


def test_who_released_it_is_named(world: World) -> None:
    assert str(world.taker()) == "ifdown (ifupdown does not have eth1 configured)"
    world.applied = Backend.NETWORKMANAGER
    assert world.taker().name == "NetworkManager"


def test_whoever_cannot_be_asked_is_somebody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> SimpleNamespace:
        raise WizardError("no answer")

    monkeypatch.setattr(managers, "owners", fail)
    assert str(world.taker()) == "somebody"


def test_hostile_names_do_not_steer_the_terminal(world: World) -> None:
    world.processes = (RunningProcess(77, "dh\x1b[2J", ("dhclient", "eth1")),)
    assert "\x1b" not in str(world.taker())
