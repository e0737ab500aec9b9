"""Who has ports that the gateway will serve on, and whether an apply may stop it: 53 and 67, and those of netboot."""

from __future__ import annotations

from collections.abc import Iterator

from netaddr import AddrFormatError, IPAddress

from wizard.plan import paths
from wizard.plan.fields import shown
from wizard.plan.findings import Finding, Severity
from wizard.plan.images import HTTP_PORT, TFTP_PORT
from wizard.plan.machine import Facts, Listener
from wizard.plan.model import Plan
from wizard.plan.rules.forwards import WILDCARDS

SERVICES = {53: "DNS", 67: "DHCP"}
"""What the gateway serves, by port."""
_NETBOOT = {("udp", TFTP_PORT): "TFTP", ("tcp", HTTP_PORT): "a service of its own"}
"""What a plan with images needs besides, and what another program serves there."""
_OF_A_SERVER = frozenset({*SERVICES, 547, 853})
"""With DHCPv6, and DNS over TLS."""


def against_machine(plan: Plan, facts: Facts) -> Iterator[Finding]:
    yield from _holders(plan, facts)
    yield from _takers(plan, facts)
    if plan.images:
        yield from _netboot_holders(plan, facts)


def _holders(plan: Plan, facts: Facts) -> Iterator[Finding]:
    reported: set[tuple[int, str]] = set()
    for listener in facts.listeners:
        port = listener.port
        key = (port, listener.process or listener.unit)
        if not _holds(listener, plan, facts) or key in reported:
            continue
        reported.add(key)
        where = "on every NIC" if listener.address in WILDCARDS else f"on {listener.address}"
        if port == 67:
            why, bind = "two DHCP servers on one network do damage", "the NICs it serves"
        else:
            why, bind = "ours cannot serve the nodes", f"its own addresses{_how_to_bind(listener)}"
        served = f"{_who(listener)} already serves {SERVICES[port]} {where}, port {port}"
        yield _finding(f"port-{port}-taken", listener, facts, served, why, bind)


def _netboot_holders(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """Nobody is asked whether an apply may stop them: only the nodes' boot over the network needs it."""
    reported: set[tuple[int, str]] = set()
    for listener in facts.listeners:
        serves = _NETBOOT.get((listener.protocol, listener.port))
        key = (listener.port, listener.process or listener.unit)
        if (
            serves is None
            or key in reported
            or listener.unit in facts.to_stop
            or not _in_the_way(listener, plan, facts, known=listener.pid is not None)
        ):
            continue
        reported.add(key)
        where = "on every NIC" if listener.address in WILDCARDS else f"on {listener.address}"
        port = f"{listener.protocol.upper()} port {listener.port}"
        tftp = listener.port == TFTP_PORT
        why = "our dnsmasq could not start" if tftp else "no node could boot an image"
        yield Finding(
            # dnsmasq gives up at a port that it cannot have; without the other one only a boot fails.
            Severity.ERROR if tftp else Severity.WARNING,
            f"port-{listener.port}-taken",
            "interfaces.cluster",
            f"{_who(listener)} already serves {serves} {where}, {port}: {why}.",
            f"{_stop_for_good(listener)}, or bind it to its own addresses. Or remove [[images]] from the plan.",
        )


def _takers(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """DNS servers that bind every address, new ones too, as bind9 does: one socket per address gives them away."""
    listeners = [x for x in facts.listeners if x.port == 53 and x.nic == "" and not is_ours(x, facts)]
    gateway = plan.network.gateway
    here = {a.network.ip for n in facts.nics if n.up for a in n.addresses if a.network.version == 4} - {gateway}
    for of_one in dict.fromkeys(map(_owner, listeners)):
        own = [x for x in listeners if _owner(x) == of_one and any(of_one)]
        held = {address for address in map(_address, own) if address is not None}
        others = {address for x in listeners if x not in own and (address := _address(x)) is not None}
        wanted = {address for address in here - others if not address.is_loopback()}
        if wanted and wanted <= held and any(address.is_loopback() for address in held):
            served = f"{_who(own[0])} serves DNS on every address of this machine, port 53"
            why = f"it will bind {gateway} too, and answer the nodes in our place"
            bind = f"127.0.0.1 alone{_how_to_bind(own[0])}"
            yield _finding("dns-takes-every-address", own[0], facts, served, why, bind)


def _owner(listener: Listener) -> tuple[str, str, int | None]:
    """Tells one program from another; all empty where nothing is known of it."""
    return listener.process, listener.unit, listener.pid


def _who(listener: Listener) -> str:
    if not listener.process:
        return listener.unit or "Another program"
    return f"{shown(listener.process)}{f' (process {listener.pid})' if listener.pid is not None else ''}"


def is_ours(listener: Listener, facts: Facts) -> bool:
    """True if it is the gateway's own server."""
    return listener.pid in facts.our_pids or listener.unit == paths.SERVICE_NAME


def _finding(code: str, listener: Listener, facts: Facts, served: str, why: str, bind: str) -> Finding:
    """An error; or, where the program's service is stopped by the apply, a warning."""
    unit, bound = listener.unit, f"bind it to {bind}."
    by_hand = f"{_stop_for_good(listener)}, or {bound}"
    service = next((each for each in facts.services if each.unit == unit), None)
    stops: tuple[str, ...] = ()
    severity = Severity.ERROR
    if answers_this_machine(listener, facts):
        remedy = f"B{bound[1:]} Do not stop {unit or 'it'}: this machine itself asks it for names (/etc/resolv.conf)."
    elif service is None:
        remedy = by_hand
    elif objection := why_not_stopped(unit, facts):
        remedy = f"B{bound[1:-1]}; {unit} is not to be stopped: {objection}."
    else:
        stops = (unit, *service.triggers)
        ours = f"Run `sudo ciao-wizard apply -c PLAN --stop {unit}`: it stays stopped until a reset."
        remedy = f"{ours} By hand: {by_hand[0].lower()}{by_hand[1:]}"
        if unit in facts.to_stop:
            severity, why = Severity.WARNING, f"an apply stops and disables {unit}, and a reset gives it back"
            remedy = "Nothing to do."
    return Finding(severity, code, "interfaces.cluster", f"{served}: {why}.", remedy, stops)


def why_not_stopped(unit: str, facts: Facts) -> str:
    """Why an apply may not stop the service of a listener on port 53 or 67, as half a sentence; "" if it may.

    It may stop a server that is a service of its own, serves nothing else, and that nothing else here needs.
    """
    service = next((each for each in facts.services if each.unit == unit), None)
    own = [x for x in facts.listeners if x.unit == unit and x.port in SERVICES]
    if service is None or not own:
        return "it serves neither DNS nor DHCP"
    if any(answers_this_machine(listener, facts) for listener in own):
        return "this machine itself asks it for names"
    if service.for_network:
        return "this machine's own network needs it"
    if "@" in unit:
        return "it is one of several of its kind"
    # Only root sees the owner of a socket; of a single process it can be no other.
    if any(x.pid != service.main_pid if x.pid is not None else not service.alone for x in own):
        return f"{shown(own[0].process) if own[0].process else 'the server'} may be only a part of it"
    if more := [x for x in facts.listeners if x.unit == unit and _is_another_service(x)]:
        return f"it serves {more[0].protocol.upper()} port {more[0].port} too"
    if service.dependents:
        return f"{service.dependents[0]} needs it"
    if service.cannot_disable:
        return f"{service.cannot_disable[0]} cannot be disabled"
    return ""


def _is_another_service(listener: Listener) -> bool:
    address = _any_address(listener)
    if listener.port in _OF_A_SERVER or (address is not None and address.is_loopback()):
        return False
    # A DNS server asks from UDP ports of its own.
    return listener.protocol == "tcp" or listener.port < 1024


def answers_this_machine(listener: Listener, facts: Facts) -> bool:
    """True if it is this program that answers when this machine asks for a name; False where it is not known."""
    if not any(_owner(listener)):
        return False
    served = [x for x in facts.listeners if x.port == 53]
    own = {x.address for x in served if _owner(x) == _owner(listener)}
    others = {x.address for x in served} - own
    for resolver in facts.resolvers:
        if resolver in own or (own & WILDCARDS and resolver not in others and _is_here(resolver, facts)):
            return True
    return False


def _is_here(address: str, facts: Facts) -> bool:
    try:
        ip = IPAddress(address.split("%")[0])
    except (AddrFormatError, ValueError):
        return False
    return ip.is_loopback() or any(own.network.ip == ip for nic in facts.nics for own in nic.addresses)


def _stop_for_good(listener: Listener) -> str:
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


def _any_address(listener: Listener) -> IPAddress | None:
    try:
        return IPAddress(listener.address.split("%")[0])
    except (AddrFormatError, ValueError):
        return None


def _address(listener: Listener) -> IPAddress | None:
    found = _any_address(listener)
    return found if found is not None and found.version == 4 and int(found) else None


def _holds(listener: Listener, plan: Plan, facts: Facts) -> bool:
    """True if another program holds a port that our dnsmasq needs on the cluster NIC."""
    if listener.port not in SERVICES or (listener.port == 67 and listener.protocol != "udp"):
        return False
    return _in_the_way(listener, plan, facts)


def _in_the_way(listener: Listener, plan: Plan, facts: Facts, known: bool = False) -> bool:
    """True if it is another program's, and on the cluster NIC, the gateway's address or every NIC.

    `known`: whose it is does not have to be guessed where a gateway is applied.
    """
    cluster = plan.interfaces.cluster
    if is_ours(listener, facts) or listener.nic not in ("", cluster):
        return False
    if listener.nic == "" and listener.address in WILDCARDS:
        return True
    if facts.applied_cluster == cluster and not known:
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
