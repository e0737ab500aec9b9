"""Plan -> files for other tools: inventories, a hosts file, an ssh_config, ciao's configuration, a list of nodes.

Each text is complete and loads as it is. What only the user can fill in is marked BLANK. None holds a secret.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from netaddr import IPNetwork

from wizard.plan.addresses import assign, busy_networks
from wizard.plan.export import ciao
from wizard.plan.fields import format_mac
from wizard.plan.findings import WizardError
from wizard.plan.machine import Facts
from wizard.plan.model import ClusterKind, Machine, Node, Plan, Protocol, Role
from wizard.plan.uplinks import resolved

GROUPS = {Role.CONTROLLER: "controllers", Role.NETWORK: "networks", Role.COMPUTE: "computes"}
"""The groups of ciao's playbooks."""
DEVICES = "devices"
RESERVED = frozenset({"all", "ungrouped", *GROUPS.values(), "k3s_cluster", "server", "agent"})
"""Group names. Ansible cannot tell a host of that name from the group."""
_SERVERS = ("server", "controlplane", "controller")
"""Roles of the nodes that k3s' servers run on; the first that the plan has."""
_NODE_EXPORTER = 9100
UNKNOWN_GATEWAY = "GATEWAY-ADDRESS"
"""Placeholder, in comments, for an unknown corporate address of the gateway."""


@dataclass(frozen=True, slots=True)
class CorporateSide:
    """What an export needs to know of the corporate side, which is not in the plan.

    `address` is the gateway's there, "" if unknown; `networks` are in use there or on the gateway.
    """

    address: str = ""
    networks: tuple[IPNetwork, ...] = ()


def corporate_side(plan: Plan, facts: Facts) -> CorporateSide:
    """The corporate side as seen from a machine; empty if it lacks either of the plan's NICs."""
    corporate = facts.nic(resolved(plan, facts).interfaces.corporate)
    if corporate is None or facts.nic(plan.interfaces.cluster) is None:
        return CorporateSide()
    addresses = [a.network.ip for a in corporate.addresses if a.network.version == 4]
    networks = tuple(busy.network for busy in busy_networks(facts, plan.interfaces.cluster))
    return CorporateSide(str(addresses[0]) if addresses else "", networks)


def _corporate_nic(plan: Plan) -> str:
    return "the NIC of the default route" if plan.interfaces.follows_default_route else plan.interfaces.corporate


def export(plan: Plan, form: str, around: CorporateSide | None = None) -> str:
    """`plan` in one of FORMATS, ending in a newline. The plan must have passed the rules.

    Raises KeyError for another format, WizardError where it makes no sense for this cluster, SubnetFull where a node's
    address cannot be chosen.
    """
    return FORMATS[form](assign(plan), around or CorporateSide())


def exports(plan: Plan, around: CorporateSide) -> dict[str, str]:
    """The plan in each format that makes sense for its cluster. Raises SubnetFull."""
    plan = assign(plan)
    found = {}
    for form in FORMATS:
        with contextlib.suppress(WizardError):
            found[form] = export(plan, form, around)
    return found


def corporate_hosts_lines(plan: Plan, around: CorporateSide) -> list[str]:
    """Lines for a hosts file on the corporate side, to reach the forwarded services by name.

    Services that hand their own name to clients, as Keystone does, do not work there without it.
    """
    names: dict[str, list[str]] = {}
    for forward in plan.forwards:
        target = next((n.name for n in plan.machines if forward.to in (n.name, str(n.ip))), None)
        if target is not None:
            protocol = "" if forward.protocol is Protocol.TCP else f"/{forward.protocol}"
            names.setdefault(target, []).append(f"{forward.port_text}{protocol}")
    at = around.address or UNKNOWN_GATEWAY
    return [f"{at} {name}.{plan.network.domain} {name}  # {', '.join(ports)}" for name, ports in names.items()]


def _ansible(plan: Plan, around: CorporateSide) -> str:
    """INI. A host with several roles is in several groups; its address is in the first."""
    ciao_kind = plan.kind is ClusterKind.CIAO
    first = "# The first of [controllers] is the controller." if ciao_kind else "# A group a role."
    lines = [_title(plan, "Ansible inventory"), first, ""]
    placed: set[str] = set()
    groups = _groups(plan)
    # A play with "hosts: all" would run on a switch.
    devices = groups.pop(DEVICES, [])
    taken = RESERVED | groups.keys()
    for group, machines in groups.items():
        lines.append(f"[{group}]")
        for machine in machines:
            host = _host(machine, plan, taken)
            lines.append(host if host in placed else f"{host} ansible_host={machine.ip}")
            placed.add(host)
        lines.append("")
    if devices:
        lines += ["# Devices, which are in no group, so that no play runs on them:"]
        lines += [*(f"# {device.name} {device.ip}" for device in devices), ""]
    if not ciao_kind:
        return _text([*lines, "[all:vars]", *_ansible_blanks(around)])
    controller = _of(plan, Role.CONTROLLER)[0]
    subnets = json.dumps([str(plan.network.cidr)])
    fqdn = f"{controller.name}.{plan.network.domain}"
    lines += [
        "[all:vars]",
        f"ciao_controller_fqdn={fqdn}",
        f"ciao_controller_ip={controller.ip}",
        f"keystone_fqdn={fqdn}",
        f"ciao_mgmt_subnets={subnets}",
        f"ciao_compute_subnets={subnets}",
        *_ansible_blanks(around),
    ]
    return _text(lines)


def _ansible_blanks(around: CorporateSide) -> list[str]:
    return [
        "# BLANK: who you are on the nodes",
        "# ansible_user=",
        "# From the corporate side, by way of the gateway:",
        f"# ansible_ssh_common_args=-J {around.address or UNKNOWN_GATEWAY}",
    ]


def _groups(plan: Plan) -> dict[str, list[Machine]]:
    """Group -> its machines: ciao's three, else one for each role in the order of the plan; then the devices."""
    groups: dict[str, list[Machine]] = {group: [] for group in GROUPS.values()} if plan.kind is ClusterKind.CIAO else {}
    for node in plan.nodes:
        for role in node.roles or ("ungrouped",):
            groups.setdefault(_group(role, plan), []).append(node)
    if plan.devices:
        groups.setdefault(DEVICES, []).extend(plan.devices)
    return groups


def _group(role: str, plan: Plan) -> str:
    """Ansible's groups are words of letters, digits and '_'."""
    return GROUPS[Role(role)] if plan.kind is ClusterKind.CIAO else role.replace("-", "_")


def _k3s(plan: Plan, around: CorporateSide) -> str:
    """k3s-ansible's inventory: controllers are servers, all others agents. Raises WizardError without a server."""
    servers = next(filter(None, (_of(plan, role) for role in _SERVERS)), [])
    if not servers:
        raise WizardError("No node has the role server.", "Give it to the nodes that k3s' servers are to run on.")
    agents = [node for node in plan.nodes if node not in servers]
    lines = [_title(plan, "inventory for k3s-ansible"), "---", "k3s_cluster:", "  children:"]
    for group, nodes in (("server", servers), ("agent", agents)):
        lines.append(f"    {group}:")
        lines.append("      hosts:" if nodes else "      hosts: {}")
        for node in nodes:
            lines += [f"        {_quoted(_host(node, plan))}:", f"          ansible_host: {_quoted(str(node.ip))}"]
    lines += [
        "  vars:",
        f"    api_endpoint: {_quoted(str(servers[0].ip))}",
        "    # BLANK: who you are on the nodes",
        "    # ansible_user: debian",
        "    # BLANK: the release to install",
        "    # k3s_version: v1.31.12+k3s1",
        "    # The cluster's token is a secret: without one here the first server makes its own.",
        "    # From the corporate side, by way of the gateway:",
        f"    # ansible_ssh_common_args: -J {around.address or UNKNOWN_GATEWAY}",
    ]
    return _text(lines)


def _hosts(plan: Plan, around: CorporateSide) -> str:
    domain = plan.network.domain
    lines = [_title(plan, "lines for /etc/hosts")]
    lines += ["# Inside the cluster dnsmasq answers for these names; this is for the gateway and for who routes there."]
    named = {machine.name for machine in plan.machines}
    if "gateway" not in named:
        lines.append(f"{plan.network.gateway} gateway.{domain} gateway")
    lines += [f"{machine.ip} {machine.name}.{domain} {machine.name}" for machine in plan.machines]
    return _text([*lines, *_corporate_comments(plan, around)])


def _ssh_config(plan: Plan, around: CorporateSide) -> str:
    """NAME connects through the gateway; NAME.direct is for use on the gateway itself."""
    jump = _jump_name(plan)
    lines = [
        _title(plan, "ssh_config"),
        f"# Save it as ~/.ssh/{jump}.conf and put 'Include {jump}.conf' first in ~/.ssh/config.",
        "",
        "# The gateway, as the corporate side sees it.",
        f"Host {jump}",
    ]
    if around.address:
        lines.append(f"    HostName {around.address}")
    else:
        lines.append("    # BLANK: HostName, the gateway's address on the corporate network")
    lines += [
        "    # User you-on-the-gateway",
        "",
        "# From the corporate side: ssh NAME. On the gateway: ssh NAME.direct.",
    ]
    for node in plan.machines:
        lines += [
            f"Host {node.name} {node.name}.{plan.network.domain} {node.name}.direct",
            f"    HostName {node.ip}",
            # One host key for all names of a machine.
            f"    HostKeyAlias {node.name}.{plan.network.domain}",
        ]
    full = " ".join(f"{machine.name} {machine.name}.{plan.network.domain}" for machine in plan.machines)
    lines += [f"Host {full}", f"    ProxyJump {jump}"]
    return _text([*lines, *_corporate_comments(plan, around)])


def _csv(plan: Plan, _around: CorporateSide) -> str:
    """One node per line, roles joined by plus signs; `import` reads it back.

    Without the heading a node named like a role or a MAC could not be read back.
    """
    rows = [f"{'+'.join(n.roles)},{n.name},{format_mac(n.mac)},{n.ip}" for n in plan.nodes]
    heading = "role,name,mac,ip"
    if any(node.other_macs for node in plan.nodes):
        heading += ",other macs"
        others = ("+".join(map(format_mac, node.other_macs)) for node in plan.nodes)
        rows = [f"{row},{other}" for row, other in zip(rows, others, strict=True)]
    return _text([heading, *rows])


def _clush(plan: Plan, _around: CorporateSide) -> str:
    """ClusterShell's group file: a group a role, by its own name, the devices, and all nodes."""
    groups: dict[str, list[str]] = {}
    for node in plan.nodes:
        for role in node.roles:
            groups.setdefault(role, []).append(node.name)
    groups |= {DEVICES: [device.name for device in plan.devices]} if plan.devices else {}
    groups["all"] = [node.name for node in plan.nodes]
    lines = [_title(plan, "groups for clush"), "# For /etc/clustershell/groups.d/local.cfg: clush -w @ROLE, clush -a."]
    return _text([*lines, *(f"{group}: {','.join(names)}" for group, names in groups.items())])


def _prometheus(plan: Plan, _around: CorporateSide) -> str:
    """Prometheus' file_sd: a target group a set of roles, by address, so that nothing depends on its resolver."""
    groups = []
    for node in plan.nodes:
        labels = {"node": node.name, "cluster": plan.network.domain}
        if node.roles:
            labels["role"] = ",".join(node.roles)
        groups.append({"targets": [f"{node.ip}:{_NODE_EXPORTER}"], "labels": labels})
    return json.dumps(groups, indent=2) + "\n"


def _corporate_hosts(plan: Plan, around: CorporateSide) -> str:
    """Lines for /etc/hosts on the corporate side: the forwarded services by name."""
    lines = [
        _title(plan, "the forwarded services"),
        "# For /etc/hosts on the corporate side. Behind each name: its ports.",
    ]
    found = corporate_hosts_lines(plan, around)
    if not found:
        return _text([*lines, "# No port of the gateway leads to a node that has a name."])
    if not around.address:
        lines.append(f"# BLANK: {UNKNOWN_GATEWAY} is this gateway's address on {_corporate_nic(plan)}.")
    return _text([*lines, *found])


def _ciao(plan: Plan, around: CorporateSide) -> str:
    if plan.kind is not ClusterKind.CIAO:
        raise WizardError(f"This cluster is not ciao's: cluster.kind is {plan.kind}.", "Export another format.")
    hosts = _corporate_comments(plan, around)
    return _text([_title(plan, "configuration.yaml"), *ciao.lines(plan, around.networks), *hosts])


def _corporate_comments(plan: Plan, around: CorporateSide) -> list[str]:
    lines = corporate_hosts_lines(plan, around)
    if not lines:
        return []
    head = [
        "",
        "# On the corporate side the forwarded ports answer by name with this in /etc/hosts (the ports behind):",
    ]
    if not around.address:
        head.append(f"# BLANK: {UNKNOWN_GATEWAY} is this gateway's address on {_corporate_nic(plan)}.")
    return [*head, *(f"# {line}" for line in lines)]


def _of(plan: Plan, role: str) -> list[Node]:
    return [node for node in plan.nodes if role in node.roles]


def _host(node: Machine, plan: Plan, groups: Collection[str] = RESERVED) -> str:
    """The node's name in an inventory; its full name if the short one is a group's."""
    return f"{node.name}.{plan.network.domain}" if node.name in groups else node.name


def _jump_name(plan: Plan) -> str:
    taken = {machine.name for machine in plan.machines}
    names = ("ciao-gateway", *(f"ciao-gateway{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def _quoted(text: str) -> str:
    """A YAML string. Unquoted 0x1f, on and no would not be text; JSON strings are valid YAML."""
    return json.dumps(text)


def _title(plan: Plan, what: str) -> str:
    return f"# {what} of the cluster {plan.network.cidr}, exported by ciao-wizard"


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


FORMATS: dict[str, Callable[[Plan, CorporateSide], str]] = {
    "ansible": _ansible,
    "k3s-ansible": _k3s,
    "hosts": _hosts,
    "ssh-config": _ssh_config,
    "ciao": _ciao,
    "csv": _csv,
    "clush": _clush,
    "prometheus": _prometheus,
    "corporate-hosts": _corporate_hosts,
}
"""By name. The command line's list of names must be the same, see `EXPORTS` in wizard.cli.parser."""
