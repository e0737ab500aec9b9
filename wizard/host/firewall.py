"""Loading nat.sh, reading what is loaded, and the armed set that our DHCP answers depend on."""

from __future__ import annotations

import contextlib
import difflib
import json
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wizard.host import armed as armed_set
from wizard.host import forward_flows, link_image, nft_objects
from wizard.host.commands import CommandFailed, find, run, works
from wizard.host.files import read_text
from wizard.host.nfnetlink import KernelRefused
from wizard.host.processes import boot_id
from wizard.plan import paths

TABLE = ("inet", "ciao_gateway")
FIREWALLD, TRUSTED = ("inet", "firewalld"), "trusted"
TABLES = (TABLE, ("arp", "ciao_gateway"))
ARMED_SECONDS = armed_set.LEASE_S
"""How long the kernel lets our DHCP answers pass after they were last let out."""
_SCRIPT_S = 60
_GLOBAL_SWITCH = Path("/proc/sys/net/ipv4/ip_forward")
Record = dict[str, Any]
OUR_CHAINS = ("FORWARD", "INPUT", "OUTPUT")


def script(path: str, verb: str) -> str:
    """Run nat.sh up, down, leave or status; its output. Connections through forwards that were changed end.

    Raises CommandFailed with what it said.
    """
    if verb == "status":
        return run("sh", path, verb, timeout=_SCRIPT_S, ok=(0, 1))
    before = forward_flows.loaded()
    said = run("sh", path, verb, timeout=_SCRIPT_S)
    return said + _end_flows(before)


def _end_flows(before: forward_flows.Forwards) -> str:
    try:
        forward_flows.end_those_of(before, forward_flows.loaded())
    except KernelRefused as error:
        return f"connections through forwards that are no more go on ({error.message})"
    return ""


def table_loaded() -> bool:
    return nft_objects.has_table(*TABLE)


def table_text() -> str | None:
    """What is loaded, without counters and without the armed set's elements; None where nothing is."""
    listed = [_listed(table) for table in TABLES]
    return _without_armed("".join(listed)) if listed[0] else None


def _listed(table: tuple[str, str]) -> str:
    try:
        return run("nft", "-s", "list", "table", *table)
    except CommandFailed:
        return ""


def expected_table_text(path: str) -> str:
    """What the nat.sh at `path` loads, as the kernel says it back: loaded into an empty network namespace."""
    # Its tables are all there is; a script of an earlier version has one of them.
    listed = run("unshare", "--net", "sh", "-c", 'sh "$0" table | nft -f - && nft -s list ruleset', path)
    return _without_armed(listed)


def changes(path: str) -> list[str]:
    """What of the rules of the nat.sh at `path` somebody took away or added since, a line each; [] where nothing.

    Raises CommandFailed where the script itself does not work.
    """
    loaded, expected = table_text(), expected_table_text(path)
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
    """What the nat.sh at `path` says is not as it should be, a line each, but for the forwarding of a NIC that is
    away: it comes back with the NIC. Raises CommandFailed where the script does not work.
    """
    found = []
    for line in (" ".join(line.split()) for line in script(path, "status").splitlines()):
        nic = line.removeprefix("forward ").removesuffix(": off")
        away = line.endswith(": off") and not Path(f"/proc/sys/net/ipv4/conf/{nic}").exists()
        if line.endswith((": ours is missing", ": ours is behind others", ": not loaded", ": off")) and not away:
            found.append(line)
    return found


def load(path: str) -> str:
    """Load the rules of the nat.sh at `path`, and take out of our tables whatever is not its own: a chain that somebody
    added, or one of an earlier version. What the script said. Raises CommandFailed.
    """
    said = script(path, "up")
    loaded, expected = _objects(table_text() or ""), _objects(expected_table_text(path))
    extra = [each for each in loaded if each not in expected and each[1] in _KINDS]
    if extra:
        # Chains first: their rules may name what else goes.
        extra.sort(key=lambda each: _KINDS.index(each[1]))
        words = [f"flush chain {table} {name}\n" for table, kind, name in extra if kind == "chain"]
        words += [f"delete {kind} {table} {name}\n" for table, kind, name in extra]
        run("nft", "-f", "-", stdin="".join(words))
    return said


_KINDS = ("chain", "map", "set", "counter")


def _objects(listing: str) -> dict[tuple[str, str, str], str]:
    """Each chain, set, map and counter of a listing: (table, kind, name) -> its text."""
    found: dict[tuple[str, str, str], str] = {}
    table, key = "", ("", "", "")
    for line in listing.splitlines():
        if line.startswith("table "):
            table = line.removeprefix("table ").removesuffix(" {")
        elif line.startswith("\t") and not line.startswith("\t\t") and line.endswith("{"):
            kind, _, name = line.strip().removesuffix(" {").partition(" ")
            key = (table, kind, name)
            found[key] = f"{line}\n"
        elif line.startswith("\t"):
            found[key] = found.get(key, "") + f"{line}\n"
    return found


def _without_armed(listing: str) -> str:
    """Without the elements of the armed set; the objects of each table by name, for they stand as they came to be."""
    told: list[str] = []
    last = ""
    for (table, kind, name), text in sorted(_objects(listing).items()):
        if table != last:
            told += [*(["}"] if last else []), f"table {table} {{"]
            last = table
        inside = (kind, name) == ("set", armed_set.SET)
        told += [line for line in text.splitlines() if not (inside and line.strip().startswith("elements"))]
    return "\n".join([*told, *(["}"] if last else [])])


Undone = tuple[list[str], list[str]]
"""What was undone, and what could not be, in words."""


def remove_everything() -> Undone:
    """Take away whatever bears our names, with or without the script that made it.

    Nobody else's rule is touched. What of nft and iptables is not installed is done without it. Raises WizardError
    where the kernel keeps something.
    """
    before = forward_flows.loaded()
    removed, problems = restore_zones()
    for program in ("iptables-nft", "iptables-legacy"):
        if not _iptables_table_exists(program):
            continue
        for chain in OUR_CHAINS:
            if find(program) is None:
                gone = program == "iptables-nft" and nft_objects.remove_chain("ip", "filter", f"CIAO-{chain}")
                removed += [f"the chain CIAO-{chain}"] if gone else []
                continue
            while works(program, "-w", "5", "-D", chain, "-j", f"CIAO-{chain}"):
                removed.append(f"a jump to CIAO-{chain}")
            if works(program, "-w", "5", "-F", f"CIAO-{chain}"):
                run(program, "-w", "5", "-X", f"CIAO-{chain}")
                removed.append(f"the chain CIAO-{chain}")
    for table in TABLES:
        if nft_objects.remove_table(*table):
            removed.append(f"the table {' '.join(table)}")
    if find("iptables-legacy") is None and _iptables_table_exists("iptables-legacy"):
        problems.append(
            "the chains CIAO-FORWARD, CIAO-INPUT and CIAO-OUTPUT of iptables-legacy, which is not installed, could not "
            "be looked for"
        )
    return removed, [*problems, *filter(None, [_end_flows(before)])]


def forwarding_image(nics: Iterable[str]) -> Record:
    """How the forwarding switches of these NICs stand, for `restore_forwarding`. Not of those that nat.sh has changed
    already."""
    present = [nic for nic in nics if _switch(nic).exists() and not _note(socket.if_nametoindex(nic)).exists()]
    return {
        "boot": boot_id(),
        "global": read_switch(_GLOBAL_SWITCH),
        "nics": [
            link_image.link_state(nic) | {"index": socket.if_nametoindex(nic), "forwarding": read_switch(_switch(nic))}
            for nic in present
        ],
    }


def restore_forwarding(images: Iterable[Record] = ()) -> list[str]:
    """Put the NICs' forwarding switches back to what was found, the first image of a NIC before the note that nat.sh
    made of it; on which NICs. Needs no nat.sh."""
    stood: dict[int, tuple[str, str]] = {}
    for image in images:
        for nic in image.get("nics", ()):
            index = int(nic["index"])
            if image.get("boot") != boot_id():
                index = _index_of(link_image.called_now(nic))
                # What this boot began with is what nat.sh found at its first run since.
                if _note(index).exists():
                    continue
            stood.setdefault(index, (str(nic["forwarding"]), str(image["global"])))
    now, everyones_note = read_switch(_GLOBAL_SWITCH), Path(paths.RUN, "ip_forward")
    for note in sorted(Path(paths.RUN).glob("forwarding.*")):
        said = (read_text(str(note)) or "").split()
        # Earlier versions noted a NIC by its name, and the global switch apart.
        whose = note.name.removeprefix("forwarding.")
        index = int(whose) if whose.isdecimal() and len(whose) < 10 else _index_of(whose)
        if index and said:
            stood.setdefault(index, (said[0], said[1] if len(said) > 1 else read_switch(everyones_note) or now))
        _forget(note)
    _forget(everyones_note)
    restored = []
    for index, (before, everyones) in stood.items():
        with contextlib.suppress(OSError):
            nic = socket.if_indextoname(index)
            # Where somebody threw the global switch since, every NIC goes by it.
            wanted = before if everyones == now else now
            if read_switch(_switch(nic)) != wanted:
                _switch(nic).write_text(wanted)
                restored.append(f"forwarding on {nic}")
    return restored


def zone_image(nic: str) -> Record | None:
    """The zone of firewalld that a NIC is in, for `restore_zones`; None where there is no firewalld."""
    if find("firewall-cmd") is None or not nft_objects.has_table(*FIREWALLD):
        return None
    return {"nic": nic, "zone": _zone_of(nic)}


def restore_zones(images: Iterable[Record] = ()) -> Undone:
    """Put NICs that we had firewalld trust back into the zone they were in: the first image of a NIC before the note
    that nat.sh made of it. Needs no nat.sh."""
    zones: dict[str, str] = {}
    for image in images:
        zones.setdefault(str(image["nic"]), str(image["zone"]))
    for note in sorted(Path(paths.RUN).glob("firewalld.*")):
        zones.setdefault(note.name.removeprefix("firewalld."), (read_text(str(note)) or "").strip())
    restored, problems = [], []
    for nic, zone in zones.items():
        note = Path(f"{paths.RUN}/firewalld.{nic}")
        # It forgets ours by itself, and what somebody chose since is his.
        if zone == TRUSTED or zone_image(nic) != {"nic": nic, "zone": TRUSTED}:
            _forget(note)
            continue
        change = (
            (f"--zone={zone}", f"--change-interface={nic}") if zone else ("--zone=trusted", f"--remove-interface={nic}")
        )
        try:
            run("firewall-cmd", "--quiet", *change)
        except CommandFailed as error:
            # The note stays, for whoever tries again.
            problems.append(f"{nic} is still in firewalld's zone {TRUSTED}, and not in {zone or 'none'}: {error}")
            continue
        _forget(note)
        restored.append(f"firewalld's zone of {nic}")
    return restored, problems


def _forget(note: Path) -> None:
    # Whatever somebody has made of it: a reset comes to its end.
    with contextlib.suppress(OSError):
        note.unlink()


def _zone_of(nic: str) -> str:
    try:
        return run("firewall-cmd", f"--get-zone-of-interface={nic}").strip()
    except CommandFailed:
        return ""


def _note(index: int) -> Path:
    return Path(f"{paths.RUN}/forwarding.{index}")


def _switch(nic: str) -> Path:
    return Path(f"/proc/sys/net/ipv4/conf/{nic}/forwarding")


def read_switch(switch: Path) -> str:
    return (read_text(str(switch)) or "").strip()


def _index_of(nic: str) -> int:
    try:
        return socket.if_nametoindex(nic)
    except OSError:
        return 0


def _iptables_table_exists(program: str) -> bool:
    # Asking iptables itself would make the table.
    if program == "iptables-nft":
        return nft_objects.has_table("ip", "filter")
    try:
        return "filter" in Path("/proc/net/ip_tables_names").read_text().split()
    except OSError:
        return False


def arm(index: int) -> None:
    """Let our DHCP answers out by the NIC with this index, for the next few seconds. Raises WizardError."""
    armed_set.arm(index, ARMED_SECONDS)


def disarm() -> None:
    """Mute our DHCP now. Raises WizardError."""
    try:
        armed_set.disarm()
    except armed_set.ArmingFailed:
        # A kernel without nftables, for one, has nothing to mute.
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


def armed() -> bool:
    """Whether any NIC may carry our DHCP answers at this moment."""
    try:
        listed = run("nft", "list", "set", *TABLE, "armed")
    except CommandFailed:
        return False
    return "elements" in listed


def counters() -> dict[str, int]:
    """Packets by counter: muted (DHCP answers held back), astray (those that would have left by another NIC than the
    cluster's), refused_nak, refused_source, refused_in, refused_forward, crowded."""
    try:
        listed: dict[str, Any] = json.loads(run("nft", "-j", "list", "counters", "table", *TABLE))
    except (CommandFailed, ValueError):
        return {}
    found = (entry["counter"] for entry in listed.get("nftables", []) if "counter" in entry)
    return {str(c["name"]): int(c["packets"]) for c in found}
