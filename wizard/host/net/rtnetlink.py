"""A NIC's addresses and up flag, and route look-ups, over netlink: for machines that have lost `ip`."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from itertools import pairwise
from typing import Any

from wizard.host.net import netlink
from wizard.host.net.link import INFO, NEW_LINK, UP, read_link
from wizard.host.net.netlink import ACK, CREATE, DUMP, attribute, attributes

Record = dict[str, Any]

_ADDRESS = struct.Struct("=BBBBi")
_NEW_ADDRESS, _DELETE_ADDRESS, _GET_ADDRESS = 20, 21, 22
_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 3, 4, 8
_PERMANENT, _NO_DAD, _NO_PREFIX_ROUTE = 0x80, 0x02, 0x200
_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host"}
_TIMEOUT_S = 5.0
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEW_ROUTE, _GET_ROUTE = 24, 26
_RTA_DST, _RTA_SRC, _RTA_IIF, _RTA_OIF = 1, 2, 3, 4


def link_state(nic: str) -> Record:
    """The same record as link_image.link_state. Raises OSError."""
    link = read_link(nic)
    if link is None:
        return {"nic": nic, "present": False}
    macs = [":".join(f"{byte:02x}" for byte in link.mac)] if link.mac else []
    return {"nic": nic, "present": True, "up": link.up, "macs": macs, "addresses": _addresses(link.index, nic)}


def _addresses(index: int, nic: str) -> list[Record]:
    found = []
    for kind, body in _ask(_GET_ADDRESS, DUMP, _ADDRESS.pack(0, 0, 0, 0, 0)):
        family, prefix, short_flags, scope, where = _ADDRESS.unpack_from(body)
        if kind != _NEW_ADDRESS or where != index:
            continue
        fields = dict(attributes(body[_ADDRESS.size :]))
        flags = int.from_bytes(fields[_IFA_FLAGS], sys.byteorder) if _IFA_FLAGS in fields else short_flags
        local, peer = fields.get(_IFA_LOCAL), fields.get(_IFA_ADDRESS, b"")
        address = socket.inet_ntop(family, local or peer)
        more = ["nodad"] if flags & _NO_DAD else []
        more += ["noprefixroute"] if flags & _NO_PREFIX_ROUTE else []
        more += ["peer", f"{socket.inet_ntop(family, peer)}/{prefix}"] if local and local != peer else []
        if broadcast := fields.get(_IFA_BROADCAST):
            more += ["broadcast", socket.inet_ntop(family, broadcast)]
        label = os.fsdecode(fields.get(_IFA_LABEL, b"").rstrip(b"\0"))
        more += ["label", label] if label not in ("", nic) else []
        if flags & _PERMANENT:
            found.append({"cidr": f"{address}/{prefix}", "scope": _SCOPES.get(scope, str(scope)), "more": more})
    return found


def delete_address(nic: str, cidr: str) -> None:
    """Remove an address from a NIC; does nothing if the address or the NIC is gone. Raises OSError."""
    try:
        _change(_DELETE_ADDRESS, 0, nic, cidr, ())
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):
            raise


def add_address(nic: str, address: Record) -> None:
    """Add an address, one of the records in `link_state`; does nothing if the NIC has it. Raises OSError."""
    try:
        _change(_NEW_ADDRESS, CREATE, nic, address["cidr"], address["more"], str(address["scope"]))
    except FileExistsError:
        return


def set_link(nic: str, up: bool) -> None:
    """Set a NIC up or down. Raises OSError."""
    _ask(NEW_LINK, ACK, INFO.pack(0, 0, socket.if_nametoindex(nic), UP if up else 0, UP))


def _change(kind: int, flags: int, nic: str, cidr: str, more: Any, scope: str = "global") -> None:
    text, _, prefix = cidr.partition("/")
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    local = socket.inet_pton(family, text)
    words = dict(pairwise(more))
    peer = socket.inet_pton(family, words["peer"].partition("/")[0]) if "peer" in words else local
    extra = (_NO_DAD if "nodad" in more else 0) | (_NO_PREFIX_ROUTE if "noprefixroute" in more else 0)
    body = attribute(_IFA_LOCAL, local)
    if kind == _NEW_ADDRESS:
        body += attribute(_IFA_ADDRESS, peer)
        body += attribute(_IFA_FLAGS, struct.pack("=I", extra))
        if "broadcast" in words:
            body += attribute(_IFA_BROADCAST, socket.inet_pton(family, words["broadcast"]))
        if family == socket.AF_INET:
            body += attribute(_IFA_LABEL, os.fsencode(words.get("label", nic)) + b"\0")
    number = next((n for n, name in _SCOPES.items() if name == scope), int(scope) if scope.isdigit() else 0)
    head = _ADDRESS.pack(family, int(prefix), 0, number, socket.if_nametoindex(nic))
    _ask(kind, ACK | flags, head + body)


def route_to(to: bytes, source: bytes = b"", input_index: int = 0) -> int:
    """The index of the NIC by which a packet to `to` would leave, by every routing rule and table; nothing is sent.

    Addresses are IPv4, four bytes each. With `source` and `input_index` the packet is a forwarded one that came in by
    that NIC, else one of our own. Raises OSError if there is no route.
    """
    body = _ROUTE.pack(socket.AF_INET, 32, 32 if source else 0, 0, 0, 0, 0, 0, 0) + attribute(_RTA_DST, to)
    if source:
        body += attribute(_RTA_SRC, source)
    if input_index:
        body += attribute(_RTA_IIF, struct.pack("=I", input_index))
    for kind, answer in _ask(_GET_ROUTE, ACK, body):
        fields = dict(attributes(answer[_ROUTE.size :])) if kind == _NEW_ROUTE else {}
        if _RTA_OIF in fields:
            return int.from_bytes(fields[_RTA_OIF], sys.byteorder)
    raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))


def _ask(kind: int, flags: int, body: bytes) -> list[tuple[int, bytes]]:
    return netlink.request(socket.NETLINK_ROUTE, kind, flags, body, _TIMEOUT_S)
