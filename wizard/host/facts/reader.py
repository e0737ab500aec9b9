"""Reads the facts of this machine: NICs, routes, listeners, network managers, firewalls, missing tools."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from wizard.host import commands
from wizard.host.facts.listeners import read_listeners
from wizard.host.facts.nics import read_nics, read_sysfs, shown_name, with_containers
from wizard.host.facts.port_services import read_port_services
from wizard.host.facts.processes import (
    RunningProcess,
    SshSession,
    carries_session,
    dhcp_client_nics,
    read_processes,
    ssh_session,
)
from wizard.host.facts.resolver import read_nameservers, read_resolvers
from wizard.host.facts.routes import read_routes
from wizard.host.facts.uplinks import read_outbound
from wizard.host.files import blocked
from wizard.host.net import firewalls, managers
from wizard.host.net.managers.ifupdown.interfaces_tree import read_lines, unreadable
from wizard.host.ntp.company import read_time_servers
from wizard.host.ntp.own_server import read_time_server
from wizard.plan import paths
from wizard.plan.addresses import nics_of_default_routes
from wizard.plan.backends import ADDRESS_FILES
from wizard.plan.image_manifest import BootHere
from wizard.plan.machine import Facts, Nic, Route, Suggestion
from wizard.plan.text import clean
from wizard.plan.tools import NEEDED


def read_facts(
    environ: Mapping[str, str] | None = None,
    applied_cluster: str = "",
    our_pids: frozenset[int] = frozenset(),
    *,
    time: bool = False,
    boot: BootHere | None = None,
    root: Path = Path("/"),
) -> Facts:
    """What is known of this machine; less without root. Changes nothing and never raises.

    `environ` is searched for the SSH session (default: our own environment, then that of our parents).
    `applied_cluster`, `our_pids` and `boot` go into the facts as they are: an applied plan's NIC and processes, and
    what nodes can boot. `time`: look for time servers too, which may take 2 s. `root` is the directory that holds /sys,
    /proc, /etc and /run.
    """
    processes = read_processes(root)
    routes = read_routes()
    session = ssh_session(os.environ if environ is None else environ, root)
    nics = _with_roles(read_nics(root), routes, processes, session, root)
    network_managers = managers.active(processes, root)
    listeners = read_listeners(root)
    active_firewalls = firewalls.active(processes, [nic.name for nic in nics], root, os.geteuid() == 0)
    time_server = read_time_server(processes, root) if time else None
    address_files = [file.kept for file in ADDRESS_FILES.values()]
    return Facts(
        nics=nics,
        routes=routes,
        listeners=listeners,
        network_managers=network_managers,
        firewalls=active_firewalls,
        missing_tools=_missing_tools(active_firewalls),
        missing_programs=managers.missing_programs(network_managers),
        ssh_port=session.port if session else None,
        host_name=clean(platform.node(), 64),
        system=_system(root),
        applied_cluster=applied_cluster,
        our_pids=our_pids,
        interfaces=read_lines(paths.INTERFACES_MAIN, paths.INTERFACES_FILE, root),
        interfaces_closed=unreadable(paths.INTERFACES_MAIN, root),
        blocked=tuple((path, why) for path in (*paths.WRITTEN, *address_files) if (why := blocked(path))),
        nameservers=read_nameservers(root),
        resolvers=read_resolvers(root),
        services=read_port_services(listeners, root),
        outbound=read_outbound(),
        ssh_peer=session.peer if session else "",
        applied_backend=str(managers.applied_backend().backend) if applied_cluster else "",
        silent_managers=managers.silent(network_managers),
        time_server=time_server,
        boot=boot,
        time_servers=read_time_servers(nics, network_managers, root) if time else (),
        # NetworkManager is asked by root alone.
        time_known=time and (os.geteuid() == 0 or time_server is not None or "NetworkManager" not in network_managers),
        owners=managers.owners(network_managers, {nic.name: nic.index for nic in nics if nic.usable_name}, root),
    )


def _with_roles(
    nics: tuple[Nic, ...],
    routes: tuple[Route, ...],
    processes: tuple[RunningProcess, ...],
    session: SshSession | None,
    root: Path,
) -> tuple[Nic, ...]:
    """The NICs with what only routes, processes and leases show: default route, DHCP client, SSH session."""
    default = nics_of_default_routes(routes)
    clients = dhcp_client_nics(processes, [nic.name for nic in nics])
    nic_to_peer = _nic_towards(session.peer) if session else ""
    return tuple(
        replace(
            nic,
            default_route=nic.name in default,
            dhcp_client=nic.name in clients
            or managers.holds_lease(nic.index, root)
            or any(address.dynamic and address.network.version == 4 for address in nic.addresses),
            carries_ssh=carries_session(session, nic, nic_to_peer),
        )
        for nic in with_containers(nics, routes)
    )


def _nic_towards(address: str) -> str:
    """The NIC by which packets to an address leave; "" if there is no route."""
    try:
        routes = json.loads(commands.run("ip", "-j", "route", "get", address, timeout=5), strict=False)
        return shown_name(str(routes[0]["dev"]))
    except (commands.CommandFailed, ValueError, KeyError, IndexError):
        return ""


def _missing_tools(firewalls: tuple[str, ...]) -> tuple[str, ...]:
    needed = [*NEEDED, *(["iptables"] if "iptables" in firewalls else [])]
    return tuple(tool for tool in needed if commands.find(tool) is None)


def _system(root: Path) -> str:
    for path in ("etc/os-release", "usr/lib/os-release"):
        for line in read_sysfs(root / path).splitlines():
            key, _, value = line.partition("=")
            if key == "PRETTY_NAME":
                return clean(value.strip("\"'"), 80)
    return ""


def detect_rows(facts: Facts) -> list[dict[str, Any]]:
    """The NICs in the shape of `detect --json`."""
    from wizard.plan.draft.suggest import suggest

    suggested = {suggestion.nic: suggestion for suggestion in suggest(facts)}
    return [_detect_row(nic, suggested.get(nic.name)) for nic in facts.nics]


def _detect_row(nic: Nic, suggestion: Suggestion | None) -> dict[str, Any]:
    return {
        "name": nic.name,
        "mac": nic.mac,
        "permanent_mac": nic.permanent_mac,
        "kind": nic.kind,
        "driver": nic.driver,
        "vendor": nic.vendor,
        "up": nic.up,
        "carrier": nic.carrier,
        "speed_mbps": nic.speed_mbps,
        "addresses": [str(address.network) for address in nic.addresses],
        "default_route": nic.default_route,
        "dhcp_client": nic.dhcp_client,
        "carries_ssh": nic.carries_ssh,
        "suggestion": suggestion.role if suggestion else None,
        "reasons": list(suggestion.reasons) if suggestion else [],
    }
