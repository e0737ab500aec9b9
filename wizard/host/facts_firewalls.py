"""Whose packet-filter rules are here: read without making or loading any."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wizard.host import commands
from wizard.host.facts_processes import Running

OUR_TABLE = "ciao_gateway"
_FIREWALLS = ("docker", "ufw", "libvirt", "firewalld", "iptables", "nftables")
_IPTABLES_TABLES = frozenset({"filter", "nat", "mangle", "raw", "security"})
_CHAIN_OWNERS = (
    ("docker", re.compile(r"DOCKER($|-)")),
    ("ufw", re.compile(r"ufw6?-")),
    ("libvirt", re.compile(r"LIBVIRT_")),
    ("firewalld", re.compile(r"(FWDI|FWDO|IN|FWD|POST|PRE)_.*|(INPUT|FORWARD)_direct$")),
)
_TABLE_OWNERS = {"docker-bridges": "docker", "firewalld": "firewalld", "libvirt_network": "libvirt"}
_OUR_CHAIN = re.compile(r"ciao[-_]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing seen in a packet filter. `chain` "" for a table; `weighs`: a rule, or a policy that drops."""

    family: str
    table: str
    chain: str
    weighs: bool


def read_firewalls(processes: Iterable[Running], nics: Iterable[str], root: Path, is_root: bool) -> tuple[str, ...]:
    """Of docker, ufw, libvirt, firewalld, iptables, nftables: whose rules are loaded.

    Without root nobody may look; then whose daemon or NIC is there, iptables and nftables never.
    """
    found = set(_owners(_rules(root))) if is_root else _daemons(processes, nics, root)
    return tuple(name for name in _FIREWALLS if name in found)


def _rules(root: Path) -> Iterator[Seen]:
    if _kernel_has(root, "nf_tables"):
        try:
            # Terse: sets may hold whole countries.
            yield from _in_nft(commands.run("nft", "-j", "-t", "list", "ruleset", timeout=10))
        except commands.CommandFailed:
            yield from _in_save("iptables-nft-save")
    # iptables of old has tables of its own, which nft does not see. The file names those loaded;
    # to save others would load them.
    if (root / "proc/net/ip_tables_names").exists() and _text(root / "proc/net/ip_tables_names"):
        yield from _in_save("iptables-legacy-save")


def _kernel_has(root: Path, module: str) -> bool:
    """False only if the module is known not to be in the kernel: asking for its rules would load it."""
    loaded = _text(root / "proc/modules")
    if not loaded or f"\n{module} " in f"\n{loaded}":
        return True
    builtin = _text(root / "lib/modules" / os.uname().release / "modules.builtin")
    return not builtin or f"/{module}.ko" in builtin


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _in_nft(told: str) -> Iterator[Seen]:
    try:
        entries: list[Mapping[str, Any]] = json.loads(told, strict=False)["nftables"]
    except (ValueError, KeyError):
        return
    for entry in entries:
        for kind in ("table", "chain", "rule"):
            if kind not in entry:
                continue
            thing = entry[kind]
            table = thing["name"] if kind == "table" else thing["table"]
            chain = {"table": "", "chain": thing.get("name", ""), "rule": thing.get("chain", "")}[kind]
            ours = kind == "rule" and _jumps_to_us(thing)
            weighs = not ours if kind == "rule" else thing.get("policy") == "drop"
            yield Seen(thing["family"], table, chain, weighs)


def _jumps_to_us(rule: Mapping[str, Any]) -> bool:
    for statement in rule.get("expr", []):
        jump = statement.get("jump") or statement.get("goto") if isinstance(statement, dict) else None
        if jump and _OUR_CHAIN.match(jump.get("target", "")):
            return True
    return False


def _in_save(tool: str) -> Iterator[Seen]:
    try:
        lines = commands.run(tool, timeout=10).splitlines()
    except commands.CommandFailed:
        return
    table = ""
    for line in lines:
        words = line.split()
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":") and len(words) > 1:
            yield Seen("ip", table, words[0][1:], words[1] == "DROP")
        elif words[:1] == ["-A"] and len(words) > 1:
            yield Seen("ip", table, words[1], not any(_OUR_CHAIN.match(word) for word in words[2:]))


def _owners(seen: Iterable[Seen]) -> Iterator[str]:
    for one in seen:
        if one.table == OUR_TABLE or _OUR_CHAIN.match(one.chain):
            continue
        if owner := _TABLE_OWNERS.get(one.table):
            yield owner
            continue
        yield from (owner for owner, pattern in _CHAIN_OWNERS if pattern.match(one.chain))
        if one.weighs:
            ip_tables = one.family in ("ip", "ip6") and one.table in _IPTABLES_TABLES
            yield "iptables" if ip_tables else "nftables"


def _daemons(processes: Iterable[Running], nics: Iterable[str], root: Path) -> set[str]:
    running = {process.name for process in processes}
    # firewalld is a Python program; what it is called depends on how it was started.
    firewalld = any("firewalld" in Path(word).name for process in processes for word in process.argv[:2])
    names = list(nics)
    there = {
        "docker": "dockerd" in running or any(re.fullmatch(r"docker0|br-[0-9a-f]{12}", nic) for nic in names),
        "ufw": bool(re.search(r"(?m)^\s*ENABLED\s*=\s*yes", _text(root / "etc/ufw/ufw.conf"))),
        "libvirt": any(re.fullmatch(r"virbr[0-9]+", nic) for nic in names),
        "firewalld": firewalld,
    }
    return {name for name, active in there.items() if active}
