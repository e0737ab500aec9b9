"""The proof that the cluster wire is silent: who may serve on it, and until when that holds.

A proof is for one NIC, by index, and for as long as its carrier has not changed once since: the kernel counts
(carrier_changes), so no cable was moved behind our back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wizard.deploy import state
from wizard.host import wires
from wizard.host.dhcp_probe import Cause, Verdict
from wizard.host.link import read_link
from wizard.host.processes import boot_id
from wizard.plan import paths
from wizard.plan.findings import WizardError

PROOF = "live/proof.json"
_CARRIER_PATIENCE_S = 6.0
_POLL_S = 0.05


class WireRefused(WizardError):
    """What is on the wires forbids serving. Nothing may be changed."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """One NIC between two changes of its carrier."""

    nic: str
    index: int
    carrier_changes: int
    boot: str


def stamp(nic: str) -> Stamp | None:
    """What identifies the wire behind a NIC now; None where there is no such NIC."""
    link = read_link(nic)
    return Stamp(nic, link.index, link.changes, boot_id()) if link is not None else None


def carrier(nic: str) -> bool:
    link = read_link(nic)
    return link is not None and link.carrier


def write(nic: str) -> None:
    """The wire behind a NIC is proven, from now until its carrier changes."""
    seen = stamp(nic)
    if seen is not None:
        Path(paths.LIVE).mkdir(parents=True, exist_ok=True)
        state.write_json(PROOF, {**asdict(seen), "at": state.boottime()})


def read() -> dict[str, Any] | None:
    return state.read_json(PROOF)


def holds(nic: str) -> bool:
    """Whether the wire behind a NIC is proven silent and nobody has touched it since."""
    data, now = read(), stamp(nic)
    if data is None or now is None or not carrier(nic):
        return False
    return {k: data.get(k) for k in asdict(now)} == asdict(now)


@contextmanager
def through_our_own_flap(nic: str) -> Iterator[None]:
    """Carry a proof over a change of ours that takes the link down and up again within a moment."""
    proven = holds(nic)
    yield
    if proven and await_carrier(nic):
        write(nic)


def await_carrier(nic: str, patience: float = _CARRIER_PATIENCE_S) -> bool:
    deadline = time.monotonic() + patience
    while not carrier(nic):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def wait_override() -> float | None:
    """A shorter listening time for the laboratory's tests; nowhere else is it heeded."""
    if not Path(paths.LAB_MARKER).exists():
        return None
    try:
        return float(os.environ["CIAO_LAB_PROBE_WAIT"])
    except (KeyError, ValueError):
        return None


def look(
    corporate: str,
    cluster: str,
    *,
    corporate_has_lease: bool,
    fresh_link: bool,
    progress: Callable[[float], None] | None = None,
) -> wires.Wires:
    """Ask both wires (see host.wires.look)."""
    return wires.look(
        corporate,
        cluster,
        wait=wait_override(),
        progress=progress,
        corporate_has_lease=corporate_has_lease,
        fresh_link=fresh_link,
    )


def may_serve(seen: wires.Wires) -> bool:
    """Whether the cluster wire is proven. Where no corporate wire is plugged in at all there is none to mistake it for:
    a cluster must come up on the road too."""
    unplugged = seen.corporate.cause in (Cause.NO_CARRIER, Cause.DOWN, Cause.NO_NIC)
    return seen.may_serve or (unplugged and seen.cluster.verdict is Verdict.SILENCE)


def refusal(seen: wires.Wires) -> WireRefused | None:
    """Why this may not be served, in words for the person who plugged the cables; None where nothing forbids it."""
    if seen.pattern in (
        wires.Pattern.SWAPPED,
        wires.Pattern.CORPORATE_CABLE_IN_CLUSTER_SWITCH,
        wires.Pattern.ONE_NETWORK,
    ):
        said = wires.explain(seen)
        return WireRefused(said.in_a_line, said.remedy)
    return None
