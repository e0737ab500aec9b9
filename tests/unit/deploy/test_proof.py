"""How long a proof holds: as long as nobody can have moved the cable."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from wizard.deploy import runtime_state
from wizard.deploy.guard import proof
from wizard.host.net.link import LinkState
from wizard.plan import paths

WAS = LinkState(3, "eth1", b"\x02\0\0\0\0\1", True, True, True, False, 7, 0, 0)


@dataclass
class Machine:
    """What the kernel says of eth1 now (None: it is gone), and how long this machine has slept."""

    link: LinkState | None = WAS
    slept: float = 0.0
    boot: str = "this boot"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    there = Machine()
    monkeypatch.setattr(paths, "RUN", str(tmp_path))
    monkeypatch.setattr(paths, "LIVE", str(tmp_path / "live"))
    monkeypatch.setattr(proof, "read_link", lambda nic: there.link if there.link and nic == there.link.name else None)
    monkeypatch.setattr(proof, "boot_id", lambda: there.boot)
    monkeypatch.setattr(runtime_state, "boottime", lambda: time.monotonic() + there.slept)
    return there


def prove() -> None:
    seen = proof.read_stamp("eth1")
    assert seen is not None
    proof.write(seen)


def test_it_holds_while_nothing_changes(machine: Machine) -> None:
    assert not proof.holds("eth1")
    prove()
    assert proof.holds("eth1")
    proof.forget()
    assert not proof.holds("eth1")


CHANGES = {
    "the cable was out and in": {"carrier_changes": 9},
    "there is no carrier": {"carrier": False},
    "it is another NIC": {"index": 4},
    "its MAC was changed": {"mac": b"\x02\0\0\0\0\2"},
    "it has another name": {"name": "eth2"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_it_does_not_hold_once_somebody_may_have_moved_a_cable(machine: Machine, change: dict[str, Any]) -> None:
    prove()
    machine.link = replace(WAS, **change)
    assert not proof.holds("eth1")
    machine.link = WAS
    assert proof.holds("eth1")


def test_it_does_not_hold_without_the_nic_nor_over_a_reboot_nor_over_a_sleep(machine: Machine) -> None:
    prove()
    machine.link = None
    assert not proof.holds("eth1")
    machine.link, machine.boot = WAS, "another boot"
    assert not proof.holds("eth1")
    machine.boot, machine.slept = "this boot", 30.0
    assert not proof.holds("eth1")
    prove()
    assert proof.holds("eth1")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"nic": "eth1"}', '{"at": "now"}', "\0"])
def test_a_file_that_is_no_proof_is_none(machine: Machine, text: str) -> None:
    prove()
    Path(paths.LIVE, "proof.json").write_text(text)
    assert not proof.holds("eth1")


@pytest.mark.parametrize("changes", [1, 2, 4])
def test_it_does_not_hold_once_the_carrier_was_away(machine: Machine, changes: int) -> None:
    """Also where it was we who took the link down: somebody may have moved the cable then."""
    prove()
    machine.link = replace(WAS, carrier_changes=WAS.carrier_changes + changes)
    assert not proof.holds("eth1")
