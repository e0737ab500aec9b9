"""What `status` says of booting over the network, by what the guard publishes and by what answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wizard.deploy import netboot_check, runtime_state
from wizard.deploy.netboot_check import check_netboot
from wizard.deploy.shapes import GuardState, NetbootState
from wizard.host.facts.udp_sockets import UdpSocket
from wizard.host.net import gateway_rules
from wizard.host.processes import Process
from wizard.plan import paths
from wizard.plan.checks import Outcome
from wizard.plan.file.read import load_plan
from wizard.plan.images import IPXE_LOADERS, Image, ImageKind
from wizard.plan.model import Plan
from wizard.plan.netboot import ArmedNode, Served, Stage, Times

SERVER = Process(7, 1, "boot")
SERVED: NetbootState = {"process": None, "armed": 2, "failure": "", "stale": []}


class Seen:
    """What there is to see: the guard's state, and whether its servers are there."""

    def __init__(self) -> None:
        self.guard: GuardState = {"mode": "armed", "netboot": SERVED}
        self.process: Process | None = SERVER
        self.answers = True
        self.tftp = True
        self.backlog = 0
        self.armed: tuple[ArmedNode, ...] = ()
        self.let_through = True


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Seen:
    made = Seen()
    monkeypatch.setattr(runtime_state, "running_guard", lambda: made.guard)
    monkeypatch.setattr(runtime_state, "netboot_process", lambda: made.process)
    monkeypatch.setattr(runtime_state, "dnsmasq_process", lambda: SERVER if made.tftp else None)
    monkeypatch.setattr(netboot_check, "tcp_backlog", lambda *_: made.backlog if made.answers else None)
    monkeypatch.setattr(netboot_check, "read_armed", lambda: made.armed)
    monkeypatch.setattr(
        gateway_rules,
        "reaching_netboot",
        lambda: [(node.address, mac) for node in made.armed for mac in node.macs] if made.let_through else [],
    )
    monkeypatch.setattr(paths, "BOOT_LOADERS", str(tmp_path))
    for loader in IPXE_LOADERS.values():
        (tmp_path / loader).touch()
    monkeypatch.setattr(netboot_check, "inodes_of", lambda _: {5})
    sockets = [UdpSocket(3, bytes([192, 168, 0, 200]), 5)]
    monkeypatch.setattr(netboot_check, "sockets_on_port", lambda _: sockets)
    monkeypatch.setattr("wizard.deploy.netboot_check.os.geteuid", lambda: 0)
    monkeypatch.setattr("wizard.deploy.netboot_check.time.sleep", lambda _: None)
    monkeypatch.setattr("wizard.deploy.netboot_check.time.monotonic", iter(range(0, 1000, 2)).__next__)
    return made


@pytest.fixture
def plan() -> Plan:
    return load_plan((Path(__file__).parents[3] / "examples" / "ciao.toml").read_text(), "example")


@pytest.fixture
def booting(plan: Plan) -> Plan:
    return replace(plan, images=(Image("debian12", ImageKind.DEBIAN),))


def only(plan: Plan) -> Any:
    (found,) = check_netboot(plan)
    assert found.name == "netboot"
    return found


def test_all_is_well_where_both_answer(seen: Seen, booting: Plan) -> None:
    assert only(booting).detail == "2 nodes are armed, and would be served"
    assert only(booting).ok


def test_with_nobody_armed_there_is_no_server_and_nothing_wrong(seen: Seen, booting: Plan) -> None:
    seen.guard = {"mode": "armed", "netboot": {**SERVED, "armed": 0}}
    seen.process, seen.answers = None, False
    assert only(booting).ok


@pytest.mark.parametrize("mode", ["muted", "tripped"])
def test_a_guard_that_is_not_armed_has_its_own_check(seen: Seen, booting: Plan, mode: Any) -> None:
    seen.guard = {"mode": mode}
    assert check_netboot(booting) == []


def test_a_plan_without_images_has_no_such_check(seen: Seen, plan: Plan) -> None:
    assert check_netboot(plan) == []


@pytest.mark.parametrize(
    ("change", "detail", "remedy"),
    [
        ({"failure": "aiohttp is not installed: …"}, "aiohttp is not installed", "pip install 'ciao-wizard[boot]'"),
        (
            {"failure": "192.168.0.200, TCP port 8069: in use; nginx (process 3) has tcp port 8069"},
            "nginx (process 3)",
            "Stop the program that has the port",
        ),
        (
            {"failure": "the record of armed nodes cannot be read", "remedy": "Arm again.", "armed": 0},
            "cannot be read",
            "Arm again.",
        ),
        ({"failure": "ended by signal 9"}, "ended by signal 9", "log"),
        ({"stale": ["node1", "node2"]}, "node1, node2", "boot disarm node1 node2"),
    ],
)
def test_what_the_guard_publishes_is_a_failure(
    seen: Seen, booting: Plan, change: Any, detail: str, remedy: str
) -> None:
    seen.guard = {"mode": "armed", "netboot": {**SERVED, **change}}
    found = only(booting)
    assert found.outcome is Outcome.FAILED
    assert found.ok is False
    assert detail in found.detail
    assert remedy in found.remedy


@pytest.mark.parametrize("lost", ["process", "answers", "tftp"])
def test_a_server_that_does_not_answer_is_a_failure(seen: Seen, booting: Plan, lost: str) -> None:
    setattr(seen, lost, None if lost == "process" else False)
    assert only(booting).ok is False
    assert only(booting).remedy


def armed(kernel: Path, **more: Any) -> ArmedNode:
    table = {"/images/debian12/linux": Served(Stage.KERNEL, file=str(kernel))}
    return ArmedNode("n1", "192.168.0.103", ("02:00:00:00:00:01",), "debian12", Times.ONCE, "", table, **more)


def test_a_server_that_accepts_nobody_is_a_failure(seen: Seen, booting: Plan) -> None:
    seen.backlog = 3
    assert "does not answer" in only(booting).detail


def test_a_file_that_a_node_would_ask_for_in_vain(seen: Seen, booting: Plan, tmp_path: Path) -> None:
    kernel = tmp_path / "linux"
    kernel.touch()
    seen.armed = (armed(kernel),)
    assert only(booting).ok
    kernel.unlink()
    assert f"n1 would not get {kernel}" in only(booting).detail
    assert "image add debian12" in only(booting).remedy


def test_a_node_that_would_get_no_boot_loader(seen: Seen, booting: Plan, tmp_path: Path) -> None:
    kernel = tmp_path / "linux"
    kernel.touch()
    seen.armed = (armed(kernel),)
    (tmp_path / "undionly.kpxe").unlink()
    # By UEFI it gets one.
    assert only(booting).ok
    (tmp_path / "snponly.efi").unlink()
    assert "boot loaders ipxe" in only(booting).remedy
    seen.armed = (armed(kernel, secure_boot=True),)
    assert "shim-signed" in only(booting).remedy


def test_a_node_that_the_packet_filter_keeps_out_is_a_failure(seen: Seen, booting: Plan, tmp_path: Path) -> None:
    kernel = tmp_path / "linux"
    kernel.touch()
    seen.armed = (armed(kernel),)
    assert only(booting).ok
    seen.let_through = False
    assert only(booting).ok is False
    assert "n1" in only(booting).detail
