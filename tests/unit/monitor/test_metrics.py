"""The metrics, as Prometheus' own parsers read them."""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text_format

from tests.unit.monitor.rows import row
from wizard.deploy.guard import metrics_file
from wizard.host.net.node_traffic import NodeTraffic
from wizard.host.net.traffic import Counters
from wizard.monitor import metrics_writer
from wizard.monitor.metrics import GatewayReading, openmetrics, prometheus_text
from wizard.plan import paths
from wizard.plan.checks import FAILED, OK, UNTRIED, Check
from wizard.plan.file.read import load_plan
from wizard.plan.findings import WizardError

PLAN = load_plan((Path(__file__).parents[3] / "examples" / "ciao.toml").read_text(), "ciao.toml")
HOSTILE = 'a"b\\c\nd\x1b[2J'
READING = GatewayReading(
    PLAN,
    "tripped",
    2,
    (
        row("b8:ae:ed:7b:51:50", "192.168.0.101", name="controller", role="controller"),
        row("c0:3f:d5:67:a7:6f", "192.168.0.102", name="network", role="network", state="missing", reachable=False),
        row("02:00:00:00:00:07", "192.168.0.65", kind="vm", hostname=HOSTILE),
        row("c0:3f:d5:67:a2:01", "", kind="stranger", state="ignored", reachable=None, alarms=("one-mac",)),
    ),
    {"muted": 7, "astray": 0, "refused_in": 3, "refused_forward": 4},
    (Check("path-out", OK, ""), Check("path-dns", FAILED, ""), Check("path-in-53", UNTRIED, "")),
    1_700_000_000.5,
    NodeTraffic(known=True, bytes={"192.168.0.101": Counters(1000, 2000)}),
)


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in read_openmetrics(text)
        for sample in family.samples
    }


def value(text: str, metric: str, /, **labels: str) -> float:
    return samples(text)[metric, tuple(sorted(labels.items()))]


def test_what_the_guard_and_its_counters_say() -> None:
    text = openmetrics(READING)
    assert text.endswith("# EOF\n")
    assert value(text, "ciao_gateway_applied") == 1
    modes = {key[1][0][1]: found for key, found in samples(text).items() if key[0] == "ciao_guard_mode"}
    assert modes == {"armed": 0, "muted": 0, "tripped": 1, "failed": 0, "absent": 0}
    assert value(text, "ciao_guard_trips_total") == 2
    assert value(text, "ciao_dhcp_answers_muted_total") == 7
    assert value(text, "ciao_dhcp_answers_astray_total") == 0
    assert value(text, "ciao_packets_refused_total", why="forward") == 4


def test_leases_by_state_and_what_the_range_has_left() -> None:
    text = openmetrics(READING)
    assert value(text, "ciao_machines", kind="node", state="leased") == 1
    assert value(text, "ciao_machines", kind="node", state="missing") == 1
    assert value(text, "ciao_machines", kind="node", state="wrong-address") == 0
    assert value(text, "ciao_machines_alarmed") == 1
    assert value(text, "ciao_dhcp_range_addresses") == 62
    assert value(text, "ciao_dhcp_range_free_addresses") == 57  # the sample has four nodes in it, and one VM


def test_devices_are_machines_and_their_addresses_are_not_free() -> None:
    plan = load_plan((Path(__file__).parents[1] / "plan" / "rack.toml").read_text(), "rack.toml")
    inside = str(plan.network.cidr[70])
    rows = (row("00:0c:42:00:00:01", inside, name="switch", kind="device", role="device"),)
    free = [
        value(
            openmetrics(replace(READING, plan=replace(plan, devices=devices), rows=())),
            "ciao_dhcp_range_free_addresses",
        )
        for devices in ((), (replace(plan.devices[0], ip=plan.network.cidr[70]),))
    ]
    assert free[0] - free[1] == 1
    assert (
        value(openmetrics(replace(READING, plan=plan, rows=rows)), "ciao_machines", kind="device", state="leased") == 1
    )


def test_a_path_check_that_was_not_tried_is_no_series() -> None:
    text = openmetrics(READING)
    found = {key[1][0][1]: ok for key, ok in samples(text).items() if key[0] == "ciao_path_check"}
    assert found == {"path-out": 1, "path-dns": 0}
    assert value(text, "ciao_path_checked_timestamp_seconds") == 1_700_000_000.5
    assert "ciao_path" not in openmetrics(replace(READING, path=(), path_at=None))


def test_series_for_each_node_only_where_they_are_asked_for() -> None:
    assert "192.168.0.101" not in openmetrics(READING)
    text = openmetrics(READING, per_node=True)
    of = {"name": "controller", "kind": "node", "ip": "192.168.0.101", "mac": "b8:ae:ed:7b:51:50"}
    assert value(text, "ciao_node_up", **of) == 1
    assert value(text, "ciao_node_received_bytes_total", **of) == 1000
    assert value(text, "ciao_node_sent_bytes_total", **of) == 2000


def test_of_whom_nobody_knows_whether_it_answers_there_is_no_series() -> None:
    text = openmetrics(READING, per_node=True)
    up = {dict(key[1])["mac"]: found for key, found in samples(text).items() if key[0] == "ciao_node_up"}
    assert up == {"b8:ae:ed:7b:51:50": 1, "c0:3f:d5:67:a7:6f": 0, "02:00:00:00:00:07": 1}


def test_two_rows_of_one_machine_are_one_series() -> None:
    """Two leases of one MAC without a name may look alike; a series may be there once."""
    twin = row("02:00:00:00:00:09", "192.168.0.66", kind="vm")
    text = openmetrics(replace(READING, rows=(twin, twin)), per_node=True)
    assert text.count("192.168.0.66") == 3  # up, received, sent
    assert len([key for key in samples(text) if key[0] == "ciao_node_up"]) == 1


def test_a_name_from_the_network_is_one_label() -> None:
    text = openmetrics(READING, per_node=True)
    names = {dict(key[1])["name"] for key in samples(text) if key[0] == "ciao_node_up"}
    assert 'a"b\\c?d?[2J' in names
    assert all(line.isprintable() for line in text.splitlines())


def test_what_is_not_known_is_no_series() -> None:
    unknown = replace(READING, counters={}, traffic=NodeTraffic())
    text = openmetrics(unknown, per_node=True)
    assert "ciao_dhcp_answers" not in text
    assert ("ciao_node_received_bytes_total") not in {key[0] for key in samples(text)}


def test_nothing_applied_is_said() -> None:
    text = openmetrics(GatewayReading())
    assert value(text, "ciao_gateway_applied") == 0
    assert "ciao_guard_mode" not in text


def test_node_exporter_is_told_the_same() -> None:
    """Its format calls a counter by the name that its samples have."""
    families = {family.name: family for family in read_text_format(prometheus_text(READING))}
    assert families["ciao_guard_trips"].type == "counter"
    assert "# TYPE ciao_guard_trips_total counter" in prometheus_text(READING)
    given = {sample.name for family in families.values() for sample in family.samples}
    assert given == {name for name, _ in samples(openmetrics(READING))}


def test_the_file_is_ours_alone(tmp_path: Path) -> None:
    file = tmp_path / "ciao.prom"
    metrics_file.write(str(file), "# written by ciao-wizard's guard\nciao 1\n")
    metrics_file.write(str(file), "# written by ciao-wizard's guard\nciao 2\n")
    assert file.read_text().endswith("ciao 2\n")
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [file]
    metrics_file.remove_ours(file)
    assert not file.exists()


def test_a_reset_finds_the_file_by_its_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut nobody runs who knows of it."""
    state, file, theirs = tmp_path / "state", tmp_path / "ciao.prom", tmp_path / "theirs.prom"
    state.mkdir()
    monkeypatch.setattr(paths, "STATE", str(state))
    monkeypatch.setattr(paths, "RUN", str(tmp_path / "run"))
    note = state / metrics_file.NOTE
    for noted in (file, theirs, tmp_path / "absent.prom"):
        file.write_text("# written by ciao-wizard's guard\n")
        theirs.write_text("theirs 1\n")
        note.write_text(f"{noted}\n")
        assert metrics_file.remove_noted() == []
        assert not note.exists()
        assert theirs.exists()
        assert file.exists() is (noted != file)
    note.write_text("\n")
    assert metrics_file.remove_noted() == []


def test_what_cannot_be_removed_is_told_and_nothing_fails_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "STATE", str(tmp_path))
    monkeypatch.setattr(paths, "RUN", str(tmp_path / "run"))
    file, note = tmp_path / "ciao.prom", tmp_path / metrics_file.NOTE
    file.write_text("# written by ciao-wizard's guard\n")
    note.write_text(f"{file}\n")
    said = [f"the metrics in {file} are left: Read-only file system"]
    with monkeypatch.context() as mounted:
        mounted.setattr(metrics_file, "remove_ours", _refuse)
        assert metrics_file.remove_noted() == said
        assert note.exists()
        assert metrics_file.remove_noted(last=True) == said
    assert not note.exists()


def _refuse(_file: Path) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.mark.timeout(30)
@pytest.mark.parametrize("trap", ["pipe", "endless", "directory"])
def test_who_may_write_the_directory_cannot_hold_us_up(
    trap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "STATE", str(tmp_path))
    monkeypatch.setattr(paths, "RUN", str(tmp_path / "run"))
    file = tmp_path / "ciao.prom"
    match trap:
        case "pipe":
            os.mkfifo(file)
        case "endless":
            file.symlink_to("/dev/zero")
        case _:
            file.mkdir()
    assert not metrics_file.is_ours(file)
    assert not metrics_file.written_lately(str(file))
    with pytest.raises(WizardError, match="was not written by ciao-wizard"):
        metrics_file.write(str(file), "ciao 1\n")
    (tmp_path / metrics_file.NOTE).write_text(f"{file}\n")
    assert metrics_file.remove_noted() == []
    assert os.path.lexists(file)


def test_a_writer_whose_guard_is_gone_ends_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that dies while it starts one is nobody's parent any more."""
    file = tmp_path / "ciao.prom"
    file.write_text("# written by ciao-wizard's guard\n")
    monkeypatch.setattr(metrics_writer, "write_once", lambda _path: pytest.fail("it was written"))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert metrics_writer.main(str(file), os.getpid()) == 0
    assert not file.exists()


@pytest.mark.parametrize(
    ("line", "ours"),
    [
        ([sys.executable, "-P", "-m", "wizard", "metrics-textfile", "/var/lib/x/ciao.prom", "71"], True),
        (["tail", "-f", "metrics-textfile"], False),
        (["vi", "-P", "-m", "wizard", "metrics-textfile"], False),
        ([], False),
    ],
)
def test_only_our_writer_is_taken_for_it(line: list[str], ours: bool) -> None:
    assert metrics_file.is_writer(line) is ours


def test_a_file_that_nobody_writes_is_told(tmp_path: Path) -> None:
    file = tmp_path / "ciao.prom"
    assert not metrics_file.written_lately(str(file))
    file.write_text("# written by ciao-wizard's guard\n")
    assert metrics_file.written_lately(str(file))
    os.utime(file, (0, 0))
    assert not metrics_file.written_lately(str(file))
    file.write_text("theirs 1\n")
    assert not metrics_file.written_lately(str(file))


def test_a_link_is_not_followed_though_the_file_behind_it_is_ours(tmp_path: Path) -> None:
    file, link = tmp_path / "ours.prom", tmp_path / "link.prom"
    metrics_file.write(str(file), "# written by ciao-wizard's guard\nciao 1\n")
    link.symlink_to(file)
    with pytest.raises(WizardError, match="not written by ciao-wizard"):
        metrics_file.write(str(link), "# written by ciao-wizard's guard\nciao 2\n")
    metrics_file.remove_ours(link)
    assert link.is_symlink()
    assert file.read_text().endswith("ciao 1\n")


def test_a_file_of_somebody_else_is_let_be(tmp_path: Path) -> None:
    file, link = tmp_path / "theirs.prom", tmp_path / "link.prom"
    file.write_text("theirs 1\n")
    link.symlink_to(file)
    for path in (file, link):
        with pytest.raises(WizardError, match="not written by ciao-wizard"):
            metrics_file.write(str(path), "x")
        metrics_file.remove_ours(path)
    with pytest.raises(WizardError, match="no directory"):
        metrics_file.write(str(tmp_path / "absent" / "x.prom"), "x")
    assert file.read_text() == "theirs 1\n"
    assert link.is_symlink()
