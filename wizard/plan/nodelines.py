"""Nodes from pasted lines: a spreadsheet's, an inventory's, a dnsmasq configuration's."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import chain, count

from wizard.plan.draft import NodeText
from wizard.plan.fields import (
    FieldError,
    format_mac,
    parse_address,
    parse_mac,
    parse_node_name,
    parse_roles,
    refusal,
    shown,
)
from wizard.plan.model import Role

_BETWEEN = re.compile(r"[\s,;|]+")
_HEADINGS = frozenset({"role", "roles", "name", "host", "hostname", "node", "mac", "ip", "address", "hwaddr"})


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A line that gave no node. `number` counts from 1; `line` is as pasted; `why` is for a person."""

    number: int
    line: str
    why: str


@dataclass(frozen=True, slots=True)
class Reading:
    nodes: tuple[NodeText, ...]
    not_understood: tuple[NotUnderstood, ...]


def read_lines(text: str, taken: Iterable[str] = ()) -> Reading:
    """One node a line: a MAC, and in any order a name, roles and an address; blanks, commas or tabs between.

    Headings, empty lines and comments are passed over, `dhcp-host=` is taken off. A missing role is told from
    the name (controller, network, compute, else compute); a missing name is made of the role, beside `taken`.
    """
    found: list[NodeText] = []
    not_understood: list[NotUnderstood] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = _words(line)
        if not words or all(word.lower() in _HEADINGS for word in words):
            continue
        node = _node(words)
        if isinstance(node, str):
            not_understood.append(NotUnderstood(number, line, node))
        else:
            found.append(node)
    names = {*taken, *(node.name for node in found)}
    nodes: list[NodeText] = []
    for node in found:
        nodes.append(_completed(node, names))
        names.add(nodes[-1].name)
    return Reading(tuple(nodes), tuple(not_understood))


def _words(line: str) -> list[str]:
    bare = line.split("#", 1)[0].strip().removeprefix("dhcp-host=")
    return [word for word in (raw.strip("\"'") for raw in _BETWEEN.split(bare)) if word]


def _node(words: list[str]) -> NodeText | str:
    """The node the words stand for, or what is wrong with them."""
    macs: list[str] = []
    ips: list[str] = []
    roles: list[Role] = []
    names: list[str] = []
    for word in words:
        # A machine may be called what it is: the second "controller" of a line is its name.
        named = _roles(word)
        if named and not named & set(roles):
            roles.extend(role for role in Role if role in named)
        elif refusal(parse_mac, word) is None:
            macs.append(format_mac(parse_mac(word)))
        elif refusal(parse_address, word) is None:
            ips.append(word)
        elif (error := refusal(parse_node_name, word)) is None:
            names.append(parse_node_name(word))
        else:
            return f"{error.value} is neither a MAC nor an address, a role or a name"
    for what, found in (("MAC", macs), ("address", ips), ("name", names)):
        if len(found) > 1:
            return f"more than one {what}: {shown(found[0])} and {shown(found[1])}"
    if not macs:
        return "no MAC in it"
    role = ", ".join(role.value for role in roles)
    return NodeText(role, names[0] if names else "", macs[0], ips[0] if ips else "")


def _roles(word: str) -> set[Role]:
    """The roles that `word` names, as in "network+compute"; none where it is another word."""
    try:
        return set(parse_roles(word.replace("+", ",")))
    except FieldError:
        return set()


def free_name(role: str, taken: Collection[str]) -> str:
    """A name for a node of that role, as the guide has them: controller, network, compute1, compute2."""
    numbered = (f"{role}{number}" for number in count(1 if role == Role.COMPUTE.value else 2))
    names = numbered if role == Role.COMPUTE.value else chain([role], numbered)
    return next(name for name in names if name not in taken)


def _completed(node: NodeText, taken: set[str]) -> NodeText:
    role = node.role or next((role.value for role in Role if node.name.startswith(role)), Role.COMPUTE.value)
    return NodeText(role, node.name or free_name(role.split(",")[0], taken), node.mac, node.ip)
