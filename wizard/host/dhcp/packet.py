"""DHCP frames as bytes: builds the probe's questions, and parses what counts as an answer to them.

Own and minimal on purpose: this reads hostile bytes as root, where a general packet library is far more
code than the few fields needed here (and scapy takes 0.7 s to import).
"""

from __future__ import annotations

import string
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from wizard.host.net import frames
from wizard.host.net.frames import NOBODY

CLIENT_PORT = 68
SERVER_PORT = 67
WALK_WISH = "127.0.67.68"
"""The address that a path probe's DISCOVER requests: dnsmasq's log shows it, and no machine can have it."""

_EVERYONE = b"\xff" * 4
_LOW_DELAY = 0x10
_BOOTP = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_BOOTP_LEAST = 300  # some servers and relays drop shorter requests
_MAGIC = b"\x63\x82\x53\x63"
_WANTED = bytes((1, 3, 6, 15, 28, 42, 51, 54, 58, 59))
_ACK, _NAK, _RELEASE, _INFORM = 5, 6, 7, 8
_REQUEST = b"\x03"
_ASKS = {1: "discover", 3: "request"}
_FROM_A_SERVER = frozenset({0, 2, _ACK, _NAK})  # plain BOOTP, OFFER, ACK (rapid commit)


@dataclass(frozen=True, slots=True)
class Offer:
    """A server's answer. Addresses are dotted text, MACs lower case with colons.

    `server_id` is "" where the server does not name itself, `relay` "" where none stands between,
    `vlan` the outermost tag found in the frame, None for none.
    """

    server_id: str
    source_ip: str
    source_mac: str
    offered_ip: str
    relay: str
    vlan: int | None


@dataclass(frozen=True, slots=True)
class Reply:
    """An Offer, and the transaction (32 bits) and the six-byte MAC that it is meant for.

    `decides`: it gives that client an address, refuses one, or tells one that has an address of its network (INFORM),
    where a PXE server beside the DHCP server only names a boot file.
    """

    offer: Offer
    xid: int
    mac: bytes
    decides: bool


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks. `kind` is "discover" or "request"; `mac` the client's own, lower case with colons.

    `host_name` and `vendor_class` are as sent, decoded but not safe to show, "" if it sent none;
    `wanted_ip` is the address that it would like. `relay` is "" where none stands between.
    """

    kind: str
    mac: str
    host_name: str
    vendor_class: str
    wanted_ip: str
    relay: str


def build_discover(
    mac: bytes, xid: int, secs: int, hostname: str | None = None, client: bytes = b"", wanted: bytes = b""
) -> bytes:
    """A DHCPDISCOVER as a whole Ethernet frame. `wanted`: the address that it would like, four bytes.

    `mac` is six bytes and stands as source, and as client where `client` names no other. Some switches drop what has
    two, so a difference proves less. `secs` since the first try: some servers wait for it to grow.
    Raises ValueError for a MAC that is not six bytes long, and for a host name that is not a DNS label.
    """
    client = client or mac
    if len(mac) != 6 or len(client) != 6:
        raise ValueError("a MAC has six bytes")
    options = b"\x35\x01\x01" + bytes((55, len(_WANTED))) + _WANTED
    if hostname is not None:
        if not 0 < len(hostname) < 64 or not set(hostname) <= set(string.ascii_letters + string.digits + "-"):
            raise ValueError("a host name is a DNS label")
        options += bytes((12, len(hostname))) + hostname.encode("ascii")
    if wanted:
        options += bytes((50, 4)) + wanted
    # The broadcast flag: an answer sent to an address that nobody has yet may get lost on its way.
    bootp = _request(client, xid, secs=min(max(secs, 0), 0xFFFF), flags=0x8000)
    return _broadcast(mac, NOBODY, bootp + options)


def build_inform(mac: bytes, ip: bytes, xid: int) -> bytes:
    """A DHCPINFORM as a whole Ethernet frame: who has an address asks about the network. Nothing is leased for it.

    Answers go to `ip`, so it has to be the sender's. A server that gives addresses to known machines alone may answer.
    """
    options = bytes((0x35, 1, _INFORM, 55, len(_WANTED))) + _WANTED
    return _broadcast(mac, ip, _request(mac, xid, own=ip) + options)


def release_payload(mac: bytes, ip: bytes, server: bytes, xid: int) -> bytes:
    """A DHCPRELEASE as the payload of a datagram. Addresses are four bytes, `server` is that of the lease's giver."""
    return _request(mac, xid, own=ip) + bytes((53, 1, _RELEASE, 54, 4)) + server + b"\xff"


def _request(client: bytes, xid: int, *, secs: int = 0, flags: int = 0, own: bytes = NOBODY) -> bytes:
    """The beginning of every message of a client, up to its options. `own`: the address that it has."""
    return _BOOTP.pack(
        1, 1, 6, 0, xid & 0xFFFFFFFF, secs, flags, own, NOBODY, NOBODY, NOBODY, client, b"", b"", _MAGIC
    )  # fmt: skip


def _broadcast(mac: bytes, source: bytes, bootp: bytes) -> bytes:
    payload = (bootp + b"\xff").ljust(_BOOTP_LEAST, b"\0")
    ports = CLIENT_PORT, SERVER_PORT
    packet = frames.udp(source, _EVERYONE, ports, payload, tos=_LOW_DELAY, flags=0)
    return frames.ethernet(frames.BROADCAST_MAC, mac, frames.IPV4, packet)


def parse_reply(frame: bytes, port: int = CLIENT_PORT) -> Reply | None:
    """A DHCP server's answer to anybody in an Ethernet frame, or None. Never raises.

    One to a relay, which passes it on, goes to the servers' `port`.

    Lenient where a server that clients would accept must not be missed: the source port is not looked
    at, nor are checksums (network cards fill them in later than we look), and a BOOTP server's or a
    rapid-commit answer counts like an OFFER.
    """
    try:
        vlan, packet = _strip_ethernet(frame)
        source, payload = _strip_ip_udp(packet, port)
        return _read_bootp(payload, source, frame[6:12], vlan)
    except _NotAnAnswer:
        return None


def chosen_server(frame: bytes) -> str:
    """The server whose offer a client accepts by the DHCPREQUEST in an Ethernet frame, dotted; "" if it is none.

    A client broadcasts this, even if the server's own answers did not reach us. Never raises.
    """
    try:
        _, packet = _strip_ethernet(frame)
        _, payload = _strip_ip_udp(packet, SERVER_PORT)
        _require(len(payload) >= _BOOTP.size)
        op, *_, sname, file, magic = _BOOTP.unpack_from(payload)
        _require(op == 1 and magic == _MAGIC)
        found = _options(payload[_BOOTP.size :], sname, file)
        server = found.get(54, b"")
        _require(found.get(53) == _REQUEST and len(server) == 4)
        return _dotted(server)
    except _NotAnAnswer:
        return ""


def parse_request(frame: bytes) -> Request | None:
    """What a client asks of all servers in an untagged Ethernet frame, or None. Never raises."""
    try:
        vlan, packet = _strip_ethernet(frame)
        _, payload = _strip_ip_udp(packet, SERVER_PORT)
        _require(vlan is None and len(payload) >= _BOOTP.size)
        op, htype, hlen, _, _, _, _, client, _, _, relay, chaddr, sname, file, magic = _BOOTP.unpack_from(payload)
        _require(op == 1 and htype == 1 and hlen == 6 and magic == _MAGIC)
        found = _options(payload[_BOOTP.size :], sname, file)
        kind = found.get(53, b"")
        _require(len(kind) == 1 and kind[0] in _ASKS)
        mac = chaddr[:6]
        # A group's address, or none, is no machine's.
        _require(any(mac) and not mac[0] & 1)
    except _NotAnAnswer:
        return None
    wanted = found.get(50, b"") if len(found.get(50, b"")) == 4 else client if any(client) else b""
    return Request(
        kind=_ASKS[kind[0]],
        mac=mac.hex(":"),
        host_name=found.get(12, b"").rstrip(b"\0").decode("utf-8", "replace"),
        vendor_class=found.get(60, b"").rstrip(b"\0").decode("utf-8", "replace"),
        wanted_ip=_dotted(wanted) if wanted else "",
        relay=_dotted(relay) if any(relay) else "",
    )


class _NotAnAnswer(Exception):
    """Not an error: most frames are something else."""


def _require(holds: bool) -> None:
    if not holds:
        raise _NotAnAnswer


def _strip_ethernet(frame: bytes) -> tuple[int | None, bytes]:
    found = frames.find_ipv4(frame)
    if found is None:
        raise _NotAnAnswer
    at, vlan = found
    return vlan, frame[at:]


def _strip_ip_udp(packet: bytes, port: int = CLIENT_PORT) -> tuple[bytes, bytes]:
    _require(len(packet) >= 20 and packet[0] >> 4 == 4)
    header = (packet[0] & 0x0F) * 4
    total, fragment = struct.unpack_from("!H2xH", packet, 2)
    _require(header >= 20 and header + 8 <= total <= len(packet))
    _require(packet[9] == frames.UDP and fragment & 0x3FFF == 0)
    packet = packet[:total]  # short frames are padded
    to_port, length = struct.unpack_from("!HH", packet, header + 2)
    _require(to_port == port and 8 <= length <= total - header)
    return packet[12:16], packet[header + 8 : header + length]


def _read_bootp(payload: bytes, source: bytes, source_mac: bytes, vlan: int | None) -> Reply:
    _require(len(payload) >= _BOOTP.size)
    op, htype, hlen, _, xid, _, _, _, offered, _, relay, chaddr, sname, file, magic = _BOOTP.unpack_from(payload)
    _require(op == 2 and htype == 1 and hlen == 6 and magic == _MAGIC)
    found = _options(payload[_BOOTP.size :], sname, file)
    kind, server = found.get(53, b"\0"), found.get(54, b"")
    _require(len(kind) == 1 and kind[0] in _FROM_A_SERVER and len(server) in (0, 4))
    offer = Offer(
        server_id=_dotted(server) if server else "",
        source_ip=_dotted(source),
        source_mac=source_mac.hex(":"),
        offered_ip=_dotted(offered),
        relay=_dotted(relay) if any(relay) else "",
        vlan=vlan,
    )
    informs = kind[0] == _ACK and not found.get(60, b"").startswith(b"PXEClient")
    return Reply(offer, xid, chaddr[:6], decides=any(offered) or kind[0] == _NAK or informs)


def _options(field: bytes, sname: bytes, file: bytes) -> dict[int, bytes]:
    """The first value of each option; option 52 says whether the file and name fields hold more (RFC 2132, 9.3)."""
    found: dict[int, bytes] = {}
    for code, value in _each_option(field):
        found.setdefault(code, value)
    overload = found.get(52, b"\0")
    _require(len(overload) == 1 and overload[0] <= 3)
    for bit, more in ((1, file), (2, sname)):
        if overload[0] & bit:
            for code, value in _each_option(more):
                found.setdefault(code, value)
    return found


def _each_option(field: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(field) and field[at] != 0xFF:
        if field[at] == 0:
            at += 1
            continue
        _require(at + 1 < len(field))
        end = at + 2 + field[at + 1]
        _require(end <= len(field))
        yield field[at], field[at + 2 : end]
        at = end


def _dotted(address: bytes) -> str:
    return str(IPv4Address(address))
