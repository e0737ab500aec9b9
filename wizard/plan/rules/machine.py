"""The machine: missing programs, ports in use, firewalls, network managers."""

from __future__ import annotations

from collections.abc import Iterator

from netaddr import AddrFormatError, IPAddress

from wizard.plan.backends import NAMES, Backend, choose_backend
from wizard.plan.fields import shown
from wizard.plan.findings import Finding, error, note, warning
from wizard.plan.machine import Facts, Listener
from wizard.plan.model import Plan
from wizard.plan.rules import ifupdown
from wizard.plan.rules.forwards import WILDCARDS
from wizard.plan.tools import PACKAGES

_SERVICES = {53: "DNS", 67: "DHCP"}


def against_machine(plan: Plan, facts: Facts) -> Iterator[Finding]:
    yield from _tools(facts)
    yield from _manager(plan, facts)
    yield from ifupdown.against_machine(plan, facts)
    yield from _blocked(facts)
    yield from _ports(plan, facts)
    yield from _takers(plan, facts)
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
            f"An apply cannot write {path}: {why}.",
            "Move away what is there, or make it a directory.",
        )


def _manager(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """Who sets the cluster NIC's address, and whether somebody else would take it away."""
    nic = plan.interfaces.cluster
    for silent in facts.silent_managers:
        yield error(
            "network-manager-silent",
            "machine",
            f"{silent} runs here and does not answer: whether it manages {shown(nic)} is not known.",
            f"Look at `systemctl status {silent}`, restart it if it hangs, and run this again.",
        )
    choice = choose_backend(plan, facts)
    name = NAMES[choice.backend]
    manager = _MANAGER_OF.get(choice.backend)
    if manager is not None and manager not in facts.network_managers:
        yield error(
            "network-manager-unsupported",
            "network.backend",
            f"{name} is not at work here, so it cannot give {shown(nic)} its address.",
            'Write `backend = "auto"`, or take that line out.',
        )
        return
    owner = next((owner for owner in facts.owners if owner.nic == nic), None)
    if owner is not None and _differ(owner.backend, choice.backend):
        yield error(
            "nic-managed-elsewhere",
            "network.backend",
            f"{owner.reason}; the plan has {name} set the address of {shown(nic)}. The two would undo each other's "
            "changes.",
            'Write `backend = "auto"`, or take that line out.',
        )
    elif facts.applied_cluster == nic and owner is not None and _differ(owner.backend, facts.applied_backend):
        # No error: that would refuse the apply that ends it. `in_force` holds it against a gateway that runs.
        yield warning(
            "nic-managed-elsewhere",
            "interfaces.cluster",
            f"{owner.reason}; its address was set by {NAMES[Backend(facts.applied_backend)]}. The two undo each "
            "other's changes.",
            "Run `sudo ciao-wizard apply`: it has whoever manages the NIC set the address.",
        )
    elif choice.backend is not Backend.IFUPDOWN and facts.applied_cluster != nic:
        if choice.backend is Backend.NONE:
            how = "An apply sets the gateway's address over the kernel, and the guard does at boot"
        else:
            how = f"An apply gives {name} a configuration of its own for the gateway's address"
        yield note(
            "network-manager",
            "interfaces.cluster",
            f"{choice.reason}. {how}; a reset gives {shown(nic)} back as it was.",
            "Nothing to do.",
        )


_MANAGER_OF = {
    Backend.IFUPDOWN: "ifupdown",
    Backend.NETWORKMANAGER: "NetworkManager",
    Backend.NETWORKD: "networkd",
    Backend.NETPLAN: "netplan",
}


def _differ(owner: str, backend: str) -> bool:
    # What netplan has configured networkd has too.
    over_networkd = {Backend.NETWORKD, Backend.NETPLAN}
    return owner != backend and not {owner, backend} <= over_networkd


def _ports(plan: Plan, facts: Facts) -> Iterator[Finding]:
    reported: set[tuple[int, str]] = set()
    for listener in facts.listeners:
        port = listener.port
        if not _holds(listener, plan, facts) or (port, listener.process) in reported:
            continue
        reported.add((port, listener.process))
        pid = f" (process {listener.pid})" if listener.pid is not None else ""
        who = f"{shown(listener.process)}{pid}" if listener.process else "Another program"
        where = "on every NIC" if listener.address in WILDCARDS else f"on {listener.address}"
        if port == 67:
            why = "two DHCP servers on one network do damage"
            remedy = f"{stop_for_good(listener)}, or bind it to the NICs it serves."
        else:
            why = "ours cannot serve the nodes"
            remedy = f"{stop_for_good(listener)}, or bind it to its own addresses{_how_to_bind(listener)}."
        yield error(
            f"port-{port}-taken",
            "interfaces.cluster",
            f"{who} already serves {_SERVICES[port]} {where}, port {port}: {why}.",
            remedy,
        )


def stop_for_good(listener: Listener) -> str:
    """A remedy that keeps a program stopped after a reboot too."""
    if listener.unit:
        return f"Run `sudo systemctl disable --now {listener.unit}`"
    return "Stop it, and disable it at boot"


def _how_to_bind(listener: Listener) -> str:
    known = {
        "dnsmasq": "bind-interfaces with interface=…",
        "named": "listen-on { 127.0.0.1; }; listen-on-v6 { ::1; };",
        "unbound": "interface: 127.0.0.1",
    }
    return f" ({known[listener.process]})" if listener.process in known else ""


def _takers(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """DNS servers that bind every address, new ones too, as bind9 does: one socket per address gives them away."""
    listeners = [x for x in facts.listeners if x.port == 53 and x.nic == "" and x.pid not in facts.our_pids]
    gateway = plan.network.gateway
    here = {a.network.ip for n in facts.nics if n.up for a in n.addresses if a.network.version == 4} - {gateway}
    for process, pid in dict.fromkeys((x.process, x.pid) for x in listeners if x.process):
        own = [x for x in listeners if (x.process, x.pid) == (process, pid)]
        held = {address for address in map(_address, own) if address is not None}
        others = {address for x in listeners if x not in own and (address := _address(x)) is not None}
        wanted = {address for address in here - others if not address.is_loopback()}
        if wanted and wanted <= held and any(address.is_loopback() for address in held):
            yield error(
                "dns-takes-every-address",
                "interfaces.cluster",
                f"{shown(process)} (process {pid}) serves DNS on every address of this machine, port 53: it will "
                f"bind {gateway} too, and answer the nodes in our place.",
                f"{stop_for_good(own[0])}, or bind it to 127.0.0.1 alone{_how_to_bind(own[0])}.",
            )


def _address(listener: Listener) -> IPAddress | None:
    try:
        found = IPAddress(listener.address.split("%")[0])
    except (AddrFormatError, ValueError):
        return None
    return found if found.version == 4 and int(found) else None


def _holds(listener: Listener, plan: Plan, facts: Facts) -> bool:
    """True if another program holds a port that our dnsmasq needs on the cluster NIC."""
    if listener.port not in _SERVICES or (listener.port == 67 and listener.protocol != "udp"):
        return False
    cluster = plan.interfaces.cluster
    if listener.pid in facts.our_pids or listener.nic not in ("", cluster):
        return False
    if listener.nic == "" and listener.address in WILDCARDS:
        return True
    if facts.applied_cluster == cluster:
        # Only root sees the owner of a socket. On the NIC of an applied gateway it is ours.
        return False
    if listener.nic == cluster:
        return True
    address = _address(listener)
    if address is None:
        return False
    nic = facts.nic(cluster)
    on_nic = nic is not None and any(own.network.ip == address for own in nic.addresses)
    return on_nic or address == plan.network.gateway


def _firewalld(plan: Plan, facts: Facts) -> Iterator[Finding]:
    if "firewalld" in facts.firewalls:
        cluster = plan.interfaces.cluster
        yield note(
            "firewalld-active",
            "machine",
            f"firewalld is active, and rejects what its zones do not allow. An apply moves {cluster} to its zone "
            "trusted, at run time only; a reset moves it back.",
            "Nothing to do.",
        )
