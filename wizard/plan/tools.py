"""The programs an apply needs, and the Debian packages that have them."""

from __future__ import annotations

NEEDED = ("dnsmasq", "nft", "ip", "ss", "ifup", "setpriv", "unshare", "flock")
"""Programs that every apply runs. What a firewall of this machine adds is in the facts."""

PACKAGES = {
    "dnsmasq": "dnsmasq-base",
    "nft": "nftables",
    "ip": "iproute2",
    "ss": "iproute2",
    "ifup": "ifupdown",
    "ifdown": "ifupdown",
    "ifquery": "ifupdown",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "flock": "util-linux",
}
"""Program -> package of Debian and Ubuntu, where the two differ in name."""
