"""The proof that the cluster wire is silent: who may serve on it, and until when that holds.

A proof is for one NIC, by index, and for as long as its carrier has not changed once since: the kernel counts,
so no cable was moved behind our back. Nor while the machine slept, when nobody counts.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from wizard.deploy import state
from wizard.host import wires
from wizard.host.dhcp_probe import Cause, Verdict
from wizard.host.files import make_directory
from wizard.host.link import read_link
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
class Stamp:
    """One NIC between two changes of its carrier. `slept`: seconds that this machine has slept since boot."""

    nic: str
    index: int
    mac: str
    carrier_changes: int
    boot: str
    slept: float = field(compare=False)

    def same_wire(self, other: Stamp | None, flaps: int = 0) -> bool:
        """Whether nobody can have moved a cable between the two; `flaps`: carrier changes that were our own."""
        if other is None or abs(self.slept - other.slept) > _SLEEP_S:
            return False
        return replace(self, carrier_changes=self.carrier_changes + flaps) == other


def stamp(nic: str) -> Stamp | None:
    """What identifies the wire behind a NIC now; None where there is no such NIC."""
    link = read_link(nic)
    if link is None or link.name != nic:
        return None
    return Stamp(nic, link.index, link.mac.hex(":"), link.changes, boot_id(), state.boottime() - time.monotonic())


def carrier(nic: str) -> bool:
    link = read_link(nic)
    return link is not None and link.carrier


def write(seen: Stamp) -> None:
    """The wire that this stamp stands for was heard to be silent just now."""
    make_directory(Path(paths.LIVE))
    state.write_json(PROOF, {**asdict(seen), "at": state.boottime()})


def read() -> dict[str, Any] | None:
    return state.read_json(PROOF)


def forget() -> None:
    """What was proven no longer holds, whatever the carrier says."""
    state.remove(PROOF)


def proven_at(nic: str) -> float | None:
    """When (boottime) the wire behind a NIC was last proven; None where it is not, or somebody touched it since."""
    data, now = read(), stamp(nic)
    if data is None or now is None or not carrier(nic):
        return None
    try:
        then, at = Stamp(**{key: data[key] for key in asdict(now)}), float(data["at"])
        return at if now.same_wire(then) else None
    except (KeyError, TypeError, ValueError):
        return None


def holds(nic: str) -> bool:
    """Whether the wire behind a NIC is proven silent and nobody has touched it since."""
    return proven_at(nic) is not None


@contextmanager
def through_our_own_flap(nic: str) -> Iterator[None]:
    """Carry a proof over a change of ours that takes the link down and up again within a moment.

    A cable that is moved in that very moment shows as more changes than ours, and nothing is carried over.
    """
    proven = stamp(nic) if holds(nic) else None
    yield
    if proven is None or not await_carrier(nic):
        return
    now = stamp(nic)
    if now is not None and (proven.same_wire(now) or proven.same_wire(now, flaps=2)):
        write(now)


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
    stop: threading.Event | None = None,
) -> wires.Wires:
    """Ask both wires (see host.wires.look)."""
    return wires.look(
        corporate,
        cluster,
        wait=wait_override(),
        progress=progress,
        stop=stop,
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
