"""The proof that no other server answers on the cluster wire, in live/proof.json, and what makes it valid.

A proof is for one NIC, by index, and ends with the first change of its carrier: the kernel counts those, so a moved
cable cannot go unnoticed. It also ends when the machine sleeps, as nothing is counted then.

Used by the guard (`daemon`, `wire_watch`, `path_prober`) and by an apply's step "wires".
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wizard.deploy import runtime_state
from wizard.host.dhcp import cabling
from wizard.host.dhcp.probe import Cause, ProbeOutcome
from wizard.host.dhcp.probe_questions import NOTHING_MORE, ProbeQuestions
from wizard.host.files import make_directory
from wizard.host.net.link import read_link
from wizard.host.processes import boot_id
from wizard.plan import paths
from wizard.plan.findings import WizardError

PROOF = "live/proof.json"
_CARRIER_PATIENCE_S = 6.0
_POLL_S = 0.05
_SLEEP_S = 0.5


class WireRefused(WizardError):
    """What was found on the wires forbids serving: the apply is refused, not failed."""


@dataclass(frozen=True, slots=True)
class WireStamp:
    """Identifies the wire behind a NIC between two carrier changes. `slept`: s that this machine slept since boot."""

    nic: str
    index: int
    mac: str
    carrier_changes: int
    boot: str
    slept: float = field(compare=False)

    def same_wire(self, other: WireStamp | None) -> bool:
        """True if the carrier did not change between the two stamps, and the machine did not sleep.

        Taking the link down ourselves counts as a change: a cable may be moved while it is down.
        """
        return other is not None and abs(self.slept - other.slept) <= _SLEEP_S and self == other


def read_stamp(nic: str) -> WireStamp | None:
    """The stamp of a NIC now; None where there is no NIC of that name."""
    link = read_link(nic)
    if link is None or link.name != nic:
        return None
    return WireStamp(
        nic, link.index, link.mac.hex(":"), link.carrier_changes, boot_id(), runtime_state.boottime() - time.monotonic()
    )


def has_carrier(nic: str) -> bool:
    link = read_link(nic)
    return link is not None and link.carrier


def write(seen: WireStamp) -> None:
    """Record that the wire of this stamp was found silent just now. Raises WizardError, OSError."""
    make_directory(Path(paths.LIVE))
    runtime_state.write_json(PROOF, {**asdict(seen), "at": runtime_state.boottime()})


def read() -> dict[str, Any] | None:
    return runtime_state.read_json(PROOF)


def forget() -> None:
    """Remove the proof."""
    runtime_state.remove(PROOF)


def proven_at(nic: str) -> float | None:
    """When the wire behind a NIC was last proven, boottime in s; None where the proof is missing or no longer valid."""
    data, now = read(), read_stamp(nic)
    if data is None or now is None or not has_carrier(nic):
        return None
    try:
        then, at = WireStamp(**{key: data[key] for key in asdict(now)}), float(data["at"])
        return at if now.same_wire(then) else None
    except (KeyError, TypeError, ValueError):
        return None


def holds(nic: str) -> bool:
    """Whether the wire behind a NIC has a valid proof."""
    return proven_at(nic) is not None


def wait_for_carrier(nic: str, patience: float = _CARRIER_PATIENCE_S) -> bool:
    deadline = time.monotonic() + patience
    while not has_carrier(nic):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def wait_override() -> float | None:
    """The laboratory's listening time in s; None outside it."""
    if not Path(paths.LAB_MARKER).exists():
        return None
    try:
        return float(os.environ["CIAO_LAB_PROBE_WAIT"])
    except (KeyError, ValueError):
        return None


def probe_both_wires(
    corporate: str,
    cluster: str,
    *,
    corporate_has_lease: bool,
    fresh_link: bool,
    progress: Callable[[float], None] | None = None,
    stop: threading.Event | None = None,
    questions: ProbeQuestions = NOTHING_MORE,
) -> cabling.CablingProbe:
    """Probe both wires; see `cabling.probe_cabling`."""
    return cabling.probe_cabling(
        corporate,
        cluster,
        wait=wait_override(),
        progress=progress,
        stop=stop,
        corporate_has_lease=corporate_has_lease,
        fresh_link=fresh_link,
        questions=questions,
    )


def is_proven(seen: cabling.CablingProbe, *, node_heard: bool, answered_before: bool) -> bool:
    """Whether the cluster wire is proven: silent, with a positive control that shows it to be the cluster's.

    The control is the corporate wire's answer, or a node of the plan heard on the cluster wire (`node_heard`), so that
    a cluster comes up while travelling too, without a corporate cable. A corporate wire that never had a DHCP server
    needs no control; one that had (`answered_before`) and is silent now may be the other cable.
    """
    # A tunnel or a modem, too, has no wire that could be asked.
    unplugged = seen.corporate.cause in (Cause.NO_CARRIER, Cause.DOWN, Cause.NO_NIC, Cause.NOT_ETHERNET)
    if unplugged:
        return node_heard and seen.cluster.verdict is ProbeOutcome.SILENCE
    if seen.pattern is cabling.CablingPattern.CORPORATE_WITHOUT_DHCP and answered_before:
        return seen.may_serve and node_heard
    return seen.may_serve


def missing_control_message(seen: cabling.CablingProbe) -> str:
    """The message for a silent cluster wire without a positive control."""
    return (
        f"{cabling.explain(seen).in_a_line} Nothing shows yet that {seen.cluster.nic} is the cluster's wire: it is "
        "served once the corporate wire answers, or one of the plan's nodes is heard behind it."
    )


def refusal(seen: cabling.CablingProbe, overheard: str = "") -> WireRefused | None:
    """The error that forbids serving on these wires, for the person who plugged the cables; None where none does.

    `overheard`: the description that a LinkListener returned during the probe, or "".
    """
    if seen.pattern in (
        cabling.CablingPattern.SWAPPED,
        cabling.CablingPattern.CORPORATE_CABLE_IN_CLUSTER_SWITCH,
        cabling.CablingPattern.ONE_NETWORK,
        cabling.CablingPattern.ANOTHER_GATEWAY,
        cabling.CablingPattern.ADDRESS_TAKEN,
        cabling.CablingPattern.ROUTER_ON_CLUSTER_WIRE,
    ):
        explanation = cabling.explain(seen)
        return WireRefused(explanation.in_a_line, explanation.remedy)
    if overheard:
        return WireRefused(
            f"The cluster wire, {seen.cluster.nic}, is not ours alone: {overheard}.",
            f"Pull whatever leads from {seen.cluster.nic} to another network, and look again.",
        )
    return None
