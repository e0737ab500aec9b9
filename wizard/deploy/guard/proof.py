"""The proof that the cluster wire is silent: who may serve on it, and until when that holds.

A proof is for one NIC, by index, and for as long as its carrier has not changed once since: the kernel counts,
so no cable was moved behind our back. Nor while the machine slept, when nobody counts.
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
    """What is on the wires forbids serving. Nothing may be changed."""


@dataclass(frozen=True, slots=True)
class WireStamp:
    """One NIC between two changes of its carrier. `slept`: seconds that this machine has slept since boot."""

    nic: str
    index: int
    mac: str
    carrier_changes: int
    boot: str
    slept: float = field(compare=False)

    def same_wire(self, other: WireStamp | None) -> bool:
        """True if the carrier did not change between the two stamps, and the machine did not sleep.

        Taking the link down ourselves counts as a change: a cable can be moved meanwhile.
        """
        return other is not None and abs(self.slept - other.slept) <= _SLEEP_S and self == other


def read_stamp(nic: str) -> WireStamp | None:
    """What identifies the wire behind a NIC now; None where there is no such NIC."""
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
    """Record that the wire of this stamp was just found silent."""
    make_directory(Path(paths.LIVE))
    runtime_state.write_json(PROOF, {**asdict(seen), "at": runtime_state.boottime()})


def read() -> dict[str, Any] | None:
    return runtime_state.read_json(PROOF)


def forget() -> None:
    """Drop the proof, whatever the carrier says."""
    runtime_state.remove(PROOF)


def proven_at(nic: str) -> float | None:
    """When (boottime) the wire behind a NIC was last proven; None where it is not, or somebody touched it since."""
    data, now = read(), read_stamp(nic)
    if data is None or now is None or not has_carrier(nic):
        return None
    try:
        then, at = WireStamp(**{key: data[key] for key in asdict(now)}), float(data["at"])
        return at if now.same_wire(then) else None
    except (KeyError, TypeError, ValueError):
        return None


def holds(nic: str) -> bool:
    """Whether the wire behind a NIC is proven silent and nobody has touched it since."""
    return proven_at(nic) is not None


def wait_for_carrier(nic: str, patience: float = _CARRIER_PATIENCE_S) -> bool:
    deadline = time.monotonic() + patience
    while not has_carrier(nic):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def wait_override() -> float | None:
    """The listening time in s that a test in the laboratory asks for; None everywhere else."""
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
    """Ask both wires (see host.wires.look)."""
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
    """Whether the cluster wire is proven: silent, while something shows that it is the cluster's.

    That is the corporate wire's answer, or one of the plan's nodes that was heard on the cluster wire (`node_heard`):
    a cluster must come up on the road too, where there is no corporate wire to mistake it for. A corporate wire that
    never had a DHCP server needs neither; one that had (`answered_before`) and does not now may have changed places.
    """
    unplugged = seen.corporate.cause in (Cause.NO_CARRIER, Cause.DOWN, Cause.NO_NIC)
    if unplugged:
        return node_heard and seen.cluster.verdict is ProbeOutcome.SILENCE
    if seen.pattern is cabling.CablingPattern.CORPORATE_WITHOUT_DHCP and answered_before:
        return seen.may_serve and node_heard
    return seen.may_serve


def missing_control_message(seen: cabling.CablingProbe) -> str:
    """What is to be done where everything is silent and nothing shows which wire is which."""
    return (
        f"{cabling.explain(seen).in_a_line} Nothing shows yet that {seen.cluster.nic} is the cluster's wire: it is "
        "served once the corporate wire answers, or one of the plan's nodes is heard behind it."
    )


def refusal(seen: cabling.CablingProbe, overheard: str = "") -> WireRefused | None:
    """Why this may not be served, in words for the person who plugged the cables; None where nothing forbids it.

    `overheard`: what an Ear heard meanwhile that must not be there.
    """
    if seen.pattern in (
        cabling.CablingPattern.SWAPPED,
        cabling.CablingPattern.CORPORATE_CABLE_IN_CLUSTER_SWITCH,
        cabling.CablingPattern.ONE_NETWORK,
        cabling.CablingPattern.ANOTHER_GATEWAY,
        cabling.CablingPattern.ADDRESS_TAKEN,
        cabling.CablingPattern.ROUTER_ON_CLUSTER_WIRE,
    ):
        said = cabling.explain(seen)
        return WireRefused(said.in_a_line, said.remedy)
    if overheard:
        return WireRefused(
            f"The cluster wire, {seen.cluster.nic}, is not ours alone: {overheard}.",
            f"Pull whatever leads from {seen.cluster.nic} to another network, and look again.",
        )
    return None
