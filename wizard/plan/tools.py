"""The programs an apply needs, and the Debian packages that have them."""

from __future__ import annotations

NEEDED = ("dnsmasq", "nft", "ip", "ss", "setpriv", "unshare", "flock")
"""Programs that every apply runs. What this machine's firewall and network managers add is in the facts."""

PACKAGES = {
    "dnsmasq": "dnsmasq-base",
    "nft": "nftables",
    "ip": "iproute2",
    "ss": "iproute2",
    "ifup": "ifupdown",
    "ifdown": "ifupdown",
    "nmcli": "network-manager",
    "networkctl": "systemd",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "flock": "util-linux",
}
"""Program -> package of Debian and Ubuntu, where the two differ in name."""
