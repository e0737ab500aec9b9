"""Nodes from pasted lines or a file: a spreadsheet's, an inventory's, a dnsmasq configuration's."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count

from wizard.plan.draft import NodeText
from wizard.plan.fields import (
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
_COMMENT = re.compile(r"(?:^|\s)#.*")
_HEADINGS = {
    "role": "role",
    "roles": "role",
    "group": "role",
    "name": "name",
    "host": "name",
    "hostname": "name",
    "node": "name",
    "mac": "mac",
    "macs": "mac",
    "hwaddr": "mac",
    "mac address": "mac",
    "ip": "ip",
    "address": "ip",
    "ip address": "ip",
}
_CALLED = {"role": "role", "name": "name", "mac": "MAC", "ip": "address"}


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A line that gave no node. `number` counts from 1; `line` is as pasted; `why` is for a person."""

    number: int
    line: str
    why: str


@dataclass(frozen=True, slots=True)
class Reading:
    """`nodes` are complete. Those of `not_understood` are all the lines that gave none and were to give one.

    `heading` is the line that says which column is what, "" where there is none.
    """

    nodes: tuple[NodeText, ...]
    not_understood: tuple[NotUnderstood, ...]
    heading: str = ""

    @property
    def rest(self) -> str:
        """What was not understood, as text that can be mended and read again."""
        lines = [line.line for line in self.not_understood]
        return "\n".join([self.heading, *lines] if self.heading and lines else lines)


@dataclass(frozen=True, slots=True)
class Merged:
    """A list of nodes with those of a reading in it: so many are new, changed, or were there already."""

    nodes: tuple[NodeText, ...]
    new: int = 0
    changed: int = 0
    same: int = 0


@dataclass(frozen=True, slots=True)
class _Columns:
    between: str
    fields: tuple[str, ...]

    def hold(self, line: str) -> bool:
        """Whether a line is one of this table: what else is pasted below it is read by itself."""
        return not line.startswith("dhcp-host=") and (len(self.fields) == 1 or (self.between or " ") in line)


def read_lines(text: str, taken: Iterable[str] = (), known: Mapping[str, NodeText] | None = None) -> Reading:
    """One node a line: a MAC, and a name, roles and an address, with blanks, commas, semicolons or tabs between.

    Under a line of headings (name, role, mac, ip; in any order, others are passed over) the columns say what is
    what; without, each word does. Empty lines and comments are passed over, `dhcp-host=` is taken off. What a
    line leaves out is as in `known`, by MAC; else a role is told from the name (controller, network, compute, else
    compute), and a name is made of the role, beside those `taken`.
    """
    found: list[NodeText] = []
    not_understood: list[NotUnderstood] = []
    columns, heading = None, ""
    for number, line in enumerate(text.splitlines(), start=1):
        bare = _COMMENT.sub("", line).strip().removeprefix("\ufeff")
        if not bare:
            continue
        headed = _columns(bare)
        if headed is not None:
            columns, heading = headed, line
            continue
        node = _by_columns(bare, columns) if columns is not None and columns.hold(bare) else _by_words(bare)
        if isinstance(node, str):
            not_understood.append(NotUnderstood(number, line, node))
        else:
            found.append(node)
    return Reading(_completed(found, taken, known or {}), tuple(not_understood), heading)


def merged(nodes: Sequence[NodeText], reading: Reading) -> Merged:
    """`nodes` and those read, the latter in the place of the former where they have the same MAC."""
    place = {node.mac: number for number, node in enumerate(nodes)}
    result = list(nodes)
    new = changed = same = 0
    for node in reading.nodes:
        at = place.get(node.mac)
        if at is None:
            # The same MAC twice among the new ones is a mistake, to be seen as two rows.
            result.append(node)
            new += 1
        elif result[at] == node:
            same += 1
        else:
            result[at] = node
            changed += 1
    return Merged(tuple(result), new, changed, same)


def _columns(line: str) -> _Columns | None:
    """What a line of headings says, or None where it is none."""
    between = next((sign for sign in ("\t", ";", ",", "|") if sign in line), "")
    try:
        cells = tuple(_HEADINGS.get(cell.lower(), "") for cell in _cells(line, between))
    except csv.Error:
        return None
    named = [cell for cell in cells if cell]
    if "mac" not in named or len(set(named)) < len(named):
        return None
    # A single word that is a heading by chance is none.
    return _Columns(between, cells) if len(named) > 1 or len(cells) == 1 else None


def _cells(line: str, between: str) -> list[str]:
    """Raises csv.Error, as for a field of more than 128 KiB."""
    cells = next(csv.reader([line], delimiter=between, skipinitialspace=True), []) if between else line.split()
    return [cell.strip().strip("\"'") for cell in cells]


def _by_columns(line: str, columns: _Columns) -> NodeText | str:
    """The node of a line under headings, or what is wrong with it."""
    try:
        cells = _cells(line, columns.between)
    except csv.Error:
        return "a field of it is too long, or its quotes do not fit"
    if len(cells) > len(columns.fields):
        return f"{len(cells)} columns where the headings are {len(columns.fields)}"
    held = {field: cell for field, cell in zip(columns.fields, cells, strict=False) if field and cell}
    if "mac" not in held:
        return "no MAC in its column"
    parsers: dict[str, Callable[[str], object]] = {
        "role": _roles,
        "name": parse_node_name,
        "mac": parse_mac,
        "ip": parse_address,
    }
    for field, cell in held.items():
        error = refusal(parsers[field], cell)
        if error is not None:
            return f"{_CALLED[field]}: {error.value} {error.problem}"
    role = ", ".join(role.value for role in Role if role in _roles(held.get("role", ""), none=True))
    name = parse_node_name(held["name"]) if "name" in held else ""
    return NodeText(role, name, format_mac(parse_mac(held["mac"])), held.get("ip", ""))


def _by_words(line: str) -> NodeText | str:
    """The node that the words stand for, or what is wrong with them."""
    macs: list[str] = []
    ips: list[str] = []
    roles: list[Role] = []
    names: list[str] = []
    bare = line.removeprefix("dhcp-host=")
    for word in (raw.strip("\"'") for raw in _BETWEEN.split(bare)):
        if not word:
            continue
        # A machine may be called what it is: the second "controller" of a line is its name.
        named = set() if refusal(_roles, word) else _roles(word)
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


def _roles(text: str, none: bool = False) -> set[Role]:
    """The roles that `text` names, as in "network+compute". Raises FieldError; `none`: naming none is right too."""
    words = [word for word in re.split(r"[+/,\s]+", text) if word]
    if none and not words:
        return set()
    return set(parse_roles(words))


_PARSERS: Mapping[str, Callable[[str], object]] = {
    "role": _roles,
    "name": parse_node_name,
    "mac": parse_mac,
    "ip": parse_address,
}


def free_name(role: str, taken: Collection[str]) -> str:
    """A name for a node of that role, as the guide has them: controller, network, compute1, compute2."""
    return next(name for name in _names(role) if name not in taken)


def likely_role(nodes: Iterable[NodeText], host_name: str = "") -> str:
    """The role of one node more: the one that its host name tells, else the one that is missing, else compute."""
    held = {role.strip() for roles in {node.role for node in nodes} for role in roles.split(",")}
    missing = next((role for role in (Role.CONTROLLER, Role.NETWORK) if role.value not in held), Role.COMPUTE)
    told = [role for role in Role if role.value in host_name.lower()]
    # There is one controller, and there can be no other.
    if len(told) != 1 or (told[0] is Role.CONTROLLER and missing is not Role.CONTROLLER):
        return missing.value
    return told[0].value


def _names(role: str) -> Iterable[str]:
    numbered = (f"{role}{number}" for number in count(1 if role == Role.COMPUTE.value else 2))
    return numbered if role == Role.COMPUTE.value else chain([role], numbered)


def _completed(found: Sequence[NodeText], taken: Iterable[str], known: Mapping[str, NodeText]) -> tuple[NodeText, ...]:
    names = {*taken, *(node.name for node in found)}
    # One run through the names a role has, whoever asks: thousands may.
    free: dict[str, Iterable[str]] = {}
    nodes = []
    for node in found:
        old = known.get(node.mac)
        if old is not None:
            node = NodeText(node.role or old.role, node.name or old.name, node.mac, node.ip or old.ip)
        if not node.role:
            told = next((role.value for role in Role if node.name.startswith(role)), Role.COMPUTE.value)
            node = replace(node, role=told)
        if not node.name:
            role = node.role.split(",")[0]
            fresh = free.setdefault(role, iter(_names(role)))
            node = replace(node, name=next(name for name in fresh if name not in names))
        names.add(node.name)
        nodes.append(node)
    return tuple(nodes)
