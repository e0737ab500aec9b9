"""Words -> values: is this word a MAC, an address, a name, a role, and how is it written here? Asked of every word."""

from __future__ import annotations

import re

from wizard.plan.fields import FieldError, is_address, is_mac, parse_node_name, parse_roles
from wizard.plan.machine_lists.vocabulary import NAMELESS
from wizard.plan.model import Role

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
