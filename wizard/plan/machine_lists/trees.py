"""Machines in JSON, YAML, XML and TOML: whatever has a MAC, or stands where an inventory has its hosts."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

from wizard.plan.file.toml_lines import MOST_DOTS, key_lines, line_of, too_dotted
from wizard.plan.machine_lists import json_text, yaml_text
from wizard.plan.machine_lists.merging import merged_hosts
from wizard.plan.machine_lists.row import Row, fields_of, row_of
from wizard.plan.machine_lists.tree import Mapping, NotATree
from wizard.plan.machine_lists.values import group_role
from wizard.plan.machine_lists.xml_text import read_xml

MOST = 200_000
"""Objects that are looked at: what YAML's aliases repeat would have no end."""

_JSON = re.compile(r"\s*(?:\{|\[\s*[\[{\]\"]|//|/\*)")
_TOML = re.compile(r"^[ \t]*(?:\[\[[ \t]*nodes[ \t]*\]\]|nodes[ \t]*=)", re.MULTILINE)
_XML = re.compile(r"\s*<(?:\?xml|!--|!DOCTYPE|[A-Za-z][\w:-]*[\s>/])")
_YAML_KEY = re.compile(r"[ \t]*(?:- +)*(?:\"[^\"]*\"|'[^']*'|[\w.@/-]+)[ \t]*:(?:[ \t]|$)")
_YAML_TELLS = re.compile(
    r"^[ \t]*(?:- +)*(?:hosts|children|mac|hw-?addr|mac_?addr(?:ess)?|ansible_host|hostname|lladdr)[ \t]*:(?:[ \t]|$)",
    re.MULTILINE | re.IGNORECASE,
)
# What describes this machine's own NICs, not others.
_OWN_NIC = frozenset({"ifname", "permanent_mac", "link_type"})
_GROUP_KEYS = frozenset({"hosts", "children", "vars"})


def looks_like(text: str) -> str:
    """Which of these notations the whole text is in, "" for none."""
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
    told = sum(1 for line in lines if _YAML_KEY.match(line) or line.lstrip().startswith("- ") or line[:3] == "---")
    return "YAML" if told * 10 >= len(lines) * 9 else ""


def read_tree(text: str, notation: str) -> list[Row]:
    """The machines of a text in one of these notations; one row that tells what is wrong with it where it is none."""
    try:
        if notation == "XML":
            return read_xml(text)
        if notation == "TOML":
            return _toml(text)
        parse = json_text.parse if notation == "JSON" else yaml_text.parse
        return list(merged_hosts(_walk(parse(text))))
    except NotATree as error:
        return [Row(error.line, text, problem=f"{notation}: {error}")]


def _walk(tree: Any) -> Iterator[Row]:
    """In the order of the text."""
    # Each with the name that its place gives it, and the roles that the groups above it give.
    waiting: list[tuple[Any, str, int, str]] = [(tree, "", 0, "")]
    seen = 0
    while waiting and seen < MOST:
        node, name, line, role = waiting.pop()
        seen += 1
        if isinstance(node, list):
            waiting += [(each, "", line, role) for each in reversed(node)]
            continue
        if not isinstance(node, Mapping):
            if name:
                # A host without variables.
                yield Row(line, name, name=name, role=role, listed=True, kind="inventory")
            continue
        if _OWN_NIC & node.keys():
            continue
        fields = fields_of(node.items())
        # A host's own line is that of its name.
        at = line if name and line else node.line
        if name or "mac" in fields or _tells_host(node, fields):
            row = row_of(fields, at, name, role)
            row.kind = "inventory" if name else row.kind
            row.observed = "lladdr" in node or "dst" in node
            yield row
            continue
        if "lladdr" in node or {"dst", "dev"} <= node.keys():
            continue
        waiting += reversed(list(_below(node, role)))


def _below(node: Mapping, role: str) -> Iterator[tuple[Any, str, int, str]]:
    hostvars = node.get("_meta", {}).get("hostvars") if isinstance(node.get("_meta"), Mapping) else None
    if isinstance(hostvars, Mapping):
        yield from ((held, name, held_line(hostvars, name), "") for name, held in hostvars.items())
    for key, held in node.items():
        if key in ("vars", "_meta"):
            continue
        if key == "hosts" and isinstance(held, Mapping):
            yield from ((each, name, held_line(held, name), role) for name, each in held.items())
        elif key == "hosts" and isinstance(held, list):
            # The form that ansible-inventory writes.
            yield from ((None, each, node.line, role) for each in held if isinstance(each, str))
            yield from ((each, "", node.line, role) for each in held if isinstance(each, Mapping))
        elif isinstance(held, Mapping | list):
            is_group = isinstance(held, list) or bool(_GROUP_KEYS & held.keys())
            yield held, "", node.line, (group_role(key) or role) if is_group else role


def held_line(mapping: Mapping, key: str) -> int:
    held = mapping.get(key)
    return mapping.lines.get(key) or (held.line if isinstance(held, Mapping) else 0) or mapping.line


def _tells_host(node: Mapping, fields: dict[str, str]) -> bool:
    """Whether an object without a MAC is a machine all the same: reservations by other identifiers are."""
    return {"ip", "name"} <= fields.keys() and all(not isinstance(held, Mapping) for held in node.values())


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
        rows.append(row_of(fields_of(node.items()) if isinstance(node, dict) else {}, line))
    return rows
