"""iptables, by nf_tables and the old one: rules of no program that we know, and the accepts that nat.sh puts in.

Docker, ufw and libvirt speak iptables too: one jump in each chain that may refuse our traffic lets it in for all of
them.
"""

from __future__ import annotations

from pathlib import Path

from wizard.host.commands import find, run, works
from wizard.host.net import nft_objects
from wizard.host.net.firewalls.firewall import Firewall, LoadedObject, Undone

_TABLES = frozenset({"filter", "nat", "mangle", "raw", "security"})
_CHAINS = ("FORWARD", "INPUT", "OUTPUT")
"""Those in which nat.sh puts a jump to a chain of ours, CIAO-FORWARD and so on."""


class Iptables(Firewall):
    name = "iptables"

    def owns(self, loaded: LoadedObject) -> bool:
        return loaded.filters and is_iptables_table(loaded)

    def remove_ours(self) -> Undone:
        removed: list[str] = []
        for program in ("iptables-nft", "iptables-legacy"):
            if _has_filter_table(program):
                for chain in _CHAINS:
                    removed += _remove_chain(program, chain)
        if find("iptables-legacy") is None and _has_filter_table("iptables-legacy"):
            return removed, [
                "the chains CIAO-FORWARD, CIAO-INPUT and CIAO-OUTPUT of iptables-legacy, which is not installed, could "
                "not be looked for"
            ]
        return removed, []


def is_iptables_table(loaded: LoadedObject) -> bool:
    return loaded.family in ("ip", "ip6") and loaded.table in _TABLES


def _remove_chain(program: str, chain: str) -> list[str]:
    """Remove our chain and the jumps to it. Returns what was there, in words."""
    if find(program) is None:
        gone = program == "iptables-nft" and nft_objects.remove_chain("ip", "filter", f"CIAO-{chain}")
        return [f"the chain CIAO-{chain}"] if gone else []
    removed = []
    while works(program, "-w", "5", "-D", chain, "-j", f"CIAO-{chain}"):
        removed.append(f"a jump to CIAO-{chain}")
    if works(program, "-w", "5", "-F", f"CIAO-{chain}"):
        run(program, "-w", "5", "-X", f"CIAO-{chain}")
        removed.append(f"the chain CIAO-{chain}")
    return removed


def _has_filter_table(program: str) -> bool:
    # Asking iptables itself would make the table.
    if program == "iptables-nft":
        return nft_objects.has_table("ip", "filter")
    try:
        return "filter" in Path("/proc/net/ip_tables_names").read_text().split()
    except OSError:
        return False
