"""Facts from running processes: DHCP clients, and the SSH session that we run in."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from netaddr import AddrFormatError, IPAddress

from wizard.host.processes import parent
from wizard.plan.machine import Nic

_DHCP_CLIENTS = frozenset({"dhclient", "udhcpc", "dhcpcd", "dhcpcd5", "pump", "dhcpcanon"})
_BUSYBOX = frozenset({"busybox", "toybox"})
_LONGEST_ANCESTRY = 64


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """One process. `name`: cut by the kernel at 15 characters. `argv`: as it was started, or as it rewrote it."""

    pid: int
    name: str
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SshSession:
    """The two ends of an SSH session, addresses as text. `port` is sshd's."""

    peer: str
    server: str
    port: int


def read_processes(root: Path = Path("/")) -> tuple[RunningProcess, ...]:
    """Every process of this network namespace, and those whose namespace we may not see."""
    return tuple(_running(root / "proc"))


def _running(proc: Path) -> Iterator[RunningProcess]:
    ours = _namespace(proc / "self")
    try:
        entries = [entry for entry in proc.iterdir() if entry.name.isdigit()]
    except OSError:
        return
    for at in entries:
        try:
            command = (at / "cmdline").read_bytes()
            # A kernel thread.
            if not command:
                continue
            name = (at / "comm").read_bytes()
        except OSError:
            continue
        if (theirs := _namespace(at)) and ours and theirs != ours:
            continue
        argv = tuple(part.decode(errors="replace") for part in command.split(b"\0") if part)
        yield RunningProcess(int(at.name), name.decode(errors="replace").strip(), argv)


def _namespace(at: Path) -> str:
    try:
        return os.readlink(at / "ns/net")
    except OSError:
        return ""


def dhcp_client_nics(processes: Iterable[RunningProcess], names: Iterable[str]) -> frozenset[str]:
    """Those of `names` that a running DHCPv4 client was started for by name."""
    known = frozenset(names)
    return frozenset(nic for process in processes for nic in _clients_nics(process.argv) if nic in known)


def _clients_nics(argv: tuple[str, ...]) -> Iterator[str]:
    # dhcpcd rewrites its title: "dhcpcd: eth0 [ip4]".
    words = " ".join(argv).split() if len(argv) == 1 else list(argv)
    if words and Path(words[0]).name in _BUSYBOX:
        words = words[1:]
    if not words or Path(words[0].rstrip(":")).name not in _DHCP_CLIENTS or "-6" in words:
        return
    for word in words[1:]:
        # udhcpc takes -i NIC, -iNIC, --interface NIC and --interface=NIC.
        yield re.sub(r"^(?:--interface=|-i(?=.))", "", word)


def ssh_session(environ: Mapping[str, str], root: Path = Path("/"), pid: int | None = None) -> SshSession | None:
    """The SSH session that this process was started from, even through sudo and su, which drop the variable.

    None if there is none.
    """
    pid = os.getpid() if pid is None else pid
    variable = environ.get("SSH_CONNECTION", "")
    for _ in range(_LONGEST_ANCESTRY):
        session = _parse_session(variable)
        if session:
            return session
        pid = parent(pid, root)
        if pid <= 1:
            return None
        variable = _variable(root / "proc" / str(pid) / "environ", b"SSH_CONNECTION=")
    return None


def inherited_variable(name: str, root: Path = Path("/"), pid: int | None = None) -> str:
    """A variable of the nearest process above this one that has it, "" where none has: sudo and su drop them."""
    pid = os.getpid() if pid is None else pid
    for _ in range(_LONGEST_ANCESTRY):
        pid = parent(pid, root)
        if pid <= 1:
            return ""
        value = _variable(root / "proc" / str(pid) / "environ", f"{name}=".encode())
        if value:
            return value
    return ""


def ssh_connection() -> str:
    """Our SSH session in the form of $SSH_CONNECTION, which sudo drops; "" if there is none."""
    session = ssh_session(os.environ)
    return f"{session.peer} 0 {session.server} {session.port}" if session else ""


def _parse_session(variable: str) -> SshSession | None:
    fields = variable.split()
    if len(fields) != 4 or not fields[3].isdigit():
        return None
    try:
        peer, server = (_plain(field) for field in (fields[0], fields[2]))
    except (AddrFormatError, ValueError):
        return None
    return SshSession(peer, server, int(fields[3]))


def _plain(address: str) -> str:
    ip = IPAddress(address.partition("%")[0])
    return str(ip.ipv4() if ip.version == 6 and ip.is_ipv4_mapped() else ip)


def _variable(path: Path, start: bytes) -> str:
    try:
        variables = path.read_bytes().split(b"\0")
    except OSError:
        return ""
    return next((v[len(start) :].decode(errors="replace") for v in variables if v.startswith(start)), "")


def carries_session(session: SshSession | None, nic: Nic, nic_to_peer: str) -> bool:
    """Whether a session comes in on a NIC: the server's address is there, or it is `nic_to_peer`, by which the route to
    the client leaves."""
    if session is None:
        return False
    has_address = any(str(address.network.ip) == session.server for address in nic.addresses)
    return has_address or (nic_to_peer != "" and nic_to_peer == nic.name)
