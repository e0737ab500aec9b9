"""A word -> its value as MAC, address, name or role. Called for every word of a list, so none of it is slow."""

from __future__ import annotations

import re

from wizard.plan.fields import FieldError, is_address, is_mac, parse_labels, parse_node_name, parse_roles
from wizard.plan.machine_lists.vocabulary import NAMELESS
from wizard.plan.model import Role

# As macOS and Solaris write them: lower case without leading zeros. Otherwise a digit is missing.
_SHORT_MAC = re.compile(r"(?:0|[1-9a-f][0-9a-f]?)(?::(?:0|[1-9a-f][0-9a-f]?)){5}")
_USUAL_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
_GROUPED_MAC = re.compile(r"[0-9A-Fa-f]{4}(?:[:-][0-9A-Fa-f]{4}){2}|[0-9A-Fa-f]{6}[:-][0-9A-Fa-f]{6}")
_IPV6 = re.compile(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:%[\w.-]+)?(?:/[0-9]+)?")
_DOMAIN = re.compile(r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})+\.?")
# Used by kernels and switches: IPv4 and IPv6 multicast, spanning tree and the like.
_GROUP_MACS = ("01:00:5e:", "33:33:", "01:80:c2:", "01:00:0c:cc:cc:c")
_ROLE = "|".join(role.value for role in Role)
_ROLES = re.compile(rf"[+/,\s]*(?:{_ROLE})(?:[+/,\s]+(?:{_ROLE}))*[+/,\s]*", re.IGNORECASE | re.ASCII)
_BROADCAST = "ff:ff:ff:ff:ff:ff"
_NOTHING = "00:00:00:00:00:00"


def mac_text(word: str) -> str:
    """A MAC in any notation, macOS' short octets too -> lower case with colons; "" for any other word."""
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
    """An IPv4 address, its prefix removed; "" for any other word and for a network's address."""
    address, slash, prefix = word.strip(" \"'").partition("/")
    if not (len(address) < 16 and is_address(address)):
        return ""
    if slash:
        if not (prefix.isascii() and prefix.isdecimal() and len(prefix) <= 2 and int(prefix) <= 32):
            return ""
        number = int.from_bytes(bytes(map(int, address.split("."))), "big")
        if int(prefix) < 31 and number & ((1 << 32 - int(prefix)) - 1) == 0:
            # A network's address.
            return ""
    return address


def is_ipv6(word: str) -> bool:
    word = word.strip(" []\"'")
    if "::" not in word and word.count(":") != 7:
        return False
    return len(word) < 80 and _IPV6.fullmatch(word) is not None and not mac_text(word)


def name_text(word: str) -> str:
    """The node name in a name's place: the first label of a full name; "" for a dash and the like.

    Raises FieldError for an invalid name.
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
    """The roles in `text`, such as "network+compute". Raises FieldError; with `none` an empty text is valid."""
    words = [word for word in re.split(r"[+/,\s]+", text) if word]
    if none and not words:
        return set()
    return set(parse_roles(words))


def label_tuple(text: str) -> tuple[str, ...]:
    """The roles in `text` as labels, () where one is none."""
    try:
        return parse_labels([word for word in re.split(r"[+/,\s]+", text) if word])
    except FieldError:
        return ()


def are_roles(text: str) -> bool:
    """True if `text` has roles and nothing else."""
    return len(text) <= 60 and _ROLES.fullmatch(text) is not None


def group_role(group: str) -> str:
    """An inventory group -> its role, "" for none: computes, compute_nodes, …"""
    bare = group.lower().replace("-", "_").removesuffix("_nodes").removesuffix("_node").removesuffix("_hosts")
    for role in Role:
        if bare in (role.value, role.value + "s"):
            return role.value
    return ""


def is_group(mac: str) -> bool:
    """True for a MAC that no machine has: broadcast, a protocol's group, or all zeros."""
    return mac in (_BROADCAST, _NOTHING) or mac.startswith(_GROUP_MACS)
