"""The kinds of reset: what each changes, leaves alone and would lose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wizard.widgets.page import plural

if TYPE_CHECKING:
    from wizard.monitor.lease_rows import LeaseRow

MOST_LEASES = 50
KEPT_LEASES = "the leases, for the next apply (f forgets them)"
KEPT_IMAGES = "the images that nodes boot (i forgets them)"
FORGOTTEN = {
    KEPT_LEASES: "the leases are deleted: dynamic addresses may change",
    KEPT_IMAGES: "the images are deleted: they would have to be added again",
}
"""What a reset leaves alone unless it is told to forget it, and what becomes of it then."""


@dataclass(frozen=True, slots=True)
class Kind:
    """`small`: it re-applies one part of the running gateway and undoes nothing; `key` is that part's name."""

    key: str
    title: str
    interruption: str
    changes: tuple[str, ...]
    leaves: tuple[str, ...]
    small: bool = True
    question: str = ""
    warning: str = ""
    yes: str = "Do it"


KINDS = (
    Kind(
        "rules",
        "Reload the rules",
        "no interruption, no packet is lost",
        (
            "NAT, forwards, firewall, guard: table inet ciao_gateway, atomically",
            "our accept rules in Docker's and other firewalls; IP forwarding",
        ),
        ("open connections, leases, addresses, DHCP and DNS", "all other rules"),
        question="Reload the rules?",
        warning="The plan's rules replace the loaded ones in one transaction.",
    ),
    Kind(
        "nodes",
        "Reload the nodes",
        "no interruption",
        ("the reservations, as in the plan; dnsmasq reads them without a restart",),
        ("leases: a node gets its reserved address at its next request", "rules, addresses"),
        question="Reload the nodes?",
        warning="dnsmasq is not restarted.",
    ),
    Kind(
        "dhcp",
        "Restart DHCP, keep the leases",
        "no DHCP and DNS for some seconds",
        ("dnsmasq and its guard restart", "the cluster network is probed again before DHCP is served"),
        ("the leases: addresses are kept", "NAT and forwards: no interruption"),
        question="Restart DHCP?",
        warning="The cluster has no DHCP and DNS for some seconds. Open connections are kept.",
    ),
    Kind(
        "leases",
        "Forget the leases",
        "no DHCP and DNS for some seconds",
        (
            "every lease is deleted; dnsmasq and its guard restart",
            "a machine uses its address until half of the lease time, then asks again",
            "before that, another machine may get a dynamic address",
        ),
        ("reserved addresses", "NAT and forwards: no interruption"),
        question="Forget the leases?",
        warning="Machines with a dynamic address may get another one. Reserved addresses are kept.",
        yes="Forget them",
    ),
    Kind(
        "again",
        "Apply the whole plan again",
        "both networks are probed; then a trial",
        (
            "only what differs from the plan in force",
            "you see each file as a diff first; after the trial you keep it or go back",
        ),
        ("leases and open connections",),
        small=False,
    ),
    Kind(
        "everything",
        "Undo everything",
        "the cluster loses its gateway",
        (
            "the gateway stops: no addresses, names or forwards for the cluster",
            "the cluster NIC, IP forwarding and packet filter are restored",
            "its files are removed, the plan too; files it changed are restored",
        ),
        ("everything else on this machine", KEPT_LEASES, KEPT_IMAGES),
        small=False,
        question="Undo everything?",
        warning="The cluster loses its gateway at once.",
        yes="Reset",
    ),
)


def lease_holders(rows: Iterable[LeaseRow]) -> tuple[str, ...]:
    """The machines with a lease, a line each; first those whose address may change."""
    held = [row for row in rows if row.ip and row.state in ("leased", "wrong-address")]
    held.sort(key=_is_kept)
    if not held:
        return ("no machine",)
    lines = []
    for row in held[:MOST_LEASES]:
        who = row.name or row.hostname or row.vendor or row.mac
        fate = "reserved, kept" if _is_kept(row) else "may change"
        lines.append(f"{row.ip:15}  {fate:15}  {who}")
    if len(held) > MOST_LEASES:
        lines.append(f"and {plural(len(held) - MOST_LEASES, 'more lease')}")
    return tuple(lines)


def _is_kept(row: LeaseRow) -> bool:
    return row.kind in ("node", "device") and row.state == "leased"
