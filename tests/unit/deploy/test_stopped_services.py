"""Services of others that an apply stops: in the trial, at boot once it is kept, and all of it undone."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wizard.deploy.apply import preflight, reverter, steps
from wizard.deploy.apply.context import NotAsBefore
from wizard.deploy.apply.steps.services import DisableService, StopService
from wizard.deploy.events import EventWriter
from wizard.deploy.journal import Journal, JournalContents, Transaction
from wizard.deploy.journal_schema import is_valid
from wizard.host import systemd
from wizard.host.commands import CommandFailed
from wizard.plan.findings import Finding, Severity, WizardError
from wizard.plan.machine import Facts, Listener, PortService
from wizard.plan.ntp import NO_TIME

SERVICE, SOCKET = "proxy.service", "proxy.socket"


@dataclass
class Systemd:
    """A systemd with one service that a socket starts. `stubborn`: who is started again at once."""

    root: Path
    active: set[str] = field(default_factory=lambda: {SERVICE, SOCKET})
    installed: set[str] = field(default_factory=lambda: {SERVICE, SOCKET})
    stubborn: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    did: list[str] = field(default_factory=list)

    def run(self, *argv: str, **_: Any) -> str:
        verb, unit = argv[1], argv[-1]
        if verb == "show":
            loaded = "loaded" if unit in self.installed else "not-found"
            by = SOCKET if unit == SERVICE and unit in self.installed else ""
            return f"Id={unit}\nLoadState={loaded}\nTriggeredBy={by}\n"
        if verb in ("stop", "start"):
            self.did.append(f"{verb} {unit}")
        if verb == "stop":
            self.active -= {unit} - self.stubborn
        if verb == "start":
            if unit in self.broken:
                raise CommandFailed(argv, 1, "Job for proxy.service failed.")
            self.active.add(unit)
        return ""

    def works(self, *argv: str, **_: Any) -> bool:
        return argv[1] == "is-active" and argv[-1] in self.active

    @property
    def wants(self) -> list[str]:
        return sorted(link.name for link in (self.root / "etc/systemd/system").glob("*.wants/*"))

    def uninstall(self) -> None:
        self.installed.clear()
        self.active.clear()
        for unit in (SERVICE, SOCKET):
            (self.root / unit).unlink()


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    made = Systemd(tmp_path)
    for unit, target in ((SERVICE, "multi-user"), (SOCKET, "sockets")):
        (tmp_path / unit).write_text("[Install]\n")
        link = tmp_path / f"etc/systemd/system/{target}.target.wants" / unit
        link.parent.mkdir(parents=True)
        link.symlink_to(tmp_path / unit)
    monkeypatch.setattr(systemd, "run", made.run)
    monkeypatch.setattr(systemd, "works", made.works)
    monkeypatch.setattr(systemd, "running", lambda: True)
    monkeypatch.setattr(systemd, "NETWORK_FILES", tmp_path)
    monkeypatch.setattr(systemd, "enabling_links", partial(systemd.enabling_links, root=tmp_path))
    return made


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(str(tmp_path / "state"))


def both_steps(journal: Journal) -> list[Any]:
    context: Any = SimpleNamespace(journal=journal)
    return [StopService(SERVICE), DisableService(context, SERVICE)]


def take(step: Any) -> dict[str, Any]:
    """Take a step; its image, which a journal would have taken."""
    assert step.needed()
    image: dict[str, Any] = step.capture()
    assert is_valid({"t": "before", "step": step.name, "image": image})
    step.do()
    assert not step.needed()
    return image


def undo(name: str, image: dict[str, Any], journal: Journal, *, after_boot: bool = False) -> str:
    return steps.undo(f"{name}:{SERVICE}", image, journal, after_boot, tries=1)


def test_a_trial_stops_the_socket_first_and_a_kept_one_disables_both(laptop: Systemd, journal: Journal) -> None:
    stop, disable = both_steps(journal)
    assert stop.preview() == ["$ systemctl stop proxy.socket", "$ systemctl stop proxy.service"]
    stopped = take(stop)
    assert laptop.did == ["stop proxy.socket", "stop proxy.service"]
    assert laptop.wants == [SERVICE, SOCKET], "a power cut in a trial leaves them to the next boot"

    removed = [line for line in disable.preview() if line.startswith("removes ")]
    assert [line.rpartition("/")[2] for line in removed] == [SOCKET, SERVICE]
    disabled = take(disable)
    assert laptop.wants == []

    for _ in range(2):
        undo("disable", disabled, journal)
        undo("stop", stopped, journal)
    assert laptop.wants == [SERVICE, SOCKET]
    assert laptop.did[2:] == ["start proxy.socket", "start proxy.service"], "not twice"


def test_what_was_neither_active_nor_enabled_stays_so(laptop: Systemd, journal: Journal) -> None:
    laptop.active.remove(SOCKET)
    (laptop.root / "etc/systemd/system/sockets.target.wants" / SOCKET).unlink()
    images = [take(step) for step in both_steps(journal)]
    undo("disable", images[1], journal)
    undo("stop", images[0], journal)
    assert (laptop.active, laptop.wants) == ({SERVICE}, [SERVICE])


def test_after_a_reboot_it_is_started_unless_the_boot_has(laptop: Systemd, journal: Journal) -> None:
    stopped = take(StopService(SERVICE))
    laptop.active = {SOCKET}
    assert undo("stop", stopped, journal, after_boot=True) == "proxy.service runs again"
    assert undo("stop", stopped, journal, after_boot=True) == "as it was"
    assert laptop.did[2:] == ["start proxy.service"]


def test_one_that_was_removed_since_is_told_and_left_alone(laptop: Systemd, journal: Journal) -> None:
    stopped, disabled = (take(step) for step in both_steps(journal))
    laptop.uninstall()
    assert undo("disable", disabled, journal) == (
        "proxy.socket is not installed any more; proxy.service is not installed any more"
    )
    told = undo("stop", stopped, journal)
    assert told == "proxy.socket is not installed any more; proxy.service is not installed any more"
    assert (laptop.did[2:], laptop.wants) == ([], [])


def test_one_that_no_longer_starts_is_told_with_the_reason(laptop: Systemd, journal: Journal) -> None:
    stopped = take(StopService(SERVICE))
    laptop.broken = {SERVICE}
    with pytest.raises(NotAsBefore) as told:
        undo("stop", stopped, journal)
    assert "proxy.socket runs again" in told.value.message
    assert "proxy.service could not be started again: " in told.value.message
    assert "Job for proxy.service failed." in told.value.message


def test_one_that_comes_back_at_once_ends_the_trial(laptop: Systemd) -> None:
    laptop.stubborn = {SERVICE}
    with pytest.raises(WizardError, match=r"proxy\.service runs again after"):
        StopService(SERVICE).do()


def test_without_systemd_nothing_is_started(laptop: Systemd, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = take(StopService(SERVICE))
    monkeypatch.setattr(systemd, "running", lambda: False)
    assert undo("stop", stopped, journal) == "systemd does not run here"
    assert laptop.did[2:] == []


def test_in_a_trial_they_stop_before_the_wires_are_heard(laptop: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ProveWires", "LoadRules", "SetClusterAddress", "StartGuard"):
        monkeypatch.setattr(steps, name, lambda _, name=name: SimpleNamespace(name=name))
    context: Any = SimpleNamespace(previous=None, stop=(SERVICE,), time=NO_TIME, former_time=NO_TIME)
    names = [step.name for step in steps.trial_steps(context)]
    assert names == ["stop:proxy.service", "ProveWires", "LoadRules", "SetClusterAddress", "StartGuard"]


@pytest.mark.parametrize("broken", [False, True])
def test_a_reset_starts_them_once_the_gateway_is_gone(
    monkeypatch: pytest.MonkeyPatch, journal: Journal, broken: bool
) -> None:
    """Whichever apply stopped them: they want the ports that it has. One that does not start holds nothing up."""
    first = Transaction(1, {"boot": "b"}, [("gateway", {}), ("file:/x", {})], phase="applied")
    second = Transaction(2, {"boot": "b"}, [("gateway", {}), ("stop:a.service", {}), ("file:/y", {})], phase="applied")
    reading = JournalContents((first, second))
    undone: list[str] = []

    def note(name: str, *_: object) -> str:
        undone.append(name)
        if broken and name == "stop:a.service":
            raise NotAsBefore("a.service could not be started again", "Look at it.")
        return ""

    def nothing(*_: object, **__: object) -> list[str]:
        return []

    monkeypatch.setattr("wizard.deploy.installed_files.read_journal", lambda _: reading)
    monkeypatch.setattr(steps, "undo", note)
    monkeypatch.setattr(reverter, "wait_for_orphans", nothing)
    monkeypatch.setattr(reverter, "forwarding", SimpleNamespace(restore=nothing))
    monkeypatch.setattr(reverter, "gateway_rules", SimpleNamespace(remove_everything=lambda: ([], [])))
    problems = reverter.Reverter(journal, EventWriter()).reset(forget_leases=True)
    assert undone == ["file:/y", "file:/x", "gateway", "stop:a.service"]
    assert problems == (["stop:a.service: a.service could not be started again. Look at it."] if broken else [])


# Before anything is changed


FACTS = Facts(
    listeners=(
        Listener("udp", "0.0.0.0", 53, "named", 7, unit="named.service"),  # noqa: S104
        Listener("udp", "0.0.0.0", 53, "dnsmasq", 9, unit="libvirtd.service"),  # noqa: S104
    ),
    services=(PortService("named.service", 7), PortService("libvirtd.service", 8)),
)
OFFER = Finding(
    Severity.WARNING, "port-53-taken", "interfaces.cluster", "It serves.", "Nothing to do.", ("named.service",)
)
NOTHING = JournalContents(())


def refusal(unit: str, findings: tuple[Finding, ...] = (OFFER,), journal: JournalContents = NOTHING) -> str:
    try:
        preflight.check_stops([unit], FACTS, findings, journal)
    except WizardError as error:
        return f"{error.message}. {error.remedy}"
    return ""


def test_one_that_hinders_the_plan_may_be_stopped() -> None:
    assert refusal("named.service") == ""


@pytest.mark.parametrize(
    ("unit", "why"),
    [
        ("ssh.service", "it serves neither DNS nor DHCP"),
        ("libvirtd.service", '"dnsmasq" may be only a part of it'),
        ("a\x1b[2J.service", "it serves neither DNS nor DHCP"),
    ],
)
def test_others_are_refused_and_what_may_be_stopped_is_named(unit: str, why: str) -> None:
    told = refusal(unit)
    assert why in told
    assert told.endswith("Leave it out, or name named.service instead. Nothing was changed.")
    assert told.isprintable()


def test_one_beside_which_the_gateway_can_live_is_let_be() -> None:
    told = refusal("named.service", findings=())
    assert "named.service" in told
    assert told.endswith("it does not hinder this plan. Leave it out. Nothing was changed.")


def test_one_that_an_earlier_apply_stopped_may_be_named_again() -> None:
    earlier = Transaction(1, {}, [("stop:other.service", {"units": []})], phase="applied")
    assert refusal("other.service", journal=JournalContents((earlier,))) == ""
    assert refusal("other.service") != ""
