"""DHCP options of [[options]]: their names and kinds, and how each is written for dnsmasq(8), --dhcp-option.

Nothing that a person types reaches dnsmasq as it is: every value has a kind, and is written from what was parsed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from enum import Enum, auto

from wizard.plan.fields import FieldError, is_address, parse_address, parse_label, parse_network, parse_node_name, shown
from wizard.plan.model import DhcpOption

LONGEST = 255
"""Bytes of one option (RFC 2132)."""
MOST_ADDRESSES = 32
"""dnsmasq reads lines of 1024 characters."""
MOST_TARGETS = 64
_OCTETS = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})+")
_TEXT = re.compile(r"[ !#-\[\]-~]+")
_LIKE_A_NUMBER = re.compile(r"[0-9A-Fa-f:.,*/bsi-]+")


class OptionKind(Enum):
    """What an option holds."""

    ADDRESS = auto()
    ADDRESSES = auto()
    PAIRS = auto()
    TEXT = auto()
    FLAG = auto()
    U8 = auto()
    U16 = auto()
    U32 = auto()
    S32 = auto()
    ROUTES = auto()
    ANY = auto()
    """Of an option without a name here: addresses, octets or a text."""


_BOUNDS = {
    OptionKind.U8: (0, 0xFF),
    OptionKind.U16: (0, 0xFFFF),
    OptionKind.U32: (0, 0xFFFFFFFF),
    OptionKind.S32: (-(1 << 31), (1 << 31) - 1),
}
_SIZES = {OptionKind.U8: 1, OptionKind.U16: 2, OptionKind.U32: 4, OptionKind.S32: 4, OptionKind.FLAG: 1}

NAMES: Mapping[str, tuple[int, OptionKind]] = {
    "time-offset": (2, OptionKind.S32),
    "log-server": (7, OptionKind.ADDRESSES),
    "lpr-server": (9, OptionKind.ADDRESSES),
    "boot-file-size": (13, OptionKind.U16),
    "swap-server": (16, OptionKind.ADDRESS),
    "root-path": (17, OptionKind.TEXT),
    "extension-path": (18, OptionKind.TEXT),
    "ip-forward-enable": (19, OptionKind.FLAG),
    "non-local-source-routing": (20, OptionKind.FLAG),
    "policy-filter": (21, OptionKind.PAIRS),
    "max-datagram-reassembly": (22, OptionKind.U16),
    "default-ttl": (23, OptionKind.U8),
    "all-subnets-local": (27, OptionKind.FLAG),
    "router-discovery": (31, OptionKind.FLAG),
    "router-solicitation": (32, OptionKind.ADDRESS),
    "static-route": (33, OptionKind.PAIRS),
    "trailer-encapsulation": (34, OptionKind.FLAG),
    "arp-timeout": (35, OptionKind.U32),
    "ethernet-encap": (36, OptionKind.FLAG),
    "tcp-ttl": (37, OptionKind.U8),
    "tcp-keepalive": (38, OptionKind.U32),
    "nis-domain": (40, OptionKind.TEXT),
    "nis-server": (41, OptionKind.ADDRESSES),
    "netbios-ns": (44, OptionKind.ADDRESSES),
    "netbios-dd": (45, OptionKind.ADDRESSES),
    "netbios-nodetype": (46, OptionKind.U8),
    "x-windows-fs": (48, OptionKind.ADDRESSES),
    "x-windows-dm": (49, OptionKind.ADDRESSES),
    "vendor-class": (60, OptionKind.TEXT),
    "nis+-domain": (64, OptionKind.TEXT),
    "nis+-server": (65, OptionKind.ADDRESSES),
    "tftp-server": (66, OptionKind.TEXT),
    "bootfile-name": (67, OptionKind.TEXT),
    "mobile-ip-home": (68, OptionKind.ADDRESSES),
    "smtp-server": (69, OptionKind.ADDRESSES),
    "pop3-server": (70, OptionKind.ADDRESSES),
    "nntp-server": (71, OptionKind.ADDRESSES),
    "irc-server": (74, OptionKind.ADDRESSES),
    "posix-timezone": (100, OptionKind.TEXT),
    "tzdb-timezone": (101, OptionKind.TEXT),
    "ipv6-only": (108, OptionKind.U32),
    "classless-static-route": (121, OptionKind.ROUTES),
    "tftp-server-address": (150, OptionKind.ADDRESSES),
}
"""dnsmasq's names (`dnsmasq --help dhcp`), without those of OURS and _PROTOCOL."""

OURS = {
    "netmask": (1, "network.cidr"),
    "router": (3, "network.gateway"),
    "dns-server": (6, "network.gateway"),
    "hostname": (12, "the node's name"),
    "domain-name": (15, "network.domain"),
    "mtu": (26, "network.mtu"),
    "broadcast": (28, "network.cidr"),
    "ntp-server": (42, "network.ntp"),
    "lease-time": (51, "network.lease_time"),
    "domain-search": (119, "network.search"),
}
"""Name -> number, and what in the plan says it."""

_OURS_BY_NUMBER = dict(OURS.values())
_PROTOCOL = frozenset({0, 50, *range(52, 60), 61, 77, 80, 81, 82, 90, 91, 92, 93, 94, 97, 116, 118, 120, 125, 255})
"""Those of DHCP itself, those that clients send, and those with a form of their own."""
_KINDS = dict(NAMES.values())
_NAMES = {number: name for name, (number, _) in NAMES.items()}


def code_of(option: str | int) -> int:
    """The number of an option that has passed `parse_code`."""
    return option if isinstance(option, int) else NAMES[option][0]


def parse_code(value: object) -> str | int:
    """An option by dnsmasq's name or by its number."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise FieldError(value, "is no DHCP option", "Write its name in quotes, such as tftp-server, or its number.")
    if isinstance(value, str):
        name = value.strip(" ").lower().removeprefix("option:") if value.isascii() else value
        if name.isdecimal() and name.isascii() and len(name) < 4:
            return parse_code(int(name))
        if name in OURS:
            raise FieldError(value, "is already set elsewhere in the plan", f"Change {OURS[name][1]}.")
        if name not in NAMES:
            near = difflib.get_close_matches(name[:60], NAMES, 1)
            better = (
                f"Did you mean {near[0]}?" if near else "`dnsmasq --help dhcp` lists the names; or write its number."
            )
            raise FieldError(value, "is not a DHCP option", better)
        return name
    if value in _OURS_BY_NUMBER:
        raise FieldError(value, "is already set elsewhere in the plan", f"Change {_OURS_BY_NUMBER[value]}.")
    if not 0 < value < 255:
        raise FieldError(value, "is not the number of an option", "Write one from 1 to 254.")
    if value in _PROTOCOL:
        raise FieldError(value, "is part of DHCP itself, or of another form", "Choose an option that servers announce.")
    return value


def parse_value(option: str | int, value: object) -> str | int | tuple[str, ...]:
    """The value for an option; raises FieldError where its kind is another, or it is too long."""
    kind = _KINDS.get(code_of(option), OptionKind.ANY)
    if kind is OptionKind.FLAG:
        if value not in (0, 1) or not isinstance(value, int):
            raise FieldError(value, "is neither true nor false", "Write true or false.")
        return int(value)
    if kind in _BOUNDS:
        return _number(value, *_BOUNDS[kind])
    if kind is OptionKind.TEXT:
        if not isinstance(value, str):
            raise FieldError(value, "is not text", "Write it in quotes.")
        return _text(value)
    if kind is OptionKind.ANY and isinstance(value, int):
        return _number(value, 0, 255)
    if not isinstance(value, (str, list)) or (isinstance(value, list) and not all(isinstance(v, str) for v in value)):
        raise FieldError(value, "is not text, nor a list of texts", 'Write it in quotes, such as "192.168.0.5".')
    if kind is OptionKind.ANY and isinstance(value, str) and not is_address(value):
        octets = value.strip(" ")
        return octets.lower() if _OCTETS.fullmatch(octets) and octets.count(":") < LONGEST else _text(value)
    texts = [value] if isinstance(value, str) else value
    if kind is OptionKind.ROUTES:
        return _routes(texts, value)
    addresses = tuple(str(parse_address(text)) for text in texts)
    if not 0 < len(addresses) <= (1 if kind is OptionKind.ADDRESS else MOST_ADDRESSES):
        most = "one address" if kind is OptionKind.ADDRESS else f"1 to {MOST_ADDRESSES} addresses"
        raise FieldError(value, f"holds {len(addresses)} addresses", f"Write {most}.")
    if kind is OptionKind.PAIRS and len(addresses) % 2:
        raise FieldError(value, "holds an odd number of addresses", "Write pairs: a target, and its router or mask.")
    return addresses[0] if isinstance(value, str) else addresses


def _number(value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise FieldError(value, "is not a number that this option can hold", f"Write one from {least} to {most}.")
    return value


def _text(value: str) -> str:
    if not _TEXT.fullmatch(value):
        raise FieldError(
            value, "is not a text for a DHCP option", "Write printable ASCII, without quotes and backslashes."
        )
    if len(value) > LONGEST:
        raise FieldError(value, f"has {len(value)} characters", f"Write {LONGEST} at most.")
    return value


def _routes(texts: list[str], value: object) -> tuple[str, ...]:
    if not texts or len(texts) % 2 or len(texts) > MOST_ADDRESSES:
        remedy = 'Write pairs, such as ["10.0.0.0/8", "192.168.0.101", "0.0.0.0/0", "192.168.0.200"].'
        raise FieldError(value, "is not a list of networks, each with its router", remedy)
    pairs = zip(texts[::2], texts[1::2], strict=True)
    return tuple(part for net, via in pairs for part in (str(parse_network(net)), str(parse_address(via))))


def parse_to(value: object) -> tuple[str, ...]:
    """Names of nodes, devices and roles; none twice."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise FieldError(value, "is not a list of nodes and roles", 'Write it in brackets, such as ["compute1"].')
    if not texts:
        raise FieldError(value, "names nobody", "Name nodes or roles, or leave `to` out: then all get the option.")
    if len(texts) > MOST_TARGETS:
        raise FieldError(value, f"names {len(texts)}", f"Name {MOST_TARGETS} at most, or a role.")
    names = tuple(_target(text) for text in texts)
    if len(set(names)) < len(names):
        raise FieldError(value, "names somebody twice", "Write each name once.")
    return names


def _target(text: str) -> str:
    try:
        return parse_node_name(text)
    except FieldError:
        return parse_label(text)


def length(option: DhcpOption) -> int:
    """Bytes of the value in a packet."""
    kind = _KINDS.get(code_of(option.option), OptionKind.ANY)
    value = option.value
    if isinstance(value, int):
        return _SIZES.get(kind, 1)
    if kind is OptionKind.ROUTES:
        return 9 * len(value) // 2
    if isinstance(value, tuple):
        return 4 * len(value)
    if is_address(value) and kind is not OptionKind.TEXT:
        return 4
    return value.count(":") + 1 if kind is OptionKind.ANY and _OCTETS.fullmatch(value) else len(value)


def words(option: DhcpOption) -> str:
    """The option and its value for dnsmasq: `option:tftp-server,"192.168.0.5"`."""
    code = code_of(option.option)
    name = f"option:{_NAMES[code]}" if code in _NAMES else str(code)
    return f"{name},{_written(option.value, _KINDS.get(code, OptionKind.ANY))}"


def _written(value: str | int | tuple[str, ...], kind: OptionKind) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, int):
        return str(value)
    if kind is OptionKind.TEXT:
        # In quotes it is a text whatever it looks like.
        return f'"{value}"'
    if kind is not OptionKind.ANY or is_address(value) or _OCTETS.fullmatch(value):
        return value
    if not _LIKE_A_NUMBER.fullmatch(value):
        return f'"{value}"'
    # Of an option that it does not know dnsmasq takes digits for a number, even in quotes.
    octets = value.encode()
    return str(octets[0]) if len(octets) == 1 else octets.hex(":")


def described(option: DhcpOption) -> str:
    """The option for a message: "tftp-server" or "option 224"."""
    code = code_of(option.option)
    return _NAMES.get(code, f"option {code}") if isinstance(option.option, int) else shown(option.option).strip('"')
