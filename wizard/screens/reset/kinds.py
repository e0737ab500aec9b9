"""The kinds of reset, in words: what each changes, what it leaves alone, and what would be lost by it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wizard.widgets.page import plural

if TYPE_CHECKING:
    from wizard.monitor.lease_rows import LeaseRow
    from wizard.monitor.overview import Overview

MOST_LEASES = 50
KEPT_LEASES = "the leases, for another apply (f forgets them)"
FORGOTTEN = "the leases are forgotten: dynamic addresses may then change"


@dataclass(frozen=True, slots=True)
class Kind:
    """`small`: it brings a part of what is in force about anew and undoes nothing; `key` is then the part's name."""

    key: str
    title: str
    meanwhile: str
    changes: tuple[str, ...]
    leaves: tuple[str, ...]
    small: bool = True
    question: str = ""
    warning: str = ""
    yes: str = "Do it"


KINDS = (
    Kind(
        "rules",
        "Load the rules again",
        "nothing stops, no packet is lost",
        (
            "NAT, forwards, firewall, guard: the table inet ciao_gateway, at once",
            "the accepts that Docker and the like need for us; forwarding",
        ),
        ("connections that go on, leases, addresses, DHCP and DNS", "everybody else's rules"),
        question="Load the rules again?",
        warning="The plan's rules take the place of those that are loaded now, in one go.",
    ),
    Kind(
        "nodes",
        "Read the nodes again",
        "nothing stops",
        ("the reserved nodes as the plan has them; dnsmasq reads them, not restarted",),
        ("leases: a node gets what is reserved for it when it asks again", "rules, addresses"),
        question="Read the nodes again?",
        warning="dnsmasq is not restarted.",
    ),
    Kind(
        "dhcp",
        "Restart DHCP, keep the leases",
        "no DHCP and DNS for some seconds",
        ("dnsmasq and its guard start anew", "the wire is proven silent again before anybody is served"),
        ("the leases: everybody keeps his address", "NAT and forwards: they work on"),
        question="Restart DHCP?",
        warning="For some seconds the cluster has no DHCP and no names. Connections go on.",
    ),
    Kind(
        "leases",
        "Forget the leases",
        "no DHCP and DNS for some seconds",
        (
            "every lease is forgotten; dnsmasq and its guard start anew",
            "who has one uses it until half its time is over, and asks again then",
            "a dynamic address where nobody answers may go to another before that",
        ),
        ("reserved addresses: they stay whose they are", "NAT and forwards: they work on"),
        question="Forget the leases?",
        warning="Machines with a dynamic address may get another one. Reserved addresses stay whose they are.",
        yes="Forget them",
    ),
    Kind(
        "again",
        "Apply the whole plan again",
        "both wires are asked anew; then a trial",
        (
            "whatever differs from the plan in force, and nothing that does not",
            "you see each file as a diff first; afterwards you keep it or go back",
        ),
        ("leases, and connections that go on",),
        small=False,
    ),
    Kind(
        "everything",
        "Undo everything",
        "the cluster loses its gateway",
        (
            "the gateway stops: no addresses, names or forwards for the cluster",
            "the cluster NIC, forwarding and packet filter go back as they were",
            "files it wrote go, the plan too; files it changed are as before",
        ),
        ("everything of others", KEPT_LEASES),
        small=False,
        question="Give everything back?",
        warning="The cluster loses its gateway at once.",
        yes="Reset",
    ),
)


def lost_by(key: str, seen: Overview | None) -> tuple[str, ...]:
    """What somebody changed by hand since, of which nothing would be left."""
    from wizard.deploy.installed_files import KEPT_BY_RESET

    drift = tuple(line for line in (seen.status.drift if seen is not None else ()) if not line.endswith(KEPT_BY_RESET))
    if key in ("again", "everything"):
        return drift
    if key == "rules":
        # Files are told by their path, rules are not.
        return tuple(line for line in drift if not line.startswith("/") or "/nat.sh" in line)
    return ()


def whose_leases(rows: Iterable[LeaseRow]) -> tuple[str, ...]:
    """Who holds which address, those first who may lose theirs."""
    held = [row for row in rows if row.ip and row.state in ("leased", "wrong-address")]
    held.sort(key=lambda row: row.kind == "node" and row.state == "leased")
    if not held:
        return ("nobody holds one",)
    lines = []
    for row in held[:MOST_LEASES]:
        who = row.name or row.hostname or row.vendor or row.mac
        fate = "reserved, stays" if row.kind == "node" and row.state == "leased" else "may change"
        lines.append(f"{row.ip:15}  {fate:15}  {who}")
    if len(held) > MOST_LEASES:
        lines.append(f"and {plural(len(held) - MOST_LEASES, 'lease')} more")
    return tuple(lines)
