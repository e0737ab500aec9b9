"""A journal of another version, or with other types: said to be damaged, and never in the way of a reset."""

from __future__ import annotations

import copy
import json
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wizard.deploy import installed_files
from wizard.deploy.apply import reverter
from wizard.deploy.apply.steps import UNDO
from wizard.deploy.events import EventWriter
from wizard.deploy.journal import Journal, parse
from wizard.deploy.journal_schema import is_valid
from wizard.host.commands import CommandFailed
from wizard.host.files import PreImages
from wizard.host.net import link_image
from wizard.host.net.firewalls.firewalld import Firewalld
from wizard.host.net.managers.ifupdown.backend import Ifupdown
from wizard.plan import paths
from wizard.plan.ntp import DROP_INS

ABSENT = {"path": "/a/b", "kind": "absent", "missing_parents": ["/a"]}
FILE = {
    "path": "/c",
    "kind": "file",
    "mode": 0o644,
    "owner": [0, 0],
    "mtime_ns": 1,
    "digest": "0" * 64,
    "xattrs": {"user.x": "00ff"},
    "twin": "/c.twin",
}
LINK = {"path": "/d", "kind": "link", "target": "c", "mode": 0o777, "owner": [0, 0], "mtime_ns": 1}
ADDRESS = {"cidr": "10.1.1.1/24", "scope": "global", "more": ["broadcast", "10.1.1.255"]}
NIC = {
    "nic": "eth1",
    "present": True,
    "up": True,
    "macs": ["02:00:00:00:00:01"],
    "addresses": [ADDRESS],
    "nexthops": ["id 7 via 10.1.1.8 dev eth1"],
    "routes": ["-4 10.2.0.0/16 via 10.1.1.7 dev eth1"],
    "neighbours": [["10.1.1.7", "02:00:00:00:00:02"]],
    "proxies": ["10.1.1.9"],
}
IMAGES: dict[str, Any] = {
    "wires:eth1": {"link": NIC, "proof": ABSENT},
    "rules": {
        "script": FILE,
        "loaded": True,
        "forwarding": {"boot": "b", "global": "0", "nics": [{**NIC, "index": 7, "forwarding": "1"}]},
        "zone": {"nic": "eth1", "zone": "public"},
    },
    "address:eth1": {"link": NIC, "held": True, "config": ABSENT, "state": FILE, "gives": "10.1.1.2/24", "stanza": "x"},
    "time:chrony": {"kind": "chrony", "unit": "chrony.service", "drop_in": DROP_INS[0], "opens": "192.168.0.0/24"},
    "gateway": {"running": False, "files": [ABSENT, LINK], "leases": FILE},
    "file:/c": FILE,
    "file:/e": {**FILE, "main": True, "named": "/e"},
    "service": {"unit": ABSENT, "wanted": LINK},
    "stop:a.service": {"units": [{"unit": "a.socket", "active": False}, {"unit": "a.service", "active": True}]},
    "disable:a.service": {"links": [LINK]},
}
RECORDS: list[dict[str, Any]] = [
    {"t": "begin", "kind": "apply", "boot": "b", "default_routes": ["eth0"], "nameservers": []},
    *({"t": "before", "step": step, "image": image} for step, image in IMAGES.items()),
    *({"t": "done", "step": step} for step in IMAGES),
    {"t": "kept"},
    {"t": "applied", "files": {"/c": "0" * 64}},
]
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["/x", "file", "absent"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


def raw(records: list[Any]) -> bytes:
    bodies = [json.dumps(record, separators=(",", ":"), sort_keys=True) for record in records]
    return "".join(f"{zlib.crc32(body.encode()):08x} {body}\n" for body in bodies).encode()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


PLACES = [path for path in places(RECORDS) if path]


def changed(path: tuple[Any, ...], by: Any, gone: bool) -> list[Any]:
    records = copy.deepcopy(RECORDS)
    at: Any = records
    for key in path[:-1]:
        at = at[key]
    if gone:
        del at[path[-1]]
    else:
        at[path[-1]] = by
    return records


class Elsewhere(PreImages):
    """Puts everything back under a directory of the test's own."""

    def restore(self, image: Mapping[str, Any]) -> None:
        under = str(self.root.parent / "there")
        parents = [f"{under}{parent}" for parent in image.get("missing_parents", [])]
        twin = f"{under}{image['twin']}" if image.get("twin") else ""
        super().restore({**image, "path": f"{under}{image['path']}", "missing_parents": parents, "twin": twin})


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One on which nothing of the machine is reached: no program, no process, no file but the test's."""

    def refuses(*argv: str, **_: Any) -> str:
        raise CommandFailed(argv, 1, "")

    for name in ("stop", "remove_runtime_files", "start", "reload", "stray_servers", "wait_until_loaded"):
        monkeypatch.setattr(f"wizard.deploy.guard.control.{name}", lambda *_: 0)
    monkeypatch.setattr("wizard.host.net.gateway_rules.script", lambda *_: "")
    monkeypatch.setattr("wizard.host.net.gateway_rules.remove_everything", lambda: ([], []))
    monkeypatch.setattr(Firewalld, "image", lambda _, nic: {"nic": nic, "zone": "trusted"})
    monkeypatch.setattr("wizard.host.net.firewalls.firewalld.run", refuses)
    monkeypatch.setattr("wizard.host.net.forwarding.read_switch", lambda _: "0")
    monkeypatch.setattr("wizard.host.net.link_image.current_name", lambda nic: str(nic["nic"]))
    for name in ("release", "is_configured"):
        monkeypatch.setattr(Ifupdown, name, lambda *_: False)
    monkeypatch.setattr(Ifupdown, "reconfigure", lambda *_: [])
    monkeypatch.setattr("wizard.deploy.apply.steps.persist.read_main_file", lambda *_: "")
    monkeypatch.setattr("wizard.deploy.apply.steps.persist.write_main_file", lambda *_: None)
    monkeypatch.setattr("wizard.host.systemd.reload", lambda: None)
    monkeypatch.setattr("wizard.host.ntp.own_server.is_running", lambda _: False)
    monkeypatch.setattr(link_image, "run", refuses)
    monkeypatch.setattr(link_image, "link_state", lambda nic: {**NIC, "nic": nic, "addresses": []})
    monkeypatch.setattr(link_image, "LINK_LOCAL_PATIENCE_S", 0.0)
    for name in ("LEASES", "LIVE_SCRIPT", "LIVE_INTERFACES", "INTERFACES_FILE"):
        monkeypatch.setattr(paths, name, str(tmp_path / name))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(installed_files, "leftovers", list)
    monkeypatch.setattr(reverter, "wait_for_orphans", lambda: None)
    for name in ("_remove_by_name", "_remove_all_files"):
        monkeypatch.setattr(reverter.Reverter, name, lambda *_: [])


def test_what_this_version_writes_is_no_damage() -> None:
    reading = parse(raw(RECORDS))
    assert reading.damage == ()
    assert [step for step, _ in reading.first_images()] == list(IMAGES)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(st.sampled_from(PLACES), ODD, st.booleans())
def test_whatever_stands_in_it_a_reset_comes_to_its_end(
    tmp_path_factory: pytest.TempPathFactory, machine: None, path: tuple[Any, ...], by: Any, gone: bool
) -> None:
    root = tmp_path_factory.mktemp("journal") / "state"
    root.mkdir()
    (root / "journal").write_bytes(raw(changed(path, by, gone)))
    journal = Journal(str(root))
    journal.images = Elsewhere(root / "before")
    reading = journal.read()
    assert isinstance(reading.settled, bool)
    assert isinstance(reading.written(), dict)
    for nic in ("eth1", "eth2"):
        installed_files.foreign_settings(nic, reading)
        installed_files.addresses_given(f"address:{nic}", reading)
    undo = reverter.Reverter(journal, EventWriter())
    problems = undo.reset(forget_leases=False)
    assert all(isinstance(problem, str) for problem in problems)
    if reading.damage or undo.unreadable:
        assert problems
    assert not journal.read().transactions[-1:] or not journal.read().transactions[-1].open or problems


@pytest.mark.parametrize("step", ["address:eth1", "file:/c", "wires:eth1"])
def test_a_record_of_another_version_is_damage_and_named_by_its_line(step: str) -> None:
    number = list(IMAGES).index(step) + 2
    records = changed((number - 1, "image"), {"version": 9}, gone=False)
    assert f"line {number} of the journal is none that this version can act on" in parse(raw(records)).damage


@pytest.mark.parametrize(
    "change",
    [
        {"drop_in": "/etc/passwd"},
        {"kind": "sshd"},
        {"kind": []},
        {"unit": "--now"},
        {"opens": "all"},
        {"opens": "-x"},
        {"opens": "10.0.0.0/8\n"},
    ],
)
def test_a_record_of_a_time_server_names_nothing_else(change: dict[str, Any]) -> None:
    image = IMAGES["time:chrony"]
    assert is_valid({"t": "before", "step": "time:chrony", "image": image})
    assert not is_valid({"t": "before", "step": "time:chrony", "image": {**image, **change}})


GATEWAY = {"running": False, "files": [ABSENT], "leases": ABSENT}


@pytest.mark.parametrize("image", [{"version": 9}, GATEWAY], ids=["lost", "there"])
def test_the_rules_are_not_taken_away_from_a_dnsmasq_that_runs(
    tmp_path: Path, machine: None, monkeypatch: pytest.MonkeyPatch, image: dict[str, Any]
) -> None:
    """They keep it mute, and what the journal said of dnsmasq may be lost."""
    acts: list[str] = []
    monkeypatch.setattr("wizard.deploy.guard.control.stray_servers", lambda: [] if "stop" in acts else [1])
    monkeypatch.setattr("wizard.deploy.guard.control.stop", lambda: acts.append("stop"))

    def remove_rules() -> tuple[list[str], list[str]]:
        acts.append("rules")
        return [], []

    monkeypatch.setattr("wizard.host.net.gateway_rules.remove_everything", remove_rules)
    root = tmp_path / "state"
    root.mkdir()
    rules = {"t": "before", "step": "rules", "image": {"script": ABSENT, "loaded": False}}
    records = [RECORDS[0], rules, {"t": "before", "step": "gateway", "image": image}, {"t": "kept"}, {"t": "applied"}]
    (root / "journal").write_bytes(raw(records))
    journal = Journal(str(root))
    journal.images = Elsewhere(root / "before")
    reverter.Reverter(journal, EventWriter()).reset(forget_leases=False)
    assert acts == ["stop", "rules"]


def test_a_step_that_this_version_does_not_know_is_said_and_left_behind(tmp_path: Path, machine: None) -> None:
    root = tmp_path / "state"
    root.mkdir()
    records = [*RECORDS[:2], {"t": "before", "step": "wlan:eth1", "image": {}}, {"t": "kept"}, {"t": "applied"}]
    (root / "journal").write_bytes(raw(records))
    journal = Journal(str(root))
    journal.images = Elsewhere(root / "before")
    assert journal.read().damage == ()
    (told,) = reverter.Reverter(journal, EventWriter()).reset(forget_leases=False)
    assert told.startswith("wlan:eth1: what the journal says of it cannot be acted on (KeyError('wlan'))")
    assert "cannot be proven" in told
    assert not (journal.read().last or pytest.fail("no journal")).open


def test_every_step_that_can_be_undone_has_a_shape_and_a_record_here() -> None:
    """A record of a kind without a shape would be taken as it is, and its undo would meet what it lacks."""
    assert set(UNDO) == {name.partition(":")[0] for name in IMAGES}
    assert [kind for kind in UNDO if is_valid({"t": "before", "step": kind, "image": {}})] == []
