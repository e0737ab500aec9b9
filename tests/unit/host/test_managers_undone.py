"""What a backend takes away and gives back: against daemons that keep to their files when they are told to read them.

How NetworkManager and networkd themselves behave, tests/boot shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.moved_files import move_address_files
from wizard.host import commands
from wizard.host.facts.processes import RunningProcess
from wizard.host.files import read_text, remove
from wizard.host.net import link_image, managers
from wizard.host.net.managers import backend as backend_module
from wizard.host.net.managers import netplan, networkd, networkmanager, own_address
from wizard.plan import paths
from wizard.plan.backends import Backend
from wizard.plan.file.read import load_plan
from wizard.plan.render import PROFILE_UUID

PLAN = load_plan((Path(__file__).parents[3] / "examples" / "ciao.toml").read_text(), "ciao.toml")
TEXT = "Name=eth1\nAddress=10.0.0.1/24\ninterface-name=eth1\naddress1=10.0.0.1/24\nnic eth1\naddress 10.0.0.1/24\n"
SOMEBODYS = "/etc/systemd/network/20-company.network"
DAEMONS = [Backend.NETWORKMANAGER, Backend.NETWORKD, Backend.NETPLAN, Backend.NONE]


class Killed(BaseException):
    """A SIGKILL, as far as the code under test can tell."""


class Host:
    """NetworkManager, networkd and the kernel, with eth1. `ran`: the commands. `kill_at`: the change that is the last.

    `by_networkd`: the file that networkd has configured a NIC by.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[str] = []
        self.kill_at = 0
        self.changes = 0
        self.networkd_runs = self.networkmanager_answers = True
        self.profile = self.active = False
        self.addresses: set[str] = set()
        names = ("LIVE_NETWORKD_FILE", "NETWORKD_FILE", "NETPLAN_MAKES")
        real = {name: getattr(paths, name) for name in names}
        move_address_files(root, monkeypatch)
        self.network_files = {getattr(paths, name): path for name, path in real.items()}
        self.by_networkd: dict[str, str] = {}
        monkeypatch.setattr(commands, "run", self.run)
        monkeypatch.setattr(commands, "works", self.works)
        monkeypatch.setattr(link_image, "run", self.run)
        monkeypatch.setattr(link_image, "find", lambda _: "/x/ip")
        monkeypatch.setattr(networkd, "read_text", self.read_text)
        monkeypatch.setattr(networkd, "PATIENCE_S", 0.0)
        for module in (backend_module, own_address):
            monkeypatch.setattr(module, "link_state", link_image.link_state)
        for module in (networkd, netplan, networkmanager, own_address):
            monkeypatch.setattr(module, "remove", self.remove)

    def boot(self, kind: Backend) -> None:
        """The machine has booted with the kept file of `kind`."""
        file = Path(managers.BACKENDS[kind].file.kept)
        file.write_text(TEXT)
        if kind is Backend.NETPLAN:
            Path(paths.NETPLAN_MAKES).write_text(TEXT)
        self.profile = self.active = kind is Backend.NETWORKMANAGER
        self.configure("eth1")
        self.addresses = {"10.0.0.1/24"}

    def configure(self, nic: str) -> None:
        """networkd configures a NIC by the first file for it."""
        ours = [real for here, real in self.network_files.items() if Path(here).exists()]
        self.by_networkd[nic] = ours[0] if nic == "eth1" and ours else ""

    def change(self) -> None:
        self.changes += 1
        if self.changes == self.kill_at:
            raise Killed

    def remove(self, path: str) -> None:
        self.change()
        remove(path)

    def read_text(self, path: str) -> str | None:
        if path.startswith("/sys/class/net/"):
            return {"eth0": "2", "eth1": "3"}.get(path.split("/")[4])
        if path.startswith("/run/systemd/netif/links/"):
            file = self.by_networkd.get({"2": "eth0", "3": "eth1"}[path.rpartition("/")[2]], "")
            return f"ADMIN_STATE=configured\nNETWORK_FILE={file}\n" if file else "ADMIN_STATE=unmanaged\n"
        return read_text(path)

    def works(self, *argv: str, **_: Any) -> bool:
        try:
            self.run(*argv)
        except commands.CommandFailed:
            return False
        return True

    def run(self, *argv: str, **_: Any) -> str:
        self.ran.append(" ".join(argv))
        act = ACTS.get(" ".join(argv[:3])) or ACTS.get(" ".join(argv[:2]))
        return act(self, argv) if act is not None else ""

    def fail_unless(self, true: bool, argv: tuple[str, ...]) -> str:
        if not true:
            raise commands.CommandFailed(argv, 1, "no")
        return ""

    def show_device(self, _: tuple[str, ...]) -> str:
        return f"100 (connected)\n{PROFILE_UUID}\nyes\n" if self.active else "30 (disconnected)\n\nyes\n"

    def read_profiles(self, _: tuple[str, ...]) -> str:
        self.change()
        file = managers.BACKENDS[Backend.NETWORKMANAGER].file
        self.profile = Path(file.live).exists() or Path(file.kept).exists()
        self.active = self.active and self.profile
        return ""

    def lower(self, _: tuple[str, ...]) -> str:
        self.change()
        self.active = False
        return ""

    def reload(self, _: tuple[str, ...]) -> str:
        self.change()
        return ""

    def reconfigure(self, argv: tuple[str, ...]) -> str:
        self.change()
        self.configure(argv[2])
        return ""

    def delete_address(self, argv: tuple[str, ...]) -> str:
        self.change()
        self.addresses.discard(argv[3])
        return ""

    def show_addresses(self, argv: tuple[str, ...]) -> str:
        found = [{"local": a.partition("/")[0], "prefixlen": int(a.partition("/")[2])} for a in self.addresses]
        here = found if argv[-1] == "eth1" else []
        return json.dumps([{"ifname": argv[-1], "flags": ["UP"], "address": "02:00:00:00:00:02", "addr_info": here}])


ACTS: dict[str, Callable[[Host, tuple[str, ...]], str]] = {
    "nmcli connection show": lambda host, argv: host.fail_unless(host.profile, argv),
    "nmcli connection reload": Host.read_profiles,
    "nmcli connection down": Host.lower,
    "nmcli -g RUNNING": lambda host, argv: host.fail_unless(host.networkmanager_answers, argv),
    "nmcli -g GENERAL.STATE,GENERAL.CON-UUID,GENERAL.AUTOCONNECT": Host.show_device,
    "networkctl reload": Host.reload,
    "networkctl reconfigure": Host.reconfigure,
    "systemctl is-active": lambda host, argv: host.fail_unless(host.networkd_runs, argv),
    "ip addr del": Host.delete_address,
    "ip -j addr": Host.show_addresses,
}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


@pytest.mark.parametrize("kind", DAEMONS)
def test_a_withdrawal_that_was_killed_is_finished_by_the_next(host: Host, kind: Backend) -> None:
    backend = managers.BACKENDS[kind]
    killed, kills = True, 0
    while killed:
        host.boot(kind)
        host.changes, host.kill_at = 0, kills + 1
        try:
            backend.withdraw("eth1")
            killed = False
        except Killed:
            kills += 1
        host.kill_at = 0
        backend.withdraw("eth1")

        assert not any(Path(path).exists() for path in (backend.file.live, backend.file.kept, paths.NETPLAN_MAKES))
        assert (host.profile, host.active, host.by_networkd["eth1"]) == (False, False, "")
        if kind is Backend.NONE:
            assert host.addresses == set()
        assert not backend.withdraw("eth1"), "nothing is left"
    assert kills > 1


@pytest.mark.parametrize("kind", [Backend.NETWORKD, Backend.NETPLAN])
def test_a_nic_that_has_the_name_of_ours_by_now_is_not_reconfigured(host: Host, kind: Backend) -> None:
    """`networkctl reconfigure` flushes a NIC, and this one may be the company's."""
    host.boot(kind)
    host.by_networkd["eth1"] = SOMEBODYS

    assert managers.BACKENDS[kind].withdraw("eth1")

    assert "networkctl reload" in host.ran
    assert "networkctl reconfigure eth1" not in host.ran


@pytest.mark.parametrize(
    ("in_force", "other"), [(Backend.NETWORKD, Backend.NETPLAN), (Backend.NETPLAN, Backend.NETWORKD)]
)
def test_of_networkd_and_netplan_each_knows_its_own_file_alone(host: Host, in_force: Backend, other: Backend) -> None:
    host.boot(in_force)
    assert managers.BACKENDS[in_force].has_ours("eth1")
    assert not managers.BACKENDS[other].has_ours("eth1")
    assert not managers.BACKENDS[other].withdraw("eth1")
    assert not [line for line in host.ran if line.startswith("networkctl")]


def test_a_networkd_that_was_stopped_has_no_nic_configured(host: Host) -> None:
    """Its state files stay behind, and networkctl works without it."""
    host.boot(Backend.NETWORKD)
    backend = managers.BACKENDS[Backend.NETWORKD]
    assert backend.is_configured("eth1")
    host.networkd_runs = False
    assert not backend.is_configured("eth1")
    assert backend.reconfigure("eth1", "") == []
    assert "networkctl reload" not in host.ran


def test_the_guard_has_networkd_look_at_no_other_nic(host: Host) -> None:
    """A reload takes up whatever changed for any NIC: after a daemon-reload under netplan that is every file."""
    host.boot(Backend.NETPLAN)
    managers.BACKENDS[Backend.NETPLAN].give_back("eth1")
    assert [line for line in host.ran if line.startswith("networkctl")] == ["networkctl reconfigure eth1"]


@pytest.mark.parametrize("live", [True, False], ids=["trial", "kept"])
def test_networkmanager_is_given_the_file_that_is_there(host: Host, live: bool) -> None:
    """After a power cut in a trial it has the kept profile no more, until it is told to read that file."""
    file = managers.BACKENDS[Backend.NETWORKMANAGER].file
    Path(file.kept).write_text(TEXT)
    if live:
        Path(file.live).write_text(TEXT)

    managers.BACKENDS[Backend.NETWORKMANAGER].bring_up("eth1")

    loaded = f"nmcli connection load {file.live if live else file.kept}"
    assert host.ran == [loaded, f"nmcli connection up uuid {PROFILE_UUID} ifname eth1"]


def test_a_manager_at_work_that_does_not_answer_is_said(host: Host) -> None:
    at_work = ("ifupdown", "NetworkManager", "networkd")
    assert managers.silent(at_work) == ()
    host.networkmanager_answers = False
    assert managers.silent(at_work) == ("NetworkManager",)
    assert managers.silent(("ifupdown", "networkd")) == (), "nobody asks one that does not run"


def test_without_root_the_applied_backend_is_told_where_only_root_may_look(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(managers.BACKENDS[Backend.NONE].file.kept).write_text(TEXT)
    stat, read = Path.stat, Path.read_text

    def refuse(path: Path) -> None:
        if "NetworkManager" in str(path):
            raise PermissionError(13, "Permission denied", str(path))

    def guarded_stat(self: Path, **more: Any) -> Any:
        refuse(self)
        return stat(self, **more)

    def guarded_read(self: Path, *words: Any, **more: Any) -> str:
        refuse(self)
        return read(self, *words, **more)

    monkeypatch.setattr(Path, "stat", guarded_stat)
    monkeypatch.setattr(Path, "read_text", guarded_read)
    assert managers.applied_backend().backend is Backend.NONE


@pytest.mark.parametrize("applied", [True, False])
def test_while_a_manager_is_silent_what_was_applied_through_it_stays_its(
    host: Host, monkeypatch: pytest.MonkeyPatch, applied: bool
) -> None:
    """Else a diff would show the loss of its file."""
    monkeypatch.setattr(managers, "read_processes", lambda _: [RunningProcess(1, "NetworkManager", ("x",))])
    monkeypatch.setattr(managers, "read_nics", list)
    monkeypatch.setattr(commands, "find", lambda _: None)
    if applied:
        Path(paths.IDENTITY).write_text('[address]\nbackend = "networkmanager"\n')
    host.networkmanager_answers = False

    assert managers.backend_for(PLAN) is (Backend.NETWORKMANAGER if applied else Backend.NONE)
