"""Presets of forwards: the ports of clouds and clusters, and what listens there."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from wizard.plan.draft.check import draft_findings
from wizard.plan.draft.model import Draft, ForwardText, NodeText, kind_of
from wizard.plan.findings import Severity
from wizard.plan.machine import Facts
from wizard.plan.model import USUAL_ROLES, ClusterKind, Protocol, Role
from wizard.plan.rules.forwards import LISTENS


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port of the gateway, forwarded to the same port of the first node with `role`. `what` describes it."""

    port: int
    what: str
    role: Role = Role.CONTROLLER


@dataclass(frozen=True, slots=True)
class Preset:
    name: str
    about: str
    ports: tuple[Port, ...]


PRESETS = (
    Preset(
        "ciao",
        "as in the guide",
        (
            Port(8889, "ciao: web interface and API"),
            Port(35357, "Keystone, administration"),
            Port(5000, "Keystone, public"),
        ),
    ),
    Preset(
        "ciao 2017",
        "with the APIs of its later releases",
        (
            Port(8889, "ciao API"),
            Port(8774, "compute API"),
            Port(8776, "volume API"),
            Port(9292, "image API"),
            Port(35357, "Keystone, administration"),
            Port(5000, "Keystone, public"),
            Port(443, "ciao web interface"),
        ),
    ),
    Preset(
        "OpenStack",
        "dashboard, consoles and the usual APIs",
        (
            Port(80, "Horizon, dashboard"),
            Port(443, "Horizon, dashboard with TLS"),
            Port(6080, "noVNC, consoles"),
            Port(5000, "Keystone, identity API"),
            Port(8774, "Nova, compute API"),
            Port(9696, "Neutron, network API"),
            Port(9292, "Glance, image API"),
            Port(8776, "Cinder, volume API"),
            Port(8778, "Placement API"),
        ),
    ),
    Preset(
        "k3s",
        "the API, and the ingress that it brings",
        (
            Port(6443, "Kubernetes API"),
            Port(80, "Traefik, ingress"),
            Port(443, "Traefik, ingress with TLS"),
        ),
    ),
    Preset(
        "Proxmox",
        "web interface and consoles",
        (
            Port(8006, "Proxmox web interface and API"),
            Port(3128, "SPICE consoles"),
        ),
    ),
    Preset(
        "Talos",
        "its own API and Kubernetes'; trustd's 50001 stays inside",
        (
            Port(50000, "Talos API"),
            Port(6443, "Kubernetes API"),
        ),
    ),
)
_OTHERS = {22: "SSH", 8080: "HTTP", 3389: "RDP", 5900: "VNC", 3000: "ciao web interface, run by hand"}


@dataclass(frozen=True, slots=True)
class PresetForward:
    """The forward that a preset adds for one of its ports.

    `against` says why it does not, "" if it does; `there`: that port leads to `to` already.
    """

    port: Port
    forward: ForwardText
    to: str
    against: str = ""
    there: bool = False


def preset_forwards(preset: Preset, draft: Draft, facts: Facts | None) -> tuple[PresetForward, ...]:
    """The forwards that a preset adds to a draft on this machine, one per port."""
    held = {(f.port.strip(), f.protocol.strip().lower()): f for f in draft.forwards}
    fresh = [(port, ForwardText(str(port.port), first_node_name(draft, port.role))) for port in preset.ports]
    # Only conflicts over ports count here; the page reports a missing node.
    clashes = _clashes([forward for _, forward in fresh], draft, facts)
    found = []
    for port, forward in fresh:
        there = held.get((forward.port, Protocol.TCP.value))
        if there is None:
            found.append(PresetForward(port, forward, forward.to, clashes.get(forward.port, "")))
        else:
            to = f"{there.to}, {there.to_port}" if there.to_port not in ("", there.port) else there.to
            found.append(PresetForward(port, forward, to, f"it leads to {to} already", True))
    return tuple(found)


def _clashes(forwards: Iterable[ForwardText], draft: Draft, facts: Facts | None) -> dict[str, str]:
    """Port -> why it cannot be forwarded."""
    texts = tuple(forwards)
    reasons: dict[str, str] = {}
    alone = Draft(draft.corporate, draft.cluster, draft.cidr, draft.gateway, draft.pool, forwards=texts)
    for finding in draft_findings(alone, facts):
        number, _, field = finding.field.removeprefix("forwards[").partition("].")
        if finding.severity is Severity.ERROR and field == "port" and number.isdecimal():
            # The dialog shows the port beside it, the page the consequences.
            who, listens, _ = finding.message.partition(LISTENS)
            reasons.setdefault(texts[int(number)].port, f"{who} listens on it" if listens else finding.message)
    return reasons


def _roles_of(node: NodeText) -> list[str]:
    return [role.strip() for role in node.role.split(",")]


def first_node_name(draft: Draft, role: Role) -> str:
    """The name of the first node with that role, else the role's name.

    Of a cluster that is not ciao's the first node with the first of its usual roles, else its first node.
    """
    found = next((node.name for node in draft.nodes if role.value in _roles_of(node)), "")
    kind = kind_of(draft)
    if found or kind is ClusterKind.CIAO:
        return found or role.value
    leading = "".join(USUAL_ROLES[kind][:1])
    leaders = [node.name for node in draft.nodes if leading and leading in _roles_of(node)]
    return next(iter([*leaders, *(node.name for node in draft.nodes), role.value]))


def port_label(port: str, beside: Collection[str] = ()) -> str:
    """What usually listens on a TCP port; "" if unknown.

    If several presets have the port, the one most of whose ports are in `beside` decides.
    """
    if not port.strip().isdecimal():
        return ""
    number = int(port) if len(port) < 6 else 0
    known = [(preset, each.what) for preset in PRESETS for each in preset.ports if each.port == number]
    if not known:
        return _OTHERS.get(number, "")

    def presence(preset: Preset) -> tuple[float, int]:
        count = sum(str(each.port) in beside for each in preset.ports)
        return count / len(preset.ports), count

    return max(known, key=lambda found: presence(found[0]))[1]
