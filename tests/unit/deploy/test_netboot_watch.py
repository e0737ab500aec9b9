"""The guard's part in booting over the network: who is taken for armed, and who is disarmed when."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.needs import unavailable
from wizard.deploy.armed import change_armed, read_armed
from wizard.deploy.discovery_record import close_discovery, open_discovery, read_raw_machines
from wizard.deploy.guard import netboot
from wizard.deploy.guard.netboot import Netboot
from wizard.deploy.images.loaders import refuse_links
from wizard.host.dhcp import dnsmasq
from wizard.host.net import gateway_rules
from wizard.plan import paths
from wizard.plan.file.read import load_plan
from wizard.plan.findings import WizardError
from wizard.plan.netboot import ArmedNode, Served, Stage, Times, load_raw_paths
from wizard.plan.raw_machines import RawMachine
from wizard.plan.render import render


@pytest.fixture(autouse=True)
def _as_root() -> None:
    if os.geteuid() != 0:
        unavailable("gives a file to the server's user, as root")


TEXT = (Path(__file__).parents[3] / "examples" / "ciao.toml").read_text() + '[[images]]\nname = "d"\nkind = "debian"\n'
PLAN = load_plan(TEXT, "example")
MAC, ADDRESS = "b8:ae:ed:7b:72:58", "192.168.0.103"


def node(since: str, times: Times = Times.ONCE) -> ArmedNode:
    return ArmedNode("compute1", ADDRESS, (MAC,), "d", times, since, {"/x": Served(Stage.SEED, text="x")}, True)


class Place:
    """The files and what was asked of dnsmasq and the packet filter."""

    def __init__(self) -> None:
        self.reloads = 0
        self.opened: list[Any] = []
        self.looked: list[tuple[str, int]] = []

    def is_tagged(self) -> bool:
        return "\ntag:node-compute1," in Path(paths.NETBOOT_OPTIONS).read_text()

    def fetch(self, *stages: Stage, at: float, source: str = ADDRESS, name: str = "compute1") -> None:
        with Path(paths.NETBOOT_LOG).open("a") as log:
            for stage in stages:
                line = {"at": at, "source": source, "node": name, "stage": stage.value, "path": "/x", "status": 200}
                log.write(json.dumps({**line, "size": 1, "seconds": 0, "whole": True, "count": 1}) + "\n")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place()
    for name in (
        "ARMED",
        "NETBOOT_SERVED",
        "NETBOOT_HOSTS",
        "NETBOOT_OPTIONS",
        "NETBOOT_LOG",
        "DISCOVERY",
        "RAW_MACHINES",
        "LEASES",
        "BOOT_LOADERS",
        "TFTP_ROOT",
    ):
        monkeypatch.setattr(paths, name, str(tmp_path / name))
    monkeypatch.setattr(paths, "STATE", str(tmp_path))
    monkeypatch.setattr(paths, "RUN", str(tmp_path))
    monkeypatch.setattr(dnsmasq, "HOSTS", str(tmp_path / "hosts"))
    hosts = next(file.text for file in render(PLAN, TEXT) if file.path == paths.DNSMASQ_HOSTS)
    (tmp_path / "hosts").write_text(hosts)

    def reload_hosts(_process: object) -> bool:
        made.reloads += 1
        return True

    monkeypatch.setattr(dnsmasq, "reload_hosts", reload_hosts)
    monkeypatch.setattr(gateway_rules, "fill_netboot", made.opened.append)
    monkeypatch.setattr(gateway_rules, "fill_discovery", lambda nic, seconds: made.looked.append((nic, round(seconds))))
    return made


def watching() -> Netboot:
    watch = Netboot()
    watch.reload(PLAN)
    return watch


def turn(watch: Netboot) -> None:
    # Without a server: DHCP is mute.
    watch.supervise(None, False, 1.0)


NOW = datetime(2026, 12, 1, 10).astimezone()


def test_the_armed_are_taken_up_and_let_go(place: Place) -> None:
    watch = watching()
    turn(watch)
    assert (place.opened, place.reloads) == ([[]], 0)
    change_armed(lambda _: (node(NOW.isoformat()),))
    for _ in range(3):
        turn(watch)
    assert place.is_tagged()
    assert (place.opened, place.reloads) == ([[], [(ADDRESS, (MAC,))]], 1)
    assert Path(paths.NETBOOT_SERVED).stat().st_mode & 0o777 == 0o640
    Path(paths.ARMED).write_text("{damaged")
    turn(watch)
    assert not place.is_tagged()
    assert place.opened[-1] == []


def test_it_publishes_whom_it_does_not_serve(place: Place) -> None:
    watch = watching()
    change_armed(lambda _: (replace(node(NOW.isoformat()), address="192.168.0.99"),))
    turn(watch)
    assert watch.state() == {"process": None, "armed": 0, "failure": "", "remedy": "", "stale": ["compute1"]}
    Path(paths.ARMED).write_text("{damaged")
    turn(watch)
    assert watch.state()["failure"] == "the record of armed nodes cannot be read"
    assert "boot arm" in watch.state()["remedy"]
    Path(paths.ARMED).unlink()
    change_armed(lambda _: (node(NOW.isoformat()),))
    turn(watch)
    assert watch.state() == {"process": None, "armed": 1, "failure": "", "remedy": "", "stale": []}


def test_it_is_disarmed_even_where_the_clock_was_set_back(place: Place) -> None:
    change_armed(lambda _: (node(NOW.isoformat()),))
    watch = watching()
    turn(watch)
    place.fetch(Stage.SEED, at=NOW.timestamp() - 86400)
    turn(watch)
    assert read_armed()
    place.fetch(Stage.REPORTED, at=NOW.timestamp() - 86400, source="192.168.0.104")
    turn(watch)
    assert read_armed()
    place.fetch(Stage.REPORTED, at=NOW.timestamp() - 86000)
    turn(watch)
    assert read_armed() == ()
    assert not place.is_tagged()
    assert place.opened[-1] == []


def test_another_guard_goes_on_where_the_last_one_was(place: Place) -> None:
    place.fetch(Stage.SEED, Stage.REPORTED, at=NOW.timestamp() - 60)
    change_armed(lambda _: (node(NOW.isoformat()),))
    turn(watching())
    assert read_armed()
    place.fetch(Stage.SEED, at=NOW.timestamp() + 1)
    turn(watching())
    place.fetch(Stage.REPORTED, at=NOW.timestamp() + 2)
    turn(watching())
    assert read_armed() == ()


def test_another_plan_in_force_fills_the_packet_filter_again(place: Place) -> None:
    change_armed(lambda _: (node(NOW.isoformat()),))
    watch = watching()
    turn(watch)
    without = load_plan(TEXT.partition("[[images]]")[0], "example")
    watch.reload(without)
    turn(watch)
    assert place.opened == [[(ADDRESS, (MAC,))]]
    watch.reload(PLAN)
    turn(watch)
    assert place.opened == [[(ADDRESS, (MAC,))], [(ADDRESS, (MAC,))]]


def test_a_report_counts_though_the_log_with_the_seed_is_gone(place: Place) -> None:
    """After a power cut in the middle of an installation: /run is empty then."""
    change_armed(lambda _: (node(NOW.isoformat()),))
    watch = watching()
    turn(watch)
    place.fetch(Stage.SEED, at=NOW.timestamp() + 1)
    turn(watch)
    Path(paths.NETBOOT_LOG).unlink()
    again = watching()
    turn(again)
    assert read_armed()
    place.fetch(Stage.REPORTED, at=NOW.timestamp() + 60)
    turn(again)
    assert read_armed() == ()


def test_the_report_of_an_earlier_installer_has_no_seed_before_it(place: Place) -> None:
    change_armed(lambda _: (node(NOW.isoformat()),))
    watch = watching()
    turn(watch)
    for stage in (Stage.REPORTED, Stage.SEED):
        place.fetch(stage, at=NOW.timestamp() + 1)
        turn(watch)
    assert read_armed()
    place.fetch(Stage.REPORTED, at=NOW.timestamp() + 2)
    turn(watch)
    assert read_armed() == ()


@pytest.mark.parametrize("change", [{"gateway": "192.168.0.1"}, {"image": "other"}])
def test_what_was_laid_down_for_another_plan_is_not_served(place: Place, change: dict[str, str]) -> None:
    change_armed(lambda _: (replace(node(NOW.isoformat()), **change),))  # type: ignore[arg-type]
    watch = watching()
    turn(watch)
    assert watch.state()["stale"] == ["compute1"]
    assert place.opened == [[]]


def test_it_does_not_wait_for_whoever_changes_the_record(place: Place) -> None:
    change_armed(lambda _: (node(NOW.isoformat()),))
    watch = watching()
    turn(watch)
    place.fetch(Stage.SEED, Stage.REPORTED, at=NOW.timestamp() + 1)
    with Path(paths.RUN, "armed.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        turn(watch)
        assert read_armed()
        assert "somebody" in watch.failure
    turn(watch)
    assert read_armed() == ()
    assert watch.failure == ""


def test_the_log_is_cut_off_but_never_a_line_that_nobody_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netboot, "LOG_LIMIT", 10)
    change_armed(lambda _: (node(NOW.isoformat()),))
    watch = watching()
    turn(watch)
    place.fetch(Stage.SEED, at=NOW.timestamp() + 1)
    with Path(paths.NETBOOT_LOG).open() as log:
        # The server is at it.
        fcntl.flock(log, fcntl.LOCK_EX)
        turn(watch)
    assert Path(paths.NETBOOT_LOG).stat().st_size
    turn(watch)
    assert Path(paths.NETBOOT_LOG).stat().st_size == 0
    place.fetch(Stage.REPORTED, at=NOW.timestamp() + 2)
    turn(watch)
    assert read_armed() == ()


def test_always_stays(place: Place) -> None:
    change_armed(lambda _: (node(NOW.isoformat(), Times.ALWAYS),))
    watch = watching()
    turn(watch)
    place.fetch(Stage.SEED, Stage.REPORTED, at=NOW.timestamp() + 1)
    turn(watch)
    assert len(read_armed()) == 1
    assert place.is_tagged()


RAW = RawMachine("00:1b:21:00:00:07", "S1", at=NOW.timestamp(), address="192.168.0.70")


def said(*machines: RawMachine) -> None:
    with Path(paths.NETBOOT_LOG).open("a") as log:
        for each in machines:
            line = {"at": each.at, "source": each.address, "node": "", "stage": "", "path": "/raw", "status": 200}
            more = {"size": 1, "seconds": 0, "whole": True, "count": 1, "raw": asdict(each)}
            log.write(json.dumps({**line, **more}) + "\n")


def test_who_is_in_no_plan_is_listed_while_somebody_looks(place: Place) -> None:
    watch = watching()
    turn(watch)
    assert place.looked == [("eth1", 0)]
    assert "*:*" not in Path(paths.NETBOOT_HOSTS).read_text()
    open_discovery(600)
    turn(watch)
    assert Path(paths.NETBOOT_HOSTS).read_text().endswith("\n*:*:*:*:*:*,2m\n")
    assert place.looked[1:] == [("eth1", 630)]
    assert load_raw_paths(Path(paths.NETBOOT_SERVED).read_text())
    Path(paths.LEASES).write_text(f"0 {RAW.mac} {RAW.address} * *\n0 {MAC} 192.168.0.71 * *\n")
    other = replace(RAW, mac="00:1b:21:00:00:08")
    said(RAW, other, replace(RAW, mac=MAC, address="192.168.0.71"), replace(RAW, address="192.168.0.99"))
    turn(watch)
    # Not who says that it is another, and not a node.
    assert read_raw_machines() == (RAW,)
    assert Path(paths.RAW_MACHINES).stat().st_mode & 0o777 == 0o600
    close_discovery()
    said(replace(RAW, serial="later"))
    turn(watch)
    assert "*:*" not in Path(paths.NETBOOT_HOSTS).read_text()
    assert place.looked[-1] == ("eth1", 0)
    assert read_raw_machines() == (RAW,)


def test_it_ends_by_itself_and_a_damaged_record_is_none(place: Place) -> None:
    watch = watching()
    open_discovery(600)
    turn(watch)
    data = json.loads(Path(paths.DISCOVERY).read_text())
    for text in (json.dumps({**data, "until": 1.0}), "{", "[]", '{"until": "x", "ends": ""}', ""):
        open_discovery(600)
        turn(watch)
        assert "*:*" in Path(paths.NETBOOT_HOSTS).read_text()
        Path(paths.DISCOVERY).write_text(text)
        turn(watch)
        assert "*:*" not in Path(paths.NETBOOT_HOSTS).read_text(), text


def test_with_a_link_among_the_loaders_nobody_is_served(place: Place) -> None:
    """dnsmasq would send what it leads to, with the rights of its own user."""
    loaders = Path(paths.BOOT_LOADERS)
    (loaders / "deep").mkdir(parents=True)
    change_armed(lambda _: (node(NOW.isoformat()),))
    open_discovery(600)
    watch = watching()
    turn(watch)
    assert place.is_tagged()
    (loaders / "link").symlink_to("/etc/passwd")
    turn(watch)
    assert not place.is_tagged()
    assert place.opened[-1] == []
    assert place.looked[-1] == ("eth1", 0)
    assert "*:*" not in Path(paths.NETBOOT_HOSTS).read_text()
    (loaders / "link").unlink()
    turn(watch)
    assert place.is_tagged()
    assert place.opened[-1] == [(ADDRESS, (MAC,))]
    (loaders / "deep" / "link").symlink_to("/etc")
    with pytest.raises(WizardError, match="deep/link is a link"):
        refuse_links()
