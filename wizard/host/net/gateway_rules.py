"""Our own packet filter: loading nat.sh, reading what is loaded, and muting our DHCP."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wizard.host.commands import CommandFailed, run
from wizard.host.net import firewalls, forward_flows, nft_armed_set, nft_objects
from wizard.host.net.firewalls.firewall import Undone
from wizard.host.net.nfnetlink import KernelRefused

TABLE = ("inet", nft_armed_set.TABLE)
TABLES = (TABLE, ("arp", nft_armed_set.TABLE))
UPLINKS = "uplinks"
"""The set of the NICs that lead out, and the verb of nat.sh that fills it, where the plan follows the default route."""
RECEIVED, SENT = "node_received", "node_sent"
"""Sets with a counter for each address in the cluster, from its machine's side; see `node_traffic`."""
NETBOOT, NETBOOT_MACS = "netboot", "netboot_macs"
"""The sets of nodes that are armed to boot over the network: their addresses; these with their MACs."""
DISCOVERY, RAW, RAW_ADDRESSES = "discovery", "raw", "raw_addresses"
"""Sets for machines that no plan has, while somebody looks for them: the cluster's NIC; they; their addresses."""
FILLED_LATER = (nft_armed_set.SET, UPLINKS, RECEIVED, SENT, NETBOOT, NETBOOT_MACS, DISCOVERY, RAW, RAW_ADDRESSES)
"""The sets of our table whose elements are not those of nat.sh: the guard's, and what packets add."""
_ELEMENTS = re.compile(r"^\t\telements = \{[^}]*\}\n", re.MULTILINE)
_SCRIPT_S = 60


def script(path: str, verb: str) -> str:
    """Run `nat.sh up`, `down`, `leave` or `status`; its output. Ends open connections through forwards that changed.

    Raises CommandFailed with its message.
    """
    if verb == "status":
        return run("sh", path, verb, timeout=_SCRIPT_S, ok=(0, 1))
    before = forward_flows.loaded()
    output = run("sh", path, verb, timeout=_SCRIPT_S)
    return output + _end_flows(before)


def _end_flows(before: forward_flows.Forwards) -> str:
    try:
        forward_flows.delete_flows_of(before, forward_flows.loaded())
    except KernelRefused as error:
        return f"open connections through removed forwards stay open ({error.message})"
    return ""


def table_loaded() -> bool:
    return nft_objects.has_table(*TABLE)


def table_text() -> str | None:
    """The loaded rules, without counters and without the elements of FILLED_LATER; None if none are loaded."""
    listed = [_listed(table) for table in TABLES]
    return _without_filled("".join(listed)) if listed[0] else None


def _listed(table: tuple[str, str]) -> str:
    try:
        # Without elements, as there may be as many as the cluster has addresses; then those that were rendered, one
        # set at a time: asked for several at once, nft 1.0.6 finds the first alone.
        listed = run("nft", "-s", "-t", "list", "table", *table)
        sets = [(kind, name) for _, kind, name in _objects(listed) if kind in ("set", "map")]
        rendered = [which for which in sets if which[1] not in FILLED_LATER]
        return listed + "".join(run("nft", "-s", "list", kind, *table, name) for kind, name in rendered)
    except CommandFailed:
        return ""


def expected_table_text(path: str, now: bool = False) -> str:
    """The rules of the nat.sh at `path` as the kernel lists them once loaded in an empty network namespace.

    `now`: with the helpers that the kernel has now, not those that it had when the rules were loaded.
    """
    # There are no other tables; a script of an earlier version has only the first.
    listed = run(
        "unshare", "--net", "sh", "-c", 'sh "$0" table $1 | nft -f - && nft -s list ruleset', path, "now" if now else ""
    )
    return _without_filled(listed)


def changes(path: str, now: bool = False) -> list[str]:
    """What others removed from or added to the rules of the nat.sh at `path`, a line each. `now`: see above.

    Raises CommandFailed if the script itself fails.
    """
    loaded, expected = table_text(), expected_table_text(path, now)
    name = " ".join(TABLE)
    if loaded is None:
        return [f"the table {name} is not loaded"]
    found = []
    for line in difflib.ndiff(expected.splitlines(), loaded.splitlines()):
        if line[2:].startswith("table "):
            name = line[2:].removeprefix("table ").removesuffix(" {")
        if line[:2] in ("- ", "+ ") and line[2:].strip() not in ("", "}"):
            found.append(f"{'missing' if line[0] == '-' else 'added'} in {name}: {line[2:].strip()}")
    return found + troubles(path)


def troubles(path: str) -> list[str]:
    """What `nat.sh status` reports as wrong, a line each. Forwarding on a NIC that is unplugged is left out: it comes
    back with the NIC. Raises CommandFailed if the script itself fails.
    """
    return troubles_and_notes(path)[0]


def troubles_and_notes(path: str) -> tuple[list[str], list[str]]:
    """`troubles`, and what this kernel lacks, such as the helper for FTP. Raises CommandFailed."""
    found, notes = [], []
    for line in (" ".join(line.split()) for line in script(path, "status").splitlines()):
        if line.startswith("helper ") and not line.endswith(": in place"):
            notes.append(f"no {line}")
        nic = line.removeprefix("forward ").removesuffix(": off")
        away = line.endswith(": off") and not Path(f"/proc/sys/net/ipv4/conf/{nic}").exists()
        if line.endswith((": ours is missing", ": ours is behind others", ": not loaded", ": off")) and not away:
            found.append(line)
    return found, notes


def load(path: str) -> str:
    """Load the rules of the nat.sh at `path`, and remove from our tables what is not in it: a chain that somebody
    added, or one of an earlier version. Returns the script's output. Raises CommandFailed.
    """
    output = script(path, "up")
    loaded, expected = _objects(table_text() or ""), _objects(expected_table_text(path))
    extra = [each for each in loaded if each not in expected and each[1] in _KINDS]
    if extra:
        # Chains first: their rules may name what else goes.
        extra.sort(key=lambda each: _KINDS.index(each[1]))
        words = [f"flush chain {table} {name}\n" for table, kind, name in extra if kind == "chain"]
        words += [f"delete {kind} {table} {name}\n" for table, kind, name in extra]
        run("nft", "-f", "-", stdin="".join(words))
    return output


_KINDS = ("chain", "map", "set", "counter", "ct helper")


def _objects(listing: str) -> dict[tuple[str, str, str], str]:
    """The chains, sets, maps, counters and helpers of a listing: (table, kind, name) -> its text."""
    found: dict[tuple[str, str, str], str] = {}
    table, key = "", ("", "", "")
    for line in listing.splitlines():
        if line.startswith("table "):
            table = line.removeprefix("table ").removesuffix(" {")
        elif line.startswith("\t") and not line.startswith("\t\t") and line.endswith("{"):
            kind, _, name = line.strip().removesuffix(" {").rpartition(" ")
            key = (table, kind, name)
            found[key] = f"{line}\n"
        elif line.startswith("\t"):
            found[key] = found.get(key, "") + f"{line}\n"
    return found


def loaded_uplinks() -> list[str] | None:
    """The NICs in the set of uplinks; None where there is no such set: the corporate NIC is a named one."""
    try:
        listed = run("nft", "list", "set", *TABLE, UPLINKS)
    except CommandFailed:
        return None
    return sorted(re.findall(r'"([^"]*)"', listed))


def follow_uplinks(path: str, nics: Sequence[str]) -> str:
    """Have these NICs lead out from now on, and no other. Returns the script's output. Raises CommandFailed."""
    return run("sh", path, UPLINKS, *nics, timeout=_SCRIPT_S)


def fill_netboot(armed: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Let these machines, each an address and its MACs, and no others reach TFTP and the netboot server.

    Raises CommandFailed.
    """
    table = " ".join(TABLE)
    words = [f"flush set {table} {each}" for each in (NETBOOT, NETBOOT_MACS)]
    for address, macs in armed:
        words.append(f"add element {table} {NETBOOT} {{ {address} }}")
        words += [f"add element {table} {NETBOOT_MACS} {{ {address} . {mac} }}" for mac in macs]
    run("nft", "-f", "-", stdin="\n".join(words) + "\n")


def reaching_netboot() -> list[tuple[str, str]]:
    """The machines that may reach TFTP and the netboot server now: address and MAC, with ":". Raises CommandFailed."""
    sets = {name: run("nft", "list", "set", *TABLE, name) for name in (NETBOOT, NETBOOT_MACS)}
    pairs = re.findall(r"([0-9.]+) \. ([0-9a-f]{2}(?::[0-9a-f]{2}){5})\b", sets[NETBOOT_MACS])
    addresses = set(re.findall(r"\d+(?:\.\d+){3}", sets[NETBOOT]))
    return [(address, mac) for address, mac in pairs if address in addresses]


def fill_discovery(nic: str, seconds: float) -> None:
    """Let machines that no plan has, behind this NIC, reach DHCP, TFTP and their page for `seconds`; 0: no longer.

    Raises CommandFailed.
    """
    words = [f"flush set {' '.join(TABLE)} {DISCOVERY}"]
    if seconds > 0:
        element = f"{{ {nic} timeout {max(int(seconds), 1)}s }}"
        words.append(f"add element {' '.join(TABLE)} {DISCOVERY} {element}")
    else:
        # Those who asked stay in RAW, so that an address of a moment ago leads nowhere.
        words.append(f"flush set {' '.join(TABLE)} {RAW_ADDRESSES}")
    run("nft", "-f", "-", stdin="\n".join(words) + "\n")


def _without_filled(listing: str) -> str:
    """The listing without the elements of FILLED_LATER, its objects sorted: nft lists them by age."""
    lines: list[str] = []
    last = ""
    for (table, _, name), text in sorted(_objects(listing).items()):
        if table != last:
            lines += [*(["}"] if last else []), f"table {table} {{"]
            last = table
        lines += (_ELEMENTS.sub("", text) if name in FILLED_LATER else text).splitlines()
    return "\n".join([*lines, *(["}"] if last else [])])


def remove_everything() -> Undone:
    """Remove all that bears our names, with or without the script that made it.

    Nobody else's rule is touched. Works without nft and iptables installed. Raises WizardError if the kernel refuses.
    """
    before = forward_flows.loaded()
    restored, problems = firewalls.restore()
    removed, left = firewalls.remove_ours()
    tables = [f"the table {' '.join(table)}" for table in TABLES if nft_objects.remove_table(*table)]
    return [*restored, *removed, *tables], [*problems, *left, *filter(None, [_end_flows(before)])]


def disarm() -> None:
    """Mute our DHCP now. Raises WizardError."""
    try:
        nft_armed_set.disarm()
    except nft_armed_set.ArmingFailed:
        # Nothing is loaded, such as on a kernel without nftables: there is nothing to mute.
        if table_loaded():
            raise


def guarded(uid: int) -> bool:
    """Whether the packet filter keeps this user's DHCP answers and router advertisements to the armed NIC."""
    try:
        chain = run("nft", "--numeric", "list", "chain", *TABLE, "guard")
    except CommandFailed:
        return False
    ours = [line for line in chain.splitlines() if f" skuid {uid} " in f" {line.strip()} " and "oif != @armed" in line]
    kinds = ("udp sport { 67, 547 }", "icmpv6 type")
    hooked = "hook output" in chain
    return hooked and all(any(kind in line and line.endswith("drop") for line in ours) for kind in kinds)


def guarded_uid(script_text: str) -> int | None:
    """The user that the rules in this nat.sh guard, or None."""
    found = re.search(r"^\s*meta skuid (\d+) udp sport", script_text, re.MULTILINE)
    return int(found[1]) if found else None


def counters() -> dict[str, int]:
    """Packets by counter: muted (DHCP answers held back), astray (those that would have left by another NIC than the
    cluster's), refused_nak, refused_source, refused_in, refused_forward, crowded."""
    try:
        listed: dict[str, Any] = json.loads(run("nft", "-j", "list", "counters", "table", *TABLE))
    except (CommandFailed, ValueError):
        return {}
    found = (entry["counter"] for entry in listed.get("nftables", []) if "counter" in entry)
    return {str(c["name"]): int(c["packets"]) for c in found}
