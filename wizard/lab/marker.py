"""Marks a laboratory, so that a program knows that it runs in one, and what is in there."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wizard.lab.tools import LabFailed
from wizard.lab.world import LAPTOP_MACS, STATE, SWITCHES, Machine

MARKER = STATE / "marker"
MACHINES = STATE / "machines"


def inside() -> bool:
    """Whether this process is in a laboratory whose world is complete."""
    return MARKER.is_file()


def world(root: Path = Path("/")) -> dict[str, Any]:
    """The laboratory's marker and its machines.

    {"laptop": {nic: mac}, "switches": {name: {"netns", "bridge"}}, "netns": [name…],
    "machines": {name: fields of world.Machine}}. `root` is the laboratory's root directory.
    Raises LabFailed outside of a laboratory.
    """
    try:
        found: dict[str, Any] = json.loads((root / MARKER.relative_to("/")).read_text())
        files = sorted((root / MACHINES.relative_to("/")).glob("*.json"))
        found["machines"] = {path.stem: json.loads(path.read_text()) for path in files}
    except FileNotFoundError:
        raise LabFailed("this is not a laboratory", "start one with: ciao-wizard lab -- CMD") from None
    switches = [switch["netns"] for switch in found["switches"].values()]
    found["netns"] = [*switches, *found["machines"]]
    return found


def write() -> None:
    """Mark the world as complete."""
    marker = {
        "laptop": LAPTOP_MACS,
        "switches": {name: asdict(switch) for name, switch in SWITCHES.items()},
    }
    MARKER.write_text(json.dumps(marker, indent=1) + "\n")


def remember(machine: Machine) -> None:
    MACHINES.mkdir(parents=True, exist_ok=True)
    (MACHINES / f"{machine.name}.json").write_text(json.dumps(machine.as_json(), indent=1) + "\n")


def forget(name: str) -> None:
    for path in MACHINES.glob(f"{name}.*"):
        path.unlink(missing_ok=True)
