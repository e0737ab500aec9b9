"""Machines in JSON, YAML, XML and TOML: objects with a MAC, and the hosts of an inventory."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any, NamedTuple

from wizard.plan.file.toml_lines import MOST_DOTS, key_lines, line_of, too_dotted
from wizard.plan.machine_lists import json_text, yaml_text
from wizard.plan.machine_lists.merging import merged_hosts
from wizard.plan.machine_lists.row import Row, fields_of, row_of
from wizard.plan.machine_lists.tree import Mapping, NotATree
from wizard.plan.machine_lists.values import group_role
from wizard.plan.machine_lists.vocabulary import field_of
from wizard.plan.machine_lists.xml_text import read_xml

MOST = 200_000
"""Most objects to visit: YAML's aliases can repeat without end."""

_JSON = re.compile(r"\s*(?:\{|\[\s*(?:[\[{\"]|\]\s*$)|//|/\*)")
_TOML = re.compile(r"^[ \t]*(?:\[\[[ \t]*nodes[ \t]*\]\]|nodes[ \t]*=)", re.MULTILINE)
_XML = re.compile(r"\s*<(?:\?xml|!--|!DOCTYPE|[A-Za-z][\w:-]*[\s>/])")
_YAML_KEY = re.compile(r"[ \t]*(?:- +)*(?:\"[^\"]*\"|'[^']*'|[\w.@/-]+)[ \t]*:(?:[ \t]|$)")
_YAML_TELLS = re.compile(
    r"^[ \t]*(?:- +)*(?:hosts|children|mac|hw-?addr|mac_?addr(?:ess)?|ansible_host|hostname|lladdr)[ \t]*:(?:[ \t]|$)",
    re.MULTILINE | re.IGNORECASE,
)
# "MAC: 00:16:… shelf" and "name: shelf mac: 00:16:…" are typed by hand.
_YAML_NEVER = re.compile(
    r"[ \t]*(?:- +)*(?:[\w-]+[ \t]*:[ \t]+[^\"'{\[#][^#]*[\w-]:[ \t]|"
    r"(?:mac|hw-?addr|mac_?addr(?:ess)?|lladdr)[ \t]*:[ \t]+(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}[ \t,]+[^#\s])",
    re.IGNORECASE,
)
# Keys of objects that describe this machine's own NICs.
_OWN_NIC = frozenset({"ifname", "permanent_mac", "link_type"})
_GROUP_KEYS = frozenset({"hosts", "children", "vars"})


def looks_like(text: str) -> str:
    """The notation of the whole text: "TOML", "JSON", "XML", "YAML", or ""."""
    start = text.lstrip("\ufeff \t\r\n")[:2000]
    if _TOML.search(text):
        return "TOML"
    if _JSON.match(start):
        return "JSON"
    if _XML.match(start):
        return "XML"
    lines = [line for line in text[:20_000].splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines or not (lines[0].rstrip() == "---" or _YAML_TELLS.search(text[:200_000])):
        return ""
    if sum(1 for line in lines if _YAML_NEVER.match(line)) * 2 >= len(lines):
        return ""
    matching = sum(1 for line in lines if _YAML_KEY.match(line) or line.lstrip().startswith("- ") or line[:3] == "---")
    return "YAML" if matching * 10 >= len(lines) * 9 else ""


def read_tree(text: str, notation: str) -> list[Row]:
    """The rows of a text in one of these notations; one row with the problem if it does not parse."""
    try:
        if notation == "XML":
            return read_xml(text)
        if notation == "TOML":
            return _toml(text)
        parse = json_text.parse if notation == "JSON" else yaml_text.parse
        return list(merged_hosts(_walk(parse(text))))
    except NotATree as error:
        return [Row(error.line, text, problem=f"{notation}: {error}")]


class _Place(NamedTuple):
    """A part of a tree, and what is known from its place.

    `name` is its key where that names a host, `line` that key's, `role` that of the groups above it. `among_machines`:
    it is one of a list of machines, so that a name is enough to be reported.
    """

    held: Any
    name: str = ""
    line: int = 0
    role: str = ""
    among_machines: bool = False


def _walk(tree: Any) -> Iterator[Row]:
    """The machines in the order of the text."""
    waiting = [_Place(tree, among_machines=True)]
    seen = 0
    while waiting and seen < MOST:
        place = waiting.pop()
        seen += 1
        if isinstance(place.held, list):
            among = place.among_machines or any(isinstance(each, Mapping) and _has_mac(each) for each in place.held)
            waiting += [place._replace(held=each, name="", among_machines=among) for each in reversed(place.held)]
        elif not isinstance(place.held, Mapping):
            if place.name:
                # A host without variables.
                yield Row(place.line, place.name, place.name, place.role, listed=True, kind="inventory")
        elif not _OWN_NIC & place.held.keys():
            row = _row_at(place, place.held)
            if row is not None:
                yield row
            elif "lladdr" not in place.held and not {"dst", "dev"} <= place.held.keys():
                waiting += reversed(list(_below(place.held, place.role)))


def _row_at(place: _Place, node: Mapping) -> Row | None:
    """The row of an object that is a machine, or was meant to be one; None for any other."""
    fields = fields_of(node.items())
    # Reservations by other identifiers have no MAC.
    is_host = place.name or "mac" in fields or (_is_flat(node) and {"ip", "name"} <= fields.keys())
    if not is_host and not (place.among_machines and "name" in fields and _is_flat(node)):
        return None
    # A host's own line is that of its name.
    row = row_of(fields, place.line if place.name and place.line else node.line, place.name, place.role)
    row.kind = "inventory" if place.name else row.kind
    row.observed = "lladdr" in node or "dst" in node
    row.listed = bool(is_host)
    return row


def _has_mac(node: Mapping) -> bool:
    return not _OWN_NIC & node.keys() and "mac" in fields_of(node.items())


def _is_flat(node: Mapping) -> bool:
    return not any(isinstance(held, Mapping) for held in node.values())


def _below(node: Mapping, role: str) -> Iterator[_Place]:
    meta = node.get("_meta")
    hostvars = meta.get("hostvars") if isinstance(meta, Mapping) else None
    if isinstance(hostvars, Mapping):
        yield from (_Place(held, name, held_line(hostvars, name)) for name, held in hostvars.items())
    for key, held in node.items():
        if key in ("vars", "_meta"):
            continue
        if key == "hosts" and isinstance(held, Mapping):
            yield from (_Place(each, name, held_line(held, name), role) for name, each in held.items())
        elif key == "hosts" and isinstance(held, list):
            # As `ansible-inventory --list` writes it.
            yield from (_Place(None, each, node.line, role) for each in held if isinstance(each, str))
            yield from (_Place(each, "", node.line, role, True) for each in held if isinstance(each, Mapping))
        elif isinstance(held, Mapping | list):
            is_group = isinstance(held, list) or bool(_GROUP_KEYS & held.keys())
            among = isinstance(held, list) and field_of(key.removesuffix("s")) == "name"
            yield _Place(held, "", node.line, (group_role(key) or role) if is_group else role, among)


def held_line(mapping: Mapping, key: str) -> int:
    held = mapping.get(key)
    return mapping.lines.get(key) or (held.line if isinstance(held, Mapping) else 0) or mapping.line


def _toml(text: str) -> list[Row]:
    dotted = too_dotted(text)
    if dotted is not None:
        raise NotATree(dotted, f"a key of more than {MOST_DOTS} parts")
    try:
        tree = tomllib.loads(text)
    except RecursionError:
        raise NotATree(1, "nested too deeply") from None
    except ValueError as error:
        place = re.search(r"at line ([0-9]+)", str(error))
        raise NotATree(int(place[1]) if place else text.count("\n") + 1, str(error)) from None
    nodes = tree.get("nodes")
    lines = key_lines(text)
    rows = []
    for number, node in enumerate(nodes if isinstance(nodes, list) else []):
        line = line_of(f"nodes[{number}]", lines) or line_of("nodes", lines) or 1
        row = row_of(fields_of(node.items()) if isinstance(node, dict) else {}, line)
        # A table that says nothing is still something that was given.
        row.text = row.text or "[[nodes]]"
        rows.append(row)
    return rows
