"""Reads what is loaded into the packet filter, without creating a table or loading a module."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wizard.host import commands
from wizard.host.net import nft_armed_set
from wizard.host.net.firewalls.firewall import LoadedObject

_OUR_CHAIN = re.compile(r"ciao[-_]", re.IGNORECASE)


def read_ruleset(root: Path) -> Iterator[LoadedObject]:
    """Every table, chain and rule of nftables and both iptables that is not ours. Needs root; loads no module."""
    return (loaded for loaded in _everything(root) if not _is_ours(loaded))


def _is_ours(loaded: LoadedObject) -> bool:
    return loaded.table == nft_armed_set.TABLE or _OUR_CHAIN.match(loaded.chain) is not None


def _everything(root: Path) -> Iterator[LoadedObject]:
    if _kernel_has(root, "nf_tables"):
        try:
            # Terse: sets may hold whole countries.
            yield from _in_nft(commands.run("nft", "-j", "-t", "list", "ruleset", timeout=10))
        except commands.CommandFailed:
            yield from _in_save("iptables-nft-save")
    # iptables of old has tables of its own, which nft does not see. The file names those loaded;
    # to save others would load them.
    if (root / "proc/net/ip_tables_names").exists() and text_of(root / "proc/net/ip_tables_names"):
        yield from _in_save("iptables-legacy-save")


def _kernel_has(root: Path, module: str) -> bool:
    """False only if the module is known not to be in the kernel: asking for its rules would load it."""
    loaded = text_of(root / "proc/modules")
    if not loaded or f"\n{module} " in f"\n{loaded}":
        return True
    builtin = text_of(root / "lib/modules" / os.uname().release / "modules.builtin")
    return not builtin or f"/{module}.ko" in builtin


def text_of(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _in_nft(listing: str) -> Iterator[LoadedObject]:
    try:
        entries: list[Mapping[str, Any]] = json.loads(listing, strict=False)["nftables"]
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
            filters = not ours if kind == "rule" else thing.get("policy") == "drop"
            yield LoadedObject(thing["family"], table, chain, filters)


def _jumps_to_us(rule: Mapping[str, Any]) -> bool:
    for statement in rule.get("expr", []):
        jump = statement.get("jump") or statement.get("goto") if isinstance(statement, dict) else None
        if jump and _OUR_CHAIN.match(jump.get("target", "")):
            return True
    return False


def _in_save(tool: str) -> Iterator[LoadedObject]:
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
            yield LoadedObject("ip", table, words[0][1:], words[1] == "DROP")
        elif words[:1] == ["-A"] and len(words) > 1:
            yield LoadedObject("ip", table, words[1], not any(_OUR_CHAIN.match(word) for word in words[2:]))
