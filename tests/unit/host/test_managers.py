"""The registry of network managers: who is recognized, and who configures the cluster NIC.

To add a manager: a line in `test_network_managers_at_work`. A backend is in the last two tests by being registered.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wizard.host import commands
from wizard.host.facts.processes import RunningProcess
from wizard.host.net import managers
from wizard.host.net.managers import networkd, own_address
from wizard.host.net.managers.backend import NetworkBackend
from wizard.host.net.managers.ifupdown import ifstate
from wizard.plan import paths
from wizard.plan.backends import ADDRESS_FILES, MANAGER_KEYS, NAMES, Backend
from wizard.plan.file.read import load_plan
from wizard.plan.render import render_live_address
from wizard.plan.tools import PACKAGES

SAMPLE = Path(__file__).parents[3] / "examples" / "ciao.toml"


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


def test_the_programs_of_the_managers_at_work_are_missed(ifup: set[str]) -> None:
    ifup.add("nmcli")
    assert managers.missing_programs(["NetworkManager", "networkd"]) == (("networkd", "networkctl"),)
    assert managers.missing_programs([]) == ()


def test_each_program_of_a_backend_has_its_package() -> None:
    assert {program for backend in managers.BACKENDS.values() for program in backend.programs} <= set(PACKAGES)


def test_without_a_recorded_backend_it_was_ifupdown(ifup: set[str]) -> None:
    # What an older apply did is undone also where its programs are gone.
    assert managers.applied_backend().backend is Backend.IFUPDOWN
    assert ifup == set()


LINK = "ADMIN_STATE=configured\nOPER_STATE=routable\nNETWORK_FILE=/run/systemd/network/{}\n"
NMCLI = "eth0:connected:Wired 1\neth1:connecting (getting IP configuration):a\\:b\nlo:connected (externally):lo"


def test_networkd_and_netplan_say_which_nics_they_have(tmp_path: Path, ifup: set[str]) -> None:
    links = tmp_path / "run/systemd/netif/links"
    links.mkdir(parents=True)
    (links / "2").write_text(LINK.format("10-netplan-all.network"))
    (links / "3").write_text(LINK.format("20-wired.network"))
    (links / "4").write_text("ADMIN_STATE=unmanaged\n")
    nics = {"eth0": 2, "eth1": 3, "eth2": 4, "eth3": 5}

    found = managers.owners(["networkd", "netplan"], nics, tmp_path)

    first = {owner.nic: owner.backend for owner in reversed(found)}
    assert first == {"eth0": "netplan", "eth1": "networkd"}
    assert managers.owners([], nics, tmp_path) == ()


def test_networkmanager_says_which_nics_it_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(commands, "run", lambda *_, **__: NMCLI)

    found = managers.owners(["NetworkManager"], {"eth0": 2, "eth1": 3, "lo": 1}, tmp_path)

    assert [(owner.nic, owner.backend) for owner in found] == [("eth0", "networkmanager"), ("eth1", "networkmanager")]
    assert found[1].reason == "NetworkManager has eth1 connecting (getting IP configuration), by its profile 'a:b'"


@pytest.mark.parametrize("backend", managers.BACKENDS.values(), ids=lambda backend: backend.name)
def test_the_preview_shows_the_commands_that_are_run(
    backend: NetworkBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[tuple[str, ...]] = []

    def run(*argv: str, **_: Any) -> str:
        ran.append(argv)
        return ""

    monkeypatch.setattr(commands, "run", run)
    monkeypatch.setattr(ifstate, "DIRECTORY", str(tmp_path))
    monkeypatch.setattr(networkd, "PATIENCE_S", 0.0)
    monkeypatch.setattr(own_address, "link_state", lambda nic: {"nic": nic, "present": False})
    foretold = backend.bring_up_commands("eth1", "192.168.0.200/24")
    live = tmp_path / "live"
    live.write_text(render_live_address(load_plan(SAMPLE.read_text(), "sample"), "", backend.backend).text)
    written = replace(backend.file, live=str(live))
    monkeypatch.setattr(type(backend), "file", written)
    monkeypatch.setattr(paths, "LIVE_INTERFACES", str(live))

    backend.bring_up("eth1")

    before = {argument.replace(str(live), ADDRESS_FILES[backend.backend].live) for argv in ran for argument in argv}
    assert before >= {argument for argv in foretold for argument in argv}
    assert len([argv for argv in ran if "-j" not in argv]) == len(foretold)


def test_all_registries_agree() -> None:
    keys = [manager.key for manager in managers.MANAGERS]
    assert len(set(keys)) == len(keys)
    assert sorted(manager.key for manager in managers.ASKED) == sorted(keys)
    assert set(managers.BACKENDS) == set(ADDRESS_FILES) == set(NAMES) == set(Backend) - {Backend.AUTO}
    assert all(backend.backend is kind for kind, backend in managers.BACKENDS.items())
    key_of = {id(manager): manager.key for manager in managers.MANAGERS}
    assert {kind: key_of[id(one)] for kind, one in managers.BACKENDS.items() if id(one) in key_of} == MANAGER_KEYS


@pytest.mark.parametrize("backend", managers.BACKENDS.values(), ids=lambda backend: backend.backend)
def test_a_backend_has_in_a_sentence_the_name_that_every_sentence_uses(backend: NetworkBackend) -> None:
    assert backend.name == NAMES[backend.backend]


def test_networkd_waits_for_the_address_of_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {paths.LIVE_NETWORKD_FILE: "Address=10.0.0.2/24\n", paths.NETWORKD_FILE: "Address=10.0.0.1/24\n"}
    asked: list[str] = []

    def has_address(_nic: str, cidr: str) -> bool:
        asked.append(cidr)
        return len(asked) > 1

    monkeypatch.setattr(commands, "run", lambda *_, **__: "")
    monkeypatch.setattr(networkd, "read_text", texts.get)
    monkeypatch.setattr(networkd, "has_address", has_address)

    managers.BACKENDS[Backend.NETWORKD].bring_up("eth1")

    assert asked == ["10.0.0.2/24", "10.0.0.2/24"]


def test_of_two_files_of_one_name_networkd_would_read_the_kept_one() -> None:
    file = ADDRESS_FILES[Backend.NETWORKD]
    live, kept, made = (Path(path).name for path in (file.live, file.kept, paths.NETPLAN_MAKES))
    assert live < kept < made
    assert not live < "05-base.network" < kept, "a file of somebody's between them would have the NIC once it is kept"
    assert kept < "05-base.network"


AUTOMATIC, SOMEBODYS = "cbea193b-e269-3a7f-a388-00ab15b0e1ac", "0d8c52d6-8f0b-4e9b-9d2b-5f0b4c7a1f11"


@pytest.mark.parametrize(
    ("uuid", "answer"),
    [
        (AUTOMATIC, ("nmcli", "connection", "add", "save", "no")),
        (SOMEBODYS, ("nmcli", "device", "set", "eth1", "autoconnect")),
    ],
)
def test_a_profile_that_networkmanager_has_no_more_is_made_again_if_it_made_it(
    uuid: str, answer: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes profiles by itself when it starts, and none for a NIC that had ours then."""
    ran: list[tuple[str, ...]] = []

    def run(*argv: str, **_: Any) -> str:
        ran.append(argv)
        if "up" in argv:
            raise commands.CommandFailed(argv, 10, f"Error: unknown connection '{uuid}'.")
        return ""

    monkeypatch.setattr(commands, "run", run)
    monkeypatch.setattr(commands, "works", lambda *_, **__: True)

    assert managers.BACKENDS[Backend.NETWORKMANAGER].reconfigure("eth1", uuid) == []

    assert ran[-1][: len(answer)] == answer
    assert (uuid in ran[-1]) == (uuid == AUTOMATIC)


@pytest.mark.parametrize(
    ("told", "configured_as", "last"),
    [
        (f"100 (connected)\n{SOMEBODYS}\nyes\n", SOMEBODYS, ("connection", "up", "uuid", SOMEBODYS)),
        ("30 (disconnected)\n\nno\n", "disconnected by hand", ("device", "set", "eth1", "autoconnect", "no")),
        ("30 (disconnected)\n\nyes\n", "disconnected", ("device", "set", "eth1", "autoconnect", "yes")),
        ("10 (unmanaged)\n\n\n", "", ("device", "set", "eth1", "autoconnect", "yes")),
    ],
)
def test_networkmanager_is_left_as_it_was_found(
    told: str, configured_as: str, last: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, ...]] = []

    def run(*argv: str, **_: Any) -> str:
        ran.append(argv)
        return told

    monkeypatch.setattr(commands, "run", run)
    monkeypatch.setattr(commands, "works", lambda *_, **__: True)
    backend = managers.BACKENDS[Backend.NETWORKMANAGER]

    assert backend.configured_as("eth1") == configured_as
    assert backend.is_configured("eth1") == (configured_as == SOMEBODYS)
    assert backend.reconfigure("eth1", configured_as) == []
    assert " ".join(last) in " ".join(ran[-1])
