"""The time servers that DHCP servers named to this machine (option 42), by NIC: from the leases of its DHCP clients."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from wizard.host import commands
from wizard.host.commands import CommandFailed
from wizard.host.facts.nics import read_sysfs
from wizard.plan.machine import Nic
from wizard.plan.time_source import TIMESYNCD, usable_servers

_DHCLIENT = ("var/lib/dhcp/*.leases", "var/lib/dhclient/*.lease*", "var/lib/NetworkManager/dhclient-*.lease")
_DHCPCD = ("var/lib/dhcpcd/{}.lease", "var/lib/dhcpcd/{}-*.lease", "var/lib/dhcpcd5/dhcpcd-{}.lease")
# dhclient's hook writes it, for whichever NIC.
_BY_HOOK = ("run/systemd/timesyncd.conf.d/*.conf",)
_BY_A_PERSON = ("etc/systemd/timesyncd.conf.d/*.conf", "etc/systemd/timesyncd.conf")
_NTP_SERVERS = 42
_MAGIC, _MAGIC_AT = b"\x63\x82\x53\x63", 236
_GIVEN = slice(16, 20)
"""Where a DHCP message has the client's new address."""
_LARGEST = 1 << 20
_NMCLI_S = 2.0
"""A NetworkManager that answers does so in far less; one that does not holds up every look at this machine."""

Named = tuple[tuple[str, tuple[str, ...]], ...]


def read_time_servers(nics: Iterable[Nic], network_managers: Iterable[str], root: Path = Path("/")) -> Named:
    """The addresses named for each NIC, for "" those for any, and for TIMESYNCD those that a person wrote; NICs without
    any are left out. Never raises.

    A lease counts while the NIC has its address. NetworkManager is asked by root alone.
    """
    leases = _dhclient(root)
    by_networkmanager = _nmcli() if "NetworkManager" in network_managers and os.geteuid() == 0 else {}
    found: dict[str, list[str]] = {}
    for nic in nics:
        has = {str(address.network.ip) for address in nic.addresses if address.network.version == 4}
        if not nic.usable_name or not has or nic.kind == "loopback":
            continue
        texts = _networkd(nic.index, root) or by_networkmanager.get(nic.name, []) or _dhcpcd(nic.name, has, root)
        texts = texts or next((named for of, address, named in leases if of == nic.name and address in has), [])
        found[nic.name] = usable_servers(texts)
    found[""] = usable_servers(_timesyncd(root, _BY_HOOK))
    found[TIMESYNCD] = usable_servers(_timesyncd(root, _BY_A_PERSON))
    return tuple((nic, tuple(servers)) for nic, servers in found.items() if servers)


def _read(path: Path) -> str:
    try:
        return read_sysfs(path) if path.stat().st_size < _LARGEST else ""
    except OSError:
        return ""


def _files(root: Path, patterns: Iterable[str]) -> list[Path]:
    try:
        return [path for pattern in patterns for path in sorted(root.glob(pattern))]
    except OSError:
        return []


def _networkd(index: int, root: Path) -> list[str]:
    lines = _read(root / "run/systemd/netif/leases" / str(index)).splitlines()
    return next((line.removeprefix("NTP=").split() for line in lines if line.startswith("NTP=")), [])


def _nmcli() -> dict[str, list[str]]:
    """By NIC; one call for all of them, as each takes long."""
    try:
        told = commands.run("nmcli", "-t", "-f", "GENERAL.DEVICE,DHCP4", "device", "show", timeout=_NMCLI_S)
    except CommandFailed:
        return {}
    found = {}
    for block in told.split("\n\n"):
        nic = re.search(r"^GENERAL\.DEVICE:(.*)$", block, re.MULTILINE)
        named = re.search(r":ntp_servers = (.*)$", block, re.MULTILINE)
        if nic is not None and named is not None:
            found[nic[1]] = named[1].split()
    return found


def _dhcpcd(nic: str, has: Collection[str], root: Path) -> list[str]:
    for path in _files(root, (pattern.format(nic) for pattern in _DHCPCD)):
        try:
            message = path.read_bytes()[:_LARGEST]
        except OSError:
            continue
        if message[_MAGIC_AT : _MAGIC_AT + 4] == _MAGIC and _addresses(message[_GIVEN])[0] in has:
            return _addresses(_option(message[_MAGIC_AT + 4 :]))
    return []


def _addresses(packed: bytes) -> list[str]:
    return [".".join(map(str, packed[at : at + 4])) for at in range(0, len(packed) // 4 * 4, 4)]


def _option(options: bytes) -> bytes:
    at = 0
    while at + 1 < len(options) and options[at] != 255:
        if options[at] == 0:
            at += 1
            continue
        length = options[at + 1]
        if options[at] == _NTP_SERVERS:
            return options[at + 2 : at + 2 + length]
        at += 2 + length
    return b""


def _dhclient(root: Path) -> list[tuple[str, str, list[str]]]:
    """The NIC, the address and the time servers of each lease, the latest first."""
    found = []
    for path in _files(root, _DHCLIENT):
        for lease in re.findall(r"^lease \{\n(.*?)^\}", _read(path), re.MULTILINE | re.DOTALL):
            nic = re.search(r'^\s*interface "([^"\n]*)";', lease, re.MULTILINE)
            address = re.search(r"^\s*fixed-address ([0-9.]+);", lease, re.MULTILINE)
            named = re.search(r"^\s*option ntp-servers ([0-9., ]+);", lease, re.MULTILINE)
            if nic is not None and address is not None:
                found.append((nic[1], address[1], re.split(r"[ ,]+", named[1].strip()) if named is not None else []))
    return found[::-1]


def _timesyncd(root: Path, patterns: Iterable[str]) -> list[str]:
    found: list[str] = []
    for path in _files(root, patterns):
        for value in re.findall(r"^NTP=(.*)$", _read(path), re.MULTILINE):
            found += value.split()
    return found
