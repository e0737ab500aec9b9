"""Forwards: their targets, and the ports that they take from this machine."""

from __future__ import annotations

from collections.abc import Iterator

from netaddr import AddrFormatError, IPAddress

from wizard.plan.addresses import dynamic_range
from wizard.plan.fields import shown
from wizard.plan.findings import Finding, error, warning
from wizard.plan.machine import Facts, Listener
from wizard.plan.model import ClusterKind, Forward, Plan, Protocol

LISTENS = " listens on "
"""Separates, in a message, the program from the port that it holds."""
SCHEDULER_PORT = 8888
DNS_PORT = 53
DHCP_PORTS = frozenset({67, 68})
MOST_ROWS = 20_000
"""Forwards plus their source networks: nft loads as many within seconds on a slow laptop."""
WILDCARDS = frozenset({"0.0.0.0", "::", "*", ""})  # noqa: S104 - compared with, never bound to


def of_plan(plan: Plan) -> Iterator[Finding]:
    networks = sum(len(forward.sources or ()) for forward in plan.forwards)
    ports = sum(len(forward.ports) for forward in plan.forwards)
    if ports + networks > MOST_ROWS:
        yield error(
            "forwards-many",
            "forwards",
            f"{ports} forwarded ports and {networks} source networks are more than {MOST_ROWS} together: "
            "the packet filter cannot load them in time.",
            "Remove forwards, or use fewer and larger networks in 'from'.",
        )
        if ports > MOST_ROWS:
            return
    names = {machine.name for machine in plan.machines}
    first: dict[tuple[Protocol, int], int] = {}
    for number, forward in enumerate(plan.forwards):
        field = f"forwards[{number}]"
        if forward.to not in names:
            yield from _to_address(f"{field}.to", forward, plan)
        taken = [
            (earlier, port)
            for port in forward.ports
            if (earlier := first.setdefault((forward.protocol, port), number)) != number
        ]
        for earlier, port in taken[:1]:
            yield error(
                "forward-taken",
                f"{field}.port",
                f"{_port(forward, port)} is forwarded twice: to {shown(plan.forwards[earlier].to)} and "
                f"to {shown(forward.to)}.",
                "Remove one of the two, or use another port of this machine for it.",
            )
        if forward.protocol is Protocol.UDP and DHCP_PORTS & {*forward.ports, forward.to_port}:
            yield error(
                "forward-dhcp",
                f"{field}.port",
                f"{_port(forward)} to port {forward.to_port} is DHCP: a node would answer the company's machines.",
                "Remove this forward.",
            )
        if DNS_PORT in forward.ports:
            yield error(
                "forward-dns",
                f"{field}.port",
                f"{_port(forward, DNS_PORT)} is where the nodes send this machine DNS queries: forwarded, they get no "
                "answer.",
                "Use another port of this machine; the node's can stay the same.",
            )
        if plan.kind is ClusterKind.CIAO and forward.protocol is Protocol.TCP and forward.to_port == SCHEDULER_PORT:
            yield warning(
                "forward-scheduler",
                f"{field}.to_port",
                f"Port {SCHEDULER_PORT} is the scheduler's; only nodes talk to it.",
                "Remove this forward; the controller's own port is 8889.",
            )


def against_machine(plan: Plan, facts: Facts) -> Iterator[Finding]:
    for number, forward in enumerate(plan.forwards):
        field = f"forwards[{number}].port"
        listeners = [each for each in facts.listeners if _in_the_way(each, forward, plan, facts)]
        ssh = facts.ssh_port in forward.ports or any(_is_sshd(each) for each in listeners)
        if forward.protocol is Protocol.TCP and ssh:
            yield error(
                "forward-ssh",
                field,
                f"{_port(forward, _ssh_port(forward, facts, listeners))} is the SSH port of this machine; if it is "
                f"forwarded, SSH leads to {shown(forward.to)} instead.",
                "Use another port of this machine, such as 2222, for the node's port 22.",
            )
        elif listeners:
            yield error(
                "forward-port-listening",
                field,
                f"{_holder(listeners[0])}{LISTENS}{_port(forward, listeners[0].port)} of this machine; if that is "
                "forwarded, the company network cannot reach the program.",
                "Use another port of this machine (the node's can stay the same), or stop that program.",
            )


def _to_address(field: str, forward: Forward, plan: Plan) -> Iterator[Finding]:
    cidr = plan.network.cidr
    known = ", ".join(node.name for node in plan.nodes[:8]) or "none yet"
    remedy = f"Name a node ({known}), or an address in {cidr}."
    try:
        address = IPAddress(forward.to, version=4)
    except (AddrFormatError, ValueError):
        message = f"{_port(forward)} is forwarded to {shown(forward.to)}, and no node has that name."
        yield error("forward-to-nobody", field, message, remedy)
        return
    if address not in cidr or int(address) in (cidr.first, cidr.last):
        message = f"{_port(forward)} is forwarded to {address}, which is not a host address of {cidr}."
        yield error("forward-to-nobody", field, message, remedy)
    elif address == plan.network.gateway:
        message = f"{_port(forward)} is forwarded to {address}, which is this machine itself."
        yield error("forward-to-gateway", field, message, remedy)
    elif all(machine.ip != address for machine in plan.machines):
        first, last = dynamic_range(plan.network)
        if first <= address <= last:
            yield warning(
                "forward-to-dynamic",
                field,
                f"{_port(forward)} leads to {address} in the DHCP range: whoever leases that address receives "
                "this traffic.",
                f"Name a node ({known}), or reserve that address for one.",
            )


def _in_the_way(listener: Listener, forward: Forward, plan: Plan, facts: Facts) -> bool:
    """True if another program is reachable from the corporate network on the forward's port."""
    if listener.port not in forward.ports or listener.protocol != forward.protocol.value:
        return False
    if listener.pid in facts.our_pids or listener.nic not in ("", plan.interfaces.corporate):
        return False
    if listener.address in WILDCARDS:
        return True
    try:
        address = IPAddress(listener.address.split("%")[0])
    except (AddrFormatError, ValueError):
        return True
    owner = next((n.name for n in facts.nics for a in n.addresses if a.network.ip == address), None)
    return not address.is_loopback() and owner in (None, plan.interfaces.corporate)


def _is_sshd(listener: Listener) -> bool:
    return listener.process.startswith(("sshd", "dropbear"))


def _holder(listener: Listener) -> str:
    if not listener.process:
        return "A program"
    pid = f", process {listener.pid}" if listener.pid is not None else ""
    return f"A program ({shown(listener.process)}{pid})"


def _ssh_port(forward: Forward, facts: Facts, listeners: list[Listener]) -> int:
    return next((each.port for each in listeners if _is_sshd(each)), facts.ssh_port or forward.port)


def _port(forward: Forward, port: int | None = None) -> str:
    """The forward's port or ports, or one of them."""
    if port is None and forward.last_port is not None:
        return f"{forward.protocol.value.upper()} ports {forward.port_text}"
    return f"{forward.protocol.value.upper()} port {port or forward.port}"
