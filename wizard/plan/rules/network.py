"""The cluster's network: size, gateway, dynamic range, domain, and overlaps with others."""

from __future__ import annotations

from collections.abc import Iterator

from netaddr import AddrFormatError, IPAddress, IPNetwork

from wizard.plan.addresses import TENANTS, Busy, busy_networks, dynamic_range, free_networks, overlap
from wizard.plan.fields import shown
from wizard.plan.findings import Finding, error, note, warning
from wizard.plan.machine import Facts
from wizard.plan.model import AnswerPolicy, ClusterKind, Network, Plan

SHORTEST_PREFIX, LONGEST_PREFIX = 16, 28
ETHERNET_MTU, IPV6_MTU = 1500, 1280
MESH = IPNetwork("192.168.0.0/18")
MESH_FREE = IPNetwork("192.168.128.0/18")

_PRIVATE = tuple(map(IPNetwork, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15")))
_NOT_UNICAST = {
    "the null network": IPNetwork("0.0.0.0/8"),
    "the loopback network": IPNetwork("127.0.0.0/8"),
    "for addresses that machines make up themselves": IPNetwork("169.254.0.0/16"),
    "for multicast": IPNetwork("224.0.0.0/4"),
    "reserved": IPNetwork("240.0.0.0/4"),
}
_REAL_DOMAINS = frozenset(
    ("com", "net", "org", "info", "biz", "edu", "gov", "mil", "int", "arpa", "dev", "app", "cloud", "tech", "online")
)


def of_plan(plan: Plan) -> Iterator[Finding]:
    network = plan.network
    yield from _size(network)
    yield from _kind(network)
    if network.cidr.prefixlen <= LONGEST_PREFIX:
        # Neither gateway nor range can be valid in anything smaller: one error is enough.
        yield from _gateway(network)
        yield from _range(network)
    yield from _domain(network)
    yield from _answers(network)
    yield from _mtu(network)
    if plan.kind is ClusterKind.CIAO:
        yield from _ciao(network)


def against_machine(plan: Plan, facts: Facts) -> Iterator[Finding]:
    yield from _overlaps(plan, facts)
    yield from _swallowed(plan, facts)
    if plan.kind is ClusterKind.CIAO:
        yield from _tenant_routes(plan, facts)


def _size(network: Network) -> Iterator[Finding]:
    prefix = network.cidr.prefixlen
    if prefix < SHORTEST_PREFIX:
        yield error(
            "subnet-too-large",
            "network.cidr",
            f"{network.cidr} has {network.cidr.size} addresses; it would cover other networks.",
            f"Use a /{SHORTEST_PREFIX} or smaller, such as {network.cidr.ip}/24.",
        )
    elif prefix > LONGEST_PREFIX:
        yield error(
            "subnet-too-small",
            "network.cidr",
            f"{network.cidr} has {network.cidr.size} addresses: too few for a gateway, three nodes and a range.",
            f"Use a /{LONGEST_PREFIX} or larger, such as a /24.",
        )


def _kind(network: Network) -> Iterator[Finding]:
    for what, block in _NOT_UNICAST.items():
        if overlap(network.cidr, block):
            yield error(
                "subnet-not-usable",
                "network.cidr",
                f"{network.cidr} lies in {block}, which is {what}: no node can have such an address.",
                "Use a private network, such as 192.168.0.0/24.",
            )
            return
    if not any(network.cidr in block for block in _PRIVATE):
        yield warning(
            "subnet-public",
            "network.cidr",
            f"{network.cidr} is not a private network: the nodes could not reach its owners on the Internet.",
            "Use a private network, such as 192.168.0.0/24.",
        )


def _gateway(network: Network) -> Iterator[Finding]:
    cidr, gateway = network.cidr, network.gateway
    if gateway not in cidr:
        why = f"is not in {cidr}"
    elif int(gateway) == cidr.first:
        why = f"is the address of the network {cidr} itself"
    elif int(gateway) == cidr.last:
        why = f"is the broadcast address of {cidr}"
    else:
        return
    yield error(
        "gateway-not-host",
        "network.gateway",
        f"The gateway's address {gateway} {why}.",
        f"Use one from {cidr[1]} to {cidr[-2]}.",
    )


def _range(network: Network) -> Iterator[Finding]:
    cidr = network.cidr
    field = "network.dhcp_slice" if network.dhcp_range is None else "network.dhcp_range"
    first, last = dynamic_range(network)
    subject = f"The DHCP range {first} to {last}"
    hosts = f"between {cidr[1]} and {cidr[-2]}"
    if network.dhcp_slice is not None and network.dhcp_range is not None:
        yield error("range-twice", field, "dhcp_slice and dhcp_range both set the DHCP range.", "Keep one.")
    if first > last and network.dhcp_range is not None:
        yield error("range-reversed", field, f"{subject} runs backwards.", "Write the lower address first.")
        return
    if first > last:
        yield error(
            "range-empty",
            field,
            f"The DHCP range {network.dhcp_slice} has no usable address.",
            "Use a larger one, such as a /26.",
        )
        return
    whole = network.dhcp_slice if network.dhcp_range is None else None
    if first not in cidr or last not in cidr or (whole is not None and whole not in cidr):
        yield error(
            "range-outside",
            field,
            f"The DHCP range {whole} is not within {cidr}." if whole else f"{subject} is not within {cidr}.",
            f"Use addresses {hosts}.",
        )
        return
    if int(first) == cidr.first or int(last) == cidr.last:
        yield error(
            "range-outside",
            field,
            f"{subject} includes the network's own address or its broadcast address.",
            f"Use addresses {hosts}.",
        )
    if first <= network.gateway <= last:
        yield error(
            "range-holds-gateway",
            field,
            f"{subject} includes the gateway's own address {network.gateway}.",
            "Move the range, or the gateway.",
        )


def _domain(network: Network) -> Iterator[Finding]:
    last = network.domain.rsplit(".", 1)[-1]
    if last == "local":
        yield warning(
            "domain-local",
            "network.domain",
            f"Many systems resolve names under {shown(network.domain)} by multicast, and never ask this gateway.",
            "Use a domain that ends in .lan or .internal.",
        )
    elif last in _REAL_DOMAINS or len(last) == 2:
        yield warning(
            "domain-real",
            "network.domain",
            f"{shown(network.domain)} may be a real domain; the nodes could not resolve its public names.",
            "Use a domain that ends in .lan or .internal, unless it is yours and unused.",
        )


def _answers(network: Network) -> Iterator[Finding]:
    if network.answer is AnswerPolicy.EVERYONE:
        yield warning(
            "answer-everyone",
            "network.answer",
            "Every machine on the cluster network gets an address, even outside the plan: with a cable in the wrong "
            "switch, others lose their own network.",
            "Answer only the nodes of the plan and virtual machines, which are known by their MACs.",
        )
    elif "*:*:*:*:*:*" in network.vm_macs:
        yield warning(
            "vm-macs-match-everyone",
            "network.vm_macs",
            "*:*:*:*:*:* matches every MAC: every machine on the cluster network gets an address.",
            "List only the MACs of virtual machines, such as 02:*:*:*:*:*.",
        )


def _mtu(network: Network) -> Iterator[Finding]:
    if network.mtu is not None and network.mtu > ETHERNET_MTU:
        yield warning(
            "mtu-large",
            "network.mtu",
            f"Nodes that take an MTU of {network.mtu} send packets that a NIC or a switch with {ETHERNET_MTU} drops.",
            "Set it on the cluster NIC and the switch too, or leave it out.",
        )
    elif network.mtu is not None and network.mtu < IPV6_MTU:
        yield warning(
            "mtu-small",
            "network.mtu",
            f"With an MTU of {network.mtu} the nodes have no IPv6 among themselves: that needs {IPV6_MTU}.",
            f"Use {IPV6_MTU} or more, unless the way out has less.",
        )


def _ciao(network: Network) -> Iterator[Finding]:
    if overlap(network.cidr, TENANTS):
        yield warning(
            "subnet-in-tenant-range",
            "network.cidr",
            f"ciao gives its tenants networks from {TENANTS}; instances could not reach nodes in {network.cidr}.",
            "Use a network outside of it, such as 192.168.0.0/24.",
        )
    elif overlap(network.cidr, MESH):
        yield note(
            "mesh-overlap",
            "network.cidr",
            f"{network.cidr} lies in {MESH}, ciao's default for the mesh between CNCIs (cnci_net).",
            f"Set cnci_net: {MESH_FREE.ip} in ciao's configuration.yaml; `export ciao` does.",
        )


def _overlaps(plan: Plan, facts: Facts) -> Iterator[Finding]:
    cidr, cluster = plan.network.cidr, plan.interfaces.cluster
    ours = cluster if facts.applied_cluster == cluster else ""
    for busy in busy_networks(facts, ours):
        # A NIC configured by hand exactly as the plan has it is no conflict.
        by_hand = busy.nic == cluster and busy.network in cidr
        if overlap(busy.network, cidr) and not by_hand:
            yield error("subnet-overlap", "network.cidr", _overlap_words(cidr, busy), _overlap_remedy(facts))


def _swallowed(plan: Plan, facts: Facts) -> Iterator[Finding]:
    """DNS servers and SSH clients inside the subnet: traffic to them would go into the cluster."""
    cidr, cluster = plan.network.cidr, plan.interfaces.cluster
    nodes = {str(one.ip) for one in plan.machines if one.ip is not None}
    own = {str(plan.network.gateway), *(nodes if facts.applied_cluster == cluster else ())}
    for server in facts.nameservers:
        if _within(server, cidr) and server not in own:
            yield error(
                "nameserver-in-subnet",
                "network.cidr",
                f"This machine's DNS server {server} is in {cidr}: queries would go into the cluster.",
                _overlap_remedy(facts),
            )
    nic = facts.nic(cluster)
    if _within(facts.ssh_peer, cidr) and not (nic is not None and nic.carries_ssh):
        yield error(
            "ssh-peer-in-subnet",
            "network.cidr",
            f"Your SSH session comes from {facts.ssh_peer}, which is in {cidr}: this machine's replies would go "
            "into the cluster, and the session would end.",
            _overlap_remedy(facts),
        )


def _within(address: str, cidr: IPNetwork) -> bool:
    try:
        return IPAddress(address, version=4) in cidr
    except (AddrFormatError, ValueError):
        return False


def _overlap_words(cidr: IPNetwork, busy: Busy) -> str:
    same = "is the same network as" if busy.network == cidr else "overlaps"
    return f"{cidr} {same} {busy.what}: this machine could no longer tell the two apart."


def _overlap_remedy(facts: Facts) -> str:
    if facts.applied_cluster:
        free = "If it is what an earlier apply set up, `sudo ciao-wizard reset` first; otherwise use"
    else:
        free = "Use"
    networks = [str(network) for network in free_networks(facts)]
    return f"{free} a network that nothing here uses, such as {' or '.join(networks) or 'another private /24'}."


def _tenant_routes(plan: Plan, facts: Facts) -> Iterator[Finding]:
    tunnels = {nic.name for nic in facts.nics if nic.kind == "tunnel"}
    for busy in busy_networks(facts):
        if busy.nic in {plan.interfaces.corporate, *tunnels} and overlap(busy.network, TENANTS):
            yield note(
                "corporate-in-tenant-range",
                "interfaces.corporate",
                f"ciao's tenants get networks from {TENANTS}, and so is {busy.what}: instances will not reach it.",
                "Nothing to do, unless instances must reach those machines.",
            )
            return
