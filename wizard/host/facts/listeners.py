"""Reads the listening sockets: from `ss`, or from psutil where there is no `ss`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from wizard.host import commands
from wizard.host.facts.nics import read_sysfs, shown_name
from wizard.plan.machine import Listener
from wizard.plan.text import clean

_STATES = frozenset({"LISTEN", "UNCONN"})
# The last one: a process may carry the likes of this in its own name.
_PID = re.compile(r",pid=([0-9]+),fd=[0-9]+\)\)\s*$")
# systemd, which has opened the socket for another one.
_SYSTEMD = re.compile(r",\(\"systemd\",pid=1,fd=[0-9]+\)(?=\)\s*$)")
# The line of systemd's own hierarchy: "0::/system.slice/named.service", on cgroup v1 "1:name=systemd:/…".
_CGROUP = re.compile(r"^[0-9]+:(?:name=systemd)?:(/.*)$", re.MULTILINE)
_UNIT = re.compile(r"/system\.slice/(?:[^/]+\.slice/)*([A-Za-z0-9:_.@-]{1,100}\.service)(?:/|$)")
_INIT = "/init.scope"
# What --cgroup appends.
_OWN_GROUP = re.compile(r"(?:^|\s)cgroup:([^\s\"]*)\s*$")


def read_listeners(root: Path = Path("/")) -> tuple[Listener, ...]:
    """Listening TCP and bound, unconnected UDP sockets; processes only as far as this user may see them."""
    try:
        output = _ask_ss()
    except commands.CommandFailed:
        return _from_psutil(root)
    found = (_listener(line, root) for line in output.split("\n"))
    return tuple(listener for listener in found if listener)


def _ask_ss() -> str:
    # -H (no heading) is older than --json, and Debian 12 has no JSON here.
    ask = ("ss", "-H", "-lntup")
    try:
        # Tells whose a socket is to everybody; ss has it since 5.8.
        return commands.run(*ask, "--cgroup", timeout=10)
    except commands.CommandFailed:
        return commands.run(*ask, timeout=10)


def _listener(line: str, root: Path) -> Listener | None:
    fields = line.split(None, 6)
    if len(fields) < 6 or fields[0] not in ("tcp", "udp") or fields[1] not in _STATES:
        return None
    where, _, port = fields[4].rpartition(":")
    # "0.0.0.0%eth1", "[fe80::1]%eth0", "*": the NIC is a scope, or what SO_BINDTODEVICE named.
    address, _, nic = where.partition("%")
    if not port.isdigit():
        return None
    more = fields[6] if len(fields) > 6 else ""
    group = _OWN_GROUP.search(more)
    users = _SYSTEMD.sub("", more.removesuffix(group[0]) if group else more)
    pid = _PID.search(users)
    return Listener(
        protocol=fields[0],
        # A dual-stack socket: it takes IPv4 too.
        address="::" if address == "*" else address.strip("[]"),
        port=int(port),
        process=_process(root, int(pid[1])) if pid else "",
        pid=int(pid[1]) if pid else None,
        nic=shown_name(nic) if nic else "",
        unit=unit_of(root, int(pid[1])) if pid else _unit(root, [group[1]] if group else []),
    )


def _process(root: Path, pid: int) -> str:
    return clean(read_sysfs(root / "proc" / str(pid) / "comm"), 40)


def unit_of(root: Path, pid: int) -> str:
    """The service of this machine that a process belongs to: what has to be disabled for it to stay away."""
    return _unit(root, _cgroups(root, pid))


def _unit(root: Path, paths: Iterable[str]) -> str:
    # Its systemd's own root, where that runs in a container without a cgroup namespace.
    tops = [path.removesuffix(_INIT) for path in _cgroups(root, 1) if path.endswith(_INIT)]
    top = tops[0] if tops else ""
    found = (_UNIT.match(path.removeprefix(top)) for path in paths if path.startswith(top))
    return next((unit[1] for unit in found if unit), "")


def _cgroups(root: Path, pid: int) -> list[str]:
    return _CGROUP.findall(read_sysfs(root / "proc" / str(pid) / "cgroup"))


def _from_psutil(root: Path) -> tuple[Listener, ...]:
    import psutil

    try:
        connections = psutil.net_connections("inet")
    except (psutil.Error, OSError):
        return ()
    return tuple(
        Listener(
            protocol="tcp" if c.type.name == "SOCK_STREAM" else "udp",
            address=c.laddr.ip,
            port=c.laddr.port,
            process=_process(root, c.pid) if c.pid else "",
            pid=c.pid,
            unit=unit_of(root, c.pid) if c.pid else "",
        )
        for c in connections
        if c.laddr and not c.raddr and c.status in ("LISTEN", "NONE")
    )
