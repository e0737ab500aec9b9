"""What of the machine itself stands in the way: programs missing, ports held, firewalls, network managers."""

from __future__ import annotations

from collections.abc import Iterator

from netaddr import AddrFormatError, IPAddress

from wizard.plan import rules_interfaces
from wizard.plan.fields import shown
from wizard.plan.findings import Finding, error, warning
from wizard.plan.machine import Facts, Listener
from wizard.plan.model import Plan
from wizard.plan.rules_forwards import WILDCARDS

PACKAGES = {
    "dnsmasq": "dnsmasq-base",
    "nft": "nftables",
    "ip": "iproute2",
    "ss": "iproute2",
    "ifup": "ifupdown",
    "ifdown": "ifupdown",
    "ifquery": "ifupdown",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "flock": "util-linux",
}
"""Debian's and Ubuntu's package of a program, where it has another name than the program."""

_SERVICES = {53: "DNS", 67: "DHCP"}


def against_machine(plan: Plan, facts: Facts) -> Iterator[Finding]:
    yield from _tools(facts)
    yield from _manager(facts)
    yield from rules_interfaces.against_machine(plan, facts)
    yield from _blocked(facts)
    yield from _rivals(plan, facts)
    yield from _ports(plan, facts)
    yield from _firewalld(plan, facts)


def _tools(facts: Facts) -> Iterator[Finding]:
    if facts.missing_tools:
        packages = sorted({PACKAGES.get(tool, tool) for tool in facts.missing_tools})
        yield error(
            "missing-tools",
            "machine",
            f"Programs that an apply needs are not installed: {', '.join(facts.missing_tools)}.",
            f"Run `sudo apt install {' '.join(packages)}`.",
        )


def _blocked(facts: Facts) -> Iterator[Finding]:
    for path, why in facts.blocked:
        yield error(
            "path-blocked",
            "machine",
            f"An apply writes {path}, and nothing can be put there: {why}.",
            "Move away what is in the way, or make it a directory.",
        )


def _manager(facts: Facts) -> Iterator[Finding]:
    if "ifupdown" in facts.network_managers:
        return
    found = " and ".join(facts.network_managers)
    here = f"{found} manages the network here" if found else "No network manager that is known was found here"
    yield error(
        "network-manager-unsupported",
        "machine",
        f"{here}; the cluster NIC's address is set up through ifupdown.",
        "Run `sudo apt install ifupdown`; it can stand beside the other and will manage the cluster NIC alone.",
    )


def _rivals(plan: Plan, facts: Facts) -> Iterator[Finding]:
    cluster = plan.interfaces.cluster
    if "NetworkManager" in facts.network_managers:
        yield warning(
            "networkmanager-active",
            "interfaces.cluster",
            f"NetworkManager runs here and may take {shown(cluster)} into its own hands. Once applied, it leaves the "
            "NIC alone from its next start on, because /etc/network/interfaces names it.",
            f"Run `sudo nmcli device set {cluster} managed no` before an apply.",
        )
    if "networkd" in facts.network_managers:
        yield warning(
            "networkd-active",
            "interfaces.cluster",
            f"systemd-networkd runs here; where one of its .network files matches {shown(cluster)}, each undoes the "
            "other's work.",
            f"See `networkctl status {cluster}`; a file with `[Match] Name={cluster}` and `[Link] Unmanaged=yes` under "
            "/etc/systemd/network keeps it off.",
        )


def _ports(plan: Plan, facts: Facts) -> Iterator[Finding]:
    told: set[tuple[int, str]] = set()
    for listener in facts.listeners:
        port = listener.port
        if not _holds(listener, plan, facts) or (port, listener.process) in told:
            continue
        told.add((port, listener.process))
        pid = f" (process {listener.pid})" if listener.pid is not None else ""
        who = f"{shown(listener.process)}{pid}" if listener.process else "Another program"
        where = "on every NIC" if listener.address in WILDCARDS else f"on {listener.address}"
        if port == 67:
            why = "two DHCP servers on one wire do damage"
            remedy = "Stop it, or bind it to the NICs that it is for."
        else:
            why = "so ours could not serve the nodes"
            remedy = "Stop it, or bind it to its own addresses (dnsmasq: bind-interfaces with interface=…)."
        yield error(
            f"port-{port}-taken",
            "interfaces.cluster",
            f"{who} already serves {_SERVICES[port]} {where}, port {port}: {why}.",
            remedy,
        )


def _holds(listener: Listener, plan: Plan, facts: Facts) -> bool:
    """Whether a program of others holds a port that our dnsmasq needs on the cluster NIC."""
    if listener.port not in _SERVICES or (listener.port == 67 and listener.protocol != "udp"):
        return False
    cluster = plan.interfaces.cluster
    if listener.pid in facts.our_pids or listener.nic not in ("", cluster):
        return False
    if listener.nic == "" and listener.address in WILDCARDS:
        return True
    if facts.applied_cluster == cluster:
        # Whose a socket is, only root can see. On the NIC of an applied gateway it is the gateway's.
        return False
    if listener.nic == cluster:
        return True
    try:
        address = IPAddress(listener.address.split("%")[0])
    except (AddrFormatError, ValueError):
        return False
    nic = facts.nic(cluster)
    on_nic = nic is not None and any(own.network.ip == address for own in nic.addresses)
    return on_nic or address == plan.network.gateway


def _firewalld(plan: Plan, facts: Facts) -> Iterator[Finding]:
    if "firewalld" in facts.firewalls:
        cluster = plan.interfaces.cluster
        yield warning(
            "firewalld-active",
            "machine",
            f"firewalld is active, and drops what its zones do not let in, whatever another table accepts: {cluster} "
            "needs a place in it.",
            f"Run `sudo firewall-cmd --permanent --zone=trusted --change-interface={cluster} && "
            "sudo firewall-cmd --reload` if an apply does not get through.",
        )
