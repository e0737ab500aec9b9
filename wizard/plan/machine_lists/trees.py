"""Machines in JSON, YAML, XML and TOML: whatever has a MAC, or stands where an inventory has its hosts."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from typing import Any
from xml.parsers import expat

from wizard.plan.fields import shown
from wizard.plan.file.toml_lines import MOST_DOTS, key_lines, line_of, too_dotted
from wizard.plan.machine_lists import json_text, yaml_text
from wizard.plan.machine_lists.json_text import DEEPEST, Mapping, NotJson
from wizard.plan.machine_lists.record import Raw, group_role, ip_text, mac_text
from wizard.plan.machine_lists.vocabulary import NO_KEYS, RANK, field_of, plain_key

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


def read_tree(text: str, notation: str) -> list[Raw]:
    """The machines of a text in one of these notations; one row that tells what is wrong with it where it is none."""
    try:
        if notation == "XML":
            return list(_xml(text))
        if notation == "TOML":
            return _toml(text)
        parse = json_text.parse if notation == "JSON" else yaml_text.parse
        return list(_merged(_walk(parse(text))))
    except NotJson as error:
        return [Raw(error.line, text, problem=f"{notation}: {error}")]


def _walk(tree: Any) -> Iterator[Raw]:
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
                yield Raw(line, name, name=name, role=role, listed=True, kind="inventory")
            continue
        if _OWN_NIC & node.keys():
            continue
        fields = fields_of(node.items())
        # A host's own line is that of its name.
        at = line if name and line else node.line
        if name or "mac" in fields or _tells_host(node, fields):
            raw = raw_of(fields, at, name, role)
            raw.kind = "inventory" if name else raw.kind
            raw.observed = "lladdr" in node or "dst" in node
            yield raw
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


def fields_of(items: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """The fields that keys and their values stand for; of several that mean the same the best known one that says
    something."""
    best: dict[str, tuple[int, str]] = {}
    for key, value in items:
        field = field_of(key)
        text = _scalar(value)
        if not field or not text or plain_key(key) in NO_KEYS:
            continue
        if field == "ip" and mac_text(text) and not ip_text(text):
            field = "mac"
        rank = RANK.get(plain_key(key), 99)
        if field not in best or rank < best[field][0]:
            best[field] = rank, text
    return {field: text for field, (_, text) in best.items()}


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(text for text in map(_scalar, value) if text)
    return value.strip() if isinstance(value, str) else ""


def raw_of(fields: dict[str, str], line: int, name: str = "", role: str = "") -> Raw:
    """`name` is what its place calls it: that goes before what it says of itself."""
    name = name or fields.get("name", "")
    macs = [word for word in re.split(r"[,\s]+", fields.get("mac", "")) if word]
    ips = [word for word in re.split(r"[,\s]+", fields.get("ip", "")) if word]
    address = next((word for word in ips if ip_text(word)), ips[0] if ips else "")
    if name and address and not ip_text(address) and not re.fullmatch(r"[0-9./:]+", address):
        # Ansible may be told to go to a host by its name.
        address = ""
    told = " ".join(
        word for word in (fields.get("mac", ""), fields.get("ip", ""), name, fields.get("role", "")) if word
    )
    raw = Raw(line, told, name, fields.get("role", "") or role, macs[0] if macs else "", address, listed=True)
    if len(macs) > 1:
        raw.problem = more_than_one("MAC", macs)
    return raw


def more_than_one(what: str, found: list[str]) -> str:
    return f"more than one {what}: {shown(found[0])} and {shown(found[1])}"


def _merged(raws: Iterable[Raw]) -> Iterator[Raw]:
    """A host in several groups of an inventory is one machine, of all their roles."""
    hosts: dict[str, Raw] = {}
    for raw in raws:
        if raw.kind != "inventory" or not raw.name:
            yield raw
            continue
        held = hosts.get(raw.name)
        if held is None:
            hosts[raw.name] = raw
            continue
        complete(held, raw)
    yield from hosts.values()


def complete(held: Raw, raw: Raw) -> None:
    """What another row of an inventory adds to a host."""
    roles = dict.fromkeys(word for word in [*held.role.split(","), *raw.role.split(",")] if word)
    held.role = ",".join(roles)
    held.mac, held.ip = held.mac or raw.mac, held.ip or raw.ip
    held.problem = held.problem or raw.problem


def _toml(text: str) -> list[Raw]:

    dotted = too_dotted(text)
    if dotted is not None:
        raise NotJson(dotted, f"a key of more than {MOST_DOTS} parts")
    try:
        tree = tomllib.loads(text)
    except RecursionError:
        raise NotJson(1, "nested too deeply") from None
    except ValueError as error:
        place = re.search(r"at line ([0-9]+)", str(error))
        raise NotJson(int(place[1]) if place else text.count("\n") + 1, str(error)) from None
    nodes = tree.get("nodes")
    lines = key_lines(text)
    raws = []
    for number, node in enumerate(nodes if isinstance(nodes, list) else []):
        line = line_of(f"nodes[{number}]", lines) or line_of("nodes", lines) or 1
        raws.append(raw_of(fields_of(node.items()) if isinstance(node, dict) else {}, line))
    return raws


def _xml(text: str) -> list[Raw]:
    """Elements that have a MAC, as attribute or as an element of theirs: pfSense's, libvirt's, nmap's."""
    raws: list[Raw] = []
    stack: list[tuple[str, int, dict[str, str]]] = []
    words: list[str] = []
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def start(tag: str, attributes: dict[str, str]) -> None:
        if len(stack) >= DEEPEST:
            raise NotJson(parser.CurrentLineNumber, "nested too deeply")
        words.clear()
        own = dict(attributes)
        if stack and tag == "address" and "addrtype" in own:
            kind = {"mac": "mac", "ipv4": "ip"}.get(own["addrtype"], "")
            if kind:
                stack[-1][2][kind] = own.get("addr", "")
            own = {}
        elif tag == "hostname" and len(stack) > 1 and stack[-1][0] == "hostnames":
            stack[-2][2].setdefault("name", own.get("name", ""))
            own = {}
        elif stack and tag == "mac" and "address" in own:
            stack[-1][2]["mac"] = own.pop("address")
        stack.append((tag, parser.CurrentLineNumber, own))

    def end(tag: str) -> None:
        _, line, own = stack.pop()
        told = "".join(words).strip()
        words.clear()
        fields = fields_of(own.items())
        if "mac" in fields or (tag in ("host", "staticmap") and "name" in fields and "ip" in fields):
            raws.append(raw_of(fields, line))
        elif told and stack:
            stack[-1][2].setdefault(tag, told)

    def refuse(*_: object) -> None:
        raise NotJson(parser.CurrentLineNumber, "entities of its own")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = words.append
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise NotJson(error.lineno, expat.errors.messages.get(error.code, "not well formed")) from None
    return raws
