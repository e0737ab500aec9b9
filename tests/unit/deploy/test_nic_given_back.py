"""The cluster NIC's address and its manager, after a kill, a power cut, a change of manager or of a NIC's name.

The managers here keep what they have read until they are told to read their files again.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.moved_files import move_address_files
from wizard.deploy import installed_files, journal
from wizard.deploy.apply import reverter
from wizard.deploy.apply.context import ApplyContext
from wizard.deploy.apply.reverter import Reverter
from wizard.deploy.apply.steps import trial
from wizard.deploy.apply.steps.persist import RemoveFile
from wizard.deploy.apply.steps.trial import ReleaseFormerNic, SetClusterAddress, former_nic
from wizard.deploy.events import EventWriter
from wizard.deploy.guard import control
from wizard.deploy.journal import Journal
from wizard.host import systemd
from wizard.host.commands import CommandFailed
from wizard.host.files import digest_of, read_text, remove
from wizard.host.net import link_image, managers
from wizard.host.net.managers import backend as backend_module
from wizard.host.net.managers.backend import NetworkBackend
from wizard.plan import paths
from wizard.plan.backends import ADDRESS_FILES, Backend
from wizard.plan.file.read import load_plan
from wizard.plan.findings import WizardError
from wizard.plan.render import HEADER, File

PLAN = load_plan((Path(__file__).parents[3] / "examples" / "ciao.toml").read_text(), "ciao.toml")
FIRST, SECOND = "10.0.0.1/24", "10.0.0.2/24"
CORPORATE, OURS = "02:00:00:00:00:01", "02:00:00:00:00:02"
OTHERS = [kind for kind in ADDRESS_FILES if kind is not Backend.IFUPDOWN]
REMEMBERING = [kind for kind in OTHERS if kind is not Backend.NONE]


@dataclass
class Daemon:
    """What runs behind one backend, or behind networkd and netplan: it configures a NIC by the first of its files.

    `has`: the address that it has read of ours, and `by` in which file; `on`: the NIC that it gave that to; `theirs`:
    that which it has configured by somebody else's profile.
    """

    files: list[str] = field(default_factory=list)
    has: str = ""
    by: str = ""
    on: str = ""
    theirs: str = ""

    def read_files(self) -> None:
        self.by = next((path for path in self.files if Path(path).exists()), "")
        self.has = Path(self.by).read_text().split()[-1] if self.by else ""
        self.on = self.on if self.has else ""


class Manager(NetworkBackend):
    """`told`: the NICs that it was to release or to reconfigure, "" for none."""

    def __init__(self, kind: Backend, machine: Machine, daemon: Daemon) -> None:
        self.backend = kind
        self.machine = machine
        self.daemon = daemon
        self.told: list[str] = []
        daemon.files += [path for path in (self.file.live, self.file.kept) if path not in daemon.files]

    def make_way_commands(self, _nic: str) -> list[tuple[str, ...]]:
        return []

    def make_way(self, nic: str) -> None:
        pass

    def bring_up_commands(self, _nic: str, _cidr: str) -> list[tuple[str, ...]]:
        return []

    def bring_up(self, nic: str) -> None:
        self.daemon.read_files()
        self.daemon.on = nic
        self.machine.addresses[nic].add(self.daemon.has)

    def is_configured(self, nic: str) -> bool:
        return bool(self.configured_as(nic))

    def configured_as(self, nic: str) -> str:
        return {self.daemon.theirs: "theirs", self.daemon.on: "ours", "": ""}.get(nic, "")

    def ours(self, _nic: str) -> frozenset[str]:
        return frozenset({"ours"})

    def nic(self) -> str:
        return (
            (read_text(self.file.live) or read_text(self.file.kept) or "\n- ").splitlines()[1].split(" ")[0].strip("-")
        )

    def addresses(self) -> set[str]:
        return {text.split()[-1] for path in (self.file.live, self.file.kept) if (text := read_text(path))}

    def release(self, nic: str) -> bool:
        self.told.append(nic)
        return self.configured_as(nic) == "ours"

    def has_ours(self, _nic: str) -> bool:
        return self.daemon.by in (self.file.live, self.file.kept) and self.backend is not Backend.NONE

    def withdraw(self, nic: str) -> bool:
        files = [path for path in (self.file.live, self.file.kept) if Path(path).exists()]
        if not files and not self.has_ours(nic):
            return False
        for path in files:
            remove(path)
        self.reconfigure(nic, "")
        return True

    def reconfigure(self, nic: str, configured_as: str) -> list[str]:
        self.told.append(nic)
        self.daemon.read_files()
        if nic and configured_as == "ours":
            self.bring_up(nic)
        return []


class Machine:
    """Two NICs, a journal, and every backend as a `Manager`."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.boots = 1
        self.macs = {"eth0": CORPORATE, "eth1": OURS}
        self.addresses: dict[str, set[str]] = {"eth0": {"10.77.0.98/24"}, "eth1": set()}
        self.events: list[str] = []
        self.guarded = False
        move_address_files(root, monkeypatch)
        for name in ("LIVE", "ETC", "LEASES", "SERVICE_FILE", "SERVICE_WANTED"):
            monkeypatch.setattr(paths, name, str(root / getattr(paths, name).lstrip("/")))
        files = ADDRESS_FILES.values()
        monkeypatch.setattr(installed_files, "INSTALLED_FILES", tuple(file.kept for file in files))
        monkeypatch.setattr(installed_files, "PERSISTENT_FILES", ())
        monkeypatch.setattr(installed_files, "LIVE_ADDRESS_FILES", tuple(file.live for file in files))
        self.daemons = {kind: Daemon() for kind in ADDRESS_FILES}
        self.daemons[Backend.NETPLAN] = self.daemons[Backend.NETWORKD]
        self.managers = {kind: Manager(kind, self, self.daemons[kind]) for kind in ADDRESS_FILES}
        for kind, manager in self.managers.items():
            monkeypatch.setitem(managers.BACKENDS, kind, manager)
        self.journal = Journal(str(root / "state"))
        monkeypatch.setattr(journal, "boot_id", lambda: str(self.boots))
        monkeypatch.setattr(link_image, "run", self.run)
        monkeypatch.setattr(link_image, "find", lambda _: "/x/ip")
        monkeypatch.setattr(backend_module, "link_state", link_image.link_state)
        monkeypatch.setattr(time, "sleep", lambda _: None)
        monkeypatch.setattr(systemd, "running", lambda: False)
        monkeypatch.setattr(systemd, "restore_network_files", lambda: self.events.append("network files"))
        monkeypatch.setattr(reverter, "wait_for_orphans", lambda: self.events.append("orphans"))
        monkeypatch.setattr(reverter, "interfaces_texts", lambda _: ())
        for name in ("stop", "remove_runtime_files", "wait_until_loaded"):
            monkeypatch.setattr(control, name, lambda *_: None)
        monkeypatch.setattr(control, "stray_servers", list)
        monkeypatch.setattr(control, "start", self.guard)
        monkeypatch.setattr("wizard.deploy.runtime_state.running_guard", lambda: None)
        monkeypatch.setattr("wizard.host.net.gateway_rules.remove_everything", lambda: ([], []))
        monkeypatch.setattr("wizard.host.net.forwarding.restore", list)

    def guard(self) -> float:
        self.guarded = True
        return 0.0

    def run(self, *argv: str, ok: Any = (0,)) -> str:
        words = " ".join(argv)
        if words.startswith("ip -j addr show dev"):
            return json.dumps([self.shown(argv[-1])]) if argv[-1] in self.macs else self.fail(argv)
        if words.startswith("ip -j -d link show"):
            return json.dumps([self.shown(nic) for nic in self.macs])
        if words.startswith("ip addr del"):
            self.addresses[argv[-1]].discard(argv[3])
        return ""

    def fail(self, argv: tuple[str, ...]) -> str:
        raise CommandFailed(argv, 1, "no such device")

    def shown(self, nic: str) -> dict[str, Any]:
        split = [cidr.split("/") for cidr in sorted(self.addresses[nic])]
        found = [{"local": address, "prefixlen": int(prefix)} for address, prefix in split]
        return {"ifname": nic, "address": self.macs[nic], "flags": ["UP"], "addr_info": found}

    def image(self, kind: Backend) -> dict[str, Any]:
        manager = self.managers[kind]
        return {
            "link": link_image.whole_state("eth1"),
            "backend": str(kind),
            "held": manager.is_configured("eth1"),
            "stanza": manager.configured_as("eth1"),
            "config": self.journal.images.capture(manager.file.live),
        }

    def begin(self, kind: Backend, cidr: str) -> None:
        """An apply, as far as the address of its trial."""
        manager = self.managers[kind]
        self.journal.begin(kind="apply")
        self.journal.append({"t": "before", "step": "address:eth1", "image": self.image(kind) | {"gives": cidr}})
        Path(manager.file.live).write_text(f"{HEADER} …\neth1 {cidr}\n")
        self.addresses["eth1"].clear()
        manager.bring_up("eth1")
        self.journal.append({"t": "trial"})

    def keep(self, kind: Backend) -> None:
        manager = self.managers[kind]
        self.journal.append({"t": "kept"})
        for former in self.managers.values():
            if former is not manager and Path(former.file.kept).exists():
                self.file_step(former.file.kept)
                remove(former.file.kept)
                if former.file.live != manager.file.live:
                    remove(former.file.live)
                former.daemon.read_files()
        self.file_step(manager.file.kept)
        Path(manager.file.kept).write_text(read_text(manager.file.live) or "")
        kept = {manager.file.kept: digest_of(manager.file.kept) or ""}
        self.journal.append({"t": "applied", "files": kept})

    def file_step(self, path: str) -> None:
        image = self.journal.images.capture(path)
        self.journal.append({"t": "before", "step": f"file:{path}", "image": image})

    def boot(self) -> None:
        self.boots += 1
        self.addresses["eth1"].clear()
        for manager in self.managers.values():
            remove(manager.file.live)
            manager.daemon.has = manager.daemon.by = manager.daemon.on = ""
        for manager in self.managers.values():
            if Path(manager.file.kept).exists() and manager.backend is not Backend.NONE:
                manager.bring_up("eth1")

    def damage(self, step: str) -> None:
        """Of one record of the journal no line can be read any more."""
        lines = self.journal.path.read_text().splitlines(keepends=True)
        self.journal.path.write_text("".join("x\n" if f'"step":"{step}"' in line else line for line in lines))

    def undo(self) -> Reverter:
        return Reverter(self.journal, EventWriter())


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize("theirs", ["", "eth1"], ids=["ours", "somebody's"])
@pytest.mark.parametrize("kind", OTHERS)
def test_after_a_power_cut_in_a_later_trial_what_was_kept_is_there(
    machine: Machine, kind: Backend, theirs: str
) -> None:
    """Also where its manager has given the NIC somebody else's profile meanwhile."""
    manager = machine.managers[kind]
    machine.begin(kind, FIRST)
    machine.keep(kind)
    kept = Path(manager.file.kept).read_text()
    machine.begin(kind, SECOND)
    machine.boot()
    if theirs:
        manager.daemon.on, manager.daemon.theirs = "", theirs
        machine.addresses["eth1"].clear()

    assert machine.undo().recover() == []

    assert Path(manager.file.kept).read_text() == kept
    assert (manager.daemon.has, manager.daemon.on) == (FIRST, "eth1")
    assert machine.addresses["eth1"] == {FIRST}
    assert machine.guarded
    assert machine.journal.read().settled


@pytest.mark.parametrize("kind", REMEMBERING)
def test_a_power_cut_in_a_first_trial_leaves_nothing(machine: Machine, kind: Backend) -> None:
    machine.begin(kind, FIRST)
    machine.journal.append({"t": "kept"})
    machine.file_step(machine.managers[kind].file.kept)
    Path(machine.managers[kind].file.kept).write_text(f"{HEADER} …\neth1 {FIRST}\n")
    machine.boot()

    assert machine.undo().recover() == []

    assert not Path(machine.managers[kind].file.kept).exists()
    assert (machine.daemons[kind].has, machine.addresses["eth1"]) == ("", set())


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("gone", [False, True], ids=["swapped", "gone"])
def test_names_that_changed_since_lead_to_no_other_nic(machine: Machine, kind: Backend, gone: bool) -> None:
    machine.begin(kind, FIRST)
    machine.macs = {"eth1": CORPORATE} | ({} if gone else {"eth0": OURS})
    machine.addresses = {"eth1": {"10.77.0.98/24"}, "eth0": {FIRST}}
    for daemon in machine.daemons.values():
        daemon.on, daemon.theirs = "eth0" if daemon.on and not gone else "", "eth1"

    assert machine.undo().revert("refused") == []

    told = {nic for manager in machine.managers.values() for nic in manager.told if manager.backend in OTHERS}
    assert told <= ({""} if gone else {"", "eth0"})
    assert machine.addresses["eth1"] == {"10.77.0.98/24"}
    assert machine.daemons[kind].has == ""
    assert gone or machine.addresses["eth0"] == set()


@pytest.mark.parametrize(("kind", "other"), [(Backend.NETWORKD, Backend.NETPLAN), (Backend.NETPLAN, Backend.NETWORKD)])
def test_of_networkd_and_netplan_one_alone_has_the_nic_configured_again(
    machine: Machine, kind: Backend, other: Backend
) -> None:
    """The trial's file is both's; the other would wait in vain for networkd to leave it."""
    machine.begin(kind, FIRST)

    assert machine.undo().revert("refused") == []

    assert "eth1" in machine.managers[kind].told
    assert "eth1" not in machine.managers[other].told
    assert machine.daemons[kind].has == ""


@pytest.mark.parametrize("booted", [True, False])
@pytest.mark.parametrize(("first", "later"), [(a, b) for a in OTHERS for b in OTHERS if a is not b])
def test_a_manager_that_a_later_apply_went_through_forgets_us_too(
    machine: Machine, first: Backend, later: Backend, booted: bool
) -> None:
    for kind in (first, later):
        machine.begin(kind, FIRST)
        machine.keep(kind)
    if booted:
        machine.boot()

    assert machine.undo().reset(forget_leases=True) == []

    assert {kind: daemon.by for kind, daemon in machine.daemons.items() if daemon.by} == {}
    assert machine.addresses["eth1"] == set()
    assert installed_files.leftovers() == []


@pytest.mark.parametrize("booted", [True, False])
@pytest.mark.parametrize("kind", OTHERS)
def test_a_lost_record_of_the_address_leaves_no_address(machine: Machine, kind: Backend, booted: bool) -> None:
    machine.begin(kind, FIRST)
    machine.keep(kind)
    if booted:
        machine.boot()
        machine.managers[kind].bring_up("eth1")
    machine.damage("address:eth1")

    assert machine.undo().reset(forget_leases=True) != []

    if kind in REMEMBERING:
        assert machine.daemons[kind].has == ""
    assert machine.addresses["eth1"] == set()
    assert installed_files.leftovers() == []


def test_what_a_killed_reload_left_is_finished_once_it_has_ended(machine: Machine) -> None:
    machine.begin(Backend.NETPLAN, FIRST)
    machine.undo().revert("refused")
    assert machine.events == ["orphans", "network files"]


@pytest.mark.parametrize(("left", "now"), [(a, b) for a in OTHERS for b in OTHERS if a is not b])
def test_the_manager_that_is_left_forgets_us_at_once(machine: Machine, left: Backend, now: Backend) -> None:
    machine.begin(left, FIRST)
    machine.keep(left)
    former, next_one = machine.managers[left], machine.managers[now]
    Path(next_one.file.live).write_text(f"{HEADER} …\neth1 {FIRST}\n")
    context = cast(ApplyContext, SimpleNamespace(journal=machine.journal, backend=next_one))

    RemoveFile(context, former.file.kept).do()

    shared = former.file.live == next_one.file.live
    assert Path(next_one.file.live).exists()
    assert Path(former.file.live).exists() == shared
    assert (former.daemon.has == "") != shared
    assert "eth1" not in former.told, "it is another's now"


def test_what_the_undo_of_the_address_needs_outlives_the_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = tmp_path / "live"
    for name in ("LIVE", "DNSMASQ_RUN", "DNSMASQ_LOG", "DNS_LOG"):
        monkeypatch.setattr(paths, name, str(tmp_path / name.lower()))
    for name in ("SERVE_LOG", "RUNTIME_UNIT"):
        monkeypatch.setattr(control, name, str(tmp_path / name))
    live.mkdir()
    names = {Path(file.live).name for file in ADDRESS_FILES.values() if file.live.startswith("/run/ciao-wizard/")}
    for name in (*names, "tenant_dns.cfg"):
        (live / name).touch()

    control.remove_runtime_files()

    assert {entry.name for entry in live.iterdir()} == names


@pytest.mark.parametrize(
    ("macs", "former"),
    [
        ({"eth0": CORPORATE, "eth1": OURS, "eth2": "02:00:00:00:00:03"}, "eth1"),
        ({"eth1": CORPORATE, "eth2": OURS}, "eth2"),
        ({"eth1": CORPORATE, "eth3": OURS, "eth2": "02:00:00:00:00:03"}, "eth3"),
        ({"eth1": CORPORATE, "eth2": "02:00:00:00:00:03"}, ""),
    ],
    ids=["as it was", "the new plan's", "renamed", "gone"],
)
def test_a_plan_for_another_name_leaves_the_former_one_by_its_mac(
    machine: Machine, macs: dict[str, str], former: str
) -> None:
    """Not the NIC that has its name by now, which may be the company's."""
    machine.begin(Backend.NETWORKMANAGER, FIRST)
    machine.keep(Backend.NETWORKMANAGER)
    machine.macs = macs
    machine.addresses = {nic: {FIRST} if mac == OURS else set() for nic, mac in macs.items()}

    assert former_nic(machine.journal, "eth1") == former


def test_a_former_nic_under_another_name_is_left_and_given_back(machine: Machine) -> None:
    kind = Backend.NETWORKMANAGER
    machine.begin(kind, FIRST)
    machine.keep(kind)
    machine.macs = {"eth1": CORPORATE, "eth3": OURS}
    machine.addresses = {"eth1": {"10.77.0.98/24"}, "eth3": {FIRST}}
    machine.daemons[kind].on, machine.daemons[kind].theirs = "eth3", "eth1"
    manager = machine.managers[kind]
    live = File(manager.file.live, f"{HEADER} …\neth2 {FIRST}\n", 0o600)
    context = ApplyContext(PLAN, (), live, manager, 0, machine.journal, PLAN)
    step = ReleaseFormerNic(context, "eth3", "eth1")
    manager.told.clear()

    machine.journal.begin(kind="apply")
    machine.journal.append({"t": "before", "step": step.name, "image": step.capture()})
    step.do()
    assert machine.addresses == {"eth1": {"10.77.0.98/24"}, "eth3": set()}

    assert machine.undo().revert("refused") == []
    assert machine.addresses == {"eth1": {"10.77.0.98/24"}, "eth3": {FIRST}}
    assert "eth1" not in manager.told


# A configuration of somebody else's that the manager reads before ours


@pytest.mark.parametrize("kind", REMEMBERING)
def test_a_configuration_that_comes_before_ours_ends_the_trial(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, kind: Backend
) -> None:
    """Also where it gives the very address: at the next restart it would be taken again."""
    manager = machine.managers[kind]
    manager.daemon.theirs = "eth1"
    monkeypatch.setattr(manager, "bring_up", lambda _: None)
    monkeypatch.setattr(trial, "SETTLES_S", 0.0)
    machine.addresses["eth1"].add(PLAN.network.gateway_cidr)
    file = File(manager.file.live, f"{HEADER} …\neth1 {PLAN.network.gateway_cidr}\n", 0o644)
    Path(file.path).write_text(file.text)
    context = SimpleNamespace(
        backend=manager, plan=PLAN, previous=None, journal=machine.journal, live_address=file, files=(file,)
    )
    step = SetClusterAddress(cast(ApplyContext, context))
    assert step.needed()
    with pytest.raises(WizardError, match="has eth1 by theirs still"):
        step.do()
