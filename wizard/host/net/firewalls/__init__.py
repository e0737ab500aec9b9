"""Other people's packet filters. To add one: write its module here, and put it into FIREWALLS. `firewall.py` says what
each may do. Our own rules are in `wizard.host.net.gateway_rules`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from wizard.host.facts.processes import RunningProcess
from wizard.host.net.firewalls.docker import Docker
from wizard.host.net.firewalls.firewall import Evidence, Firewall, LoadedObject, Record, Undone
from wizard.host.net.firewalls.firewalld import Firewalld
from wizard.host.net.firewalls.iptables import Iptables
from wizard.host.net.firewalls.libvirt import Libvirt
from wizard.host.net.firewalls.nftables import Nftables
from wizard.host.net.firewalls.ruleset import read_ruleset
from wizard.host.net.firewalls.ufw import Ufw
from wizard.host.shapes import Predicate

FIREWALLS: tuple[Firewall, ...] = (Docker(), Ufw(), Libvirt(), Firewalld(), Iptables(), Nftables())
"""In the order in which they are shown."""


def active(processes: Iterable[RunningProcess], nics: Iterable[str], root: Path, is_root: bool) -> tuple[str, ...]:
    """The names of the firewalls whose rules are loaded.

    Only root may read the rules. Without root: those whose daemon or NIC exists, and never iptables or nftables.
    """
    if is_root:
        found = set(_owners(read_ruleset(root)))
    else:
        evidence = Evidence(tuple(processes), tuple(nics), root)
        found = {firewall.name for firewall in FIREWALLS if firewall.is_running(evidence)}
    return tuple(firewall.name for firewall in FIREWALLS if firewall.name in found)


def _owners(ruleset: Iterable[LoadedObject]) -> Iterator[str]:
    for loaded in ruleset:
        yield from _of_table(loaded.table) or (each.name for each in FIREWALLS if each.owns(loaded))


def _of_table(table: str) -> list[str]:
    return [firewall.name for firewall in FIREWALLS if table in firewall.tables]


def images(nic: str | None) -> dict[str, Record | None]:
    """What an apply will change of each for the cluster NIC, by its key in the journal; None for no NIC."""
    return {each.journal_key: each.image(nic) if nic else None for each in FIREWALLS if each.journal_key}


def shapes() -> dict[str, Predicate]:
    """What each image in the journal must look like, by its key."""
    return {each.journal_key: each.is_image for each in FIREWALLS if each.journal_key}


def restore(records: Iterable[Record] = ()) -> Undone:
    """Put back what nat.sh changed of each, without nat.sh.

    `records` are the journal's of the step "rules", from the first apply on. For a NIC that they lack, nat.sh's notes
    count.
    """
    known = list(records)
    undone = [each.restore([r[each.journal_key] for r in known if r.get(each.journal_key)]) for each in FIREWALLS]
    return _sum(undone)


def remove_ours() -> Undone:
    """Remove the objects with our names from each. Raises WizardError."""
    return _sum([firewall.remove_ours() for firewall in FIREWALLS])


def _sum(undone: Iterable[Undone]) -> Undone:
    done: list[str] = []
    left: list[str] = []
    for one_done, one_left in undone:
        done += one_done
        left += one_left
    return done, left


def remedy(table: str, nic: str) -> str:
    """What to do if a table drops the cluster NIC's packets; "" if no firewall has a special remedy."""
    return next((each.remedy(nic) for each in FIREWALLS if table in each.tables), "")
