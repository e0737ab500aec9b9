"""Builds the NodePath that a probe walks, from the plan and from the machine as it is now; interprets its checks.

Called by `path_prober.PathProber` in its thread of the guard process.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Collection, Mapping, Sequence

from netaddr import AddrFormatError, IPAddress

from wizard.host.facts.nics import read_nics
from wizard.host.facts.resolver import nameservers, read_resolver
from wizard.host.facts.routes import read_routes
from wizard.host.files import read_text
from wizard.host.net import rtnetlink
from wizard.host.net.link import LinkState, read_link
from wizard.host.net.neighbours import Neighbour, read_neighbours
from wizard.host.path.packets import NOERROR, NXDOMAIN, A, dns_query, parse_dns_answer
from wizard.host.path.probe import DNS_PORT, ForwardPath, NodePath, ReservedNode
from wizard.plan import paths
from wizard.plan.addresses import assign, default_routes, dynamic_range, is_default_route, taken_addresses
from wizard.plan.checks import FAILED, OK, UNTRIED, Check
from wizard.plan.lease_parser import leased_address
from wizard.plan.machine import Nic, Route
from wizard.plan.model import Forward, Plan, Protocol
from wizard.plan.render import template_context
from wizard.plan.text import clean
from wizard.plan.uplinks import INTERNET

MAX_FORWARDS_PER_PROBE = 64
"""Forwards that one probe tries; the others take turns."""
_TRIES = 64
_ANSWER_TIMEOUT_S = 1.0


def route_to(address: str, routes: Sequence[Route]) -> Route | None:
    """The main table's route to an IPv4 address, or None."""
    try:
        to = IPAddress(address, version=4)
    except (AddrFormatError, ValueError):
        return None
    fitting = [r for r in routes if r.table == "main" and r.destination.version == 4 and to in r.destination]
    return max(fitting, key=lambda r: (r.destination.prefixlen, -r.metric), default=None)


def build_path(
    plan: Plan, turn: int, armed: bool, macs: tuple[bytes, bytes], own: IPAddress | None = None
) -> tuple[NodePath | None, list[Check]]:
    """The path to probe (None where there is none), and an UNTRIED check with the reason for each part left out.

    `turn` counts the probes: nodes and forwards take turns. `macs`: the synthetic node's, and the synthetic machine's
    on the corporate side. `own`: the address that the synthetic node had last. The plan must be a `resolved` one.
    """
    plan = assign(plan)
    cluster = read_link(plan.interfaces.cluster)
    if cluster is None or not cluster.carrier:
        return None, [Check("path-arp", UNTRIED, f"not tried: {plan.interfaces.cluster} has no link")]
    neighbours = read_neighbours(cluster.name)
    own = free_address(plan, [*neighbours, *_leased()], own)
    if own is None:
        return None, [Check("path-arp", UNTRIED, f"not tried: {plan.network.cidr} has no free address to try it from")]
    untried: list[Check] = []
    nics, routes = {nic.name: nic for nic in read_nics()}, read_routes()
    corporate = _corporate(plan, untried)
    address = _address_of(nics.get(plan.interfaces.corporate))
    beyond = _outside_target(plan, routes, address) if corporate is not None else ""
    if corporate is not None and not beyond:
        untried.append(Check("path-out", UNTRIED, f"not tried: {corporate.name} has no default route"))
    forwards = []
    if corporate is not None and address:
        router = _gateway(plan, routes) or _other_end(plan.interfaces.corporate, address, routes)
        forwards = _forward_paths(plan, turn, address, router, neighbours, untried)
    elif plan.forwards:
        nic = plan.interfaces.corporate
        why = f"{nic} has no address or no link" if nic else "this machine has no default route"
        untried.append(Check("path-in", UNTRIED, f"not tried: {why}"))
    resolver = read_resolver(str(plan.network.gateway))
    if not resolver.servers:
        untried.append(Check("path-resolver", UNTRIED, f"not tried: {resolver.reason}"))
    context = template_context(plan)
    name = f"{context['gateway_name'] or plan.machines[0].name}.{plan.network.domain}"
    nodes = plan.nodes
    node = nodes[turn % len(nodes)] if armed and nodes else None
    return (
        NodePath(
            cluster=cluster,
            corporate=corporate,
            gateway=plan.network.gateway.packed,
            own=own.packed,
            own_mac=macs[0],
            office_mac=macs[1],
            corporate_address=socket.inet_aton(address) if address else b"",
            asked=ReservedNode(node.name, node.mac.packed, node.ip.packed) if node is not None and node.ip else None,
            name=name,
            name_is=plan.network.gateway.packed if context["gateway_name"] else b"",
            outside=bool(resolver.servers),
            beyond=socket.inet_aton(beyond) if beyond else b"",
            forwards=tuple(forwards),
            next_hop=_next_hop(beyond, routes),
        ),
        untried,
    )


def free_address(plan: Plan, taken: Collection[str], before: IPAddress | None = None) -> IPAddress | None:
    """A free address of the cluster's subnet: not reserved, not in the DHCP range, not `taken`. None where all are.

    Keeps `before` while that is free: a tool that watches ARP must not see a new machine at every probe.
    """
    cidr = plan.network.cidr
    low, high = dynamic_range(plan.network)
    used = taken_addresses(plan)
    known = set(taken)

    def is_free(number: int) -> bool:
        free = number not in used and not int(low) <= number <= int(high)
        return free and str(IPAddress(number, version=4)) not in known

    if before is not None and before in cidr and is_free(int(before)):
        return before
    # At random: switches and printers tend to sit at the ends.
    first, last = cidr.first + 1, cidr.last - 1
    by_chance = (random.randint(first, last) for _ in range(_TRIES))  # noqa: S311 - nobody is kept out by it
    for number in by_chance:
        if is_free(number):
            return IPAddress(number, version=4)
    return next((IPAddress(number, version=4) for number in range(first, last + 1) if is_free(number)), None)


def _leased() -> list[str]:
    return [leased_address(line) for line in (read_text(paths.LEASES) or "").splitlines()]


def _corporate(plan: Plan, untried: list[Check]) -> LinkState | None:
    nic = plan.interfaces.corporate
    link = read_link(nic)
    if link is not None and link.carrier:
        return link
    why = f"{nic} has no link" if nic else "this machine has no default route"
    untried.append(Check("path-out", UNTRIED, f"not tried: {why}"))
    return None


def _address_of(nic: Nic | None) -> str:
    found = [str(a.network.ip) for a in (nic.addresses if nic is not None else ()) if a.network.version == 4]
    return found[0] if found else ""


def _gateway(plan: Plan, routes: Sequence[Route]) -> str:
    ways = default_routes(routes, plan.interfaces.corporate)
    return min(ways, key=lambda r: r.metric).gateway if ways else ""


def _other_end(nic: str, address: str, routes: Sequence[Route]) -> str:
    """A tunnel and a modem have no router: an address that is on their link, "" where none is."""
    for route in routes:
        network = route.destination
        if route.nic == nic and route.table == "main" and network.version == 4 and not is_default_route(network):
            ends = (network.first + (network.size > 2), network.first + (network.size > 2) + 1)
            found = [str(IPAddress(end)) for end in ends if end in range(network.first, network.last + 1)]
            if not route.gateway and (other := [end for end in found if end != address]):
                return other[0]
    return ""


def _outside_target(plan: Plan, routes: Sequence[Route], own: str) -> str:
    """The target behind the corporate NIC: the company's DNS server, its router, else the other end of a tunnel.

    "" where there is none. `own`: the address of the NIC.
    """
    nic = plan.interfaces.corporate
    routed = default_routes(routes, nic)
    for address in (*nameservers(), _gateway(plan, routes), _other_end(nic, own, routes) if routed else ""):
        if address.startswith("127."):
            # A resolver of this machine's own, such as 127.0.0.53: the default route fits, and nothing leaves by it.
            continue
        route = route_to(address, routes) if address else None
        if route is not None and route.nic == nic:
            return address
    return ""


def _next_hop(beyond: str, routes: Sequence[Route]) -> bytes:
    route = route_to(beyond, routes) if beyond else None
    try:
        return socket.inet_aton(route.gateway) if route is not None and route.gateway else b""
    except OSError:
        # A gateway of IPv6.
        return b""


def _forward_paths(
    plan: Plan, turn: int, address: str, router: str, neighbours: Mapping[str, Neighbour], untried: list[Check]
) -> list[ForwardPath]:
    by_name = {machine.name: str(machine.ip) for machine in plan.machines}
    found = []
    for forward in plan.forwards:
        source = _source(forward, address, router)
        to = by_name.get(forward.to, forward.to)
        if forward.protocol is not Protocol.TCP:
            why = "not tried: a datagram would reach the node's service"
            untried.append(Check(f"path-in-{forward.port}-udp", UNTRIED, why))
        elif not source:
            untried.append(
                Check(f"path-in-{forward.port}", UNTRIED, "not tried: no address that it is open to is known")
            )
        else:
            known = neighbours.get(to)
            reachable = known is not None and bool(known.mac) and known.state not in ("failed", "incomplete")
            ends = (socket.inet_aton(to), forward.to_port, socket.inet_aton(source))
            found.append(ForwardPath(forward.port, forward.to, *ends, neighbour_known=reachable))
    if len(found) <= MAX_FORWARDS_PER_PROBE:
        return found
    start = turn * MAX_FORWARDS_PER_PROBE % len(found)
    return [*found, *found][start : start + MAX_FORWARDS_PER_PROBE]


def _source(forward: Forward, address: str, router: str) -> str:
    """An address of the company's that this forward lets in, or ""."""
    if forward.sources is None:
        return router
    allowed = [source for source in forward.sources if source.version == 4]
    if router and any(router in source for source in allowed):
        return router
    hosts = (str(IPAddress(n)) for s in allowed for n in (s.first + (s.size > 2), s.last - (s.size > 2)))
    return next((host for host in hosts if host != address), "")


MAX_NODES_PER_PROBE = 64


def check_routes(plan: Plan, path: NodePath, turn: int, uplinks: Collection[str] = ()) -> list[Check]:
    """Ask the kernel which NIC it would route to: for the internet from a node, and for each node. Sends nothing.

    `uplinks`: the NICs that the nodes may go out by, besides the path's own corporate one.
    """
    found = []
    nodes = assign(plan).machines
    start = turn * MAX_NODES_PER_PROBE % max(len(nodes), 1)
    for node in [*nodes, *nodes][start : start + min(MAX_NODES_PER_PROBE, len(nodes))]:
        nic = _leaves_by(node.ip.packed) if node.ip is not None else ""
        if nic not in ("", path.cluster.name):
            detail = f"what is for {node.name}, {node.ip}, leaves by {clean(nic)}, not by {path.cluster.name}"
            found.append(Check("path-nodes", FAILED, detail, _SEE_RULES))
    if path.corporate is None or not path.beyond:
        return found
    leave = {_leaves_by(socket.inet_aton(to), path.own, path.cluster.index) for to in INTERNET}
    allowed = {path.corporate.name, *uplinks}
    others = sorted(leave - {"", *allowed})
    if others:
        detail = f"what a node sends beyond the company leaves by {clean(others[0])}, and is refused there"
        auto = "" if uplinks else 'write corporate = "auto" for the nodes to follow, or '
        only = clean(" and ".join(sorted(allowed)))
        remedy = f"Nodes go out by {only} alone: {auto}have the VPN leave their traffic alone. {_SEE_RULES}"
        found.append(Check("path-world", FAILED, detail, remedy))
    elif "" in leave:
        detail = "not tried: the kernel names no NIC now that a node's packet to the internet would leave by"
        found.append(Check("path-world", UNTRIED, detail))
    elif leave - {path.corporate.name}:
        by = clean(" and ".join(sorted(leave - {path.corporate.name})))
        detail = f"not tried: what a node sends beyond the company leaves by {by}, and the way out is tried by"
        found.append(Check("path-world", UNTRIED, f"{detail} {path.corporate.name}"))
    else:
        by = clean(" and ".join(sorted(leave)))
        found.append(Check("path-world", OK, f"what a node sends beyond the company leaves by {by}"))
    return found


def with_portal(found: Sequence[Check]) -> list[Check]:
    """The same checks, with the way to the internet failed by a captive portal, where it has not failed otherwise."""
    if any(each.name == "path-world" and each.ok is False for each in found):
        return list(found)
    detail = "this network wants a log-in first (a captive portal, says NetworkManager): the nodes reach no internet"
    portal = Check("path-world", FAILED, detail, "Open a browser on this machine and log in; the gateway goes on.")
    return [*(each for each in found if each.name != "path-world"), portal]


_SEE_RULES = "See 'ip rule' and 'ip route show table all'."


def _leaves_by(to: bytes, source: bytes = b"", come_in: int = 0) -> str:
    """The NIC that a packet to this address would leave by, or "" where there is no route."""
    try:
        return socket.if_indextoname(rtnetlink.route_to(to, source, come_in))
    except OSError:
        return ""


def resolver_verdict(check: Check, servers: Sequence[str]) -> Check:
    """Turn a failed `path-resolver` into UNTRIED where the company's servers do not answer this machine either."""
    if check.ok is not False:
        return check
    names = ", ".join(servers)
    if any(_answers(server) for server in servers):
        detail = f"{check.detail}, though {names} answers this machine itself"
        return Check(check.name, FAILED, detail, f"Its log is {paths.DNS_LOG}.")
    return Check(check.name, UNTRIED, f"not tried to its end: {names} does not answer this machine either")


def _endpoint(server: str) -> tuple[str, int]:
    """(address, port) of a server as dnsmasq writes it: an address, perhaps with #PORT or %NIC."""
    address, _, port = server.partition("#")
    return address.partition("%")[0], int(port) if port.isdigit() else DNS_PORT


def _answers(server: str) -> bool:
    """Whether a DNS server answers this machine's query for the root, or for a name that does not exist."""
    for number, (name, kind) in enumerate((("", 2), ("ciao-wizard.invalid", A)), 1):
        try:
            family = socket.AF_INET6 if ":" in server else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.settimeout(_ANSWER_TIMEOUT_S)
                sock.connect(_endpoint(server))
                sock.send(dns_query(number, name, kind))
                answer = parse_dns_answer(sock.recv(4096))
        except OSError:
            return False
        if answer is not None and answer.number == number and answer.rcode in (NOERROR, NXDOMAIN):
            return True
    return False
