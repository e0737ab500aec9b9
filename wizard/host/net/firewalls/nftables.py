"""Rules that somebody wrote for nft, in tables of no program that we know."""

from __future__ import annotations

from wizard.host.net.firewalls.firewall import Firewall, LoadedObject
from wizard.host.net.firewalls.iptables import is_iptables_table


class Nftables(Firewall):
    name = "nftables"

    def owns(self, loaded: LoadedObject) -> bool:
        return loaded.filters and not is_iptables_table(loaded)
