"""The vendor of a MAC's prefix: a hint for people, never a test of anything."""

from __future__ import annotations

import re
from functools import cache

from wizard.plan.text import clean

_MAC = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}")
_LOCALLY_ADMINISTERED = 0x020000
_MULTICAST = 0x010000


def vendor_of(mac: str) -> str:
    """The organisation that a MAC's prefix is registered to; "" if unknown, made up locally, or no MAC at all."""
    if not _MAC.fullmatch(mac):
        return ""
    prefix = int(mac[:8].replace(":", ""), 16)
    if prefix == 0 or prefix & (_LOCALLY_ADMINISTERED | _MULTICAST):
        return ""
    return _registered(prefix)


def named_mac(mac: str) -> str:
    """A MAC, and its vendor where that is known."""
    vendor = vendor_of(mac)
    return f"{mac}, {vendor}" if vendor else mac


@cache
def _registered(prefix: int) -> str:
    # netaddr reads its index of the registry (0.1 s) on the first look-up only.
    from netaddr import OUI, NotRegisteredError

    try:
        organisation = str(OUI(prefix).registration()["org"])
    except (NotRegisteredError, OSError, ValueError, LookupError):
        return ""
    # Blocks that the IEEE sold on in smaller parts; this registry does not list their owners.
    if organisation == "IEEE Registration Authority":
        return ""
    return clean(organisation, 60)
