"""One machine of a list: from the words that stand in it to values, or to what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from wizard.plan.fields import (
    FieldError,
    is_address,
    is_mac,
    parse_address,
    parse_mac,
    parse_node_name,
    parse_roles,
)
from wizard.plan.machine_lists.vocabulary import NAMELESS
from wizard.plan.model import Role

CALLED = {"role": "role", "name": "name", "mac": "MAC", "ip": "address"}
NO_MAC = "no MAC in it"
# As macOS and Solaris have them: lower case, and no octet begins with a zero. Else it is a digit that was forgotten.
_SHORT_MAC = re.compile(r"(?:0|[1-9a-f][0-9a-f]?)(?::(?:0|[1-9a-f][0-9a-f]?)){5}")
_USUAL_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
_GROUPED_MAC = re.compile(r"[0-9A-Fa-f]{4}(?:[:-][0-9A-Fa-f]{4}){2}|[0-9A-Fa-f]{6}[:-][0-9A-Fa-f]{6}")
_IPV6 = re.compile(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:%[\w.-]+)?(?:/[0-9]+)?")
_DOMAIN = re.compile(r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})+\.?")
# The kernel and switches use these by themselves: IPv4's and IPv6's multicast, spanning tree and its kin.
_GROUP_MACS = ("01:00:5e:", "33:33:", "01:80:c2:", "01:00:0c:cc:cc:c")
_ROLE = "|".join(role.value for role in Role)
_ROLES = re.compile(rf"[+/,\s]*(?:{_ROLE})(?:[+/,\s]+(?:{_ROLE}))*[+/,\s]*", re.IGNORECASE | re.ASCII)
_BROADCAST = "ff:ff:ff:ff:ff:ff"
_NOTHING = "00:00:00:00:00:00"


@dataclass(slots=True)
class Raw:
    """A machine as it stands in the list. `text` is its line, or its lines, for who mends it.

    `listed`: the list itself says that this is a machine, so that a name alone will do. `observed`: somebody saw it
    on a wire. `latest`: of several with the same MAC the last one counts. `trailing`: the name is a word behind
    others that no format puts there. `lacks`: what to say where the MAC is missing. `kind` tells rows that complete
    each other.
    """

    line: int
    text: str
    name: str = ""
    role: str = ""
    mac: str = ""
    ip: str = ""
    listed: bool = False
    observed: bool = False
    latest: bool = False
    trailing: bool = False
    lacks: str = NO_MAC
    kind: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a list says of one machine. Text fields are "" where it does not say. `problem` is for a person."""

    line: int
    name: str = ""
    roles: tuple[Role, ...] = ()
    mac: str = ""
    ip: str = ""
    problem: str = ""
    text: str = field(default="", compare=False)
    lacks: str = field(default="", compare=False)
    told_roles: bool = field(default=False, compare=False)
    """Whether the list says the roles, and not only the name."""
    twice: bool = field(default=False, compare=False)
    """Whether another row of the list says something else of this MAC, name or address: the problem, where so."""

    def as_json(self) -> dict[str, Any]:
        return {
            "line": self.line,
            "name": self.name or None,
            "roles": [role.value for role in self.roles] or None,
            "mac": self.mac or None,
            "ip": self.ip or None,
            "problem": self.problem,
        }


def mac_text(word: str) -> str:
    """A MAC in any notation, also macOS' short octets, as it is written here; "" where `word` is none."""
    word = word.strip(" \"'")
    if not 11 <= len(word) <= 17:
        return ""
    if _USUAL_MAC.fullmatch(word):
        return word.lower()
    if is_mac(word):
        digits = re.sub("[:.-]", "", word).lower()
        return ":".join(digits[i : i + 2] for i in range(0, 12, 2))
    if _SHORT_MAC.fullmatch(word):
        return ":".join(octet.zfill(2) for octet in word.split(":"))
    return mac_text(re.sub("[:-]", "", word)) if _GROUPED_MAC.fullmatch(word) else ""


def ip_text(word: str) -> str:
    """An IPv4 address, without a prefix; "" where `word` is none."""
    address, slash, prefix = word.strip(" \"'").partition("/")
    if not (len(address) < 16 and is_address(address)):
        return ""
    if slash:
        if not (prefix.isascii() and prefix.isdecimal() and len(prefix) <= 2 and int(prefix) <= 32):
            return ""
        number = int.from_bytes(bytes(map(int, address.split("."))), "big")
        if int(prefix) < 31 and number & ((1 << 32 - int(prefix)) - 1) == 0:
            # A network, no machine's address.
            return ""
    return address


def is_ipv6(word: str) -> bool:
    word = word.strip(" []\"'")
    if "::" not in word and word.count(":") != 7:
        return False
    return len(word) < 80 and _IPV6.fullmatch(word) is not None and not mac_text(word)


def name_text(word: str) -> str:
    """A name for what stands in a name's place: the first label of a domain, "" where it says there is none.

    Raises FieldError for what can be no name.
    """
    word = word.strip(" \"'")
    if word.lower() in NAMELESS or not word:
        return ""
    if len(word) < 254 and _DOMAIN.fullmatch(word) and not ip_text(word):
        word = word.partition(".")[0]
    return parse_node_name(word)


def may_be_name(word: str) -> bool:
    try:
        return bool(name_text(word))
    except FieldError:
        return False


def role_set(text: str, none: bool = False) -> set[Role]:
    """The roles that `text` names, as in "network+compute". Raises FieldError; `none`: naming none is right too."""
    words = [word for word in re.split(r"[+/,\s]+", text) if word]
    if none and not words:
        return set()
    return set(parse_roles(words))


def are_roles(text: str) -> bool:
    """Whether `text` is nothing but roles."""
    return len(text) <= 60 and _ROLES.fullmatch(text) is not None


def group_role(group: str) -> str:
    """The role that a group of an inventory stands for, "" for none: computes, compute_nodes, k3s' server."""
    bare = group.lower().replace("-", "_").removesuffix("_nodes").removesuffix("_node").removesuffix("_hosts")
    for role in Role:
        if bare in (role.value, role.value + "s"):
            return role.value
    return ""


def is_group(mac: str) -> bool:
    """Whether that MAC is nobody's: broadcast, a protocol's group, or none at all."""
    return mac in (_BROADCAST, _NOTHING) or mac.startswith(_GROUP_MACS)


def finish(raw: Raw) -> Machine | None:
    """Its values, and the first thing that is wrong with them; None where it is no machine."""
    problem = raw.problem
    values: dict[str, str] = {}

    def take(what: str, text: str, parse: Callable[[str], str]) -> None:
        nonlocal problem
        values[what] = ""
        if not text:
            return
        try:
            values[what] = parse(text)
        except FieldError as error:
            problem = problem or f"{CALLED[what]}: {error.value} {error.problem}"

    take("mac", raw.mac, _mac)
    if values["mac"] and is_group(values["mac"]):
        return None
    if values["mac"] and int(values["mac"][:2], 16) & 1:
        problem = problem or f"MAC: {values['mac']} is a group's address, no NIC has it"
    if raw.name and not raw.ip and ip_text(raw.name):
        # Inventories may call a machine by its address.
        raw.ip, raw.name = raw.name, ""
    elif raw.name and ip_text(raw.name):
        raw.name = ""
    take("ip", "" if (raw.observed or raw.listed) and is_ipv6(raw.ip) else raw.ip, _ip)
    take("name", raw.name, name_text)
    roles: set[Role] = set()
    try:
        roles = role_set(raw.role, none=True)
    except FieldError as error:
        problem = problem or f"role: {error.value} {error.problem}"
    told = bool(roles)
    if not roles and values["name"]:
        roles = {role for role in Role if values["name"].startswith(role.value)}
    if raw.observed and raw.mac == "" and not values["name"]:
        return None
    enough = values["mac"] or (values["name"] and (values["ip"] or raw.listed)) or (raw.listed and values["ip"])
    if not enough:
        problem = problem or raw.lacks
    return Machine(
        raw.line,
        values["name"],
        tuple(role for role in Role if role in roles),
        values["mac"],
        values["ip"],
        problem,
        raw.text,
        raw.lacks,
        told,
    )


def _mac(text: str) -> str:
    mac = mac_text(text)
    if not mac:
        if "*" in text:
            raise FieldError(text, "is a pattern for many machines, not a MAC", "Write one MAC.")
        parse_mac(text)
        raise FieldError(text, "is not a MAC address", "Write six pairs of hex digits.")
    return mac


def _ip(text: str) -> str:
    ip = ip_text(text)
    if not ip:
        parse_address(text)
        raise FieldError(text, "is not an IPv4 address", "Write four numbers from 0 to 255.")
    return ip
