"""The guard's part in booting over the network: who is taken for armed, and who is disarmed when."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from wizard.deploy.armed import change_armed, read_armed
from wizard.deploy.guard.netboot import Netboot
from wizard.host.dhcp import dnsmasq
from wizard.host.net import gateway_rules
from wizard.plan import paths
from wizard.plan.file.read import load_plan
from wizard.plan.netboot import ArmedNode, Served, Stage, Times
from wizard.plan.render import render

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to the server's user, as root")

TEXT = (Path(__file__).parents[3] / "examples" / "ciao.toml").read_text() + '[[images]]\nname = "d"\nkind = "debian"\n'
PLAN = load_plan(TEXT, "example")
MAC, ADDRESS = "b8:ae:ed:7b:72:58", "192.168.0.103"


def node(since: str, times: Times = Times.ONCE) -> ArmedNode:
    return ArmedNode("compute1", ADDRESS, (MAC,), "d", times, since, {"/x": Served(Stage.SEED, text="x")}, True)


class Place:
    """The files and what was asked of dnsmasq and the packet filter."""

    def __init__(self) -> None:
        self.reloads = 0
        self.opened: list[list[str]] = []

    def is_tagged(self) -> bool:
        return f"{MAC},set:netboot,{ADDRESS}," in Path(paths.NETBOOT_HOSTS).read_text()

    def fetch(self, *stages: Stage, at: float, source: str = ADDRESS, name: str = "compute1") -> None:
        with Path(paths.NETBOOT_LOG).open("a") as log:
            for stage in stages:
                line = {"at": at, "source": source, "node": name, "stage": stage.value, "path": "/x", "status": 200}
                log.write(json.dumps({**line, "size": 1, "seconds": 0, "whole": True, "count": 1}) + "\n")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place()
    for name in ("ARMED", "NETBOOT_SERVED", "NETBOOT_HOSTS", "NETBOOT_LOG", "TFTP_ROOT"):
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
    assert (place.opened, place.reloads) == ([[], [ADDRESS]], 1)
    assert Path(paths.NETBOOT_SERVED).stat().st_mode & 0o777 == 0o640
    Path(paths.ARMED).write_text("{damaged")
    turn(watch)
    assert not place.is_tagged()
    assert place.opened[-1] == []


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


def test_always_stays(place: Place) -> None:
    change_armed(lambda _: (node(NOW.isoformat(), Times.ALWAYS),))
    watch = watching()
    turn(watch)
    place.fetch(Stage.SEED, Stage.REPORTED, at=NOW.timestamp() + 1)
    turn(watch)
    assert len(read_armed()) == 1
    assert place.is_tagged()
